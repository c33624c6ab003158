"""Whatever stands in a file, the 837P importer raises nothing, holds no more than its limits, and makes only valid events."""

import io
import tracemalloc

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.adjudication import intake
from streams.importers import x12 as envelopes
from streams.importers.member_tokens import MemberTokens
from streams.importers.report import FileReport
from streams.importers.terms import Terms
from streams.importers.x837p import read_837p
from streams.policy_files import load_policy
from tests.unit.importers import x12_files as x12

TERMS = Terms(MemberTokens(b"k" * 32), load_policy())
FAMILY = [
    *x12.subscriber(leaf=False),
    *x12.patient(),
    *x12.claim("A", references="REF*G1*O1|REF*F8*X"),
    *x12.claim("B"),
]
WHOLE = x12.interchange(x12.transaction_set(x12.billing(), FAMILY, x12.subscriber(4), x12.claim("C"))).encode()
SEGMENTS = WHOLE.rstrip(b"~").split(b"~")


def swallow(data: bytes) -> FileReport:
    report = FileReport("fuzz")
    for claim in read_837p(io.BytesIO(data), TERMS, report, accept_wrong_counts=True):
        intake.check(claim)
    assert list(report.in_words(notes=True))
    assert report.in_json()
    return report


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes(data: bytes, after_isa: bool) -> None:
    swallow((x12.isa().encode() if after_isa else b"") + data)


EDIT = st.tuples(
    st.integers(0, len(WHOLE)), st.integers(0, 12), st.binary(max_size=12) | st.sampled_from([b"~", b"*", b":", b"~~"])
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EDIT, min_size=1, max_size=6))
def test_a_good_file_with_bytes_replaced(edits: list[tuple[int, int, bytes]]) -> None:
    data = WHOLE
    for at, length, put in edits:
        data = data[:at] + put + data[at + length :]
    swallow(data)


TEXT = st.text(st.characters(blacklist_characters="~", blacklist_categories=("Cs",)), max_size=8)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_good_file_with_segments_dropped_repeated_moved_and_rewritten(data: st.DataObject) -> None:
    body = list(SEGMENTS[2:-2])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1)) if body else 0
        match data.draw(st.sampled_from(["drop", "repeat", "invent", "rewrite"])):
            case "drop":
                del body[at : at + 1]
            case "repeat":
                body.insert(at, data.draw(st.sampled_from(SEGMENTS)))
            case "invent":
                body.insert(at, "*".join(data.draw(st.lists(TEXT, min_size=1, max_size=6))).encode())
            case "rewrite":
                body[at : at + 1] = [_rewritten(body[at : at + 1], data)]
    swallow(b"~".join([*SEGMENTS[:2], *body, *SEGMENTS[-2:], b""]))


def _rewritten(segments: list[bytes], data: st.DataObject) -> bytes:
    elements = (segments[0] if segments else b"NM1").split(b"*")
    at = data.draw(st.integers(0, len(elements) - 1))
    elements[at] = data.draw(
        TEXT | st.sampled_from(["", ":::", "1E9", "-1", "99999999999999999999", "20240230", "20240101-20240102-1"])
    ).encode()
    return b"*".join(elements)


def test_memory_does_not_grow_with_the_file() -> None:
    """A segment without an end, a claim of 1,100 lines, and errors without end."""
    endless = x12.isa().encode() + b"NM1*" + b"x" * 8_000_000
    lines = b"".join(b"LX*%d~SV1*HC:S0353*1*UN*1***1~DTP*472*D8*20240108~" % number for number in range(1, 1_101))
    head = WHOLE[: WHOLE.index(b"LX*")]
    many = head + lines + b"SE*1*0001~GE*1*1~IEA*1*000000001~"
    bad = head + b"NM1*ZZ*1~" * 1_000 + b"SE*1*0001~GE*1*1~IEA*1*000000001~"
    swallow(WHOLE)  # the guide is loaded once
    for data in (endless, many, bad):
        tracemalloc.start()
        report = swallow(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 6_000_000
        assert report.found_problems
    assert envelopes.LARGEST_SEGMENT_BYTES < 1_000_000
