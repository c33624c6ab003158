"""A transactional producer that does one thing after the other (KIP-98), on aiokafka's connections and requests.

aiokafka's own producer has a sender in the background, which lanes have no use for: they hand over whole batches, and wait. On an
event loop that twelve lanes keep busy each hand-over costs a turn: of 48 ms that a transaction took at 1,000 facts/s, 20 were
spent in its three requests and 28 between them (docs/adr/0012). Here one task sends a request and goes on with its answer.
aiokafka's producer also commits behind a record batch that the broker refused; here `send` raises.

What may not have arrived is sent again as it was: the broker knows a record batch by its sequence number, and the other requests
may come twice. There is no limit of attempts: whoever calls puts a deadline around it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    tp: TopicPartition
    records: int
    data: bytes


class RefusedBatchError(KafkaError):  # type: ignore[misc]
    """The broker does not take a record batch, however often it is sent. Its cause says why."""

    def __init__(self, tp: TopicPartition) -> None:
        super().__init__(tp.topic)
        self.tp = tp


class TransactionalProducer:
    """Publishes under a transactional id. Not used again after an error."""

    def __init__(
        self,
        transactional_id: str,
        *,
        transaction_timeout_seconds: float,
        acknowledge_seconds: float,
        **client: Any,
    ) -> None:
        self.last_trouble: KafkaError | None = None
        """Why something of this transaction was last sent again: what a deadline that has passed was waiting for."""
        self.transactional_id = transactional_id
        self._transaction_timeout_ms = int(transaction_timeout_seconds * 1000)
        self._acknowledge_ms = int(acknowledge_seconds * 1000)
        self._client = AIOKafkaClient(**client)
        self._producer_id = self._epoch = -1
        self._sequences: dict[TopicPartition, int] = {}  # of the next record
        self._added: set[TopicPartition] = set()  # what is part of the running transaction
        self._own_coordinator = CoordinationType.TRANSACTION, transactional_id
        self._nodes: dict[_Coordinator, int] = {}  # the coordinators that are known

    async def start(self) -> None:
        """Connect and take the transactional id over: fences who had it, and settles its open transaction."""
        await self._client.bootstrap()
        request = InitProducerIdRequest(self.transactional_id, self._transaction_timeout_ms)
        answer = await self._ask(self._own_coordinator, request, _one_code)
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch

    async def stop(self) -> None:
        """Close the connections. An open transaction stays open."""
        await self._client.close()

    def pack(self, tp: TopicPartition, messages: Iterable[Message], *, compressed: bool = False) -> list[RecordBatch]:
        """Batches of these records. Each must be sent, in this order: they are numbered."""
        timestamp_ms = int(time.time() * 1000)
        packed: list[RecordBatch] = []
        builder, count = self._builder(tp, compressed=compressed), 0
        for key, value, headers in messages:
            if builder.append(count, timestamp_ms, key, value, list(headers)) is None:
                packed.append(self._packed(tp, builder, count))
                builder, count = self._builder(tp, compressed=compressed), 0
                added = builder.append(count, timestamp_ms, key, value, list(headers))
                assert added is not None, "an empty batch takes a record of any size"
            count += 1
        if count:
            packed.append(self._packed(tp, builder, count))
        return packed

    async def send(self, batches: Sequence[RecordBatch]) -> dict[TopicPartition, int]:
        """Send in the running transaction, or begin one. Returns the offset behind the last record of each partition.

        Raises RefusedBatchError; nothing of the transaction must be committed then.
        """
        self.last_trouble = None
        await self._add_partitions(batch.tp for batch in batches)
        ends: dict[TopicPartition, int] = {}
        for together in _one_a_partition(batches):
            ends |= await self._produce(together)
        return ends

    async def send_offsets(self, group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Add the group's offsets to the running transaction."""
        await self._ask(
            self._own_coordinator,
            AddOffsetsToTxnRequest(self.transactional_id, self._producer_id, self._epoch, group_id),
            lambda answer: [(group_id, answer.error_code)],
        )
        by_topic: dict[str, list[tuple[int, int, str]]] = {}
        for tp, offset in sorted(offsets.items()):
            by_topic.setdefault(tp.topic, []).append((tp.partition, offset, ""))
        await self._ask(
            (CoordinationType.GROUP, group_id),
            TxnOffsetCommitRequest(
                self.transactional_id, group_id, self._producer_id, self._epoch, list(by_topic.items())
            ),
            lambda answer: [(group_id, code) for _, partitions in answer.errors for _, code in partitions],
        )

    async def commit(self) -> None:
        """Commit the running transaction. Returns when it is decided; its markers are written a little later."""
        assert self._added, "nothing was sent"
        self.last_trouble = None
        request = EndTxnRequest(self.transactional_id, self._producer_id, self._epoch, True)
        await self._ask(self._own_coordinator, request, _one_code)
        self._added.clear()

    def say_trouble(self) -> None:
        """Tell the log why a request is being repeated."""
        what = type(self.last_trouble).__name__
        log.warning("transactional id %s repeats a request to Kafka: %s", self.transactional_id, what)

    # Record batches

    def _builder(self, tp: TopicPartition, *, compressed: bool) -> Any:
        codec = DefaultRecordBatch.CODEC_GZIP if compressed else DefaultRecordBatch.CODEC_NONE
        sequence = self._sequences.get(tp, 0)
        return DefaultRecordBatchBuilder(2, codec, 1, self._producer_id, self._epoch, sequence, MAX_BATCH_BYTES)

    def _packed(self, tp: TopicPartition, builder: Any, count: int) -> RecordBatch:
        self._sequences[tp] = (self._sequences.get(tp, 0) + count) & 0x7FFFFFFF  # Kafka's go round like this
        return RecordBatch(tp, count, builder.build())

    async def _produce(self, batches: dict[TopicPartition, RecordBatch]) -> dict[TopicPartition, int]:
        """One batch of each partition, until the broker has them all."""
        ends: dict[TopicPartition, int] = {}
        pause = _Pause(self)
        while left := [batch for tp, batch in batches.items() if tp not in ends]:
            by_leader: dict[int, list[RecordBatch]] = {}
            for batch in left:
                by_leader.setdefault(await self._leader(batch.tp), []).append(batch)
            if len(by_leader) == 1:
                [(leader, its)] = by_leader.items()
                ends |= await self._produce_to(leader, its)
            else:
                for part in await asyncio.gather(*(self._produce_to(*its) for its in by_leader.items())):
                    ends |= part
            if len(ends) < len(batches):
                await pause()
        return ends

    async def _produce_to(self, leader: int, batches: Sequence[RecordBatch]) -> dict[TopicPartition, int]:
        """What the broker took of it; the rest is to be sent again."""
        by_topic: dict[str, list[tuple[int, bytes]]] = {}
        for batch in batches:
            by_topic.setdefault(batch.tp.topic, []).append((batch.tp.partition, batch.data))
        request = ProduceRequest(
            self.transactional_id,
            -1,  # acks of all replicas in sync
            self._acknowledge_ms,
            list(by_topic.items()),
        )
        ends: dict[TopicPartition, int] = {}
        try:
            answer = await self._client.send(leader, request)
        except KafkaError as exc:
            await self._note(exc)
            return ends
        counts = {batch.tp: batch.records for batch in batches}
        for topic, partitions in answer.topics:
            for partition, code, offset, *_ in partitions:
                tp = TopicPartition(topic, partition)
                error = _error(code, topic)
                if error is None:
                    ends[tp] = offset + counts[tp]
                elif error.retriable or isinstance(error, ProducerFenced | TopicAuthorizationFailedError):
                    await self._note(error)
                else:
                    raise RefusedBatchError(tp) from error
        return ends

    async def _leader(self, tp: TopicPartition) -> int:
        cluster, pause = self._client.cluster, _Pause(self)
        while (leader := cluster.leader_for_partition(tp)) in (None, -1):
            if tp.topic in cluster.unauthorized_topics:
                raise TopicAuthorizationFailedError(tp.topic)
            self.last_trouble = LeaderNotAvailableError(tp.topic)
            await self._client.add_topic(tp.topic)
            await pause()
            await self._client.force_metadata_update()
        return int(leader)

    # The coordinators

    async def _add_partitions(self, tps: Iterable[TopicPartition]) -> None:
        new = [tp for tp in dict.fromkeys(tps) if tp not in self._added]
        if not new:
            return
        by_topic: dict[str, list[int]] = {}
        for tp in new:
            by_topic.setdefault(tp.topic, []).append(tp.partition)
        await self._ask(
            self._own_coordinator,
            AddPartitionsToTxnRequest(self.transactional_id, self._producer_id, self._epoch, list(by_topic.items())),
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


def _one_a_partition(batches: Sequence[RecordBatch]) -> Iterable[dict[TopicPartition, RecordBatch]]:
    """The first batch of each partition, then the second of each that has one, and so on."""
    rounds: list[dict[TopicPartition, RecordBatch]] = []
    sent: dict[TopicPartition, int] = {}
    for batch in batches:
        number = sent.get(batch.tp, 0)
        sent[batch.tp] = number + 1
        if number == len(rounds):
            rounds.append({})
        rounds[number][batch.tp] = batch
    return rounds
