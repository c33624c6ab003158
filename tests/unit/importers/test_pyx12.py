"""Why pyx12's guide is used and its reader is not: each reason on a file, beside what our reader makes of the same file.

When one of these fails after an update of pyx12, that reason is gone; when all are, streams/importers/x12.py can go, too.
"""

import io

import pytest
from pyx12.errors import X12Error
from pyx12.x12file import X12Reader

from streams.importers.x12 import read_envelopes, read_segments
from tests.unit.importers import x12_files as x12

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
