"""The statistics of the benchmarks."""

import pytest

from benchmarks.figures import Spread, latency, percentile


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 1001)]
    assert [percentile(values, share) for share in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert percentile([7.0], 0.999) == 7.0


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0), ([1.0], 1.1)])
def test_no_percentile_of_nothing(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, share)


def test_a_spread_has_the_median_of_an_even_number() -> None:
    assert Spread.of([4, 1, 2, 9]) == Spread(3, 1, 9)
    with pytest.raises(ValueError, match="at least one"):
        Spread.of([])


def test_latency_counts_what_was_sent_after_the_warm_up() -> None:
    sent = {"warm-up": 1.0, "a": 2.0, "b": 3.0}
    arrived = [(9.0, "warm-up"), (2.5, "a"), (3.001, "b"), (3.004, "b"), (5.0, "not ours")]
    found = latency(sent, arrived, from_instant=2.0)
    assert found is not None
    assert found.outputs == 3
    assert (found.p50, found.p99) == (pytest.approx(4), pytest.approx(500))
    assert latency(sent, arrived, from_instant=4.0) is None
