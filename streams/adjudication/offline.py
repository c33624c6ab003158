"""The fold without Kafka: all facts of a list at once, as `adjudicate`, the demo's check and the benchmarks run it.

Agreements come first (all of them are read before the first fact is decided, as the worker does), then the patients' facts in
their order.
"""

from collections.abc import Callable, Iterable, Iterator

from .agreements import Agreements
from .decisions import Refusal
from .facts import Fact, PatientFact, ProviderAgreement
from .fold import Step, fold
from .policy import Policy
from .record import PatientRecord


class Folded:
    """One fact and what it led to."""

    __slots__ = ("fact", "number", "step")

    def __init__(self, number: int, fact: Fact, step: Step) -> None:
        self.number = number  # its place in the input, from 0
        self.fact = fact
        self.step = step


class OfflineEngine:
    """Patients' records in memory and the agreements that decide them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.agreements = Agreements()
        self.records: dict[str, PatientRecord] = {}

    def admit(self, agreement: ProviderAgreement) -> Refusal | None:
        """Take an agreement in, or say why not."""
        return self.agreements.admit(agreement)

    def fold(self, fact: PatientFact) -> Step:
        """Fold one fact into its patient's record."""
        patient_id = fact.patient_id
        record = self.records.get(patient_id)
        if record is None:
            record = self.records[patient_id] = PatientRecord(patient_id)
        return fold(record, fact, self.agreements, self.policy)

    def fold_all(self, facts: Iterable[Fact], on_fact: Callable[[int], None] | None = None) -> Iterator[Folded]:
        """Fold a whole history: its agreements first, then the other facts in their order."""
        rest: list[tuple[int, PatientFact]] = []
        for number, fact in enumerate(facts):
            if isinstance(fact, ProviderAgreement):
                yield Folded(number, fact, Step(refusal=self.admit(fact)))
            else:
                rest.append((number, fact))
        for number, fact in rest:
            yield Folded(number, fact, self.fold(fact))
            if on_fact is not None:
                on_fact(number)
