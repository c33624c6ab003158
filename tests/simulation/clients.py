"""What stands in for aiokafka's producer and consumer. They keep its order of things, its holes included:

- a record batch that is refused does not stop the commit behind it (`flush_for_commit` waits, and looks at nothing)
- a commit that is cancelled goes on; the sender does not know that nobody waits
- what is fetched is taken at the position where the consumer stands when the answer comes
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced
from aiokafka.structs import TopicPartition

from tests.simulation.kafka import Broker, Network, Record
from tests.simulation.loop import Process, SimulatedLoop, running_strand


class Connection:
    """How the clients of one process reach the broker."""

    def __init__(
        self, loop: SimulatedLoop, rng: random.Random, broker: Broker, network: Network, process: Process
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.broker = broker
        self.network = network
        self.process = process
        self.refused_batches = 0.0
        """Share of record batches that the broker refuses for good."""

    def request(
        self, apply: Callable[[], Any], *, in_transaction: bool = False, to_group: bool = False
    ) -> "asyncio.Future[Any]":
        return self.network.request(self.process, apply, in_transaction=in_transaction, to_group=to_group)


class Batch:
    """aiokafka's batch builder; `size` is its limit in bytes."""

    def __init__(self, size: int, *_: Any, **__: Any) -> None:
        self._left = min(size, 400)  # so that a transaction is more than one batch a topic
        self.messages: list[tuple[bytes | None, bytes | None, Any]] = []

    def append(self, *, key: bytes | None, value: bytes | None, timestamp: Any, headers: Any) -> object | None:
        self._left -= len(key or b"") + len(value or b"")
        if self._left < 0 and self.messages:
            return None
        self.messages.append((key, value, headers))
        return self

    def record_count(self) -> int:
        return len(self.messages)

    def close(self) -> None:
        """Nothing is built."""


class Sent:
    """aiokafka's RecordMetadata."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


class SimulatedProducer:
    """A transactional producer."""

    def __init__(self, connection: Connection, *, transactional_id: str, max_batch_size: int, **_: Any) -> None:
        self._connection = connection
        self._broker = connection.broker
        self._id = transactional_id
        self._max_batch_size = max_batch_size
        self._epoch = 0
        self._added: set[TopicPartition] = set()
        self._deliveries: dict[TopicPartition, asyncio.Task[None]] = {}
        self._fatal: Exception | None = None

    async def start(self) -> None:
        broker, transactional_id = self._broker, self._id
        self._epoch = await self._connection.request(
            lambda: broker.init_producer_id(transactional_id, self), in_transaction=True
        )

    async def stop(self) -> None:
        """An open transaction stays open."""

    async def begin_transaction(self) -> None:
        if self._fatal is not None:
            raise self._fatal
        self._added.clear()
        self._deliveries.clear()

    def create_batch(self) -> Batch:
        return Batch(self._max_batch_size)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> "asyncio.Future[Sent]":
        tp = TopicPartition(topic, partition)
        future: asyncio.Future[Sent] = self._connection.loop.create_future()
        before = self._deliveries.get(tp)
        self._deliveries[tp] = self._connection.loop.create_task(self._deliver(tp, batch.messages, before, future))
        return future

    async def send_offsets_to_transaction(self, offsets: Mapping[TopicPartition, Any], group_id: str) -> None:
        positions = {tp: offset.offset for tp, offset in offsets.items()}
        broker, transactional_id, epoch = self._broker, self._id, self._epoch
        await self._guarded(
            self._connection.request(
                lambda: broker.add_offsets(transactional_id, epoch, self, positions), in_transaction=True
            )
        )

    async def commit_transaction(self) -> None:
        if self._fatal is not None:
            raise self._fatal
        await asyncio.shield(self._connection.loop.create_task(self._commit()))

    async def _commit(self) -> None:
        if self._deliveries:
            await asyncio.wait(list(self._deliveries.values()))
        broker, transactional_id, epoch = self._broker, self._id, self._epoch
        await self._guarded(
            self._connection.request(lambda: broker.end_transaction(transactional_id, epoch), in_transaction=True)
        )

    async def _deliver(
        self,
        tp: TopicPartition,
        messages: list[Any],
        before: "asyncio.Task[None] | None",
        future: "asyncio.Future[Sent]",
    ) -> None:
        broker, transactional_id, epoch, request = self._broker, self._id, self._epoch, self._connection.request
        try:
            if before is not None:
                await before
            if tp not in self._added:
                await request(lambda: broker.add_partition(transactional_id, epoch, self, tp), in_transaction=True)
                self._added.add(tp)
            if self._connection.rng.random() < self._connection.refused_batches:
                raise MessageSizeTooLargeError  # noqa: TRY301  # as the broker would
            offset = await request(
                lambda: broker.produce(transactional_id, epoch, self, tp, messages), in_transaction=True
            )
            if not future.done():
                future.set_result(Sent(offset))
        except Exception as exc:  # noqa: BLE001  # handed on
            if isinstance(exc, ProducerFenced):
                self._fatal = exc
            if not future.done():
                future.set_exception(exc)
                future.exception()  # seen

    async def _guarded(self, request: Awaitable[Any]) -> None:
        try:
            await request
        except ProducerFenced as exc:
            self._fatal = exc
            raise


class _State:
    """A partition of an assignment."""

    __slots__ = ("highwater", "last_stable_offset", "position")

    def __init__(self) -> None:
        self.position: int | None = None
        self.highwater: int | None = None
        self.last_stable_offset: int | None = None

    @property
    def has_valid_position(self) -> bool:
        return self.position is not None


class Assignment:
    """aiokafka's: a new object for each rebalance."""

    def __init__(self, tps: Iterable[TopicPartition]) -> None:
        self.states = {tp: _State() for tp in sorted(tps)}

    def state_value(self, tp: TopicPartition) -> _State | None:
        return self.states.get(tp)


class _Subscription:
    """aiokafka's."""

    def __init__(self) -> None:
        self.subscription = self
        self.assignment: Assignment | None = None

    def fetch_context(self) -> Any:
        return contextlib.nullcontext()


class SimulatedKafkaConsumer:
    """A read_committed consumer, with those inner parts of aiokafka's that the transport looks at."""

    _closed = False
    _max_poll_records = None

    def __init__(self, connection: Connection, most_records: int) -> None:
        self._connection = connection
        self._most_records = most_records
        self._subscription = self._subscriptions = _Subscription()
        self._fetcher = self._client = self

    # Inner parts

    @property
    def assigned(self) -> Assignment:
        assert self._subscription.assignment is not None, "nothing is assigned"
        return self._subscription.assignment

    async def _wait_on_metadata(self, topic: str) -> list[int]:
        return sorted(tp.partition for tp in self._connection.broker.logs if tp.topic == topic)

    async def fetched_records(
        self,
        active: Sequence[TopicPartition],
        timeout: float = 0,  # noqa: ASYNC109  # aiokafka's
        max_records: int | None = None,
    ) -> dict[TopicPartition, list[Record]]:
        """Records from where the consumer stands, or {} when the time is over."""
        loop, broker = self._connection.loop, self._connection.broker
        deadline = loop.time() + timeout
        assignment = self.assigned
        wanted = {
            tp: state for tp, state in assignment.states.items() if state.position is not None and tp in set(active)
        }
        answer = self._connection.request(lambda: self._wait_for_data(wanted, deadline))
        await answer
        found: dict[TopicPartition, list[Record]] = {}
        for tp, state in wanted.items():
            log = broker.log(*tp)
            assert state.position is not None
            most = self._connection.rng.randint(1, self._most_records)
            records, position = log.read(state.position, most)
            state.highwater, state.last_stable_offset = log.end, log.last_stable_offset
            if records:
                found[tp] = records
            state.position = position
        return found

    def _wait_for_data(self, wanted: Mapping[TopicPartition, _State], deadline: float) -> Any:
        """The broker's part of a fetch: hold it until there is something."""
        loop, broker = self._connection.loop, self._connection.broker
        if loop.time() >= deadline or not wanted:
            return True
        for tp, state in wanted.items():
            assert state.position is not None
            log = broker.log(*tp)
            if state.position < log.last_stable_offset or not log.begin <= state.position <= log.end:
                return True
        return broker.hold(wanted, deadline)

    # aiokafka's surface

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, tps: Iterable[TopicPartition]) -> None:
        self._subscription.assignment = Assignment(tps)

    def assignment(self) -> set[TopicPartition]:
        assignment = self._subscription.assignment
        return set() if assignment is None else set(assignment.states)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        state = self.assigned.state_value(tp)
        if state is None:
            raise ValueError("not assigned")
        state.position = offset

    async def position(self, tp: TopicPartition) -> int:
        state = self.assigned.state_value(tp)
        assert state is not None
        assert state.position is not None
        return state.position

    def highwater(self, tp: TopicPartition) -> int | None:
        state = self.assigned.state_value(tp)
        return None if state is None else state.highwater

    def last_stable_offset(self, tp: TopicPartition) -> int | None:
        state = self.assigned.state_value(tp)
        return None if state is None else state.last_stable_offset

    async def getmany(self, *tps: TopicPartition, timeout_ms: int = 0) -> dict[TopicPartition, list[Record]]:
        return await self.fetched_records(tps or tuple(self.assigned.states), timeout_ms / 1000)

    async def beginning_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        broker = self._connection.broker
        found: dict[TopicPartition, int] = await self._connection.request(
            lambda: {tp: broker.log(*tp).begin for tp in tps}
        )
        return found

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        broker = self._connection.broker
        found: dict[TopicPartition, int] = await self._connection.request(
            lambda: {tp: broker.log(*tp).last_stable_offset for tp in tps}
        )
        return found

    async def committed(self, tp: TopicPartition) -> int | None:
        broker = self._connection.broker
        found = await self._connection.request(lambda: (broker.group_offsets.get(tp),))
        offset: int | None = found[0]
        return offset


class Aiokafka:
    """Stands in for the module: its clients belong to the process that makes them."""

    def __init__(self, connections: Mapping[Process, Connection], most_records: int) -> None:
        self._connections = connections
        self._most_records = most_records

    def AIOKafkaProducer(self, **kwargs: Any) -> SimulatedProducer:  # noqa: N802  # aiokafka's name
        return SimulatedProducer(self._connections[running_strand().process], **kwargs)

    def AIOKafkaConsumer(self, **_: Any) -> SimulatedKafkaConsumer:  # noqa: N802  # aiokafka's name
        return SimulatedKafkaConsumer(self._connections[running_strand().process], self._most_records)
