"""A worker's transactions: everything a batch causes becomes visible at once, or never; and who may write a partition.

All lanes of a worker share one transactional id, its *writer*: what several lanes have ready goes into one transaction. So the
cost of a transaction, which is the broker's most of all, is paid once for all partitions instead of once for each.

The group's offsets are committed without the group's generation, so only transactional ids fence. The position of each
partition (position.py) names the writer that may write it. Taking a partition over goes in this order:

1. Take over the partition's own transactional id, `<app>-<partition>`, which only claims are written with: from here on no
   former claimant can claim the partition, and what its last claim said is settled.
2. Read the changelog as far as it is settled, for the last claim. Fence the writer that it names: it cannot commit any more,
   and its open transaction is settled, at once and whether its worker is dead, paused or cut off.
3. Read the changelog to its end, which is settled now.
4. Claim the partition: commit its position again, with the new writer's name, under the partition's own id.

A worker that gives a partition back, in a rebalance or a stop, commits its position without a name as the last thing that it
writes there, so the next owner fences nobody. One that cannot is fenced, with all its partitions: it was taken for dead.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import TopicPartition

from streams.runtime.failure import LaneFencedError, WorkerFailure
from streams.runtime.position import POSITION_KEY
from streams.runtime.processor import OutputRecord
from streams.runtime.producer import Message, RecordBatch, RefusedBatchError, TransactionalProducer
from streams.runtime.settings import LaneSettings
from streams.security import denial

TRANSACTION_BYTES = 16 << 20
"""When a transaction has so many, further lanes wait for the next one. Far below what a broker takes in one request (100 MB by
default, socket.request.max.bytes); a lane's own part is bounded by its batch."""

OnStep = Callable[[str], None]
"""Called when a transaction or a lane reaches a named step; fault tests stop the process there."""

_T = TypeVar("_T")


class Part(NamedTuple):
    """What one lane has for a transaction: outputs in their order, and changelog records, the position last."""

    partition: int
    outputs: Sequence[OutputRecord]
    changes: Mapping[bytes, bytes | None]
    group_offsets: Mapping[str, int] = {}  # by input topic; empty: not this time


class Claim:
    """A partition's own transactional id: whoever took it over last may say who writes the partition."""

    def __init__(self, settings: LaneSettings, partition: int) -> None:
        self._settings = settings
        self._changelog = TopicPartition(settings.changelog_topic, partition)
        self._producer = _producer(settings, f"{settings.app_id}-{partition}", f"{settings.app_id}-lane-{partition}")

    async def start(self) -> None:
        """Keep every former claimant from claiming again, and settle its last claim."""
        async with asyncio.timeout(self._settings.commit_timeout_seconds):
            await self._producer.start()

    async def stop(self) -> None:
        """Close the connection."""
        await self._producer.stop()

    async def write(self, position: bytes) -> int:
        """Commit a position that names the writer. Returns the offset behind it in the changelog."""
        what = f"partition {self._changelog.partition}"
        batches = self._producer.pack(self._changelog, [(POSITION_KEY, position, ())])
        ends = await _guarded(self._producer.send(batches), self._producer, what, self._settings)
        await _guarded(self._producer.commit(), self._producer, what, self._settings)
        return ends[self._changelog]


class Writer:
    """The transactional id under which this worker, until it ends, writes all its partitions; one transaction at a time."""

    def __init__(self, settings: LaneSettings, on_step: OnStep) -> None:
        self._settings = settings
        self._on_step = on_step
        # Never taken over by its own worker again, so whoever fences it has fenced it for good
        self.transactional_id = f"{settings.app_id}-writer-{settings.instance_id or ''}-{uuid.uuid4().hex}"
        self._producer = _producer(settings, self.transactional_id, f"{settings.app_id}-writer")
        self._waiting: list[tuple[Part, asyncio.Future[int]]] = []
        self._running: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._fences: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Make the transactional id known to the broker, before any partition names it."""
        async with asyncio.timeout(self._settings.commit_timeout_seconds):
            await self._producer.start()

    async def stop(self) -> None:
        """Close the connection. An open transaction is left to the fence of who takes its partitions over."""
        left = [task for task in (self._running, *self._fences.values()) if task is not None and not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._producer.stop()

    def patience_seconds(self, former: str) -> float:
        """How long another's open transaction may take to end by itself: it may be the one that gives a partition back.

        This instance's former process is gone, so nothing is to be expected of it.
        """
        is_our_own = self._settings.instance_id is not None and _instance(former) == _instance(self.transactional_id)
        return 0.0 if is_our_own else self._settings.give_back_seconds

    async def fence(self, former: str) -> None:
        """Keep another worker's writer from committing anything from now on, and settle its open transaction."""
        if former == self.transactional_id:
            return  # this lane was ours, and all that we write is settled or fails us
        if former not in self._fences:
            self._fences[former] = asyncio.create_task(self._fence(former), name="fence")
        await asyncio.shield(self._fences[former])

    async def _fence(self, former: str) -> None:
        producer = _producer(self._settings, former, f"{self._settings.app_id}-fence")
        try:
            async with asyncio.timeout(self._settings.commit_timeout_seconds):
                await producer.start()
        finally:
            await producer.stop()

    async def commit(self, part: Part) -> int:
        """Commit a lane's part in the next transaction; returns the offset behind its last changelog record.

        Raises when it was not committed or that is in doubt, and from then on for every lane: no answer in time is a doubt that
        only a new fence can settle.
        """
        if self._failure is not None:
            raise self._failure
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((part, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="writer")
        return await done

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken: list[tuple[Part, asyncio.Future[int]]] = []
                try:
                    batches = self._pack(taken)
                    ends = await self._transaction([part for part, _ in taken], batches)
                except Exception as exc:  # noqa: BLE001  # whatever it is, the lanes hear of it
                    self._failure = exc
                    taken += self._waiting
                    self._waiting = []
                for part, done in taken:
                    if done.done():
                        continue
                    if self._failure is not None:
                        done.set_exception(self._failure)
                    else:
                        done.set_result(ends[TopicPartition(self._settings.changelog_topic, part.partition)])
                # Its lanes come first: what they have is in the next one. Else the lanes fall into two groups that wait for each
                # other's transactions. The median latency at 5,000 facts/s and 12 partitions was 37 to 44 ms, now 24 to 31.
                await asyncio.sleep(0)
        finally:
            self._running = None

    def _pack(self, taken: list[tuple[Part, "asyncio.Future[int]"]]) -> list[RecordBatch]:
        """The record batches of the next transaction. Its parts, of those that wait, go into `taken`."""
        batches: list[RecordBatch] = []
        size = 0
        while self._waiting and size < TRANSACTION_BYTES:
            taken.append(self._waiting.pop(0))
            packed = self._packed(taken[-1][0])
            size += sum(len(batch.data) for batch in packed)
            batches += packed
        return batches

    def _packed(self, part: Part) -> list[RecordBatch]:
        by_topic: dict[str, list[Message]] = {}
        for topic, key, value, headers in part.outputs:
            by_topic.setdefault(topic, []).append((key, value, headers))
        assert self._settings.changelog_topic not in by_topic, "outputs go to other topics"
        by_topic[self._settings.changelog_topic] = [(key, value, ()) for key, value in part.changes.items()]
        # Dead letters are compressed: a record that came in compressed may be many times larger than what a topic takes, and
        # its dead letter must fit all the same, or one record would stop the lane for good.
        return [
            batch
            for topic, messages in by_topic.items()
            for batch in self._producer.pack(
                TopicPartition(topic, part.partition), messages, compressed=topic == self._settings.dead_letter_topic
            )
        ]

    async def _transaction(self, parts: Sequence[Part], batches: Sequence[RecordBatch]) -> dict[TopicPartition, int]:
        """One transaction, from its begin to its commit."""
        what = "partition " + ", ".join(str(part.partition) for part in parts)
        offsets = {
            TopicPartition(topic, part.partition): offset
            for part in parts
            for topic, offset in part.group_offsets.items()
        }
        self._on_step("before begin")
        ends = await self._guarded(self._producer.send(batches), what)
        self._on_step("sent")
        if offsets:
            await self._guarded(self._producer.send_offsets(self._settings.app_id, offsets), what)
        self._on_step("before commit")
        await self._guarded(self._producer.commit(), what)
        self._on_step("committed")
        return ends

    async def _guarded(self, request: Awaitable[_T], what: str) -> _T:
        return await _guarded(request, self._producer, what, self._settings)


def _instance(writer: str) -> str:
    return writer.rpartition("-")[0]


def _producer(settings: LaneSettings, transactional_id: str, client_id: str) -> TransactionalProducer:
    return TransactionalProducer(
        transactional_id,
        transaction_timeout_seconds=settings.transaction_timeout_seconds,
        acknowledge_seconds=settings.commit_timeout_seconds,
        bootstrap_servers=settings.bootstrap_servers,
        client_id=client_id,
        **settings.security.aiokafka(),
    )


async def _guarded(request: Awaitable[_T], producer: TransactionalProducer, what: str, settings: LaneSettings) -> _T:
    """Await a producer call: bounded in time, and with the fence told from other errors."""
    try:
        async with asyncio.timeout(settings.commit_timeout_seconds):
            return await request
    except ProducerFenced as exc:
        raise LaneFencedError(
            f"{what} was taken over by another worker, or its transaction ran out of time",
            "This is how a paused or disconnected worker is kept from writing; restart it and it will rejoin",
        ) from exc
    except TimeoutError as exc:
        trouble = producer.last_trouble
        raise WorkerFailure(
            f"the broker did not take a transaction of {what} within {settings.commit_timeout_seconds:.0f} s"
            + ("" if trouble is None else f" (last trouble: {type(trouble).__name__})"),
            "Check that the broker is up and reachable, then restart the worker",
        ) from exc
    except RefusedBatchError as exc:
        raise WorkerFailure(
            f"a record batch for {exc.tp.topic}/{exc.tp.partition} was not delivered ({type(exc.__cause__).__name__})",
            "Nothing of its transaction is visible. Check that the topic exists and takes records of this size "
            "(`pathway-billing topics`), then restart the worker",
        ) from exc
    except KafkaError as exc:
        raise WorkerFailure(
            f"the broker refused a transaction of {what}: {type(exc).__name__}",
            denial(exc, "publishing")
            or "Nothing of it is visible. Check the broker's log and the topics (`pathway-billing topics`), then restart the "
            "worker",
        ) from exc
