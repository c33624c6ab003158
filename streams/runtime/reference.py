"""Reference data: one whole topic, read completely before the first fact is decided, then followed.

Unlike the input of lanes, every worker reads all partitions, from the beginning, with a consumer of its own and no group.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka.structs import TopicPartition

from streams.runtime.failure import FailureHandler, WorkerFailure
from streams.runtime.fetched import committed_consumer
from streams.runtime.processor import InputRecord, NotYet
from streams.security import PLAINTEXT, Security

log = logging.getLogger(__name__)

OnRecord = Callable[[InputRecord], None]
Prepare = Callable[[Sequence[InputRecord]], Awaitable[None]]
"""Gets what these records need; raises NotYet where it cannot be had now."""

_ASK_AGAIN_SECONDS = 2.0
_SAY_EVERY_SECONDS = 30.0


async def _nothing_needed(records: Sequence[InputRecord]) -> None:
    """The records are all that there is."""


class ReferenceFollower:
    """Calls `on_record` for each committed record of a topic, in order within each partition, from the event loop.

    A record that `on_record` cannot use is its own affair; an exception from it stops the worker.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        on_record: OnRecord,
        security: Security = PLAINTEXT,
        prepare: Prepare = _nothing_needed,
    ) -> None:
        self.topic = topic
        self._bootstrap_servers = bootstrap_servers
        self._security = security
        self._on_record = on_record
        self._prepare = prepare
        self._waits_for: str | None = None
        self._consumer: Any = None
        self._positions: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._ends_at_start: dict[int, int] = {}
        self._started = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, fail: FailureHandler) -> None:
        """Begin to read. What goes wrong from now on is told to `fail`."""
        self._task = asyncio.get_running_loop().create_task(self._follow(fail), name=f"follow-{self.topic}")

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    @property
    def is_caught_up(self) -> bool:
        """Whether everything that was in the topic at the start has been read."""
        return self._started.is_set() and all(
            self._positions[partition] >= end for partition, end in self._ends_at_start.items()
        )

    async def caught_up(self) -> None:
        """Wait until everything that was in the topic at the start has been read."""
        await self._started.wait()
        while True:
            try:
                return await self._wait_for(self._ends_at_start)
            except NotYet:  # said by whoever reads
                await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def reached(self, offsets: Mapping[int, int]) -> None:
        """Wait until the record at each of these offsets (by partition, inclusive) has been read.

        Bounded by the log as it is now: an offset beyond the end, or a partition that does not exist, is not waited for.
        """
        await self._started.wait()
        wanted = {p: offset + 1 for p, offset in offsets.items() if offset + 1 > self._positions.get(p, offset + 1)}
        if not wanted:
            return
        tps = {p: TopicPartition(self.topic, p) for p in wanted}
        ends = await self._consumer.end_offsets(list(tps.values()))
        await self._wait_for({p: min(offset, ends[tps[p]]) for p, offset in wanted.items()})

    async def _wait_for(self, positions: Mapping[int, int]) -> None:
        def there() -> bool:
            return all(self._positions[p] >= offset for p, offset in positions.items())

        async with self._moved:
            await self._moved.wait_for(lambda: there() or self._waits_for is not None)
            if not there():
                raise NotYet(f"{self.topic} is not read to the end, {self._waits_for}")

    async def _follow(self, fail: FailureHandler) -> None:
        consumer = self._consumer = committed_consumer(
            self._bootstrap_servers, self._security, fetch_max_wait_ms=500, retry_backoff_ms=20
        )
        try:
            await consumer.start()
            tps = await self._partitions(consumer)
            consumer.assign(tps)
            begins = await consumer.beginning_offsets(tps)
            ends = await consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, begins[tp])
                self._positions[tp.partition] = begins[tp]
                self._ends_at_start[tp.partition] = ends[tp]
            self._started.set()
            while True:
                await self._read(consumer, tps)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001  # without its reference data the worker must not decide
            fail(exc, doing=f"reading {self.topic}")
        finally:
            with contextlib.suppress(Exception):
                await consumer.stop()

    async def _partitions(self, consumer: Any) -> list[TopicPartition]:
        partitions = await consumer._client._wait_on_metadata(self.topic)
        if not partitions:
            raise WorkerFailure(f"topic {self.topic} does not exist", "Create the topics: `pathway-billing topics`")
        return [TopicPartition(self.topic, p) for p in sorted(partitions)]

    async def _read(self, consumer: Any, tps: list[TopicPartition]) -> None:
        for fetched in (await consumer.getmany(timeout_ms=100)).values():
            await self._prepared(fetched)
            for record in fetched:
                self._on_record(record)
            await asyncio.sleep(0)
        positions = {tp.partition: await consumer.position(tp) for tp in tps}
        if positions != self._positions:
            async with self._moved:
                self._positions = positions
                self._moved.notify_all()

    async def _prepared(self, records: Sequence[InputRecord]) -> None:
        """Wait for what these records need; who waits for them is told."""
        said_at = 0.0
        while True:
            try:
                await self._prepare(records)
            except NotYet as reason:
                if time.monotonic() - said_at >= _SAY_EVERY_SECONDS:
                    said_at = time.monotonic()
                    log.warning("%s waits: %s", self.topic, reason)
                await self._say_waiting(str(reason))
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
            else:
                self._waits_for = None
                return

    async def _say_waiting(self, reason: str) -> None:
        async with self._moved:
            self._waits_for = reason
            self._moved.notify_all()
