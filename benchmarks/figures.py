"""Statistics over runs: pure functions, no clock."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Of the same measurement, repeated."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Raises ValueError where there is none."""
        if not values:
            raise ValueError("a spread needs at least one value")
        return cls(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 < share <= 1) of all do not exceed (nearest rank)."""
    if not values or not 0 < share <= 1:
        raise ValueError("a percentile needs values, and a share above 0 and up to 1")
    return sorted(values)[math.ceil(share * len(values)) - 1]


class Latency(NamedTuple):
    """Published to readable, in milliseconds."""

    p50: float
    p99: float
    p999: float
    outputs: int


def latency(sent: dict[str, float], arrived: Sequence[tuple[float, str]], from_instant: float) -> Latency | None:
    """Of the outputs whose cause was sent at `from_instant` or later: the warm-up does not count. None: there are none."""
    values = [(at - sent[cause]) * 1000 for at, cause in arrived if cause in sent and sent[cause] >= from_instant]
    if not values:
        return None
    return Latency(percentile(values, 0.5), percentile(values, 0.99), percentile(values, 0.999), len(values))
