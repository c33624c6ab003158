"""The fold without Kafka: all facts of a list at once, as `adjudicate`, the demo's check and the benchmarks run it.

Agreements come first (all of them are read before the first fact is decided, as the worker does), then the patients' facts in
their order.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from mypy_extensions import mypyc_attr

from .agreements import Agreements
from .decisions import Refusal
from .facts import Fact, PatientFact, ProviderAgreement
from .fold import Step, fold, issue, settle
from .policy import Policy
from .record import PatientRecord

STRETCH_FACTS: Final = 100
"""So many facts are settled before their decisions are issued (fold.py); 50 and 1,000 are as good, 16 and fewer are not."""


@mypyc_attr(acyclic=True)
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
        return fold(self._record(fact.patient_id), fact, self.agreements, self.policy)

    def fold_all(self, facts: Iterable[Fact]) -> Iterator[Folded]:
        """Fold a whole history: its agreements first, then the other facts in their order."""
        rest: list[tuple[int, PatientFact]] = []
        for number, fact in enumerate(facts):
            if isinstance(fact, ProviderAgreement):
                yield Folded(number, fact, Step(refusal=self.admit(fact)))
            else:
                rest.append((number, fact))
        for begin in range(0, len(rest), STRETCH_FACTS):
            settled: list[tuple[PatientRecord, PatientFact, Folded]] = []
            for number, one in rest[begin : begin + STRETCH_FACTS]:
                record = self._record(one.patient_id)
                step = settle(record, one, self.agreements, self.policy)
                settled.append((record, one, Folded(number, one, step)))
            for record, one, folded in settled:
                issue(record, one, folded.step)
                yield folded

    def _record(self, patient_id: str) -> PatientRecord:
        record = self.records.get(patient_id)
        if record is None:
            record = self.records[patient_id] = PatientRecord(patient_id)
        return record
