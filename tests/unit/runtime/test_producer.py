"""The transactional producer against a broker that answers as the test says (KIP-98); Kafka itself: tests/broker, tests/faults."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    NodeNotReadyError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
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

from streams.runtime import producer as module
from streams.runtime.producer import Message, RefusedBatchError, TransactionalProducer

NOT_ENOUGH_REPLICAS, NOT_LEADER, NOT_COORDINATOR, LOADING, CONCURRENT = 19, 6, 16, 14, 51
PARTITION, ID, EPOCH = 3, 77, 5


class Broker:
    """Stands in for aiokafka's client. `trouble` has, by request, what the next answers are: an error code, or an exception."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.cluster = self
        self.unauthorized_topics: set[str] = set()
        self.leaders: dict[str, int | None] = {}
        self.requests: list[tuple[int, Any]] = []
        self.lookups: list[tuple[int, str]] = []
        self.updates = 0
        self.on_update: Callable[[], None] = lambda: None
        self.lookup_error: Exception | None = None
        self.is_open = False
        self.trouble: dict[str, list[int | Exception]] = {}
        self._offset = 100

    async def bootstrap(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def add_topic(self, topic: str) -> None: ...

    async def force_metadata_update(self) -> None:
        self.updates += 1
        self.on_update()

    def leader_for_partition(self, tp: TopicPartition) -> int | None:
        return self.leaders.get(tp.topic, 1)

    async def coordinator_lookup(self, kind: int, key: str) -> int:
        self.lookups.append((kind, key))
        if self.lookup_error is not None:
            raise self.lookup_error
        return 10 + len(self.lookups)

    async def send(self, node: int, request: Any) -> Any:
        built = request.prepare({request.API_KEY: (0, 99)})  # the newest version that aiokafka has
        self.requests.append((node, built))
        name = type(request).__name__
        code = self.trouble[name].pop(0) if self.trouble.get(name) else 0
        if isinstance(code, Exception):
            raise code
        match request:
            case InitProducerIdRequest():
                return SimpleNamespace(error_code=code, producer_id=ID, producer_epoch=EPOCH)
            case AddPartitionsToTxnRequest():
                # What the broker did not try because of another partition is OPERATION_NOT_ATTEMPTED
                errors = [(topic, [(p, 55 if code else 0) for p in partitions]) for topic, partitions in built.topics]
                if code:
                    errors[-1] = (errors[-1][0], [(PARTITION, code)])
                return SimpleNamespace(errors=errors)
            case ProduceRequest():
                topics = []
                for topic, partitions in built.topics:
                    answers = []
                    for partition, data in partitions:
                        of_topic = self.trouble.get(topic, [])
                        error = of_topic.pop(0) if of_topic else code
                        answers.append((partition, error, -1 if error else self._offset, -1, 0))
                        self._offset += 0 if error else len(list(DefaultRecordBatch(bytes(data))))
                    topics.append((topic, answers))
                return SimpleNamespace(topics=topics)
            case TxnOffsetCommitRequest():
                return SimpleNamespace(errors=[(t, [(p[0], code) for p in ps]) for t, ps in built.topics])
            case _:
                return SimpleNamespace(error_code=code)

    def sent(self, kind: type[Any]) -> list[Any]:
        return [built for _, built in self.requests if built.API_KEY == kind.API_KEY]

    def batches(self, topic: str) -> list[bytes]:
        """The record batches of a topic in the order in which they came, those that came again included."""
        return [
            bytes(data) for r in self.sent(ProduceRequest) for t, sent in r.topics for _, data in sent if t == topic
        ]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    made = Broker()

    def make(**options: Any) -> Broker:
        made.options = options
        return made

    monkeypatch.setattr(module, "AIOKafkaClient", make)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.0)
    return made


def tp(topic: str, partition: int = PARTITION) -> TopicPartition:
    return TopicPartition(topic, partition)


def with_producer(use: Callable[[TransactionalProducer], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        producer = TransactionalProducer(
            "app-3", transaction_timeout_seconds=15, acknowledge_seconds=20, client_id="lane"
        )
        async with asyncio.timeout(5):
            await producer.start()
            return await use(producer)

    return asyncio.run(run())


def messages(*values: bytes) -> Sequence[Message]:
    return [(b"key", value, [("header", b"x")]) for value in values]


def send(*topics: str, commit: bool = True) -> Callable[[TransactionalProducer], Coroutine[Any, Any, Any]]:
    async def use(producer: TransactionalProducer) -> dict[TopicPartition, int]:
        ends = await producer.send([batch for topic in topics for batch in producer.pack(tp(topic), messages(b"v"))])
        if commit:
            await producer.commit()
        return ends

    return use


def test_a_transaction_is_three_requests(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        packed = [
            *producer.pack(tp("decisions"), messages(b"one", b"two")),
            *producer.pack(tp("log"), messages(b"state")),
        ]
        assert await producer.send(packed) == {tp("decisions"): 102, tp("log"): 103}
        await producer.commit()
        await producer.stop()

    with_producer(use)
    init, add, produce, end = (built for _, built in broker.requests)
    assert (init.transactional_id, init.transaction_timeout_ms) == ("app-3", 15_000)
    for request in (add, end):
        assert (request.transactional_id, request.producer_id, request.producer_epoch) == ("app-3", ID, EPOCH)
    assert add.topics == [("decisions", [PARTITION]), ("log", [PARTITION])]
    assert (produce.transactional_id, produce.required_acks, produce.timeout) == ("app-3", -1, 20_000)
    assert end.transaction_result is True
    [decisions] = [DefaultRecordBatch(data) for data in broker.batches("decisions")]
    assert (decisions.producer_id, decisions.producer_epoch, decisions.base_sequence) == (ID, EPOCH, 0)
    assert decisions.is_transactional
    assert decisions.validate_crc()
    records = list(decisions)
    assert [(r.offset, r.key, r.value, r.headers) for r in records] == [
        (0, b"key", b"one", [("header", b"x")]),
        (1, b"key", b"two", [("header", b"x")]),
    ]
    assert broker.options == {"client_id": "lane"}
    assert broker.lookups == [(CoordinationType.TRANSACTION, "app-3")], "the coordinator is looked up once"
    assert not broker.is_open


def test_several_partitions_share_a_transaction_and_its_requests(broker: Broker) -> None:
    places = [tp("decisions", 1), tp("log", 1), tp("decisions", 2), tp("log", 2)]

    async def use(producer: TransactionalProducer) -> dict[TopicPartition, int]:
        ends: dict[TopicPartition, int] = {}
        for _ in range(2):
            ends = await producer.send([b for place in places for b in producer.pack(place, messages(b"v"))])
            await producer.commit()
        return ends

    assert with_producer(use) == {
        tp("decisions", 1): 105,
        tp("decisions", 2): 106,
        tp("log", 1): 107,
        tp("log", 2): 108,
    }
    assert [built.topics for built in broker.sent(AddPartitionsToTxnRequest)] == [
        [("decisions", [1, 2]), ("log", [1, 2])]
    ] * 2
    assert len(broker.sent(ProduceRequest)) == len(broker.sent(EndTxnRequest)) == 2
    sequences = [DefaultRecordBatch(data).base_sequence for data in broker.batches("log")]
    assert sequences == [0, 0, 1, 1], "each partition has its own numbers"


def test_record_batches_are_numbered_through_all_transactions(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        for values in ((b"a", b"b"), (b"c",), (b"d", b"e", b"f")):
            await producer.send(producer.pack(tp("log"), messages(*values)))
            await producer.commit()

    with_producer(use)
    assert [DefaultRecordBatch(data).base_sequence for data in broker.batches("log")] == [0, 2, 3]
    assert len(broker.sent(AddPartitionsToTxnRequest)) == 3, "each transaction begins anew"


def test_sequence_numbers_go_round_as_kafkas_do(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        producer._sequences[tp("log")] = 2**31 - 1
        for _ in range(2):
            await producer.send(producer.pack(tp("log"), messages(b"a", b"b")))

    with_producer(use)
    assert [DefaultRecordBatch(data).base_sequence for data in broker.batches("log")] == [2**31 - 1, 1]


def test_more_than_a_batch_holds_is_sent_in_order(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_BYTES", 250)
    values = [bytes([n]) * size for n, size in enumerate((50, 50, 50, 50, 900, 10, 10))]

    async def use(producer: TransactionalProducer) -> dict[TopicPartition, int]:
        packed = producer.pack(tp("decisions"), messages(*values)) + producer.pack(tp("log"), messages(b"state"))
        return await producer.send(packed)

    ends = with_producer(use)
    batches = [DefaultRecordBatch(data) for data in broker.batches("decisions")]
    assert len(batches) == 4
    assert [record.value for batch in batches for record in batch] == values
    assert [batch.base_sequence for batch in batches] == [0, 2, 4, 5]
    first, *others = broker.sent(ProduceRequest)
    assert [topic for topic, _ in first.topics] == ["decisions", "log"], "what can go together does"
    assert all([topic for topic, _ in request.topics] == ["decisions"] for request in others)
    assert ends == {tp("log"): 103, tp("decisions"): 108}, "the offset behind the last of them"
    assert len(broker.sent(AddPartitionsToTxnRequest)) == 1


def test_compressed_batches(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        await producer.send(producer.pack(tp("dead"), messages(b"x" * 5_000), compressed=True))

    with_producer(use)
    [data] = broker.batches("dead")
    assert len(data) < 500
    assert [record.value for record in DefaultRecordBatch(data)] == [b"x" * 5_000]


def test_nothing_to_pack(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        assert producer.pack(tp("log"), []) == []

    with_producer(use)


@pytest.mark.parametrize(
    "trouble", [KafkaConnectionError("broken"), NodeNotReadyError("away"), NOT_ENOUGH_REPLICAS, NOT_LEADER]
)
def test_a_record_batch_that_may_not_have_arrived_is_sent_again_as_it_was(
    broker: Broker, trouble: int | Exception
) -> None:
    broker.trouble["ProduceRequest"] = [trouble, trouble]
    assert with_producer(send("log")) == {tp("log"): 101}
    first, second, third = broker.batches("log")
    assert first == second == third
    assert len(broker.sent(EndTxnRequest)) == 1


def test_only_what_the_broker_lacks_is_sent_again(broker: Broker) -> None:
    broker.trouble["decisions"] = [NOT_ENOUGH_REPLICAS]
    with_producer(send("decisions", "log"))
    assert (len(broker.batches("decisions")), len(broker.batches("log"))) == (2, 1)


def test_a_new_leader_is_asked_for_where_the_old_one_is_not_it(broker: Broker) -> None:
    broker.trouble["ProduceRequest"] = [NOT_LEADER]
    broker.on_update = lambda: broker.leaders.update(log=2)
    with_producer(send("log"))
    assert [node for node, built in broker.requests if built.API_KEY == ProduceRequest.API_KEY] == [1, 2]


def test_each_leader_gets_its_own(broker: Broker) -> None:
    broker.leaders.update(decisions=1, log=2)
    assert with_producer(send("decisions", "log")).keys() == {tp("decisions"), tp("log")}
    sent = {node: built.topics[0][0] for node, built in broker.requests if built.API_KEY == ProduceRequest.API_KEY}
    assert sent == {1: "decisions", 2: "log"}


@pytest.mark.parametrize("leader", [None, -1])
def test_a_topic_without_a_leader_is_waited_for(broker: Broker, leader: int | None) -> None:
    broker.leaders["log"] = leader
    broker.on_update = lambda: broker.leaders.update(log=2 if broker.updates == 3 else leader)
    with_producer(send("log"))
    assert broker.updates == 3


def test_a_topic_that_must_not_be_seen_is_named(broker: Broker) -> None:
    broker.leaders["log"] = None
    broker.unauthorized_topics.add("log")
    with pytest.raises(TopicAuthorizationFailedError, match="log"):
        with_producer(send("log"))


@pytest.mark.parametrize("error", [MessageSizeTooLargeError, OutOfOrderSequenceNumber])
def test_a_refused_record_batch_is_never_committed(broker: Broker, error: type[Any]) -> None:
    broker.trouble["decisions"] = [error.errno]
    with pytest.raises(RefusedBatchError, match="decisions") as caught:
        with_producer(send("decisions", "log"))
    assert isinstance(caught.value.__cause__, error)
    assert not broker.sent(EndTxnRequest)


@pytest.mark.parametrize("code", [47, 90])
@pytest.mark.parametrize("request_name", ["AddPartitionsToTxnRequest", "ProduceRequest", "EndTxnRequest"])
def test_the_fence(broker: Broker, code: int, request_name: str) -> None:
    broker.trouble[request_name] = [code]
    with pytest.raises(ProducerFenced):
        with_producer(send("log"))
    assert not broker.trouble[request_name], "asked once"


@pytest.mark.parametrize("request_name", ["InitProducerIdRequest", "AddPartitionsToTxnRequest", "EndTxnRequest"])
@pytest.mark.parametrize("trouble", [KafkaConnectionError("broken"), NOT_COORDINATOR, LOADING, CONCURRENT])
def test_the_coordinator_is_asked_until_it_can_answer(
    broker: Broker, request_name: str, trouble: int | Exception
) -> None:
    broker.trouble[request_name] = [trouble, trouble]
    with_producer(send("decisions", "log"))
    attempts = [built for _, built in broker.requests if type(built).__name__.startswith(request_name)]
    assert len(attempts) == 3
    assert len({built.encode() for built in attempts}) == 1
    moved = not isinstance(trouble, int) or trouble == NOT_COORDINATOR
    assert len(broker.lookups) == (3 if moved else 1), "one that is not there any more is looked for"


def test_what_no_repetition_changes_is_raised(broker: Broker) -> None:
    for name in ("InitProducerIdRequest", "AddPartitionsToTxnRequest", "EndTxnRequest"):
        broker.trouble = {name: [48]}  # INVALID_TXN_STATE
        with pytest.raises(KafkaError, match="48"):
            with_producer(send("log"))


@pytest.mark.parametrize("request_name", ["AddPartitionsToTxnRequest", "ProduceRequest"])
def test_a_topic_that_must_not_be_written_is_named(broker: Broker, request_name: str) -> None:
    broker.trouble[request_name] = [29]
    with pytest.raises(TopicAuthorizationFailedError, match="log"):
        with_producer(send("log"))


def test_a_transactional_id_that_must_not_be_used_is_named(broker: Broker) -> None:
    broker.lookup_error = TransactionalIdAuthorizationFailed()
    with pytest.raises(TransactionalIdAuthorizationFailed, match="app-3"):
        with_producer(send("log"))


def test_the_groups_offsets(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        await producer.send(producer.pack(tp("log"), messages(b"v")))
        await producer.send_offsets("app", {tp("orders"): 7, tp("claims"): 5, tp("claims", 4): 6})
        await producer.commit()

    broker.trouble = {"AddOffsetsToTxnRequest": [CONCURRENT], "TxnOffsetCommitRequest": [NOT_COORDINATOR]}
    with_producer(use)
    assert {built.group_id for built in broker.sent(AddOffsetsToTxnRequest)} == {"app"}
    first, second = broker.sent(TxnOffsetCommitRequest)
    assert first.encode() == second.encode()
    assert first.topics == [("claims", [(PARTITION, 5, ""), (4, 6, "")]), ("orders", [(PARTITION, 7, "")])]
    assert broker.lookups == [(CoordinationType.TRANSACTION, "app-3"), *[(CoordinationType.GROUP, "app")] * 2]


def test_a_group_that_must_not_be_used_is_named(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        await producer.send(producer.pack(tp("log"), messages(b"v")))
        broker.lookup_error = GroupAuthorizationFailedError()
        await producer.send_offsets("app", {tp("claims"): 5})

    with pytest.raises(GroupAuthorizationFailedError, match="app"):
        with_producer(use)


def test_a_deadline_ends_the_attempts_and_the_last_trouble_is_known(broker: Broker) -> None:
    async def use(producer: TransactionalProducer) -> None:
        broker.trouble["ProduceRequest"] = [NOT_ENOUGH_REPLICAS] * 1_000_000
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await producer.send(producer.pack(tp("log"), messages(b"v")))
        assert type(producer.last_trouble).__name__ == "NotEnoughReplicasError"

    with_producer(use)


def test_pauses_grow_and_many_are_said_once(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.002)
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    broker.trouble["AddPartitionsToTxnRequest"] = [CONCURRENT] * 8
    with_producer(send("log"))
    assert slept == [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1]
    assert not caplog.messages
    broker.trouble["AddPartitionsToTxnRequest"] = [CONCURRENT] * 100
    with_producer(send("log"))
    assert caplog.messages == ["transactional id app-3 repeats a request to Kafka: ConcurrentTransactions"]


def test_an_empty_transaction_is_a_mistake(broker: Broker) -> None:
    with pytest.raises(AssertionError, match="nothing was sent"):
        with_producer(lambda producer: producer.commit())
