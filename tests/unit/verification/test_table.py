"""The changelog's view at the last position in it."""

import pytest

from streams.runtime.position import POSITION_KEY, Position
from streams.runtime.processor import InputRecord
from streams.verification.anomalies import Findings, Kind
from streams.verification.decision_log import DecisionLog
from streams.verification.run import read_table


def changelog(*pairs: tuple[bytes, bytes | None]) -> list[InputRecord]:
    return [InputRecord("changelog", 0, offset, 0, key, value, ()) for offset, (key, value) in enumerate(pairs)]


def position(offset: int) -> tuple[bytes, bytes]:
    return POSITION_KEY, Position({"claim-received": offset}).encode()


def test_what_lies_behind_the_last_position_is_left_out() -> None:
    table = read_table(
        changelog((b"a", b"1"), (b"b", b"1"), position(5), (b"a", b"2"), (b"b", None), position(9), (b"a", b"3"))
    )
    assert table.values == {b"a": b"2"}
    assert table.position is not None
    assert table.position.offsets == {"claim-received": 9}
    assert table.left_over == 1


@pytest.mark.parametrize("pairs", [(), ((b"a", b"1"),)])
def test_without_a_position_nothing_is_committed(pairs: tuple[tuple[bytes, bytes]]) -> None:
    table = read_table(changelog(*pairs))
    assert table.values == {}
    assert table.position is None
    assert table.left_over == len(pairs)


def test_a_record_that_is_no_decision_is_named() -> None:
    findings = Findings()
    assert DecisionLog(0, 1, findings).read(InputRecord("billing-decisions", 0, 7, 0, b"p", None, ())) is None
    assert (findings.first[0].kind, findings.first[0].offset) == (Kind.CORRUPT_RECORD, 7)
