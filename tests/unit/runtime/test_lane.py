"""How lanes share a worker: who waits for a turn, and how long for company (with records: tests/broker, tests/simulation)."""

import asyncio
import itertools
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.runtime.inbox import Batch
from streams.runtime.lane import SHORT_SECONDS, Lane, _Open
from streams.runtime.lanes import Lanes
from streams.runtime.position import Position
from streams.runtime.processor import InputRecord, OutputRecord
from streams.runtime.settings import LaneSettings
from streams.runtime.stores.memory import MemoryStore

SETTINGS = LaneSettings("127.0.0.1:1", "app", ("facts",), 64)


class Processor:
    """Notes what it was given, and when."""

    def __init__(self, done: list[str]) -> None:
        self._done = done

    def process(self, table: Any, records: Iterable[InputRecord]) -> list[OutputRecord]:
        self._done.append(f"processed {len(list(records))}")
        return []

    def committed(self) -> None: ...


class Producer:
    """Takes everything."""

    async def publish(self, outputs: Any, changelog: Any) -> int:
        return len(list(changelog))

    async def send_group_offsets(self, positions: Any) -> None: ...

    async def commit(self) -> None: ...


def a_lane(turn: asyncio.Lock, done: list[str]) -> tuple[Lane, _Open]:
    lane = Lane(0, SETTINGS, cast(Any, None), cast(Any, None), turn, lambda: 0.0, pytest.fail, lambda step: None)
    held = _Open(cast(Any, Producer()), MemoryStore(), cast(Any, Processor(done)))
    lane._open, lane._position = held, Position({"facts": 0})
    return lane, held


def a_batch(count: int) -> Batch:
    record = SimpleNamespace(topic="facts", partition=0, timestamp_ms=0, key=b"k", value=b"v", headers=())
    return Batch([cast(Any, record)] * count, {"facts": count})


@pytest.mark.parametrize("count", [1, 30, 300])
def test_a_batch_of_little_work_does_not_wait_for_its_turn(count: int) -> None:
    done: list[str] = []
    seconds_per_record = 0.0001
    is_short = count * seconds_per_record < SHORT_SECONDS

    async def run() -> None:
        turn = asyncio.Lock()
        lane, held = a_lane(turn, done)
        lane._seconds_per_record = seconds_per_record
        await turn.acquire()  # another lane processes thousands of records
        task = asyncio.create_task(lane._decide(held, a_batch(count)))
        for _ in range(20):
            await asyncio.sleep(0)
        done.append("turn")
        turn.release()
        await task

    asyncio.run(run())
    assert done == ([f"processed {count}", "turn"] if is_short else ["turn", f"processed {count}"])


def test_the_more_lanes_the_longer_each_waits_for_company() -> None:
    def linger_seconds(lanes: int) -> float:
        of = SimpleNamespace(settings=SETTINGS, _lanes=dict.fromkeys(range(lanes)))
        return Lanes._linger_seconds(cast(Any, of))

    lingers = [linger_seconds(lanes) for lanes in (1, 4, 12, 33, 34, 64)]
    assert lingers[:3] == pytest.approx([0.0015, 0.006, 0.018])
    assert lingers[-2:] == [SETTINGS.longest_linger_seconds] * 2
    assert all(shorter <= longer for shorter, longer in itertools.pairwise(lingers))
