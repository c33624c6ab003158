"""A lane: the one owner of a partition number, of all input topics and of the table's changelog.

    open    1. take the partition's own transactional id over: no former owner can claim the partition any more
            2. bring the local store up to the changelog's end, and fence the writer that the last claim names
            3. take the position from the changelog, and claim the partition for this worker's writer (transactions.py)
    batch   4. take an unbroken piece of input, bounded by count and bytes; wait for the reference data it needs; process
            5. in the worker's next transaction: outputs, changed table values, position; about once a second the group's
               offsets; it is committed when every record batch of every lane in it is delivered
            6. committed: write the local store, go on
    release 7. before a rebalance and at the end: commit the position once more, without a writer's name
    doubt   8. stop the worker: nothing that is not committed is visible, all of it will be done again

What fails where, and what then holds: before 5 and within 5, the transaction is never committed and the next owner's fence
aborts it; between the commit and its answer, the position in the changelog tells the next owner whether it counts; between 5
and 6, the local store is behind the log and recovery brings it up.
"""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from aiokafka.structs import TopicPartition
from faust.types import TP

from streams import metrics
from streams.long_lived import long_lived
from streams.runtime.dead_letters import FloodLimit, Reason, counted_refusals, reasons_of
from streams.runtime.failure import FailureHandler
from streams.runtime.inbox import Batch, Inbox
from streams.runtime.position import POSITION_KEY, Position
from streams.runtime.processor import InputRecord, NotYet, OutputRecord, Processor, ProcessorFactory
from streams.runtime.recovery import Recovered, consumer_for, recover
from streams.runtime.settings import LaneSettings
from streams.runtime.start_position import start_position
from streams.runtime.stores import Store, StoreIdentity, open_store
from streams.runtime.table import TableTransaction, running_transaction
from streams.runtime.transactions import Claim, OnStep, Part, Writer
from streams.runtime.transport import Fetched, LaneConsumer, Session

log = logging.getLogger(__name__)

FREEZE_AFTER_RECORDS = 200
"""What so many records leave behind is taken from the garbage collector at once. For each batch of three records, as they come at
1,000 facts/s, it took 3 % of the worker's time."""

SHORT_SECONDS = 0.003
"""A batch of so little work is processed at once, without a turn: with twelve lanes and five records in each batch, as at 1,000
facts/s, the median batch waited 25 ms for its turn, twice as long as for its transaction's requests."""


class _Open(NamedTuple):
    """What an open lane holds."""

    claim: Claim
    store: Store
    processor: Processor


class Lane:
    """One lane, from its opening to its end. Runs in a task of its own; lanes run side by side.

    All lanes of a worker share its `writer`, and the `turn`: one of them processes, then everything else that the event loop has to
    do comes first.
    """

    def __init__(
        self,
        partition: int,
        settings: LaneSettings,
        make_processor: ProcessorFactory,
        consumer: LaneConsumer,
        writer: Writer,
        turn: asyncio.Lock,
        fail: FailureHandler,
        on_step: OnStep,
    ) -> None:
        self.partition = partition
        self._settings = settings
        self._make_processor = make_processor
        self._consumer = consumer
        self._turn = turn
        self._writer = writer
        self._fail = fail
        self._on_step = on_step
        self._inputs = {TP(topic, partition) for topic in settings.input_topics}
        self._inbox = Inbox(partition, settings.batch)
        self._open: _Open | None = None
        self._position = Position({})
        self._flood = FloodLimit()
        self._session: Session | None = None
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._claim: Claim | None = None
        self._waits_for: str | None = None
        self._in_doubt = False
        self._releasing = asyncio.Lock()
        self._refresh_at = 0.0
        self._seconds_per_record = 0.001  # until it is measured: careful
        self._group_offsets: dict[str, int] = {}
        self._group_offsets_at = 0.0
        self._unfrozen = 0  # records processed since the last `long_lived`

    @property
    def store(self) -> Store | None:
        """The local store, while the lane is open."""
        return None if self._open is None else self._open.store

    @property
    def is_trusted(self) -> bool:
        """Open, and never failed."""
        return self._open is not None and not self._in_doubt

    @property
    def waits_for(self) -> str | None:
        """What outside of Kafka the lane waits for, and has said so in the log; None while it moves."""
        return self._waits_for

    @property
    def positions(self) -> dict[TP, int]:
        """Where the lane stands in each of its input partitions."""
        return {tp: self._position.offsets[tp.topic] for tp in self._inputs}

    async def open(self) -> None:
        """Fence, recover, take the position. Reads no input yet: see `begin_session`."""
        settings, started = self._settings, time.monotonic()
        metrics.set_lane_state(self.partition, "opening")
        self._claim = Claim(settings, self.partition)
        await self._claim.start()
        fenced = time.monotonic()
        identity = StoreIdentity(
            settings.changelog_topic, settings.topic_ids.get(settings.changelog_topic, ""), self.partition
        )
        store = await asyncio.to_thread(open_store, settings.store, settings.state_folder, identity)
        try:
            recovered = await self._read_log(store)
        except BaseException:
            with contextlib.suppress(Exception):  # the first cause counts
                store.close()
            raise
        self._open = _Open(self._claim, store, self._make_processor(self.partition))
        self._flood = FloodLimit(self._position.refusals, self._position.refused_in_row)
        metrics.LANES_OPEN.inc()
        await self._take()
        metrics.LAST_COMMIT_TIMESTAMP_SECONDS.labels(str(self.partition)).set_to_current_time()
        metrics.RECOVERY_SECONDS.observe(recovered.seconds)
        if recovered.rebuilt_because is not None:
            log.warning("partition %d: local store rebuilt, because %s", self.partition, recovered.rebuilt_because)
        log.info(
            "partition %d: open after %.0f ms (%d records recovered in %.0f ms)",
            self.partition,
            (time.monotonic() - started) * 1000,
            recovered.records,
            (time.monotonic() - fenced) * 1000,
        )

    async def begin_session(self, session: Session, still_wanted: Callable[[], bool]) -> None:
        """Seek to where the lane stands and let input in, until `quiesce`."""
        assert self._open is not None
        if not self._position.writer:
            await self._take()
        self._session = session
        if not await self._consumer.begin_session(self.positions, session, still_wanted):
            return
        metrics.set_lane_state(self.partition, "open")
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"lane-{self.partition}")

    def deliver(self, fetched: Fetched) -> None:
        """Take what a fetch returned; of another session than the running one, nothing."""
        if fetched.session is not self._session:
            metrics.STALE_FETCHES.inc()
            return
        try:
            self._inbox.add(fetched.tp.topic, fetched.start, fetched.records, fetched.end)
        except Exception as exc:  # noqa: BLE001  # whatever it is, the lane's input is in doubt
            self._fail(exc, doing=f"taking input for partition {self.partition}")
            return
        if self._inbox.is_full:
            self._consumer.hold(self._inputs)
        self._arrived.set()

    def refuse_input(self) -> None:
        """End the session at once: what still arrives is ignored."""
        if self._session is not None:
            metrics.set_lane_state(self.partition, "paused")
        self._session = None
        self._inbox.clear()

    async def quiesce(self) -> None:
        """Take no more input and wait until the running transaction is settled."""
        self.refuse_input()
        await self._idle.wait()

    async def release(self) -> None:
        """Quiesce, and let the partition go: who owns it next has nobody to fence."""
        await self.quiesce()
        async with self._releasing:  # a stop may come in the middle of a rebalance
            if self._open is None or self._in_doubt or not self._position.writer:
                return
            try:
                position = dataclasses.replace(self._position, writer="")
                await self._commit(self._open, [], {}, position, with_group_offsets=True)
                self._on_step("released")
            except BaseException:
                self._in_doubt = True
                raise

    async def close(self) -> None:
        """Settle the running transaction and let go of everything."""
        with contextlib.suppress(Exception):  # the next owner fences, then
            await self.release()
        # A task's last frame holds the cache: kept here, or by gather(), it is a cycle, which nobody looks for (`long_lived`)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        held, self._open = self._open, None
        if held is not None:
            metrics.LANES_OPEN.dec()
            held.store.close()
        if self._claim is not None:
            await self._claim.stop()
            self._claim = None
        metrics.forget_lane(self.partition, self._settings.input_topics)

    async def _read_log(self, store: Store) -> Recovered:
        settings = self._settings
        consumer = consumer_for(settings)
        try:
            await consumer.start()
            changelog = TopicPartition(settings.changelog_topic, self.partition)
            recovered = await recover(store, consumer, changelog, settings, self._writer)
            self._position = await start_position(store, consumer, self.partition, settings)
            return recovered
        finally:
            await consumer.stop()

    async def _take(self) -> None:
        """Claim the partition for this worker's writer. Not left half done: whoever cancels waits, and can release it."""
        taking = asyncio.create_task(self._write_claim(), name=f"claim-{self.partition}")
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])
            if not taking.cancelled():
                taking.exception()  # the lane knows that it is in doubt
            raise

    async def _write_claim(self) -> None:
        assert self._open is not None
        position = dataclasses.replace(self._position, writer=self._writer.transactional_id)
        changes: dict[bytes, bytes | None] = {POSITION_KEY: position.encode()}
        try:
            end = await self._open.claim.write(position.encode())
            self._on_step("claimed")
            self._open.store.apply(changes, end)
        except BaseException:
            self._in_doubt = True
            raise
        self._position = position
        self._refresh_at = time.monotonic() + self._settings.refresh_seconds

    async def _run(self) -> None:
        assert self._open is not None
        try:
            while True:
                await self._wait_for_input(self._open)
                await self._run_batch(self._open)
                if time.monotonic() >= self._refresh_at:
                    await self._refresh(self._open)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001  # any doubt stops the worker
            self._in_doubt = True
            self._fail(exc, doing=f"processing partition {self.partition}")

    async def _wait_for_input(self, held: _Open) -> None:
        """Return when there is input. While there is none, let the group's offsets catch up, and refresh the claim."""
        while not len(self._inbox):
            self._arrived.clear()
            behind = self._group_offsets != self._position.offsets
            wait_seconds = self._settings.group_offsets_every_seconds if behind else self._refresh_at - time.monotonic()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._arrived.wait()
            except TimeoutError:
                if self._session is None:  # the partition may be another's by now, whose fence would stop us
                    await self._arrived.wait()
                elif behind:
                    async with self._busy():
                        await self._catch_up_group_offsets(held)
                else:
                    await self._refresh(held)

    async def _refresh(self, held: _Open) -> None:
        """Use both transactional ids now and then, or Kafka would forget them."""
        if self._session is None:
            return
        async with self._busy():
            await self._commit(held, [], {}, self._position, with_group_offsets=True)
            await self._write_claim()

    async def _run_batch(self, held: _Open) -> None:
        session = self._session
        if session is None or not len(self._inbox):
            return  # a rebalance emptied the inbox
        batch = self._inbox.take(self._position.offsets, self._records_in_time())
        if self._inbox.is_low:
            self._consumer.release(self._inputs)
        if not batch.records:
            # Transaction markers alone move the position; a later transaction writes it, until then they are read again.
            self._position = dataclasses.replace(self._position, offsets=batch.positions)
            return
        await self._prepare(held, batch, session)
        if self._session is not session:
            return  # a rebalance came while reference data was awaited: the lane will seek back to its position
        async with self._busy():
            await self._decide(held, batch)

    async def _prepare(self, held: _Open, batch: Batch, session: Session) -> None:
        """Wait for what the batch needs. Other lanes go on, and a record is neither lost nor refused because of a wait."""
        said_at = 0.0
        try:
            while self._session is session:
                try:
                    return await held.processor.prepare(batch.records)
                except NotYet as reason:
                    self._wait_for(str(reason))
                    if time.monotonic() - said_at >= self._settings.say_waiting_every_seconds:
                        said_at = time.monotonic()
                        log.warning("partition %d waits: %s", self.partition, reason)
                    await asyncio.sleep(self._settings.ask_again_seconds)
        finally:
            self._wait_for(None)

    def _wait_for(self, what: str | None) -> None:
        metrics.LANES_WAITING.inc((what is not None) - (self._waits_for is not None))
        self._waits_for = what

    async def _decide(self, held: _Open, batch: Batch) -> None:
        table = TableTransaction(held.store)
        is_short = len(batch.records) * self._seconds_per_record < SHORT_SECONDS
        async with contextlib.nullcontext() if is_short else self._turn:
            started = time.perf_counter()
            running = running_transaction.set(table)
            try:
                outputs = self._process(held, table, batch.records)
            finally:
                running_transaction.reset(running)
            processed = time.perf_counter()
            if not is_short:
                await asyncio.sleep(0)
        refused = reasons_of(outputs, topic=self._settings.dead_letter_topic)
        flood = self._flood_after(batch, refused)
        position = dataclasses.replace(
            self._position, offsets=batch.positions, refusals=flood.spans, refused_in_row=flood.in_row
        )
        due = time.monotonic() - self._group_offsets_at > self._settings.group_offsets_every_seconds
        await self._commit(held, outputs, table.changes, position, with_group_offsets=due)
        self._flood = flood

        # Half the newest, half what was before: follows a change of cost within a few batches
        self._seconds_per_record += ((processed - started) / len(batch.records) - self._seconds_per_record) / 2
        metrics.PROCESSING_SECONDS.observe(processed - started)
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - processed)
        self._count(batch, refused)
        held.processor.committed()

    def _process(self, held: _Open, table: TableTransaction, records: list[InputRecord]) -> list[OutputRecord]:
        self._unfrozen += len(records)
        if self._unfrozen < FREEZE_AFTER_RECORDS:
            return held.processor.process(table, records)
        self._unfrozen = 0
        with long_lived():
            return held.processor.process(table, records)

    def _count(self, batch: Batch, refused: dict[tuple[str, int], Reason]) -> None:
        """Count a committed batch: once for each batch, not for each record."""
        now = time.time()
        oldest_ms = min(record.timestamp_ms for record in batch.records)
        metrics.BATCH_RECORDS.observe(len(batch.records))
        metrics.INPUT_TO_COMMIT_SECONDS.observe(max(0.0, now - oldest_ms / 1000))
        metrics.LAST_COMMIT_TIMESTAMP_SECONDS.labels(str(self.partition)).set(now)
        for topic, count in Counter(record.topic for record in batch.records).items():
            metrics.RECORDS.labels(topic).inc(count)
        for reason, count in Counter(refused.values()).items():
            metrics.DEAD_LETTERS.labels(reason.value).inc(count)

    async def _commit(
        self,
        held: _Open,
        outputs: list[OutputRecord],
        changes: dict[bytes, bytes | None],
        position: Position,
        *,
        with_group_offsets: bool,
    ) -> None:
        """A part of the worker's next transaction, and the local store. Nothing of the lane changes unless all of it succeeds."""
        changes = {**changes, POSITION_KEY: position.encode()}
        offsets = (
            {topic: position.offsets[topic] for topic in self._settings.input_topics} if with_group_offsets else {}
        )
        changelog_end = await self._writer.commit(Part(self.partition, outputs, changes, offsets))
        held.store.apply(changes, changelog_end)
        self._on_step("stored")
        self._position = position
        if with_group_offsets:
            self._group_offsets = position.offsets
            self._group_offsets_at = time.monotonic()

    async def _catch_up_group_offsets(self, held: _Open) -> None:
        """A transaction for the group's offsets alone, when no input comes to carry them; never ahead of the changelog."""
        if self._group_offsets != self._position.offsets:
            await self._commit(held, [], {}, self._position, with_group_offsets=True)

    def _records_in_time(self) -> int:
        """How many records the lane may process at once, by what the last ones cost."""
        return max(1, int(self._settings.batch.processing_seconds / self._seconds_per_record))

    def _flood_after(self, batch: Batch, refused: dict[tuple[str, int], Reason]) -> FloodLimit:
        if not self._settings.dead_letter_flood_limit or not (refused or self._flood.spans):
            return self._flood  # the window begins with the first refused record
        return self._flood.after(counted_refusals(batch.records, refused))

    @contextlib.asynccontextmanager
    async def _busy(self) -> AsyncIterator[None]:
        """While busy, the lane cannot be taken away: `quiesce` waits."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()
