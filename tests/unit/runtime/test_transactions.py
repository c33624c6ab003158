"""What lanes have ready goes into one transaction. Who may write a partition: tests/simulation, tests/broker."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced
from aiokafka.structs import TopicPartition

from streams.runtime import transactions
from streams.runtime.failure import LaneFencedError, WorkerFailure
from streams.runtime.processor import OutputRecord
from streams.runtime.producer import Message, RecordBatch, RefusedBatchError
from streams.runtime.settings import LaneSettings
from streams.runtime.transactions import Part, Writer

SETTINGS = LaneSettings("127.0.0.1:1", "app", ("facts",), 4, commit_timeout_seconds=0.5)
CHANGELOG = SETTINGS.changelog_topic


class Producer:
    """Stands in for the transactional producer: notes transactions, each a list of what it has by partition."""

    made: list["Producer"]

    def __init__(self, transactional_id: str, **_: Any) -> None:
        self.transactional_id = transactional_id
        self.last_trouble = None
        self.started = 0
        self.committed: list[dict[TopicPartition, list[bytes | None]]] = []
        self.offsets: list[Mapping[TopicPartition, int]] = []
        self.compressed: set[TopicPartition] = set()
        self.trouble: Exception | None = None
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._open: dict[TopicPartition, list[bytes | None]] = {}
        self._packed: dict[TopicPartition, list[bytes | None]] = {}
        self._end = 100
        self.made.append(self)

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None: ...

    def pack(self, tp: TopicPartition, messages: Sequence[Message], *, compressed: bool = False) -> list[RecordBatch]:
        messages = list(messages)
        self._packed[tp] = [value for _, value, _ in messages]
        if compressed:
            self.compressed.add(tp)
        return [RecordBatch(tp, len(messages), b"".join(value or b"" for _, value, _ in messages))]

    async def send(self, batches: Sequence[RecordBatch]) -> dict[TopicPartition, int]:
        await self.may_go_on.wait()
        if self.trouble is not None:
            raise self.trouble
        ends = {}
        for batch in batches:
            self._open[batch.tp] = self._packed.pop(batch.tp)
            ends[batch.tp] = self._end = self._end + 1
        return ends

    async def send_offsets(self, group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
        assert group_id == "app"
        self.offsets.append(offsets)

    async def commit(self) -> None:
        self.committed.append(self._open)
        self._open = {}


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    Producer.made = []
    monkeypatch.setattr(transactions, "TransactionalProducer", Producer)
    return Producer.made


def with_writer(use: Callable[[Writer, Producer], Coroutine[Any, Any, Any]], settings: LaneSettings = SETTINGS) -> None:
    async def run() -> None:
        writer = Writer(settings, lambda step: None)
        await writer.start()
        async with asyncio.timeout(5):
            await use(writer, Producer.made[0])
        await writer.stop()

    asyncio.run(run())


def part(partition: int, value: bytes = b"state", **more: Any) -> Part:
    return Part(partition, [OutputRecord("decisions", b"key", b"paid", ())], {b"key": value}, **more)


def log(partition: int) -> TopicPartition:
    return TopicPartition(CHANGELOG, partition)


def test_what_comes_while_a_transaction_runs_goes_into_the_next_one_together() -> None:
    async def use(writer: Writer, producer: Producer) -> None:
        producer.may_go_on.clear()
        first = asyncio.create_task(writer.commit(part(0)))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(writer.commit(part(n, b"%d" % n))) for n in (1, 2, 3)]
        await asyncio.sleep(0.01)
        assert not producer.committed
        producer.may_go_on.set()
        assert await first == 102
        assert await asyncio.gather(*others) == [104, 106, 108], "each lane gets the end of its own changelog"
        assert [sorted({tp.partition for tp in committed}) for committed in producer.committed] == [[0], [1, 2, 3]]
        assert producer.committed[1][log(2)] == [b"2"]

    with_writer(use)


def test_a_lane_that_goes_on_at_once_is_in_the_next_transaction_with_those_that_waited() -> None:
    async def use(writer: Writer, producer: Producer) -> None:
        async def lane(partition: int) -> None:
            for number in range(3):
                await writer.commit(part(partition, b"%d" % number))

        producer.may_go_on.clear()
        first = asyncio.create_task(lane(0))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(lane(n)) for n in (1, 2)]
        await asyncio.sleep(0.01)
        producer.may_go_on.set()
        await asyncio.gather(first, *others)
        together = [sorted({tp.partition for tp in committed}) for committed in producer.committed]
        assert together == [[0], [0, 1, 2], [0, 1, 2], [1, 2]]

    with_writer(use)


def test_the_groups_offsets_of_all_its_parts_go_with_a_transaction() -> None:
    async def use(writer: Writer, producer: Producer) -> None:
        producer.may_go_on.clear()
        lanes = [
            asyncio.create_task(writer.commit(part(n, group_offsets={"facts": n * 10} if n else {}))) for n in (0, 1, 2)
        ]
        await asyncio.sleep(0.01)
        producer.may_go_on.set()
        await asyncio.gather(*lanes)
        assert producer.offsets == [{TopicPartition("facts", 1): 10, TopicPartition("facts", 2): 20}]

    with_writer(use)


def test_a_transaction_that_is_large_enough_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "TRANSACTION_BYTES", 1_000)

    async def use(writer: Writer, producer: Producer) -> None:
        producer.may_go_on.clear()
        lanes = [asyncio.create_task(writer.commit(part(n, b"x" * 600))) for n in range(4)]
        await asyncio.sleep(0.01)
        producer.may_go_on.set()
        await asyncio.gather(*lanes)
        assert [sorted({tp.partition for tp in committed}) for committed in producer.committed] == [[0, 1], [2, 3]]

    with_writer(use)


def test_dead_letters_are_compressed() -> None:
    letter = OutputRecord(SETTINGS.dead_letter_topic, b"key", b"x", ())

    async def use(writer: Writer, producer: Producer) -> None:
        await writer.commit(Part(1, [letter], {b"key": b"state"}))
        assert producer.compressed == {TopicPartition(SETTINGS.dead_letter_topic, 1)}

    with_writer(use)


@pytest.mark.parametrize(
    ("trouble", "failure", "says"),
    [
        (ProducerFenced(), LaneFencedError, "partition 0, 1 was taken over"),
        (
            MessageSizeTooLargeError(),
            WorkerFailure,
            "refused a transaction of partition 0, 1: MessageSizeTooLargeError",
        ),
        (RefusedBatchError(TopicPartition("decisions", 1)), WorkerFailure, "a record batch for decisions/1"),
        (TimeoutError(), WorkerFailure, "did not take a transaction of partition 0, 1 within"),
    ],
)
def test_a_failure_is_every_lanes_and_for_good(trouble: Exception, failure: type[Exception], says: str) -> None:
    async def use(writer: Writer, producer: Producer) -> None:
        producer.trouble = trouble
        ends = await asyncio.gather(writer.commit(part(0)), writer.commit(part(1)), return_exceptions=True)
        assert all(isinstance(end, failure) and says in str(end) for end in ends), ends
        producer.trouble = None
        with pytest.raises(failure):
            await writer.commit(part(2))
        assert not producer.committed

    with_writer(use)


def test_what_cannot_be_packed_is_a_failure_too_and_nobody_waits_for_it() -> None:
    mistaken = Part(0, [OutputRecord(CHANGELOG, b"key", b"x", ())], {b"key": b"state"})

    async def use(writer: Writer, producer: Producer) -> None:
        ends = await asyncio.gather(writer.commit(mistaken), writer.commit(part(1)), return_exceptions=True)
        assert ["outputs go to other topics" in str(end) for end in ends] == [True, True]
        assert all(isinstance(end, AssertionError) for end in ends)
        assert not producer.committed

    with_writer(use)


def test_no_answer_in_time_is_a_failure_of_those_that_wait_behind_it_too() -> None:
    async def use(writer: Writer, producer: Producer) -> None:
        producer.may_go_on.clear()
        first = asyncio.create_task(writer.commit(part(0)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(writer.commit(part(1)))
        for lane in (first, second):
            with pytest.raises(WorkerFailure, match="within 0 s"):
                await lane

    with_writer(use)


def test_a_writer_is_fenced_once_however_many_partitions_name_it(made: list[Producer]) -> None:
    async def use(writer: Writer, _: Producer) -> None:
        await asyncio.gather(*(writer.fence("app-writer--1") for _ in range(3)), writer.fence("app-writer--2"))
        await writer.fence("app-writer--1")
        await writer.fence(writer.transactional_id)
        assert [(producer.transactional_id, producer.started) for producer in made[1:]] == [
            ("app-writer--1", 1),
            ("app-writer--2", 1),
        ]

    with_writer(use)


@pytest.mark.parametrize(
    ("instance", "former", "seconds"),
    [
        (None, "app-writer--aa", SETTINGS.give_back_seconds),
        ("one", "app-writer-one-aa", 0.0),
        ("one", "app-writer-another-aa", SETTINGS.give_back_seconds),
        ("one", "app-writer--aa", SETTINGS.give_back_seconds),
        ("a-b", "app-writer-a-aa", SETTINGS.give_back_seconds),
    ],
)
def test_nothing_is_expected_of_this_instances_former_process(
    instance: str | None, former: str, seconds: float
) -> None:
    writer = Writer(LaneSettings("127.0.0.1:1", "app", ("facts",), 4, instance_id=instance), lambda step: None)
    assert writer.patience_seconds(former) == seconds
