"""The newest version of every claim line: the first projection, and the one that all others start from."""

from collections import Counter
from collections.abc import Iterator

from streams.adjudication.decisions import Decision
from streams.adjudication.facts import Cents
from streams.adjudication.fold import check_money

LineId = tuple[str, str, int]  # patient_id, claim_id, line_number


class InconsistentLogError(Exception):
    """Two decisions that cannot both come from one worker: the log must not be paid from until that is understood."""


class CurrentDecisions:
    """The current decision of every line among the decisions that were added, in whatever order and however often.

    Each decision's money is checked as it comes in, and against the version before it where that one is at hand (rules.md
    section 6, numbers 3 and 4).
    """

    def __init__(self) -> None:
        self._current: dict[LineId, Decision] = {}
        self._lines: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._charged: Counter[str] = Counter()
        self._paid_cents = 0

    def add(self, decision: Decision) -> bool:
        """Take a decision in; whether it is the current one of its line now. Raises InconsistentLogError."""
        check_money(decision)
        line = (decision.patient_id, decision.claim_id, decision.line_number)
        known = self._current.get(line)
        if known is not None:
            if decision.version == known.version and decision != known:
                raise InconsistentLogError(
                    f"two decisions are version {known.version} of one claim line: {_ids(known, decision)}"
                )
            if decision.version <= known.version:
                return False
            if decision.version == known.version + 1 and (
                decision.supersedes != known.decision_id or decision.paid_before_cents != known.paid_cents
            ):
                raise InconsistentLogError(f"a version does not continue the one before it: {_ids(known, decision)}")
            self._count(known, -1)
        self._current[line] = decision
        self._count(decision, 1)
        return True

    def __iter__(self) -> Iterator[Decision]:
        """By claim, line and patient."""
        return iter(
            sorted(
                self._current.values(),
                key=lambda decision: (decision.claim_id, decision.line_number, decision.patient_id),
            )
        )

    def __len__(self) -> int:
        return len(self._current)

    def get(self, line: LineId) -> Decision | None:
        """The current decision of a line."""
        return self._current.get(line)

    def lines_by_outcome(self) -> Counter[str]:
        """How many lines have each outcome now."""
        return +self._lines

    def lines_by_reason(self) -> Counter[str]:
        """How many lines have each reason now."""
        return +self._reasons

    def charged_cents_by_outcome(self) -> Counter[str]:
        """What was charged on the lines of each outcome."""
        return +self._charged

    @property
    def paid_cents(self) -> Cents:
        """What is paid now, over all lines: the sum of all changes that were published."""
        return self._paid_cents

    def _count(self, decision: Decision, sign: int) -> None:
        self._lines[decision.outcome] += sign
        self._reasons[decision.reason] += sign
        self._charged[decision.outcome] += sign * decision.charge_cents
        self._paid_cents += sign * decision.paid_cents
        assert self._paid_cents >= 0, "more was taken back than was paid"


def _ids(*decisions: Decision) -> str:
    return ", ".join(decision.decision_id for decision in decisions)
