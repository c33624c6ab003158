"""Following a whole topic: everything before `caught_up`, then as it comes."""

import asyncio

import pytest

from streams.runtime.processor import InputRecord
from streams.runtime.reference import ReferenceFollower
from tests.broker.harness import Arena

pytestmark = pytest.mark.broker


def no_failure(exc: BaseException, *, doing: str) -> None:
    raise AssertionError(doing) from exc


def test_it_reads_everything_first_and_then_follows(arena: Arena) -> None:
    async def run() -> None:
        topic = arena.input_topics[0]
        seen: list[InputRecord] = []
        arena.publish(200)
        there = {(r.partition, r.offset) for r in arena.read(topic)}
        follower = ReferenceFollower(arena.bootstrap_servers, topic, seen.append)
        await follower.start(no_failure)
        try:
            async with asyncio.timeout(20):
                await follower.caught_up()
                assert {(r.partition, r.offset) for r in seen} == there
                for partition in range(arena.partitions):
                    offsets = [r.offset for r in seen if r.partition == partition]
                    assert offsets == sorted(offsets)

                await asyncio.to_thread(arena.publish, 100)
                ends = {r.partition: r.offset for r in arena.read(topic)}
                await follower.reached(ends)
                assert {r.partition: r.offset for r in seen} == ends
        finally:
            await follower.stop()

    asyncio.run(run())


def test_what_lies_beyond_the_end_is_not_waited_for(arena: Arena) -> None:
    async def run() -> None:
        follower = ReferenceFollower(arena.bootstrap_servers, arena.input_topics[0], lambda record: None)
        await follower.start(no_failure)
        try:
            async with asyncio.timeout(60):
                await follower.caught_up()
                await follower.reached({0: 1_000_000, 77: 3})
                await follower.reached({})
        finally:
            await follower.stop()

    asyncio.run(run())


def test_a_record_that_cannot_be_taken_in_is_a_failure(arena: Arena) -> None:
    async def run() -> None:
        failed: asyncio.Queue[BaseException] = asyncio.Queue()

        def fail(exc: BaseException, *, doing: str) -> None:
            failed.put_nowait(exc)

        def on_record(record: InputRecord) -> None:
            raise ValueError("no")

        arena.publish(5)
        follower = ReferenceFollower(arena.bootstrap_servers, arena.input_topics[0], on_record)
        await follower.start(fail)
        async with asyncio.timeout(60):
            assert isinstance(await failed.get(), ValueError)
        await follower.stop()

    asyncio.run(run())
