"""The functions made for a schema read and write what other Avro implementations do."""

import io
import json
from importlib.resources import files
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import catalog, codec
from schemas.codec import Malformed, compile_reader, compile_writer
from tests.unit import any_event

EVENTS = {
    "pathway-selected": any_event.selections,
    "treatment-started": any_event.starts,
    "claim-received": any_event.claims,
    "member-eligibility": any_event.eligibilities,
    "pend-expired": any_event.expiries,
    "readjudication-requested": any_event.requests,
    "provider-agreement": any_event.agreements,
    "billing-decision": any_event.any_decision,
    "eligibility-notice": any_event.any_notice,
}
WRITERS = {event: compile_writer(catalog.newest_schema(event)) for event in EVENTS}
READERS = {event: compile_reader(catalog.newest_schema(event), catalog.newest_schema(event), {}) for event in EVENTS}


def plain(schema: Any) -> Any:
    """A schema without logical types: a date is its number of days, an instant its number of microseconds."""
    if isinstance(schema, dict):
        return schema["type"] if "logicalType" in schema else {name: plain(value) for name, value in schema.items()}
    return [plain(value) for value in schema] if isinstance(schema, list) else schema


def plain_schema(event: str) -> Any:
    text = (files("schemas") / catalog.NEWEST[event].file).read_text("utf-8")
    return plain(json.loads(text))


FASTAVRO = {event: fastavro.parse_schema(plain_schema(event)) for event in EVENTS}
APACHE = {event: avro.schema.parse(json.dumps(plain_schema(event))) for event in EVENTS}

an_event = st.sampled_from(sorted(EVENTS)).flatmap(lambda event: st.tuples(st.just(event), EVENTS[event]))


@given(an_event)
def test_fastavro_writes_the_same_bytes_and_reads_the_same_record(case: tuple[str, tuple[Any, ...]]) -> None:
    event, record = case
    body = WRITERS[event](b"", record)
    named = with_names(FASTAVRO[event], record)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, FASTAVRO[event], named)
    assert buffer.getvalue() == body
    assert fastavro.schemaless_reader(io.BytesIO(body), FASTAVRO[event], None) == named
    assert READERS[event](body, 0) == record


@given(an_event)
def test_apaches_own_package_reads_the_same_record(case: tuple[str, tuple[Any, ...]]) -> None:
    event, record = case
    body = io.BytesIO(WRITERS[event](b"", record))
    schema = APACHE[event]
    assert avro.io.DatumReader(schema, schema).read(avro.io.BinaryDecoder(body)) == with_names(FASTAVRO[event], record)
    assert body.read() == b""


def with_names(schema: Any, value: Any) -> Any:
    """A record as the libraries have it: a dict."""
    if isinstance(schema, list):
        return None if value is None else with_names(next(branch for branch in schema if branch != "null"), value)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "array":
        return [with_names(schema["items"], item) for item in value]
    if kind == "record":
        return {
            field["name"]: with_names(field["type"], item) for field, item in zip(schema["fields"], value, strict=True)
        }
    return value


def record_of(*fields: Any) -> Any:
    return {
        "type": "record",
        "name": "R",
        "fields": [dict(zip(("name", "type", "default"), field, strict=False)) for field in fields],
    }


class TestEvolution:
    OLD = record_of(
        ("kept", "string"), ("dropped", {"type": "array", "items": "long"}), ("moved", ["null", "boolean"], None)
    )
    NEW = record_of(
        ("moved", ["null", "boolean"], None),
        ("text", "string", "it's new"),
        ("kept", "string"),
        ("flag", "boolean", True),
        ("amount", "long", -1),
        ("list", {"type": "array", "items": "string"}, []),
        ("maybe", ["null", "string"], None),
    )

    def test_a_record_of_an_older_version_is_read_as_the_newest_has_it(self) -> None:
        body = compile_writer(self.OLD)(b"", ("a", (1, 2, 300), True))
        assert compile_reader(self.OLD, self.NEW, {})(body, 0) == (True, "it's new", "a", True, -1, (), None)

    def test_a_record_of_a_newer_version_is_read_as_an_older_one_has_it(self) -> None:
        body = compile_writer(self.NEW)(b"", (None, "x", "a", False, 5, ("y",), "z"))
        old = record_of(("kept", "string"), ("moved", ["null", "boolean"], None))
        assert compile_reader(self.NEW, old, {})(body, 0) == ("a", None)

    def test_within_lists_and_optional_fields_too(self) -> None:
        old, new = (
            record_of(("items", ["null", {"type": "array", "items": record_of(*fields)}], None))
            for fields in ([("a", "long"), ("b", "long")], [("b", "long"), ("c", "long", 7)])
        )
        body = compile_writer(old)(b"", (((1, 2), (3, 4)),))
        assert compile_reader(old, new, {})(body, 0) == (((2, 7), (4, 7)),)


class TestNumbers:
    SCHEMA = record_of(("n", "long"))

    @given(any_event.longs)
    def test_every_number_of_64_bits(self, number: int) -> None:
        body = compile_writer(self.SCHEMA)(b"", (number,))
        assert compile_reader(self.SCHEMA, self.SCHEMA, {})(body, 0) == (number,)

    @pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
    def test_no_number_of_more(self, number: int) -> None:
        with pytest.raises(ValueError, match="more than 64 bits"):
            compile_writer(self.SCHEMA)(b"", (number,))

    @pytest.mark.parametrize("body", [b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x01", b"\x80" * 100_000 + b"\0"])
    def test_bytes_of_a_longer_number(self, body: bytes) -> None:
        with pytest.raises(Malformed, match="more than 64 bits"):
            compile_reader(self.SCHEMA, self.SCHEMA, {})(body, 0)


def test_an_array_may_come_in_blocks_that_give_their_size() -> None:
    schema = record_of(("items", {"type": "array", "items": "long"}))
    body = b"\x03\x04\x02\x04" + b"\x02\x06" + b"\0"  # -2 items in 2 bytes: 1, 2; one item: 3; the end
    assert compile_reader(schema, schema, {})(body, 0) == ((1, 2, 3),)


@pytest.mark.parametrize(
    ("schema", "body", "sentence"),
    [
        (record_of(("flag", "boolean")), b"\x02", "a boolean that is neither 0 nor 1"),
        (record_of(("maybe", ["null", "long"])), b"\x04", "a branch that its union does not have"),
        (record_of(("maybe", ["null", "long"])), b"\x01\x02", "a branch that its union does not have"),
        (record_of(("text", "string")), b"\x01", "a negative length"),
        (record_of(("text", "string")), b"\x06ab", "ends before its last field"),
        (record_of(("text", "string")), b"\x04abc", "bytes are left over"),
    ],
)
def test_bytes_that_are_no_value(schema: Any, body: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        compile_reader(schema, schema, {})(body, 0)


@pytest.mark.parametrize(
    "kind", ["double", {"type": "map", "values": "long"}, ["null", "long", "string"], ["long", "string"]]
)
def test_a_type_that_has_no_code_yet_is_named(kind: Any) -> None:
    schema = record_of(("field", kind))
    for compiled in (lambda: compile_writer(schema), lambda: compile_reader(schema, schema, {})):
        with pytest.raises(TypeError, match=r"schemas/codec.py has no code for"):
            compiled()


SCHEMA = {
    "type": "record",
    "name": "Values",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "texts", "type": {"type": "array", "items": "string"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ],
}
WRITE, READ = compile_writer(SCHEMA), compile_reader(SCHEMA, SCHEMA, {})


def reread(text: str, texts: tuple[str, ...], day: int) -> tuple[Any, ...]:
    return READ(WRITE(b"", (text, texts, day)), 0)


def test_what_comes_in_every_claim_is_one_object() -> None:
    one, other = reread("S0354", ("C50.911", "Z17.0"), 20_000), reread("S0354", ("C50.911", "Z17.0"), 20_000)
    assert one == other == ("S0354", ("C50.911", "Z17.0"), 20_000)
    assert all(a is b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("day", [-(1 << 31), -1, 0, 1, codec.MOST_DAYS - 1, codec.MOST_DAYS, (1 << 31) - 1])
def test_a_day_of_any_year_is_read_as_it_was_written(day: int) -> None:
    assert reread("", (), day) == ("", (), day)


@pytest.mark.parametrize("length", [0, 1, codec.SHORT_BYTES, codec.SHORT_BYTES + 1, 63, 64, 500])
def test_texts_of_any_length_are_read_as_they_were_written(length: int) -> None:
    text = "é" * (length // 2) + "x" * (length % 2)
    assert reread(text, (text, text), 0) == (text, (text, text), 0)


def test_what_is_kept_is_bounded() -> None:
    long_text, many_texts = "x" * (codec.SHORT_BYTES + 1), ("x",) * codec.SHORT_ARRAY_BYTES
    for number in range(codec.MOST_SHORT_TEXTS + 10):
        assert reread(f"t{number}", (f"t{number}",), 0)[0] == f"t{number}"
        assert max(len(codec._short_texts), len(codec._short_arrays)) <= codec.MOST_SHORT_TEXTS
    for _ in range(2):
        assert reread(long_text, many_texts, 0) == (long_text, many_texts, 0)
    assert long_text.encode() not in codec._short_texts
    assert many_texts not in codec._short_arrays
