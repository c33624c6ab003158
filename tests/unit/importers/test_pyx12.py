"""Why pyx12's guide is used and its reader is not: each reason on a file, beside what our reader makes of the same file.

When one of these fails after an update of pyx12, that reason is gone; when all are, streams/importers/x12.py can go, too.
"""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyx12.errors import X12Error
from pyx12.nodeCounter import NodeCounter
from pyx12.x12file import X12Reader

from streams.importers import x12_guide
from streams.importers.x12 import Segment, read_envelopes, read_segments
from tests.unit.importers import x12_files as x12

FAMILY = [*x12.subscriber(leaf=False), *x12.patient(), *x12.claim("A", references="REF*G1*O1"), *x12.claim("B")]
BODY = list(
    read_segments(
        io.BytesIO(x12.interchange(x12.transaction_set(x12.billing(), FAMILY, x12.subscriber(4), x12.claim())).encode())
    )
)[2:-2]
WHOLE = x12.one_claim()
SEGMENTS = WHOLE.count("~")


def read_by_pyx12(text: str) -> int:
    """How many segments pyx12 reads, without a complaint."""
    reader = X12Reader(io.StringIO(text))
    segments = list(reader)
    assert reader.pop_errors() == []
    return len(segments)


def read_by_us(text: str) -> int:
    envelopes = read_envelopes(io.BytesIO(text.encode()))
    assert envelopes.end is None
    assert not any(interchange.problems for interchange in envelopes.interchanges)
    return sum(1 for _ in read_segments(io.BytesIO(text.encode())))


def test_both_read_a_plain_file() -> None:
    assert read_by_pyx12(WHOLE) == read_by_us(WHOLE) == SEGMENTS


def test_its_reader_ends_at_an_empty_segment_and_says_nothing() -> None:
    text = WHOLE.replace("~CLM", "~~CLM")
    assert read_by_pyx12(text) < SEGMENTS - 5
    assert sum(1 for _ in read_segments(io.BytesIO(text.encode()))) == SEGMENTS + 1


def test_its_reader_ends_at_a_long_segment_and_says_nothing() -> None:
    text = WHOLE.replace("N3*1 MAIN ST", "N3*" + "X" * 17_000)
    assert read_by_pyx12(text) < SEGMENTS - 10
    assert read_by_us(text) == SEGMENTS


def test_its_reader_keeps_the_first_interchanges_delimiters() -> None:
    other = WHOLE.replace("*", "|").replace("~", "\n").replace("000000001", "000000002")
    assert read_by_pyx12(WHOLE + other) == SEGMENTS, "the second interchange is not seen"
    assert read_by_us(WHOLE + other) == 2 * SEGMENTS


def test_its_reader_fails_at_a_trailer_without_a_header() -> None:
    text = x12.isa() + "GE*1*1~"
    with pytest.raises(IndexError):
        read_by_pyx12(text)
    (interchange,) = read_envelopes(io.BytesIO(text.encode())).interchanges
    assert [problem.code for problem in interchange.problems] == ["TA1-022", "TA1-023"]


def test_its_sentences_hold_what_it_found() -> None:
    with pytest.raises(X12Error, match="JANE DOE"):
        read_by_pyx12(x12.isa().replace("00501", "JANE_").replace("CLEARING  ", "JANE DOE  "))


def place_all(segments: list[Segment], *, as_pyx12_counts: bool) -> list[x12_guide.Placed]:
    guide = x12_guide.Guide()
    if as_pyx12_counts:
        counts = {"/ISA_LOOP": 1, "/ISA_LOOP/ISA": 1, "/ISA_LOOP/GS_LOOP": 1, "/ISA_LOOP/GS_LOOP/GS": 1}
        guide._walker.counter = NodeCounter(counts)
    return [guide.place(segment) for segment in segments]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.sampled_from(BODY)), max_size=12))
def test_our_counts_are_those_of_its_counter(inserted: list[tuple[int, Segment]]) -> None:
    """Loops and segments missing, once too often and at wrong places."""
    segments = list(BODY)
    for at, segment in inserted:
        segments[at : at + at % 2] = [segment]
    assert place_all(segments, as_pyx12_counts=False) == place_all(segments, as_pyx12_counts=True)
