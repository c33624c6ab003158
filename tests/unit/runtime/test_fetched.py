"""A fetched record comes out of aiokafka as the lanes have it."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from streams.runtime.fetched import InputRecords, as_input_records
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


def test_every_consumer_of_the_process_returns_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "PartitionRecords", PartitionRecords)
    as_input_records()
    assert fetcher.PartitionRecords is InputRecords
