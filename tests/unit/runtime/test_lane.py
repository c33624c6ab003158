"""How lanes share a worker: who waits for a turn (with records: tests/broker, tests/simulation)."""

import asyncio
import dataclasses
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.runtime.inbox import Batch
from streams.runtime.lane import SHORT_SECONDS, Lane, _Open
from streams.runtime.position import Position
from streams.runtime.processor import InputRecord, OutputRecord
from streams.runtime.settings import LaneSettings
from streams.runtime.stores.memory import MemoryStore
from streams.runtime.transactions import Part

SETTINGS = LaneSettings("127.0.0.1:1", "app", ("facts",), 64)


class Processor:
    """Notes what it was given, and when."""

    def __init__(self, done: list[str]) -> None:
        self._done = done

    def process(self, table: Any, records: Iterable[InputRecord]) -> list[OutputRecord]:
        self._done.append(f"processed {len(list(records))}")
        return []

    def committed(self) -> None: ...


class Writer:
    """Takes everything."""

    async def commit(self, part: Part) -> int:
        return len(part.changes)


def a_lane(turn: asyncio.Lock, done: list[str]) -> tuple[Lane, _Open]:
    lane = Lane(
        0, SETTINGS, cast(Any, None), cast(Any, None), cast(Any, Writer()), turn, pytest.fail, lambda step: None
    )
    held = _Open(cast(Any, None), MemoryStore(), cast(Any, Processor(done)))
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


def test_a_lane_without_input_uses_both_transactional_ids_now_and_then() -> None:
    """Kafka forgets an id that was not used for seven days, and stops its worker with the next fact."""
    used: list[str] = []

    class NotingWriter(Writer):
        transactional_id = "app-writer-1"

        async def commit(self, part: Part) -> int:
            used.append("writer")
            return await super().commit(part)

    class NotingClaim:
        async def write(self, position: bytes) -> int:
            used.append("claim")
            return 1

    async def run() -> None:
        lane, held = a_lane(asyncio.Lock(), [])
        lane._settings = dataclasses.replace(SETTINGS, refresh_seconds=0.01)
        lane._writer = cast(Any, NotingWriter())
        lane._open = held._replace(claim=cast(Any, NotingClaim()))
        lane._group_offsets, lane._session = lane._position.offsets, cast(Any, object())
        task = asyncio.create_task(lane._run())
        async with asyncio.timeout(20):
            while len(used) < 6:  # noqa: ASYNC110  # nobody tells when
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    assert used[:6] == ["writer", "claim"] * 3
