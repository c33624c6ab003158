"""What verification can find, under the names that Jepsen gave such things."""

import enum
from collections import Counter
from typing import NamedTuple


class Kind(enum.StrEnum):
    """One name for each way in which a log can be wrong."""

    LOST_WRITE = "lost write"  # something must be there and is not
    DUPLICATE = "duplicate"  # something is there twice
    PHANTOM = "phantom"  # something is there that no committed input accounts for
    ABORTED_READ = "aborted read"  # an output names an input that was never committed
    LOST_UPDATE = "lost update"  # a version does not build on the one before it
    STALE_READ = "stale read"  # decided on older data than was known
    TORN_TRANSACTION = "torn transaction"  # parts of one transaction are there, others are not, or it is still open
    WRONG_VALUE = "wrong value"  # it is there, but says something else than the facts lead to
    CORRUPT_RECORD = "corrupt record"  # it contradicts itself, or cannot be read
    MISROUTED = "misrouted record"  # it lies under another key or in another partition than it must


class Anomaly(NamedTuple):
    """One finding. The sentence holds no ids and no patient data; the other fields may, and are masked before they are shown."""

    kind: Kind
    topic: str
    partition: int
    sentence: str
    offset: int | None = None  # None: about a record that is not there
    patient_id: str | None = None
    subject: str | None = None  # claim/line of a decision, order/version of a notice
    expected: str | None = None
    found: str | None = None


class Findings:
    """Anomalies: all are counted, the first are kept."""

    def __init__(self, keep: int = 20) -> None:
        self._keep = keep
        self.first: list[Anomaly] = []
        self.by_kind: Counter[Kind] = Counter()

    def add(self, anomaly: Anomaly) -> None:
        self.by_kind[anomaly.kind] += 1
        if len(self.first) < self._keep:
            self.first.append(anomaly)

    def __len__(self) -> int:
        return self.by_kind.total()
