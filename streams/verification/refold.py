"""The facts of one partition, folded again from nothing.

The order of facts *between* topics is not in the log. Current decisions do not depend on it (rules.md section 6, invariant 1);
inside a topic the order is kept, which settles conflicts and tells which order versions stood when they arrived.
"""

from collections.abc import Iterable

from streams.adjudication.agreements import Agreements
from streams.adjudication.decisions import Decision
from streams.adjudication.facts import Fact, PathwaySelection, ProviderAgreement, ReadjudicationRequested
from streams.adjudication.fold import fold
from streams.adjudication.policy import Policy
from streams.adjudication.record import LineKey, PatientRecord
from streams.runtime.processor import InputRecord
from streams.topics import CLAIM_RECEIVED, PROVIDER_AGREEMENT
from streams.verification.inputs import AgreementHistory, Unusable, judge, unusable


class Expectation:
    """What a patient's facts lead to: the current decision of each line, without a history, and the record behind it."""

    __slots__ = ("decisions", "record")

    def __init__(self, record: PatientRecord) -> None:
        self.record = record
        self.decisions: dict[LineKey, Decision] = {}

    def decided(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            self.decisions[decision.claim_id, decision.line_number] = decision


class Refolded:
    """Everything that the facts of a partition must have led to."""

    def __init__(self, history: AgreementHistory, policy: Policy, partitions: int) -> None:
        self._history = history
        self._partitions = partitions
        self._policy = policy
        self.patients: dict[str, Expectation] = {}
        self.event_ids: dict[str, set[str]] = {}  # of the facts that each patient's record took in
        self.orders: dict[tuple[str, str, int], PathwaySelection] = {}  # versions that stood when they arrived
        self.refused: dict[tuple[str, int], Unusable] = {}  # topic and offset -> the dead letter that must exist
        self.facts = 0

    def take(self, record: InputRecord) -> None:
        """The next record of an input topic."""
        self.facts += 1
        place = record.topic, record.offset
        if record.topic == PROVIDER_AGREEMENT:
            if (refused := self._history.refused.get((record.partition, record.offset))) is not None:
                self.refused[place] = refused
            return
        fact = judge(record, self._partitions)
        if not isinstance(fact, str):
            refusal = self._fold(fact)
            if refusal is None:
                return
            fact = refusal
        self.refused[place] = unusable(record, fact)

    def _fold(self, fact: Fact) -> str | None:
        """Take a fact in, or say why not."""
        assert not isinstance(fact, ProviderAgreement), "an agreement came in on a patient's topic"
        expectation = self.patients.get(fact.patient_id)
        if expectation is None:
            expectation = Expectation(PatientRecord(fact.patient_id))
        step = fold(expectation.record, fact, self._history.newest, self._policy)
        if step.refusal is not None:
            return step.refusal.reason
        if step.changed:
            self.patients[fact.patient_id] = expectation
            self.event_ids.setdefault(fact.patient_id, set()).add(fact.event_id)
            expectation.decided(step.decisions)
            if step.notices:
                assert isinstance(fact, PathwaySelection), "only an order leads to a notice"
                self.orders[fact.patient_id, fact.order_id, fact.order_version] = fact
        return None


def decided_under(record: PatientRecord, agreements: Agreements, policy: Policy) -> Expectation:
    """The same facts decided under other agreements, from nothing."""
    anew = PatientRecord(record.patient_id)
    for versions in record.order_versions.values():
        for order in versions.values():
            anew.keep_order(order)
    for starts in record.start_versions.values():
        for start in starts.values():
            anew.keep_start(start)
    for eligibility in record.eligibility_versions.values():
        anew.keep_eligibility(eligibility)
    anew.expired.update(record.expired)
    for claim in record.claims.values():
        anew.keep_claim(claim)
    expectation = Expectation(anew)
    decide_all = ReadjudicationRequested("", record.patient_id, "verification", "", None)
    expectation.decided(fold(anew, decide_all, agreements, policy).decisions)
    anew.readjudications = dict(record.readjudications)
    return expectation


def claims_last(topics: Iterable[str]) -> list[str]:
    """The order in which topics are folded fastest: a claim that settles last costs little, an order settles the patient anew."""
    return sorted(topics, key=lambda topic: (topic == CLAIM_RECEIVED, topic))
