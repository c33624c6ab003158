"""What has happened so far in a demonstration."""

from collections import Counter, deque

from projections.current_decisions import CurrentDecisions, LineId
from streams.adjudication.decisions import Decision

from .check import Expectation, RefusedFact, line_of, without_history

_RATE_WINDOW_SECONDS = 3.0
_REMEMBERED_DECISIONS = 20


class Rate:
    """Events per second over the last few seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def note(self, now_seconds: float, total: int) -> None:
        """So many events have happened up to now."""
        self._counts.append((now_seconds, total))
        while now_seconds - self._counts[0][0] > _RATE_WINDOW_SECONDS:
            self._counts.popleft()

    @property
    def per_second(self) -> float:
        if len(self._counts) < 2:
            return 0.0
        (began, first), (ended, last) = self._counts[0], self._counts[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


class Scoreboard:
    """Counts of facts, decisions and refused facts, and how far they are from what is expected."""

    def __init__(self, facts: int, expected: Expectation) -> None:
        self.facts = facts
        self.expected = expected
        self.published = 0
        self.decisions = 0
        self.current = CurrentDecisions()
        self.refused: Counter[RefusedFact] = Counter()
        self.recent: deque[Decision] = deque(maxlen=_REMEMBERED_DECISIONS)  # the newest first
        self.publishing = Rate()
        self.deciding = Rate()
        self._as_expected: set[LineId] = set()

    def decided(self, decision: Decision) -> None:
        """A decision came out of Kafka. Those of other patients than this demonstration's are not counted."""
        if decision.patient_id not in self.expected.patients:
            return
        self.decisions += 1
        self.recent.appendleft(decision)
        if self.current.add(decision):
            line = line_of(decision)
            self._as_expected.discard(line)
            if self.expected.current.get(line) == without_history(decision):
                self._as_expected.add(line)

    def tick(self, now_seconds: float) -> None:
        """Time goes on."""
        self.publishing.note(now_seconds, self.published)
        self.deciding.note(now_seconds, self.decisions)

    @property
    def complete(self) -> bool:
        """Whether everything is published, and everything expected has come out."""
        return (
            self.published == self.facts
            and len(self._as_expected) == len(self.expected.current) == len(self.current)
            and not self.expected.refused - self.refused
        )

    def refused_by_reason(self) -> Counter[str]:
        """How many facts were refused for each reason."""
        counts: Counter[str] = Counter()
        for fact, times in self.refused.items():
            counts[fact.reason] += times
        return counts
