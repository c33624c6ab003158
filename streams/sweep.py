"""The sweep: which pends have run out of time (rules.md section 5).

A pend runs out when the as-of date is more than the profile's pend limit after the claim's own received date. That date is
taken from the claim facts: they are the truth and an open contract, while the patient table is the workers' own, in a format
that changes with them; and a sweep reads the decisions to their end anyway, which is as long. Claims are only read where a
partition has a pend. The sweep is also where pends and a date meet, and so where their age is counted.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from streams.adjudication.days import Day
from streams.adjudication.decisions import PENDED
from streams.adjudication.facts import Claim, PendExpired
from streams.adjudication.policy import Policy
from streams.agents.intake import accept
from streams.committed_log import CommittedLog
from streams.events import decision_from_avro
from streams.runtime.processor import InputRecord
from streams.topics import BILLING_DECISIONS, CLAIM_RECEIVED, PEND_EXPIRED

ClaimKey = tuple[str, str]  # patient_id, claim_id

_TOPICS = (BILLING_DECISIONS, CLAIM_RECEIVED, PEND_EXPIRED)


class Pend(NamedTuple):
    """A claim with a pended line, on the day of the sweep."""

    patient_id: str
    claim_id: str
    received_date: Day
    waited_days: int
    limit_days: int

    @property
    def is_over(self) -> bool:
        return self.waited_days > self.limit_days

    @property
    def fact(self) -> PendExpired:
        """That it ran out of time. Its event_id is made from patient and claim, so that every sweep says it in the same words."""
        named = hashlib.blake2b(f"{self.patient_id}\0{self.claim_id}".encode(), digest_size=16).hexdigest()
        return PendExpired(f"pend-expired-{named}", self.patient_id, self.claim_id)


AGES_DAYS = (("0-6", 6), ("7-13", 13), ("14-20", 20), ("21-30", 30))
"""Age groups with their last day; P0's limit of 20 days is the end of one. Beyond the last: OLDER."""

OLDER = "over 30"


class Sweep(NamedTuple):
    """What a sweep found."""

    overdue: list[Pend]  # over their limit, and that no pend-expired fact names yet
    pended: int  # claims with a pended line now
    awaited: int  # of those, the ones whose pend-expired fact is published and not decided yet
    by_age: dict[str, int]  # of all pended ones: how many by days since the claim's received date


def sweep(log: CommittedLog, policy: Policy, as_of: Day) -> Sweep:
    """Look through all partitions. Only committed decisions and facts are seen."""
    partitions = log.partitions(_TOPICS)
    overdue: list[Pend] = []
    by_age = dict.fromkeys((*(name for name, _ in AGES_DAYS), OLDER), 0)
    pended_count = awaited_count = 0
    for partition in range(partitions[BILLING_DECISIONS]):
        pended = pended_claims(log.read_all(BILLING_DECISIONS, partition))
        pended_count += len(pended)
        if not pended:
            continue
        expired = expired_claims(log.read_all(PEND_EXPIRED, partition), partitions[PEND_EXPIRED])
        awaited_count += len(pended & expired)
        claims = log.read_all(CLAIM_RECEIVED, partition)
        for pend in waiting_claims(pended, claims, partitions[CLAIM_RECEIVED], policy, as_of):
            by_age[age_group(pend.waited_days)] += 1
            if pend.is_over and (pend.patient_id, pend.claim_id) not in expired:
                overdue.append(pend)
    return Sweep(sorted(overdue), pended_count, awaited_count, by_age)


def age_group(waited_days: int) -> str:
    """The age group of a pend."""
    return next((name for name, last_day in AGES_DAYS if waited_days <= last_day), OLDER)


def pended_claims(decisions: Iterable[InputRecord]) -> set[ClaimKey]:
    """The claims with a line whose newest decision is PENDED. The versions of a line come in their order."""
    lines: set[tuple[str, str, int]] = set()
    for record in decisions:
        decision = decision_from_avro(record.value)
        line = decision.patient_id, decision.claim_id, decision.line_number
        if decision.outcome == PENDED:
            lines.add(line)
        else:
            lines.discard(line)
    return {line[:2] for line in lines}


def expired_claims(facts: Iterable[InputRecord], partitions: int) -> set[ClaimKey]:
    """The claims that a pend-expired fact names, in a topic of so many partitions."""
    accepted = (accept(record, partitions) for record in facts)
    return {(fact.patient_id, fact.claim_id) for fact in accepted if isinstance(fact, PendExpired)}


def waiting_claims(
    pended: Collection[ClaimKey], claims: Iterable[InputRecord], partitions: int, policy: Policy, as_of: Day
) -> Iterator[Pend]:
    """How long each of these claims has waited. Of several facts of one claim the first that is taken in stands."""
    left = set(pended)
    for record in claims:
        if not left:
            return
        claim = accept(record, partitions)
        if not isinstance(claim, Claim) or (key := (claim.patient_id, claim.claim_id)) not in left:
            continue
        profile = policy.on(claim.received_date)
        if profile.plans.get(claim.plan_id) != claim.payer_id:
            continue  # refused as WRONG_PAYER: another fact of this claim is the one that was decided
        left.discard(key)
        yield Pend(*key, claim.received_date, as_of - claim.received_date, profile.pend_limit_days)
