"""The adjudicator: a lane's processor. Facts of one partition in; decisions, notices, dead letters and patient state out."""

import re
from collections.abc import Sequence
from typing import Final, cast

from streams.adjudication.facts import Fact, PatientFact, ReadjudicationRequested
from streams.adjudication.fold import Step, issue, settle
from streams.adjudication.making import new
from streams.adjudication.policy import Policy
from streams.agents.agreement_book import AgreementBook
from streams.agents.intake import Refused, accept
from streams.agents.patient_state import StoredPatient
from streams.agents.schema_wait import schemas_known
from streams.agents.tally import BatchTally
from streams.events import decision_headers, decision_to_avro, notice_headers, notice_to_avro
from streams.runtime.dead_letters import dead_letter
from streams.runtime.processor import InputRecord, LaneTable, OutputRecord, Processor
from streams.runtime.reference import ReferenceFollower
from streams.topics import (
    BILLING_DECISIONS,
    DEAD_LETTERS,
    ELIGIBILITY_NOTICES,
    PROVIDER_AGREEMENT,
    READJUDICATION_REQUESTED,
)

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""The form that W3C Trace Context gives a `traceparent`. Nothing else is copied to a fact's outputs: a header has no bound, and one
of megabytes would make decisions that their topic does not take."""


class PatientCache:
    """Decoded patients of one lane, the least recently used dropped first. Bounded by the claims that they hold.

    A decoded claim with its positions, and their bytes as they are stored, takes 3 to 5 KB; a patient without any counts as one.
    """

    def __init__(self, max_claims: int) -> None:
        self._max_claims = max_claims
        self._patients: dict[str, StoredPatient] = {}
        self._claims = 0

    def get(self, patient_id: str) -> StoredPatient | None:
        patient = self._patients.get(patient_id)
        if patient is not None:  # most recently used: last
            del self._patients[patient_id]
            self._patients[patient_id] = patient
        return patient

    def put(self, patient: StoredPatient) -> None:
        """Keep a patient, or weigh it anew after it has grown."""
        weight = 1 + len(patient.record.claims)
        self._claims += weight - patient.cached_weight
        patient.cached_weight = weight
        self._patients[patient.record.patient_id] = patient

    def trim(self) -> None:
        """Drop what is over the bound. Only between batches: a patient that a batch has changed is not in the table yet."""
        while self._claims > self._max_claims and len(self._patients) > 1:
            dropped = self._patients.pop(next(iter(self._patients)))
            self._claims -= dropped.cached_weight
            dropped.cached_weight = 0


class Adjudicator:
    """Decides the facts of one partition, in order."""

    def __init__(
        self, book: AgreementBook, follower: ReferenceFollower, policy: Policy, cache_claims: int, partitions: int
    ) -> None:
        """`partitions`: how many each topic has, which tells whether a record is in its key's."""
        self._book = book
        self._follower = follower
        self._policy = policy
        self._cache = PatientCache(cache_claims)
        self._partitions = partitions
        self._tally = BatchTally()

    async def prepare(self, records: Sequence[InputRecord]) -> None:
        """Wait for the schemas of these records, and for the agreements that they speak of."""
        await schemas_known(records)
        wanted: dict[int, int] = {}
        for record in records:
            if record.topic == PROVIDER_AGREEMENT:
                wanted[record.partition] = max(record.offset, wanted.get(record.partition, 0))
            elif record.topic == READJUDICATION_REQUESTED:
                request = accept(record, self._partitions)
                if isinstance(request, ReadjudicationRequested):
                    for partition, offset in request.agreements_through or ():
                        wanted[partition] = max(offset, wanted.get(partition, 0))
        if wanted:
            await self._follower.reached(wanted)

    def process(self, table: LaneTable, records: Sequence[InputRecord]) -> list[OutputRecord]:
        """Fold the records into their patients and publish what comes of it.

        The whole batch goes through one stage before the next begins. Record by record through all of them, each stage would have
        pushed the others' code out of the processor's caches: 46 microseconds a fact instead of 41.
        """
        self._cache.trim()
        entries = self._settle(table, self._read(records))
        self._issue(entries)
        self._store(table, entries)
        return self._publish(entries)

    def committed(self) -> None:
        """Count what the last batch came to."""
        self._tally.count()

    def _read(self, records: Sequence[InputRecord]) -> list[tuple[InputRecord, Fact | Refused]]:
        """The records with the facts that they carry, or with why they are refused; of agreements those that are refused."""
        accepted: list[tuple[InputRecord, Fact | Refused]] = []
        for record in records:
            if record.topic == PROVIDER_AGREEMENT:
                refused = self._book.refused(record)
                if refused is not None:
                    accepted.append((record, refused))
            else:
                accepted.append((record, accept(record, self._partitions)))
        return accepted

    def _settle(
        self, table: LaneTable, accepted: list[tuple[InputRecord, Fact | Refused]]
    ) -> list["_Taken | _TurnedDown"]:
        entries: list[_Taken | _TurnedDown] = []
        for record, found in accepted:
            if isinstance(found, Refused):
                entries.append(_TurnedDown(record, found))
                continue
            fact = cast(PatientFact, found)  # whoever sends an agreement to a patient's topic is refused
            patient = self._patient(table, fact.patient_id)
            step = settle(patient.record, fact, self._book.agreements, self._policy)
            if step.refusal is not None:
                entries.append(_TurnedDown(record, Refused.because(step.refusal)))
            else:
                entries.append(_Taken(record, fact, patient, step))
        return entries

    def _issue(self, entries: list["_Taken | _TurnedDown"]) -> None:
        for entry in entries:
            if isinstance(entry, _Taken):
                issue(entry.patient.record, entry.fact, entry.step)

    def _store(self, table: LaneTable, entries: list["_Taken | _TurnedDown"]) -> None:
        """Put every patient whose record has changed into the table, once."""
        touched: dict[str, StoredPatient] = {}
        for entry in entries:
            if isinstance(entry, _Taken) and entry.step.changed:
                patient = entry.patient
                patient.touch(entry.fact, entry.step)
                touched[patient.record.patient_id] = patient
        for patient in touched.values():
            patient.store(table.put)
            self._cache.put(patient)

    def _publish(self, entries: list["_Taken | _TurnedDown"]) -> list[OutputRecord]:
        """What the batch comes to, in the order of its records."""
        tally = self._tally = BatchTally()
        outputs: list[OutputRecord] = []
        for entry in entries:
            if isinstance(entry, _Taken):
                step = entry.step
                tally.add(entry.record.topic, entry.fact, step)
                if step.decisions or step.notices:
                    _publish(step, entry.record, outputs)
            else:
                refused = entry.refused
                outputs.append(dead_letter(entry.record, refused.reason, refused.sentence, topic=DEAD_LETTERS))
        return outputs

    def _patient(self, table: LaneTable, patient_id: str) -> StoredPatient:
        patient = self._cache.get(patient_id)
        if patient is None:
            patient = StoredPatient.load(patient_id, table.get)
            self._cache.put(patient)
        return patient


class _Taken:
    """A record whose fact was taken in, and what came of it."""

    __slots__ = ("fact", "patient", "record", "step")

    def __init__(self, record: InputRecord, fact: PatientFact, patient: StoredPatient, step: Step) -> None:
        self.record = record
        self.fact = fact
        self.patient = patient
        self.step = step


class _TurnedDown:
    """A record that belongs to the dead letters, and why."""

    __slots__ = ("record", "refused")

    def __init__(self, record: InputRecord, refused: Refused) -> None:
        self.record = record
        self.refused = refused


def _publish(step: Step, cause: InputRecord, outputs: list[OutputRecord]) -> None:
    """Decisions and notices as records; the trace of the record that caused them goes on in theirs."""
    trace = None
    for name, value in cause.headers:
        if name == "traceparent":
            if value is not None and _TRACEPARENT.fullmatch(value):
                trace = value
            break
    for decision in step.decisions:
        key, headers = decision.patient_id.encode(), decision_headers(decision, trace)
        outputs.append(new(OutputRecord, (BILLING_DECISIONS, key, decision_to_avro(decision), headers)))
    for notice in step.notices:
        key, headers = notice.patient_id.encode(), notice_headers(notice, trace)
        outputs.append(new(OutputRecord, (ELIGIBILITY_NOTICES, key, notice_to_avro(notice), headers)))


class AdjudicatorFactory:
    """Makes the adjudicator of each lane of this worker; all of them share the agreements and the policy."""

    def __init__(
        self, book: AgreementBook, follower: ReferenceFollower, policy: Policy, cache_claims: int, partitions: int
    ) -> None:
        self._book = book
        self._follower = follower
        self._policy = policy
        self._cache_claims = cache_claims
        self._partitions = partitions

    def __call__(self, partition: int) -> Processor:  # noqa: ARG002 - what a lane is for does not depend on its number
        return Adjudicator(self._book, self._follower, self._policy, self._cache_claims, self._partitions)
