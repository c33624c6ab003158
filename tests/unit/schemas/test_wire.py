"""The wire format lets in what the contract has, and says of everything else why not."""

import time
from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import catalog
from schemas.wire import Unreadable, WireReader, encode
from streams.adjudication.facts import TreatmentStart
from streams.events import fact_from_avro, fact_from_json, fact_to_avro, topic_of
from tests import facts
from tests.unit import any_event

PEND_EXPIRED = 3530501
RECORD = ("e-1", "pt-0001", "A")
VALUE = encode("pend-expired", RECORD)
decode = WireReader().decode


def unreadable(topic: str, value: bytes | None) -> str:
    with pytest.raises(Unreadable) as error:
        decode(topic, value)
    assert str(error.value) == error.value.sentence
    return error.value.sentence


def test_a_value_is_the_magic_byte_the_schema_id_and_the_body() -> None:
    value = encode("pend-expired", RECORD)
    assert value == b"\0" + PEND_EXPIRED.to_bytes(4, "big") + b"\x06e-1" + b"\x0ept-0001" + b"\x02A"
    assert decode("pend-expired", value) == RECORD


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "has no value"),
        (b"", "has no value"),
        (b'{"type": "pend-expired"}', "magic byte"),
        (b"Obj\x01", "magic byte"),
        (b"\0", "cut off inside the schema id"),
        (b"\0\0\0\1", "cut off inside the schema id"),
        (b"\0\0\0\0\1", "schema id 1 is not one of this contract"),
        (b"\0\xff\xff\xff\xff", "schema id 4294967295 is not one of this contract"),
        (VALUE[:5], "ends before its last field"),
        (VALUE + b"\0", "left over"),
        (VALUE[:5] + b"\x04\xff\xfe" + VALUE[9:], "not UTF-8"),
    ],
)
def test_what_is_no_value(value: bytes | None, sentence: str) -> None:
    assert sentence in unreadable("pend-expired", value)


def test_a_value_of_another_topic_says_where_it_belongs() -> None:
    assert unreadable("claim-received", VALUE) == (
        "schema id 3530501 is of pend-expired, whose topic is pend-expired; send the record there"
    )
    assert "whose topic is billing-decisions" in unreadable("pend-expired", b"\0" + (3530801).to_bytes(4, "big"))


@given(any_event.any_fact)
def test_a_record_cut_off_anywhere(fact: Any) -> None:
    topic, _, value = fact_to_avro(fact)
    for length in range(len(value)):
        unreadable(topic, value[:length])


@given(st.sampled_from(sorted(catalog.NEWEST)), st.binary(max_size=200))
def test_any_bytes_are_a_record_or_unreadable(event: str, body: bytes) -> None:
    for value in (body, b"\0" + catalog.NEWEST[event].id.to_bytes(4, "big") + body):
        try:
            record = decode(catalog.TOPICS[event], value)
        except Unreadable:
            continue
        assert decode(catalog.TOPICS[event], encode(event, record)) == record


@given(any_event.any_fact, st.data())
def test_a_spoiled_record_is_a_record_or_unreadable(fact: Any, data: st.DataObject) -> None:
    topic, _, value = fact_to_avro(fact)
    spoiled = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoiled)))
        spoiled[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    with suppress(Unreadable):
        decode(topic, bytes(spoiled))


@pytest.mark.parametrize(
    "absurd",
    [
        b"\x80\x80\x80\x80\x80\x80\x80\x01",  # 2^48
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # the largest number
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02",  # the smallest
    ],
)
def test_an_absurd_length_or_count_costs_nothing(absurd: bytes) -> None:
    claim = fact_from_json(facts.s_line("A", "S0353", "2024-01-08"))
    _, _, value = fact_to_avro(claim)
    lines_at = value.index(b"\x02\x02\x0aS0353")  # one line, its number, its code
    text_at = value.index(b"\x0aS0353")
    began = time.process_time()
    for at in (lines_at, text_at, 5):
        unreadable("claim-received", value[:at] + absurd + value[at + 1 :])
        unreadable("claim-received", value[:at] + absurd)
    assert time.process_time() - began < 1  # it would not end in this century if the count were believed


def test_a_record_of_an_older_version_is_read_as_the_newest_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    older = catalog.SchemaVersion(3530599, "pend-expired", 99)
    newest = catalog.newest_schema("pend-expired")
    schemas = {older.file: {**newest, "fields": [*newest["fields"][:2], {"name": "gone", "type": "string"}]}}
    new_field = {"name": "claim_id", "type": "string", "default": "?"}
    schemas[catalog.NEWEST["pend-expired"].file] = {**newest, "fields": [*newest["fields"][:2], new_field]}
    monkeypatch.setattr(catalog, "VERSIONS", (older, *catalog.VERSIONS))
    monkeypatch.setattr(catalog, "schema", schemas.__getitem__)
    value = b"\0" + older.id.to_bytes(4, "big") + VALUE[5:]
    assert WireReader().decode("pend-expired", value) == ("e-1", "pt-0001", "?")


def test_an_enumerated_word_that_a_later_version_may_bring_is_readable_today() -> None:
    fact = cast(TreatmentStart, fact_from_json(facts.start()))._replace(status="PAUSED")
    topic, _, value = fact_to_avro(fact)
    assert decode(topic, value)[4] == "PAUSED"  # a string on the wire: it is intake that knows no such word
    with pytest.raises(Exception, match="status: must be STARTED or CANCELLED"):
        fact_from_avro(topic_of(fact), value)
