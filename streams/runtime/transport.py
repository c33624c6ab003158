"""Faust's aiokafka driver, changed where exactly-once lanes need it.

The URL scheme `lanes://` selects it (entry point `faust.transports`). One Faust message is what one fetch returned, a piece for
each partition with the fetch position before and after it; decoding, acknowledging and committing single records, which is
where stock Faust loses them, does not take part. Faust spends several turns of a busy event loop on each message: with one for
each of 84 partitions a fetch took 200 ms to be delivered, and the median latency at 1,000 facts/s was 400 ms.

The first safeguard lives here: no fetch is under way while a lane seeks. A fetch that began before a rebalance could
live on and take records from behind the new position, which are then gone (the first prototype lost 3,883 of
100,000 events that way, in silence). So fetching and seeking exclude each other, and each seek begins a session; what was
fetched in another session is dropped and will be fetched again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import aiokafka
import faust
import mode
from aiokafka.errors import ConsumerStoppedError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import maybe_async

from streams.runtime.failure import FailureHandler, WorkerFailure
from streams.runtime.fetch_sessions import FetchSessions
from streams.runtime.fetched import as_input_records
from streams.runtime.processor import InputRecord
from streams.runtime.service_log import service_log

FETCH_WAIT_MS = 50
"""How long the broker may hold a fetch that has nothing to return. Faust's driver has 1,500 ms hard-wired."""

FETCH_LINGER_SECONDS = 0.005
"""How long the next fetch waits after one that brought something. At 1,000 facts/s and 12 partitions, in turns on one machine that
others kept busy, the median latency was 15 to 30 ms with 5 ms (25 with 3, 17 with 8, 19 and 26 with 12), and 38 to 42 with none and
1.5 ms for each lane instead; at one partition 10.5 and 12.1 ms, before 10.8 and 13.8, for a quarter less of the worker's CPU."""

POLL_SECONDS = 0.1
"""How long one fetch call may hold the lock that a lane needs to seek."""

IDLE_SECONDS = 0.01
"""Pause while no partition is active (stock Faust sleeps a whole second)."""


class Session:
    """A lane's claim to what is fetched, from one seek to the next. Compared by identity."""


class Fetched(NamedTuple):
    """What one fetch returned for one partition. A Faust message has a tuple of them as its value."""

    tp: TP
    session: Session
    start: int
    records: Sequence[InputRecord]
    end: int


class FetchedSchema(faust.Schema[Any, Any]):
    """Passes the fetched records through; decoding is the processor's part."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        return message.value


class LaneConsumerClient(driver.AIOKafkaConsumerThread):
    """Talks to the broker, heartbeats included: on the worker's own event loop, where Faust has a thread with a loop of its own.

    Faust's thread reaches into the main loop without telling it: a rebalance wakes futures there, and a failure stops services.
    asyncio's own loop forgives that most of the time, libuv does not: a fenced worker ended in a segmentation fault. One loop has
    no such places, and no hand-over between threads for each fetch. The price: no heartbeat goes out while the loop is busy, so
    everything that runs on it is bounded (a batch by `BatchLimits.processing_seconds`), far below the session timeout.
    """

    logger = service_log
    wait_for_shutdown = False

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(*args, loop=loop, thread_loop=loop, **kwargs)

    # A service again, where Faust's class is a service in a thread
    maybe_start = mode.Service.maybe_start
    start = mode.Service.start
    stop = mode.Service.stop
    set_shutdown = mode.Service.set_shutdown
    _stopped_set = mode.Service._stopped_set
    _stop_children = mode.Service._stop_children
    _stop_futures = mode.Service._stop_futures
    _stop_exit_stacks = mode.Service._stop_exit_stacks

    async def on_stop(self) -> None:
        """Leave the group and close the connections."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def crash(self, exc: BaseException) -> None:
        """Stop the worker."""
        await mode.Service.crash(self, exc)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here."""
        return await maybe_async(fun(*args, **kwargs))

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        # Three settings that Faust hard-wires or derives from its own delivery guarantee. AIOKafkaConsumer.start() reads
        # them, so they can still be set on the new object.
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        # With any other value a position that is out of the log's range would be reset in silence, which looks like an
        # empty stretch of the log.
        consumer._auto_offset_reset = "none"
        self._fetch_sessions = FetchSessions(consumer._client, FETCH_LINGER_SECONDS)
        as_input_records()
        return consumer

    def begin_fetch_session(self) -> None:
        """Let the next fetch ask for every partition."""
        self._fetch_sessions.forget()

    def highwater(self, tp: TP) -> int:
        """The end of what can be read: records behind an open transaction of a publisher are not ours to decide yet."""
        return cast(int, self._ensure_consumer().last_stable_offset(tp))

    def held_back(self, tp: TP) -> int:
        """Offsets behind the end of what can be read: somebody's transaction is open there."""
        consumer = self._ensure_consumer()
        return cast(int, consumer.highwater(tp) - consumer.last_stable_offset(tp))

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109  # Faust's signature
        max_records: int | None = None,
    ) -> Any:
        """What Faust fetches, with the position before and after; also where only the position moved.

        Transaction markers and aborted records move the position without a record. aiokafka moves it nowhere but inside
        this call, so the pieces form an unbroken chain unless something is lost.
        """
        assignment = _assignment(consumer)
        before = _positions(assignment, active_partitions)
        records = await super()._fetch_records(consumer, active_partitions, timeout=timeout, max_records=max_records)
        if _assignment(consumer) is not assignment:
            return {}  # a rebalance came in between: each lane will seek
        after = _positions(assignment, before)
        return {
            partition: (start, (records or {}).get(partition, ()), after[partition])
            for partition, start in before.items()
            if after.get(partition, start) != start
        }


class LaneConsumer(driver.Consumer):
    """Delivers what was fetched to the lanes that own it."""

    logger = service_log

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetched_at: float | None = None  # monotonic seconds of the last call for more
        self._sessions: dict[TP, Session] = {}
        self._fetching_or_seeking = asyncio.Lock()

    def _new_consumer_thread(self) -> LaneConsumerClient:
        return LaneConsumerClient(self, loop=self.loop, beacon=self.beacon)

    def held_back(self, tp: TP) -> int:
        """Offsets that an open transaction keeps from being read."""
        return cast(LaneConsumerClient, self._thread).held_back(tp)

    async def begin_session(
        self, positions: Mapping[TP, int], session: Session, still_wanted: Callable[[], bool]
    ) -> bool:
        """Seek while no fetch is under way, then let the session's records in. False: a rebalance came in between.

        Never trusts a position that aiokafka already has: right after a commit, 86 of 1,000 offset reads returned the
        offset before it.
        """
        async with self._fetching_or_seeking:
            if not still_wanted():
                return False
            try:
                await self.seek_wait(dict(positions))
                cast(LaneConsumerClient, self._thread).begin_fetch_session()
            except Exception:
                if not still_wanted():
                    return False  # the partitions are no longer ours: seeking them fails by right
                raise
            if not still_wanted():
                return False
            for tp in positions:
                self._sessions[tp] = session
            self._buffered_partitions.difference_update(positions)
            self.resume_partitions(set(positions))
            return True

    def hold(self, tps: Iterable[TP]) -> None:
        """Fetch nothing more for these partitions until `release`.

        Faust's own pause would drop what is already fetched.
        """
        for tp in tps:
            self.on_buffer_full(tp)

    def release(self, tps: Iterable[TP]) -> None:
        """Undo `hold`."""
        for tp in tps:
            self.on_buffer_drop(tp)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ARG002, ASYNC109  # Faust's signature
        """One fetch: a message with a piece for each partition that it moved."""
        self.fetched_at = time.monotonic()
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        async with self._fetching_or_seeking:
            # A frozen copy: Faust changes its set while aiokafka waits on it, which takes an empty set for "all partitions".
            active = frozenset(self._get_active_partitions())
            sessions = {tp: self._sessions.get(tp) for tp in active}
            generation = self.app.consumer_generation_id
            fetched = await self._fetch(active) if active else {}
        if not active:
            await asyncio.sleep(IDLE_SECONDS)
            return
        if self.should_stop or not self.flow_active or generation != self.app.consumer_generation_id:
            return  # a rebalance ends with a seek of every lane
        pieces = []
        for partition, (start, records, end) in fetched.items():
            tp = TP(partition.topic, partition.partition)
            session = sessions[tp]
            if session is not None and self._sessions.get(tp) is session:  # else fetched before the lane's seek
                pieces.append(Fetched(tp, session, start, records, end))
        if pieces:
            yield pieces[0].tp, _message(tuple(pieces), generation)

    async def _fetch(self, active: frozenset[TP]) -> Any:
        try:
            return await self._getmany(active_partitions=cast(Any, active), timeout=POLL_SECONDS)
        except ConsumerStoppedError:
            raise  # Faust's own signal for the end
        except OffsetOutOfRangeError as exc:
            self._fail(
                WorkerFailure(
                    f"a lane stands at an offset that its topic does not hold: {_out_of_range(exc)}",
                    "The topic was made again, truncated, or lost records to retention (facts are kept for ever). Restore "
                    "it, or decide everything anew under another application id",
                ),
                doing="fetching",
            )
        except Exception as exc:  # noqa: BLE001  # whatever it is, the lane's input is in doubt
            if not self.should_stop:
                self._fail(exc, doing="fetching")
        await asyncio.sleep(IDLE_SECONDS)
        return {}

    @property
    def _fail(self) -> FailureHandler:
        return cast(FailureHandler, self.app.lanes.fail)  # type: ignore[attr-defined]


class LaneTransport(driver.Transport):
    """The transport behind `lanes://host:port`."""

    Consumer = LaneConsumer


def _message(pieces: tuple[Fetched, ...], generation: int) -> ConsumerMessage:
    """A Faust message of the first piece's partition that carries all of them.

    The offset only serves Faust's own filter of repeated messages; a message without this generation would be dropped by the
    stream without a word.
    """
    tp, end = pieces[0].tp, pieces[0].end
    value = cast(Any, pieces)
    return ConsumerMessage(
        tp.topic, tp.partition, end, 0.0, 0, [], b"", value, None, 0, 0, tp, generation_id=generation
    )


def _assignment(consumer: aiokafka.AIOKafkaConsumer) -> Any:
    subscription = consumer._subscription.subscription
    return None if subscription is None else subscription.assignment


def _positions(assignment: Any, partitions: Iterable[Any]) -> dict[Any, int]:
    """The fetch position of each partition that is assigned and has one."""
    if assignment is None:
        return {}
    found: dict[Any, int] = {}
    for partition in partitions:
        state = assignment.state_value(partition)
        if state is not None and state.has_valid_position:
            found[partition] = state.position
    return found


def _out_of_range(exc: OffsetOutOfRangeError) -> str:
    offsets = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else {}
    return ", ".join(f"{tp.topic}/{tp.partition} at {offset}" for tp, offset in offsets.items()) or "unknown"
