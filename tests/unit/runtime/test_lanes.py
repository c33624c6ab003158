"""What a worker makes of an assignment (with records: tests/broker, tests/simulation)."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from streams.runtime.lanes import Lanes
from streams.runtime.settings import LaneSettings

SETTINGS = LaneSettings("127.0.0.1:1", "app", ("claims", "orders"), 2)


def failures_of(*assigned: TP) -> list[str]:
    failures: list[str] = []
    of = SimpleNamespace(settings=SETTINGS, fail=lambda exc, doing: failures.append(f"{doing}: {exc}"))
    of._assigned = asyncio.Event()
    asyncio.run(Lanes.on_rebalance(cast(Any, of), set(assigned), set(), set(), 3))
    assert of._assigned.is_set() is not bool(failures)
    if not failures:
        assert of._target == (3, frozenset(tp.partition for tp in assigned if tp.topic in SETTINGS.input_topics))
    return failures


def test_whole_partitions_are_taken_and_other_topics_are_not_its_business() -> None:
    assert not failures_of(TP("claims", 0), TP("orders", 0), TP("claims", 1), TP("orders", 1), TP("changelog", 7))
    assert not failures_of()


def test_a_partition_without_one_of_its_topics_stops_the_worker() -> None:
    [failure] = failures_of(TP("claims", 0), TP("orders", 0), TP("claims", 1))
    assert "partition 1 was assigned without orders" in failure


@pytest.mark.parametrize("partition", [2, 3])
def test_more_partitions_than_there_are_to_be_stop_the_worker(partition: int) -> None:
    """Somebody has raised the number: a patient's new facts would be decided without the patient's record."""
    [failure] = failures_of(TP("claims", partition), TP("orders", partition))
    assert f"partition {partition} was assigned, and there are to be 2" in failure
    assert "Stop the publishers" in failure
