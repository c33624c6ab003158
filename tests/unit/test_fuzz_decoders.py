"""The decoders of records and of JSON lines, fed with what nobody would write: only the named errors, and memory within a bound."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import catalog
from streams.events import (
    FACT_TYPES,
    MAX_LINE_BYTES,
    BadEvent,
    BadLine,
    InvalidFact,
    Unreadable,
    decision_from_avro,
    decision_from_json,
    fact_from_avro,
    fact_to_avro,
    fact_to_json,
    lines_of,
    notice_from_avro,
    notice_from_json,
    read_jsonl,
)
from tests.unit import any_event

RECORD_BYTES = 64 * 1024  # a worker takes eight times as much; the bound is by the byte
MOST_BYTES_FOR_ONE = 64
"""Of memory for a byte of a record: an empty text takes one byte in Avro and a pointer here, and a list grows by copying itself."""


def head(event: str) -> bytes:
    return b"\0" + catalog.NEWEST[event].id.to_bytes(4, "big")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FACT_TYPES), any_event.any_fact, st.data())
def test_a_spoiled_fact_is_a_fact_or_a_named_error(event: str, fact: Any, data: st.DataObject) -> None:
    topic, _, value = fact_to_avro(fact)
    spoiled = bytearray(value)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(spoiled)))
        spoiled[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=10))
    for candidate in (bytes(spoiled), head(event) + bytes(spoiled[5:])):
        try:
            read = fact_from_avro(event if candidate is not bytes(spoiled) else topic, candidate)
        except (Unreadable, InvalidFact):
            continue
        assert fact_to_json(read), "what is read can be shown"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_no_decision_and_no_notice(body: bytes) -> None:
    for event, read in (("billing-decision", decision_from_avro), ("eligibility-notice", notice_from_avro)):
        for value in (body, head(event) + body):
            try:
                read(value)
            except Unreadable:
                continue


@pytest.mark.parametrize("event", FACT_TYPES)
@pytest.mark.parametrize(
    "filling", [b"\0", b"\1", b"\2", b"\x7f", b"\x80", b"\xff", b"\x02\x00", b"\xfe\xff\x03", b"\x80\x80\x10"]
)
def test_memory_stays_within_a_bound_of_the_record(event: str, filling: bytes) -> None:
    """Counts and lengths that promise more than comes."""
    body = filling * (RECORD_BYTES // len(filling))
    value = head(event) + body
    tracemalloc.start()
    try:
        fact_from_avro(event, value)
    except (Unreadable, InvalidFact):
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_BYTES_FOR_ONE * RECORD_BYTES


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, "2024-02-30", "0001-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_event.any_fact, st.data())
def test_a_changed_json_line_is_a_fact_or_a_bad_line(fact: Any, data: st.DataObject) -> None:
    event: Any = fact_to_json(fact)
    place = event
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    line = json.dumps(event).encode()
    cut = data.draw(st.integers(0, len(line)))
    bad: list[BadLine] = []
    for _, read in read_jsonl(
        [line, line[:cut], line[:cut] + data.draw(st.binary(max_size=5)) + line[cut:]], bad.append
    ):
        assert fact_to_avro(read), "what is read can be published"
    for read_other in (decision_from_json, notice_from_json):
        with pytest.raises(BadEvent):
            read_other(event if isinstance(event, dict) else {})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.text(max_size=40), max_size=4))
def test_any_lines_are_named_by_their_number(lines: list[bytes | str]) -> None:
    bad: list[BadLine] = []
    assert list(read_jsonl(lines, bad.append)) == []
    assert all(1 <= error.line_number <= len(lines) for error in bad)


class Endless(io.RawIOBase):
    """So many bytes without an end of line, and one line behind them; never all of them at once."""

    def __init__(self, size: int, last: bytes) -> None:
        self._left = size
        self._last = io.BytesIO(last)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            return self._last.readinto(buffer)
        count = min(len(buffer), self._left)
        buffer[:count] = b"x" * count
        self._left -= count
        return count


def test_a_line_without_an_end_is_named_in_bounded_memory() -> None:
    last = b"\n" + b'{"type": "pend-expired", "event_id": "e", "patient_id": "p", "claim_id": "c"}\n'
    bad: list[BadLine] = []
    tracemalloc.start()
    try:
        file = io.BufferedReader(Endless(10 * MAX_LINE_BYTES, last))
        numbers = [number for number, _ in read_jsonl(lines_of(file), bad.append)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(error.line_number, error.sentence) for error in bad] == [(1, "is longer than 16,777,216 bytes")]
    assert numbers == [2], "what comes behind it keeps its number"
    assert peak < 5 * MAX_LINE_BYTES


@given(st.lists(st.binary(max_size=30)))
def test_lines_are_those_of_the_file(parts: list[bytes]) -> None:
    content = b"\n".join(parts)
    assert list(lines_of(io.BytesIO(content))) == list(io.BytesIO(content))
