"""A transactional producer that does one thing after the other (KIP-98), on aiokafka's connections and requests.

aiokafka's own producer has a sender in the background, which a lane has no use for: it hands over whole batches, and waits. On an
event loop that twelve lanes keep busy each hand-over costs a turn: of 48 ms that a transaction took at 1,000 facts/s, 20 were
spent in its three requests and 28 between them (docs/adr/0012). Here the lane's task sends a request and goes on with its answer.
aiokafka's producer also commits behind a record batch that the broker refused; here `send` raises.

What may not have arrived is sent again as it was: the broker knows a record batch by its sequence number, and the other requests
may come twice. There is no limit of attempts: whoever calls puts a deadline around it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    InvalidProducerEpoch,
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    NotCoordinatorError,
    OperationNotAttempted,
    ProducerFenced,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    TxnOffsetCommitRequest,
)
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from streams.runtime.processor import Headers

log = logging.getLogger(__name__)

MAX_BATCH_BYTES = 1_000_000
"""Just below Kafka's default limit of a record batch (message.max.bytes = 1,048,588)."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.1
"""Before a request is sent again; twice as long each time. The first one is the usual one: a transaction begins before the last
one's markers are written, which takes some milliseconds (ConcurrentTransactions, and NotEnoughReplicas for a record batch)."""

SAY_AFTER_SECONDS = 3.0
"""When repeating is said in the log. A coordinator's first start, when Kafka makes its topics, takes a second or two."""

Message = tuple[bytes | None, bytes | None, Headers]
"""Key, value, headers."""

_Coordinator = tuple[CoordinationType, str]
"""Of a transactional id, or of a group."""

_FENCED = (InvalidProducerEpoch.errno, 90)  # 90: PRODUCER_FENCED, which aiokafka has no class for
_MOVED = (NotCoordinatorError, CoordinatorNotAvailableError, RequestTimedOutError)


class RecordBatch(NamedTuple):
    """Records for one partition of a topic, as the broker stores them."""

    topic: str
    records: int
    data: bytes


class RefusedBatchError(KafkaError):  # type: ignore[misc]
    """The broker does not take a record batch, however often it is sent. Its cause says why."""

    def __init__(self, topic: str) -> None:
        super().__init__(topic)
        self.topic = topic


class TransactionalProducer:
    """Publishes for one partition number of all topics under a transactional id. Not used again after an error."""

    def __init__(
        self,
        transactional_id: str,
        partition: int,
        *,
        transaction_timeout_seconds: float,
        acknowledge_seconds: float,
        **client: Any,
    ) -> None:
        self.last_trouble: KafkaError | None = None
        """Why something of this transaction was last sent again: what a deadline that has passed was waiting for."""
        self._transactional_id = transactional_id
        self._partition = partition
        self._transaction_timeout_ms = int(transaction_timeout_seconds * 1000)
        self._acknowledge_ms = int(acknowledge_seconds * 1000)
        self._client = AIOKafkaClient(**client)
        self._producer_id = self._epoch = -1
        self._sequences: dict[str, int] = {}  # of the next record, by topic
        self._added: set[str] = set()  # topics that are part of the running transaction
        self._own_coordinator = CoordinationType.TRANSACTION, transactional_id
        self._nodes: dict[_Coordinator, int] = {}  # the coordinators that are known

    async def start(self) -> None:
        """Connect and take the transactional id over: fences who had it, and settles its open transaction."""
        await self._client.bootstrap()
        request = InitProducerIdRequest(self._transactional_id, self._transaction_timeout_ms)
        answer = await self._ask(self._own_coordinator, request, _one_code)
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch

    async def stop(self) -> None:
        """Close the connections. An open transaction stays open."""
        await self._client.close()

    def pack(self, topic: str, messages: Iterable[Message], *, compressed: bool = False) -> list[RecordBatch]:
        """Batches of these records. Each must be sent, in this order: they are numbered."""
        timestamp_ms = int(time.time() * 1000)
        packed: list[RecordBatch] = []
        builder, count = self._builder(topic, compressed=compressed), 0
        for key, value, headers in messages:
            if builder.append(count, timestamp_ms, key, value, list(headers)) is None:
                packed.append(self._packed(topic, builder, count))
                builder, count = self._builder(topic, compressed=compressed), 0
                added = builder.append(count, timestamp_ms, key, value, list(headers))
                assert added is not None, "an empty batch takes a record of any size"
            count += 1
        if count:
            packed.append(self._packed(topic, builder, count))
        return packed

    async def send(self, batches: Sequence[RecordBatch]) -> dict[str, int]:
        """Send in the running transaction, or begin one. Returns the offset behind the last record of each topic.

        Raises RefusedBatchError; nothing of the transaction must be committed then.
        """
        self.last_trouble = None
        await self._add_partitions(batch.topic for batch in batches)
        ends: dict[str, int] = {}
        for together in _one_a_topic(batches):
            ends |= await self._produce(together)
        return ends

    async def send_offsets(self, group_id: str, offsets: Sequence[tuple[str, int]]) -> None:
        """Add the group's offsets, by topic, to the running transaction."""
        await self._ask(
            self._own_coordinator,
            AddOffsetsToTxnRequest(self._transactional_id, self._producer_id, self._epoch, group_id),
            lambda answer: [(group_id, answer.error_code)],
        )
        await self._ask(
            (CoordinationType.GROUP, group_id),
            TxnOffsetCommitRequest(
                self._transactional_id,
                group_id,
                self._producer_id,
                self._epoch,
                [(topic, [(self._partition, offset, "")]) for topic, offset in offsets],
            ),
            lambda answer: [(group_id, code) for _, partitions in answer.errors for _, code in partitions],
        )

    async def commit(self) -> None:
        """Commit the running transaction. Returns when it is decided; its markers are written a little later."""
        assert self._added, "nothing was sent"
        self.last_trouble = None
        request = EndTxnRequest(self._transactional_id, self._producer_id, self._epoch, True)
        await self._ask(self._own_coordinator, request, _one_code)
        self._added.clear()

    def say_trouble(self) -> None:
        """Tell the log why a request is being repeated."""
        what = type(self.last_trouble).__name__
        log.warning("transactional id %s repeats a request to Kafka: %s", self._transactional_id, what)

    # Record batches

    def _builder(self, topic: str, *, compressed: bool) -> Any:
        codec = DefaultRecordBatch.CODEC_GZIP if compressed else DefaultRecordBatch.CODEC_NONE
        sequence = self._sequences.get(topic, 0)
        return DefaultRecordBatchBuilder(2, codec, 1, self._producer_id, self._epoch, sequence, MAX_BATCH_BYTES)

    def _packed(self, topic: str, builder: Any, count: int) -> RecordBatch:
        self._sequences[topic] = (self._sequences.get(topic, 0) + count) & 0x7FFFFFFF  # Kafka's go round like this
        return RecordBatch(topic, count, builder.build())

    async def _produce(self, batches: dict[str, RecordBatch]) -> dict[str, int]:
        """One batch of each topic, until the broker has them all."""
        ends: dict[str, int] = {}
        pause = _Pause(self)
        while left := [batch for topic, batch in batches.items() if topic not in ends]:
            by_leader: dict[int, list[RecordBatch]] = {}
            for batch in left:
                by_leader.setdefault(await self._leader(batch.topic), []).append(batch)
            if len(by_leader) == 1:
                [(leader, its)] = by_leader.items()
                ends |= await self._produce_to(leader, its)
            else:
                for part in await asyncio.gather(*(self._produce_to(*its) for its in by_leader.items())):
                    ends |= part
            if len(ends) < len(batches):
                await pause()
        return ends

    async def _produce_to(self, leader: int, batches: Sequence[RecordBatch]) -> dict[str, int]:
        """What the broker took of it; the rest is to be sent again."""
        request = ProduceRequest(
            self._transactional_id,
            -1,  # acks of all replicas in sync
            self._acknowledge_ms,
            [(batch.topic, [(self._partition, batch.data)]) for batch in batches],
        )
        ends: dict[str, int] = {}
        try:
            answer = await self._client.send(leader, request)
        except KafkaError as exc:
            await self._note(exc)
            return ends
        counts = {batch.topic: batch.records for batch in batches}
        for topic, partitions in answer.topics:
            for _, code, offset, *_ in partitions:
                error = _error(code, topic)
                if error is None:
                    ends[topic] = offset + counts[topic]
                elif error.retriable or isinstance(error, ProducerFenced | TopicAuthorizationFailedError):
                    await self._note(error)
                else:
                    raise RefusedBatchError(topic) from error
        return ends

    async def _leader(self, topic: str) -> int:
        cluster, tp, pause = self._client.cluster, TopicPartition(topic, self._partition), _Pause(self)
        while (leader := cluster.leader_for_partition(tp)) in (None, -1):
            if topic in cluster.unauthorized_topics:
                raise TopicAuthorizationFailedError(topic)
            self.last_trouble = LeaderNotAvailableError(topic)
            await self._client.add_topic(topic)
            await pause()
            await self._client.force_metadata_update()
        return int(leader)

    # The coordinators

    async def _add_partitions(self, topics: Iterable[str]) -> None:
        new = [topic for topic in dict.fromkeys(topics) if topic not in self._added]
        if not new:
            return
        await self._ask(
            self._own_coordinator,
            AddPartitionsToTxnRequest(
                self._transactional_id, self._producer_id, self._epoch, [(topic, [self._partition]) for topic in new]
            ),
            lambda answer: [(topic, code) for topic, partitions in answer.errors for _, code in partitions],
        )
        self._added.update(new)

    async def _ask(
        self,
        coordinator: _Coordinator,
        request: Any,
        outcomes: Callable[[Any], Iterable[tuple[str | None, int]]],
    ) -> Any:
        """The coordinator's answer, once it has no error. `outcomes` are its error codes, each with what it is about."""
        pause = _Pause(self)
        while True:
            try:
                answer = await self._client.send(await self._node_of(coordinator), request)
            except KafkaError as exc:
                await self._note(exc)
                self._nodes.pop(coordinator, None)
            else:
                errors = [error for about, code in outcomes(answer) if (error := _error(code, about)) is not None]
                if not errors:
                    return answer
                for error in errors:
                    await self._note(error)
                    if isinstance(error, _MOVED):
                        self._nodes.pop(coordinator, None)
            await pause()

    async def _node_of(self, coordinator: _Coordinator) -> int:
        if coordinator not in self._nodes:
            try:
                self._nodes[coordinator] = await self._client.coordinator_lookup(*coordinator)
            except (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed) as exc:
                raise type(exc)(coordinator[1]) from exc
        return self._nodes[coordinator]

    async def _note(self, error: KafkaError) -> None:
        """Raise what no repetition changes; else see to it that the next attempt may go better."""
        if not (error.retriable or isinstance(error, ConcurrentTransactions | OperationNotAttempted)):
            raise error
        self.last_trouble = error
        if error.invalid_metadata:
            await self._client.force_metadata_update()


class _Pause:
    """Between attempts. Says once when they take long."""

    def __init__(self, producer: TransactionalProducer) -> None:
        self._producer = producer
        self._seconds = FIRST_PAUSE_SECONDS
        self._waited_seconds = 0.0

    async def __call__(self) -> None:
        await asyncio.sleep(self._seconds)
        before, self._waited_seconds = self._waited_seconds, self._waited_seconds + self._seconds
        if before < SAY_AFTER_SECONDS <= self._waited_seconds:
            self._producer.say_trouble()
        self._seconds = min(2 * self._seconds, LONGEST_PAUSE_SECONDS)


def _one_code(answer: Any) -> Iterable[tuple[str | None, int]]:
    return ((None, answer.error_code),)


def _error(code: int, about: str | None) -> KafkaError | None:
    if code == NoError.errno:
        return None
    if code in _FENCED:
        return ProducerFenced()
    return for_code(code)() if about is None else for_code(code)(about)


def _one_a_topic(batches: Sequence[RecordBatch]) -> Iterable[dict[str, RecordBatch]]:
    """The first batch of each topic, then the second of each that has one, and so on."""
    rounds: list[dict[str, RecordBatch]] = []
    sent: dict[str, int] = {}
    for batch in batches:
        number = sent.get(batch.topic, 0)
        sent[batch.topic] = number + 1
        if number == len(rounds):
            rounds.append({})
        rounds[number][batch.topic] = batch
    return rounds
