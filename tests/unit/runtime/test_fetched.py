"""A fetched record comes out of aiokafka as the lanes have it."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from kafka.record.default_records import DefaultRecordBatch as KafkaPythonBatch

from streams.header_names import forgive_in_kafka_python
from streams.runtime.fetched import FetchedBatches, InputRecords, as_input_records
from streams.runtime.processor import InputRecord

TP = TopicPartition("claims", 3)
CONTENT = [
    (1_700_000_000_000, b"pt-1", b"one", [("ce_id", b"e-1"), ("traceparent", b"00-1")]),
    (1_700_000_000_005, None, b"two", []),
    (1_700_000_000_003, b"pt-3", None, [("ce_id", b"e-3")]),
]


def fetched(kind: type[PartitionRecords], start: int = 0) -> Any:
    """What one fetch from an offset brought: a batch of three records from offset 0 on."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 16)
    for offset, (timestamp_ms, key, value, headers) in enumerate(CONTENT):
        builder.append(offset, timestamp_ms, key, value, headers)
    return kind(TP, MemoryRecords(bytes(builder.build())), [], start, None, None, True, READ_COMMITTED)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_each_record_is_what_aiokafka_makes_of_it(start: int) -> None:
    ours, theirs = fetched(InputRecords, start), fetched(PartitionRecords, start)
    records = list(ours)
    assert records == [
        InputRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in theirs
    ]
    assert all(type(record) is InputRecord for record in records)
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 3


def test_a_fetch_that_is_taken_in_parts_continues_where_it_was_left() -> None:
    class Position:
        """As aiokafka's subscription keeps it."""

        active, paused, position = True, False, 0

        def state_value(self, _: object) -> "Position":
            return self

        def consumed_to(self, offset: int) -> None:
            self.position = offset

    assignment = Position()
    result = FetchResult(TP, assignment=assignment, partition_records=fetched(InputRecords), backoff=0)
    parts = [(result.getall(2), assignment.position), (result.getall(2), assignment.position)]
    assert [([record.offset for record in part], position) for part, position in parts] == [([0, 1], 2), ([2], 3)]
    assert not result.has_more()


class Latin(str):
    """A name that a publisher does not write in UTF-8."""

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


def batch(first: int, name: str, codec: int = 0, producer_id: int = -1) -> bytes:
    """Two records from an offset on, the second with a header of this name."""
    is_transactional = int(producer_id >= 0)
    builder = _DefaultRecordBatchBuilderPy(2, codec, is_transactional, producer_id, 0, 0, 1 << 16)
    builder.append(0, 5, b"k", b"v", [])
    builder.append(1, 5, b"k", b"v", [(name, b"a"), ("ce_id", None)])
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")  # as the broker does; no part of the checksum
    return bytes(data)


FOREIGN = Latin("caf\xe9")
BATCHES = [
    batch(0, "name"),
    batch(2, "never committed", producer_id=7),
    batch(4, FOREIGN),
    batch(6, FOREIGN, codec=1),
    batch(9, "name"),
]


@pytest.mark.parametrize("start", [0, 1, 4, 5, 6, 8, 10])
def test_a_headers_name_need_not_be_utf_8(start: int) -> None:
    """One such record in a topic would be met again and again."""
    first = next(index for index, end in enumerate((2, 4, 6, 8, 11)) if start < end)
    cut = b"".join(BATCHES[first:]) + BATCHES[0][:40]  # the last batch of a fetch may be a part of one
    aborted = [(7, 2)]
    records = InputRecords(TP, FetchedBatches(cut), aborted, start, None, None, True, READ_COMMITTED)
    found = {record.offset: [name for name, _ in record.headers] for record in records}
    foreign = ["caf\ufffd", "ce_id"]
    expected = {0: [], 1: ["name", "ce_id"], 4: [], 5: foreign, 6: [], 7: foreign, 9: [], 10: ["name", "ce_id"]}
    assert found == {offset: names for offset, names in expected.items() if offset >= start}
    assert records.next_fetch_offset == 11


def test_kafka_python_reads_such_names_too() -> None:
    for _ in range(2):
        forgive_in_kafka_python()
    records = [record for data in BATCHES for record in KafkaPythonBatch(data)]
    assert [record.headers[0][0] for record in records if record.headers] == [
        *("name", "never committed", "caf\ufffd", "caf\ufffd", "name")
    ]


def test_every_consumer_of_the_process_returns_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "PartitionRecords", PartitionRecords)
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    as_input_records()
    assert fetcher.PartitionRecords is InputRecords
    assert fetcher.MemoryRecords is FetchedBatches
