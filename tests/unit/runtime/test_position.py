"""The position record."""

import json

import pytest

from streams.runtime.position import POSITION_KEY, Position, UnreadablePositionError


def test_it_comes_back_as_it_was() -> None:
    position = Position({"claims": 7, "orders": 0}, {"claims": "id-1"}, ((1000, 3), (5, 5)), 5, "writer", 12)
    assert Position.decode(position.encode()) == position


def test_an_older_program_named_no_writer_and_no_number_of_partitions() -> None:
    position = Position.decode(b'{"format": 1, "offsets": {"claims": 7}, "topic_ids": {}}')
    assert (position.writer, position.partitions) == ("", 0)


def test_it_is_json_with_a_format_version_and_topics_by_name() -> None:
    record = json.loads(Position({"claims": 7}).encode())
    assert record["format"] == 1
    assert record["offsets"] == {"claims": 7}


@pytest.mark.parametrize("value", [b"", b"[]", b'{"format": 2, "offsets": {}, "topic_ids": {}}', b"\x00"])
def test_another_format_is_refused_not_guessed(value: bytes) -> None:
    with pytest.raises(UnreadablePositionError, match="position record"):
        Position.decode(value)


def test_its_key_can_be_no_key_of_the_table() -> None:
    assert POSITION_KEY.startswith(b"\x00")
