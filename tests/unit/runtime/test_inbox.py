"""The inbox: bounded pieces, and a chain that shows what is missing."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.failure import BrokenChainError
from streams.runtime.inbox import MOST_OVERTAKEN_PIECES, Inbox
from streams.runtime.processor import InputRecord
from streams.runtime.settings import BatchLimits


def record(offset: int, *, size: int = 1, topic: str = "t", at_ms: int = 0) -> InputRecord:
    return InputRecord(topic, 0, offset, at_ms, b"", b"x" * size, ())


def inbox(records: int = 10, size_bytes: int = 1_000) -> Inbox:
    return Inbox(0, BatchLimits(records=records, bytes=size_bytes))


def offsets(records: Sequence[object]) -> list[int]:
    return [r.offset for r in records]  # type: ignore[attr-defined]


def test_what_was_fetched_comes_out_with_the_position_behind_it() -> None:
    box = inbox()
    box.add("t", 5, [record(5), record(8)], 10)
    batch = box.take({"t": 5, "u": 0})
    assert offsets(batch.records) == [5, 8]
    assert batch.positions == {"t": 10, "u": 0}
    assert len(box) == 0


def test_a_header_may_have_no_value() -> None:
    """As Kafka allows it. Where the inbox runs compiled, its loop over the headers takes nothing else than their type says."""
    box = inbox()
    box.add("t", 0, [record(0)._replace(headers=(("note", None), ("x", b"1")))], 1)
    assert box.take({"t": 0}).records[0].headers == (("note", None), ("x", b"1"))


def test_what_came_at_the_same_time_is_taken_in_the_order_of_arrival() -> None:
    box = inbox()
    box.add("t", 0, [record(0)], 1)
    box.add("u", 7, [record(7, topic="u")], 8)
    box.add("t", 1, [record(1)], 2)
    batch = box.take({"t": 0, "u": 7})
    assert [(r.topic, r.offset) for r in batch.records] == [("t", 0), ("u", 7), ("t", 1)]
    assert batch.positions == {"t": 2, "u": 8}


def test_topics_of_a_backlog_are_merged_by_time() -> None:
    """A fetch brings one topic after the other; what was published first is decided first all the same."""
    box = inbox(records=4)
    box.add("t", 0, [record(n, at_ms=10 * n) for n in range(6)], 6)
    box.add("u", 0, [record(n, topic="u", at_ms=10 * n + 5) for n in range(6)], 6)
    positions, seen = {"t": 0, "u": 0}, []
    while len(box):
        batch = box.take(positions)
        positions = batch.positions
        seen.append([r.timestamp_ms for r in batch.records])
    assert seen == [[0, 10, 20, 30], [5, 15, 25, 35], [40, 45, 50, 55]]


def test_within_a_topic_the_offsets_decide_whatever_the_clocks_say() -> None:
    box = inbox()
    box.add("t", 0, [record(0, at_ms=50), record(1, at_ms=10), record(2, at_ms=60)], 3)
    box.add("u", 0, [record(0, topic="u", at_ms=20), record(1, topic="u", at_ms=55)], 2)
    batch = box.take({"t": 0, "u": 0})
    assert [(r.topic, r.offset) for r in batch.records] == [("u", 0), ("t", 0), ("t", 1), ("u", 1), ("t", 2)]


def test_a_topic_whose_clock_is_ahead_is_served_all_the_same() -> None:
    box = inbox(records=1)
    box.add("t", 0, [record(0, at_ms=10**12)], 1)
    positions = {"t": 0, "u": 0}
    for overtaken in range(MOST_OVERTAKEN_PIECES + 2):
        box.add("u", overtaken, [record(overtaken, topic="u", at_ms=overtaken)], overtaken + 1)
        batch = box.take(positions)
        positions = batch.positions
        if batch.records[0].topic == "t":
            break
    assert overtaken == MOST_OVERTAKEN_PIECES + 1


def test_a_piece_that_does_not_begin_where_the_lane_stands_breaks_the_chain() -> None:
    box = inbox()
    box.add("t", 6, [record(6)], 7)
    with pytest.raises(BrokenChainError, match="t/0 continues at 6, but the lane stands at 5"):
        box.take({"t": 5})


def test_a_piece_lost_between_two_others_breaks_the_chain() -> None:
    box = inbox()
    box.add("t", 0, [record(0)], 1)
    box.add("t", 2, [record(2)], 3)
    with pytest.raises(BrokenChainError):
        box.take({"t": 0})


@pytest.mark.parametrize(("start", "first", "last", "end"), [(5, 4, 6, 7), (5, 5, 7, 7), (7, 7, 7, 6)])
def test_records_outside_of_their_fetch_are_refused(start: int, first: int, last: int, end: int) -> None:
    with pytest.raises(BrokenChainError):
        inbox().add("t", start, [record(first), record(last)], end)


def test_transaction_markers_move_the_position_without_a_record() -> None:
    box = inbox()
    box.add("t", 3, [], 5)
    box.add("t", 5, [record(5)], 6)
    batch = box.take({"t": 3})
    assert offsets(batch.records) == [5]
    assert batch.positions == {"t": 6}


def test_a_large_fetch_is_split_by_count() -> None:
    box = inbox(records=4)
    box.add("t", 0, [record(i) for i in range(10)], 12)
    positions = {"t": 0}
    sizes = []
    while len(box):
        batch = box.take(positions)
        sizes.append(len(batch.records))
        positions = batch.positions
    assert sizes == [4, 4, 2]
    assert positions == {"t": 12}


def test_a_large_fetch_is_split_by_bytes_and_a_record_above_the_limit_travels_alone() -> None:
    box = inbox(size_bytes=100)
    box.add("t", 0, [record(0, size=60), record(1, size=60), record(2, size=500), record(3, size=10)], 4)
    positions = {"t": 0}
    batches = []
    while len(box):
        batch = box.take(positions)
        batches.append(offsets(batch.records))
        positions = batch.positions
    assert batches == [[0], [1], [2], [3]]


def test_a_slow_lane_takes_fewer_records_than_the_limit() -> None:
    box = inbox(records=1_000, size_bytes=10_000)
    box.add("t", 0, [record(i) for i in range(450)], 450)
    batch = box.take({"t": 0}, max_records=250)
    assert len(batch.records) == 200, "whole pieces of a hundred"
    assert batch.positions == {"t": 200}
    assert len(box.take(batch.positions, max_records=1).records) == 100, "at least one piece"


def test_it_is_full_at_four_batches_and_low_at_one() -> None:
    box = inbox(records=2)
    box.add("t", 0, [record(i) for i in range(9)], 9)
    assert box.is_full
    assert not box.is_low
    positions = {"t": 0}
    while not box.is_low:
        positions = box.take(positions).positions
    assert len(box) == 1
    box.clear()
    assert box.is_low
    assert len(box) == 0


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("tu"),
            st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=8),
            st.integers(0, 3),
        )
    ),
    limit=st.integers(1, 5),
    size_bytes=st.integers(1, 12),
)
def test_however_it_is_split_every_record_comes_out_once_in_order(
    steps: list[tuple[str, list[tuple[int, int]], int]], limit: int, size_bytes: int
) -> None:
    """Gaps between records are markers or compaction; each record has its distance from the one before and a time."""
    box = inbox(limit, size_bytes)
    ends = {"t": 0, "u": 0}
    expected = {"t": [], "u": []}  # type: dict[str, list[int]]
    for topic, distances, tail in steps:
        start = offset = ends[topic]
        records = []
        for distance, at_ms in distances:
            offset += distance
            records.append(record(offset - 1, size=distance, topic=topic, at_ms=at_ms))
            expected[topic].append(offset - 1)
        ends[topic] = offset + tail
        box.add(topic, start, records, ends[topic])
    positions = {"t": 0, "u": 0}
    seen = {"t": [], "u": []}  # type: dict[str, list[int]]
    while len(box):
        batch = box.take(positions)
        assert len(batch.records) <= limit
        positions = batch.positions
        for r in batch.records:
            seen[r.topic].append(r.offset)
            assert r.offset < positions[r.topic]
    assert seen == expected
    assert positions == ends
