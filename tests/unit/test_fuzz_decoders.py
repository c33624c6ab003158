"""The decoders of records and of JSON lines, fed with what nobody would write: only the named errors, and memory within a bound."""

import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import catalog
from streams import events
from streams.commands.adjudicate import read_facts
from streams.commands.import_837 import command as import_837
from streams.events import (
    FACT_TYPES,
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
from tests import facts
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


def peak_of(read: Callable[[], object]) -> int:
    """The most memory that is held while this runs."""
    tracemalloc.start()
    read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_a_line_without_an_end_is_named_and_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LARGEST_LINE_BYTES", 100_000)
    file = tmp_path / "facts.jsonl"
    good = json.dumps(facts.start()).encode() + b"\n"
    file.write_bytes(good + b'{"a": "' + b"x" * 20_000_000 + b"\n" + good)
    bad: list[BadLine] = []

    def read() -> None:
        with file.open("rb") as lines:
            assert [number for number, _ in read_jsonl(lines_of(lines), bad.append)] == [1, 3]

    assert peak_of(read) < 1_000_000
    (error,) = bad
    assert (error.line_number, error.sentence) == (2, "has more than 100,000 bytes")


@given(st.lists(st.binary(max_size=30)))
def test_lines_are_those_of_the_file(parts: list[bytes]) -> None:
    content = b"\n".join(parts)
    assert list(lines_of(io.BytesIO(content))) == list(io.BytesIO(content))


def test_millions_of_bad_lines_are_named_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, errors = tmp_path / "other.csv", tmp_path / "errors"
    file.write_bytes(b"a;b\n" * 50_000)

    def read() -> None:
        with file.open("rb") as lines, errors.open("w") as stderr, monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stderr)
            with pytest.raises(SystemExit):
                read_facts(lines)

    assert peak_of(read) < 2_000_000
    assert len(errors.read_text().splitlines()) == 50_001


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "{" + ",".join(f'"k{number}": 1' for number in range(300_000)) + ', "k0": 2}',
            "k0: stands twice in one object",
        ),
        ('{"Jane Doe": 1, "Jane Doe": 2}', "stands twice in one object"),
        ("[" * 1_000_000, "is nested too deeply"),
        ('{"a": ' + "9" * 1_000_000 + "}", "holds a number with too many digits"),
        ('{"type": "pend-expired", "a": 1e999999999}', "event_id: is missing; it has to be there"),
    ],
)
def test_what_is_made_to_take_time_or_memory_is_refused(text: str, sentence: str) -> None:
    """Names that were counted one by one took hours: the time limit of all tests is enough here."""
    bad: list[BadLine] = []
    assert list(read_jsonl([text], bad.append)) == []
    assert str(bad[0]) == f"line 1: {sentence}"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"patient_id": ' + "9" * 10_000 + "}", "\xff"])
def test_cost_shares_and_corrections_are_read_as_carefully(text: str, tmp_path: Path) -> None:
    shares = tmp_path / "shares.jsonl"
    shares.write_bytes(text.encode("latin-1"))
    claims = tmp_path / "claims.837"
    claims.write_text("")
    result = CliRunner().invoke(
        import_837, ["--member-ids-are-tokens", "--cost-shares", str(shares), str(claims)], standalone_mode=False
    )
    assert "line 1: must be a JSON object" in str(result.exception)
