"""What stands in for aiokafka's client and consumer.

The producer above the client is the real one, down to the bytes of its record batches. The consumer keeps aiokafka's order of
things, its hole included: what is fetched is taken at the position where the consumer stands when the answer comes.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import (
    BrokerResponseError,
    ConcurrentTransactions,
    InvalidProducerEpoch,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    ProducerFenced,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    TxnOffsetCommitRequest,
)
from aiokafka.record.default_records import DefaultRecordBatch
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


class SimulatedClient:
    """aiokafka's client as a transactional producer uses it: requests as they go over the wire, and the broker's answers."""

    def __init__(self, connection: Connection, **_: Any) -> None:
        self.cluster = SimpleNamespace(unauthorized_topics=(), leader_for_partition=lambda tp: 0)
        self._connection = connection
        self._broker = connection.broker

    async def bootstrap(self) -> None: ...

    async def close(self) -> None:
        """An open transaction stays open."""

    async def force_metadata_update(self) -> bool:
        return True

    async def coordinator_lookup(self, kind: int, key: str) -> int:
        return 0

    async def send(self, node_id: int, request: Any) -> Any:
        built = request.prepare({request.API_KEY: (0, 99)})  # the newest version that aiokafka has
        answer = {
            InitProducerIdRequest: self._init_producer_id,
            AddPartitionsToTxnRequest: self._add_partitions,
            ProduceRequest: self._produce,
            AddOffsetsToTxnRequest: self._add_offsets,
            TxnOffsetCommitRequest: self._commit_offsets,
            EndTxnRequest: self._end,
        }[type(request)]
        return await self._connection.request(lambda: answer(built), in_transaction=True)

    def _init_producer_id(self, request: Any) -> Any:
        epoch = self._broker.init_producer_id(request.transactional_id, self)
        if epoch is None:
            return SimpleNamespace(error_code=ConcurrentTransactions.errno)
        return SimpleNamespace(error_code=0, producer_id=1, producer_epoch=epoch)

    def _add_partitions(self, request: Any) -> Any:
        errors = []
        for topic, partitions in request.topics:
            for partition in partitions:
                tp = TopicPartition(topic, partition)
                code = _code(self._broker.add_partition, request.transactional_id, request.producer_epoch, self, tp)
                errors.append((topic, [(partition, code)]))
        return SimpleNamespace(errors=errors)

    def _produce(self, request: Any) -> Any:
        return SimpleNamespace(
            topics=[
                (topic, [(partition, *self._append(request.transactional_id, TopicPartition(topic, partition), data))])
                for topic, partitions in request.topics
                for partition, data in partitions
            ]
        )

    def _append(self, transactional_id: str, tp: TopicPartition, data: bytes) -> tuple[int, int]:
        """Error code and offset."""
        if self._connection.rng.random() < self._connection.refused_batches:
            return MessageSizeTooLargeError.errno, -1
        if self._connection.rng.random() < 0.01:
            return NotEnoughReplicasError.errno, -1
        batch = DefaultRecordBatch(bytes(data))
        try:
            return 0, self._broker.produce(transactional_id, tp, batch)
        except (BrokerResponseError, ProducerFenced) as exc:
            return _errno(exc), -1

    def _add_offsets(self, request: Any) -> Any:
        code = _code(self._broker.add_offsets, request.transactional_id, request.producer_epoch, self, {})
        return SimpleNamespace(error_code=code)

    def _commit_offsets(self, request: Any) -> Any:
        offsets = {
            TopicPartition(topic, partition): offset
            for topic, partitions in request.topics
            for partition, offset, _ in partitions
        }
        code = _code(self._broker.add_offsets, request.transactional_id, request.producer_epoch, self, offsets)
        return SimpleNamespace(errors=[(tp.topic, [(tp.partition, code)]) for tp in offsets])

    def _end(self, request: Any) -> Any:
        code = _code(self._broker.end_transaction, request.transactional_id, request.producer_epoch)
        return SimpleNamespace(error_code=code)


def _code(ask: Callable[..., bool], *args: Any) -> int:
    """The broker's answer as an error code; False means: ask again."""
    try:
        return 0 if ask(*args) else int(ConcurrentTransactions.errno)
    except (BrokerResponseError, ProducerFenced) as exc:
        return _errno(exc)


def _errno(exc: Exception) -> int:
    return int(InvalidProducerEpoch.errno if isinstance(exc, ProducerFenced) else exc.errno)  # type: ignore[attr-defined]


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

    def AIOKafkaClient(self, **kwargs: Any) -> SimulatedClient:  # noqa: N802  # aiokafka's name
        return SimulatedClient(self._connections[running_strand().process], **kwargs)

    def AIOKafkaConsumer(self, **_: Any) -> SimulatedKafkaConsumer:  # noqa: N802  # aiokafka's name
        return SimulatedKafkaConsumer(self._connections[running_strand().process], self._most_records)
