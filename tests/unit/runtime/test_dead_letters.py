"""Dead letters: the record untouched, why and where from in headers; floods stop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.dead_letters import FloodLimit, Reason, counted_refusals, dead_letter, reasons_of
from streams.runtime.failure import DeadLetterFloodError
from streams.runtime.processor import InputRecord, OutputRecord


def record(
    key: bytes | None = b"k", value: bytes | None = b"v", offset: int = 7, headers: tuple[tuple[str, bytes], ...] = ()
) -> InputRecord:
    return InputRecord("claims", 3, offset, 0, key, value, headers)


def test_a_dead_letter_is_the_record_with_headers_behind_its_own() -> None:
    letter = dead_letter(record(headers=(("ce_id", b"e-1"),)), Reason.INVALID, "no lines", topic="dead-letters")
    assert letter == OutputRecord(
        "dead-letters",
        b"k",
        b"v",
        (
            ("ce_id", b"e-1"),
            ("dlq_reason", b"INVALID"),
            ("dlq_sentence", b"no lines"),
            ("dlq_topic", b"claims"),
            ("dlq_partition", b"3"),
            ("dlq_offset", b"7"),
        ),
    )


@pytest.mark.parametrize(("key", "value"), [(None, b"v"), (b"k", None), (None, None), (b"", b"")])
def test_missing_keys_and_values_stay_missing(key: bytes | None, value: bytes | None) -> None:
    letter = dead_letter(record(key, value), Reason.UNREADABLE, "?", topic="d")
    assert (letter.key, letter.value) == (key, value)


def test_a_dead_letter_sent_again_and_refused_again_tells_of_the_last_refusal() -> None:
    first = dead_letter(record(), Reason.UNREADABLE, "first", topic="d")
    again = dead_letter(record(offset=9, headers=first.headers), Reason.INVALID, "second", topic="d")
    assert reasons_of([again], topic="d") == {("claims", 9): Reason.INVALID}


def test_reasons_are_found_among_other_outputs() -> None:
    outputs = [OutputRecord("decisions", b"k", b"v", ()), dead_letter(record(), Reason.CONFLICT, "other", topic="d")]
    assert reasons_of(outputs, topic="d") == {("claims", 7): Reason.CONFLICT}


@pytest.mark.parametrize("reason", Reason)
def test_wrong_payers_and_conflicts_do_not_count(reason: Reason) -> None:
    counted = list(counted_refusals([record(offset=1), record(offset=2)], {("claims", 2): reason}))
    assert counted == [False, reason not in (Reason.WRONG_PAYER, Reason.CONFLICT)]


def test_a_thousand_in_a_row_are_a_flood_and_999_are_not() -> None:
    almost = FloodLimit().after([True] * 999)
    almost.after([False]).after([True] * 999)
    with pytest.raises(DeadLetterFloodError, match="1,000 records in a row"):
        almost.after([True])


def test_half_of_the_last_ten_thousand_are_a_flood() -> None:
    mixed = FloodLimit().after([False, True] * 4_999)
    assert mixed.in_row == 1
    with pytest.raises(DeadLetterFloodError, match="half of the last 10,000"):
        mixed.after([False, True])


def test_what_is_older_than_ten_thousand_records_is_forgotten() -> None:
    old = FloodLimit().after([False, True] * 4_999).after([False] * 11_000)
    assert sum(bad for _, bad in old.spans) == 0
    old.after([False, True] * 4_999)


def test_an_isolated_bad_record_never_stops_anything() -> None:
    flood = FloodLimit()
    for _ in range(100):
        flood = flood.after([True] + [False] * 999)
    assert flood.in_row == 0


def test_its_memory_survives_in_the_position() -> None:
    before = FloodLimit().after([True] * 600)
    after = FloodLimit(before.spans, before.in_row)
    with pytest.raises(DeadLetterFloodError):
        after.after([True] * 400)


def test_a_refused_batch_leaves_the_state_as_it_was() -> None:
    before = FloodLimit().after([True] * 600)
    with pytest.raises(DeadLetterFloodError):
        before.after([True] * 400)
    assert before.in_row == 600


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 700)), max_size=30), st.integers(1, 1_500))
def test_how_the_records_are_cut_into_batches_does_not_matter(runs: list[tuple[bool, int]], size: int) -> None:
    refusals = [refused for refused, count in runs for _ in range(count)]
    batches = [refusals[begin : begin + size] for begin in range(0, len(refusals), size)]
    assert _after([refusals]) == _after(batches)


def _after(batches: list[list[bool]]) -> tuple[tuple[tuple[int, int], ...], int] | None:
    flood = FloodLimit()
    try:
        for batch in batches:
            flood = flood.after(batch)
    except DeadLetterFloodError:
        return None
    return flood.spans, flood.in_row
