"""Asking for patients to be decided again: a request for a provider, or for all, is expanded to patients.

Every patient of a request gets a `readjudication-requested` fact of its own, whose `event_id` is made from the request's id and
the patient. So a request that was broken off is resumed by its id: what is published already is read first, the rest is published
with the same content, and whatever is published twice all the same has no effect.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from streams.adjudication.facts import Claim, PathwaySelection, ReadjudicationRequested
from streams.agents.intake import accept
from streams.committed_log import CommittedLog
from streams.topics import (
    CLAIM_RECEIVED,
    PATHWAY_SELECTED,
    PROVIDER_AGREEMENT,
    READJUDICATION_REQUESTED,
    partition_for,
)

Through = tuple[tuple[int, int], ...]


class Request(NamedTuple):
    """What the facts of one request have in common."""

    request_id: str
    requested_by: str
    reason: str
    agreements_through: Through | None  # the last agreements that must have been read, by partition

    def fact(self, patient_id: str) -> ReadjudicationRequested:
        """The request for one patient."""
        return ReadjudicationRequested(
            f"{self.request_id}:{hashlib.blake2b(patient_id.encode(), digest_size=12).hexdigest()}",
            patient_id,
            self.requested_by,
            self.reason,
            self.agreements_through,
        )


class Published(NamedTuple):
    """What of a request is in its topic already."""

    request: Request | None  # as its first fact has it
    patients: set[str]


def patients_of_provider(log: CommittedLog, npi: str) -> set[str]:
    """The patients with a claim billed by this provider, or an order by it."""
    return {
        fact.patient_id
        for fact in _claims_and_orders(log)
        if npi == (fact.billing_npi if isinstance(fact, Claim) else fact.ordering_npi)
    }


def all_patients(log: CommittedLog) -> set[str]:
    """The patients with a claim: of others nothing was decided."""
    return {fact.patient_id for fact in _claims_and_orders(log, (CLAIM_RECEIVED,))}


def is_known(log: CommittedLog, patient_id: str) -> bool:
    """Whether a claim or an order names the patient."""
    partition = partition_for(patient_id.encode(), log.partitions((CLAIM_RECEIVED,))[CLAIM_RECEIVED])
    return any(fact.patient_id == patient_id for fact in _claims_and_orders(log, only_partition=partition))


def agreements_through(log: CommittedLog) -> Through:
    """Where the agreements end now: partition and offset of the last record of each partition that has any."""
    topic = PROVIDER_AGREEMENT
    partitions = range(log.partitions((topic,))[topic])
    ends = ((partition, log.stable_ends((topic,), partition)[topic]) for partition in partitions)
    return tuple((partition, end - 1) for partition, end in ends if end)


def published(log: CommittedLog, request_id: str) -> Published:
    """What was published of a request before."""
    request: Request | None = None
    patients: set[str] = set()
    partitions = log.partitions((READJUDICATION_REQUESTED,))[READJUDICATION_REQUESTED]
    for partition in range(partitions):
        for record in log.read_all(READJUDICATION_REQUESTED, partition):
            fact = accept(record, partitions)
            if isinstance(fact, ReadjudicationRequested) and fact.event_id.startswith(f"{request_id}:"):
                request = request or Request(request_id, fact.requested_by, fact.reason, fact.agreements_through)
                patients.add(fact.patient_id)
    return Published(request, patients)


def _claims_and_orders(
    log: CommittedLog,
    topics: Iterable[str] = (CLAIM_RECEIVED, PATHWAY_SELECTED),
    only_partition: int | None = None,
) -> Iterator[Claim | PathwaySelection]:
    for topic, partitions in log.partitions(topics).items():
        for partition in range(partitions) if only_partition is None else (only_partition,):
            for record in log.read_all(topic, partition):
                fact = accept(record, partitions)
                if isinstance(fact, Claim | PathwaySelection):
                    yield fact
