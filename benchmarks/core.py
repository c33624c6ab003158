"""The adjudication core as a peer calls it: the same codec, the same fold and the same patient state as in our worker.

What differs between the systems is who reads, keeps the state and publishes. In the peers' favour: the agreements are read from
the file before they start, instead of being followed; decoded patients stay in memory without a bound; and no record is checked
for its size, its key or a flood of bad ones.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from streams.adjudication.agreements import Agreements
from streams.adjudication.facts import ProviderAgreement
from streams.adjudication.fold import fold
from streams.agents.patient_state import StoredPatient
from streams.events import (
    decision_headers,
    decision_to_avro,
    fact_from_avro,
    notice_headers,
    notice_to_avro,
)
from streams.policy_files import load_policy
from streams.runtime.processor import OutputRecord
from streams.topics import BILLING_DECISIONS, ELIGIBILITY_NOTICES, PROVIDER_AGREEMENT

Get = Callable[[bytes], bytes | None]
Put = Callable[[bytes, bytes], None]


class Core:
    """Decides facts, one at a time. The caller keeps the table."""

    def __init__(self, facts_file: Path) -> None:
        self._policy = load_policy()
        self._agreements = Agreements()
        for topic, _key, value, _headers in msgspec.msgpack.decode(facts_file.read_bytes()):
            if topic != PROVIDER_AGREEMENT:
                break  # they come first
            agreement = fact_from_avro(topic, value)
            assert isinstance(agreement, ProviderAgreement)
            self._agreements.admit(agreement)
        self._patients: dict[str, StoredPatient] = {}

    @property
    def patients(self) -> int:
        """How many patients were seen."""
        return len(self._patients)

    def decide(self, topic: str, value: bytes, get: Get, put: Put) -> list[OutputRecord]:
        """Fold one fact, write what changed with `put`, return what is to be published."""
        fact = fact_from_avro(topic, value)
        assert not isinstance(fact, ProviderAgreement)
        patient = self._patients.get(fact.patient_id)
        if patient is None:
            patient = self._patients[fact.patient_id] = StoredPatient.load(fact.patient_id, get)
        step = fold(patient.record, fact, self._agreements, self._policy)
        if step.changed:
            patient.touch(fact, step)
            patient.store(put)
        key = fact.patient_id.encode()
        decided = [
            OutputRecord(BILLING_DECISIONS, key, decision_to_avro(decision), decision_headers(decision))
            for decision in step.decisions
        ]
        decided += [
            OutputRecord(ELIGIBILITY_NOTICES, key, notice_to_avro(notice), notice_headers(notice))
            for notice in step.notices
        ]
        return decided
