"""Records that others wrote with a schema of their own: read as the newest schema of the event has them.

A schema that says the same as one of ours in other words (the Java classes generated from it, say) is read by the
codec made for ours. Any other one that Avro's rules can resolve is read by way of fastavro, which takes about
twice the time (docs/adr/0007).
"""

import io
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, cast

import fastavro

from schemas import catalog
from schemas.catalog import Schema
from schemas.codec import Makers, Malformed, compile_reader

Read = Callable[[bytes, int], tuple[Any, ...]]


class DoesNotResolve(ValueError):
    """A schema that no record of the event can be read with. The sentence names the field."""


def compile_foreign_reader(writer: Schema, event: str, makers: Makers) -> Read:
    """A function (data, position of the body) -> the record; like `schemas.codec.compile_reader`. Raises `DoesNotResolve`."""
    reader = catalog.newest_schema(event)
    named: dict[str, Schema] = {}
    try:
        parsed = fastavro.parse_schema(writer, named_schemas=named, _force=True)
    except Exception as error:  # noqa: BLE001 - whatever fastavro finds wrong with somebody's schema
        raise DoesNotResolve(f"it is not a valid Avro schema ({type(error).__name__})") from None
    for version in catalog.VERSIONS:
        known = catalog.schema(version.file)
        if version.event == event and _same_form(parsed, known):
            return compile_reader(known, reader, makers)
    for problem in chain(_problems(parsed, reader, ""), _endless(parsed, named)):
        raise DoesNotResolve(problem)
    return _by_fastavro(parsed, reader, makers)


def _by_fastavro(writer: Schema, reader: Schema, makers: Makers) -> Read:
    plain_writer = fastavro.parse_schema(_plain(writer), _force=True)
    plain_reader = fastavro.parse_schema(_plain(reader), _force=True)
    to_tuple = _to_tuples(reader, makers)

    def read(data: bytes, at: int) -> tuple[Any, ...]:
        body = io.BytesIO(data)
        body.seek(at)
        try:
            record = fastavro.schemaless_reader(body, plain_writer, plain_reader)
        except Exception:  # noqa: BLE001 - its errors are of a dozen types, and may hold the content
            raise Malformed("the record's bytes do not fit its schema") from None
        if body.read(1):
            raise Malformed("bytes are left over after the last field")
        return cast("tuple[Any, ...]", to_tuple(record))

    return read


def _to_tuples(schema: Schema, makers: Makers) -> Callable[[Any], Any]:
    """From fastavro's dicts and lists to the codec's tuples."""
    if isinstance(schema, list):
        inner = _to_tuples(next(branch for branch in schema if branch != "null"), makers)
        return lambda value: None if value is None else inner(value)
    kind = _kind(schema)
    if kind == "array":
        item = _to_tuples(schema["items"], makers)
        return lambda values: tuple([item(value) for value in values])
    if kind == "record":
        fields = [(field["name"], _to_tuples(field["type"], makers)) for field in schema["fields"]]
        make = makers.get(_short_name(schema), tuple)
        return lambda record: tuple.__new__(make, [to(record[name]) for name, to in fields])
    return lambda value: value


def _problems(writer: Schema, reader: Schema, path: str) -> Iterator[str]:
    """What makes the schema useless for every record. What depends on the record, such as a null where none may be, fastavro
    finds in the record."""
    where = path or "the record"
    if isinstance(reader, list) or isinstance(writer, list):
        writers = [branch for branch in _branches(writer) if branch != "null"]
        readers = [branch for branch in _branches(reader) if branch != "null"]
        if len(writers) == 1:
            yield from _problems(writers[0], readers[0], path)
        return
    kinds = _kind(writer), _kind(reader)
    if kinds == ("record", "record"):
        if _short_name(writer) != _short_name(reader):
            yield f"{where} is a {_short_name(writer)}, not a {_short_name(reader)}"
            return
        theirs = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            inner = f"{path}.{field['name']}" if path else field["name"]
            if field["name"] in theirs:
                yield from _problems(theirs[field["name"]]["type"], field["type"], inner)
            elif "default" not in field:
                yield f"field {inner} is missing, and has no default"
    elif kinds == ("array", "array"):
        yield from _problems(writer["items"], reader["items"], f"{path}[]")
    elif kinds[0] != kinds[1] and kinds not in _PROMOTED:
        yield f"field {where} is of type {kinds[0]}, not {kinds[1]}"
    elif None is not _logical(writer) != _logical(reader):
        yield f"field {where} is a {_logical(writer)}, not a {_logical(reader) or kinds[1]}"


_PROMOTED = {("int", "long"), ("bytes", "string")}


def _endless(schema: Schema, named: dict[str, Schema], path: str = "") -> Iterator[str]:
    """Lists whose items take no bytes, at any depth: a count of a million millions would be believed."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _endless(branch, named, path)
    elif isinstance(schema, dict):
        if schema["type"] == "array" and _weightless(schema["items"], named):
            yield f"field {path} is a list of nothing"
        for part in ("type", "items", "values"):
            if isinstance(schema.get(part), dict | list):
                yield from _endless(schema[part], named, f"{path}[]" if part != "type" else path)
        for field in schema.get("fields", ()):
            yield from _endless(field["type"], named, f"{path}.{field['name']}" if path else field["name"])


def _weightless(schema: Schema, named: dict[str, Schema], inside: frozenset[str] = frozenset()) -> bool:
    """Whether a value takes no bytes. A union takes one for its branch; a record that holds itself without one has no value."""
    if isinstance(schema, str) and schema in named and schema not in inside:
        return _weightless(named[schema], named, inside | {schema})
    if not isinstance(schema, dict):
        return bool(schema == "null")
    kind = schema["type"]
    if kind == "fixed":
        return bool(schema["size"] == 0)
    if kind in ("record", "error"):
        within = inside | {str(schema["name"])}
        return all(_weightless(field["type"], named, within) for field in schema["fields"])
    return kind not in ("array", "map") and _weightless(kind, named, inside)


def _same_form(one: Schema, other: Schema) -> bool:
    """Whether both write the same bytes with the same meaning: names, types and order; a logical type may be left out."""
    if isinstance(one, list) or isinstance(other, list):
        pairs = zip(_branches(one), _branches(other), strict=False)
        return len(_branches(one)) == len(_branches(other)) and all(_same_form(*pair) for pair in pairs)
    kind = _kind(one)
    if kind != _kind(other) or _logical(one) not in (None, _logical(other)):
        return False
    if kind == "array":
        return _same_form(one["items"], other["items"])
    if kind != "record":
        return kind in ("null", "boolean", "int", "long", "string")
    mine, theirs = one["fields"], other["fields"]
    return (
        _short_name(one) == _short_name(other)
        and [field["name"] for field in mine] == [field["name"] for field in theirs]
        and all(_same_form(a["type"], b["type"]) for a, b in zip(mine, theirs, strict=True))
    )


def _plain(schema: Schema) -> Schema:
    """Without logical types: a date is its number of days, an instant its number of microseconds. Nothing else is taken away."""
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = {"logicalType", "precision", "scale", "__fastavro_parsed__", "__named_schemas"}
    plain = {name: value for name, value in schema.items() if name not in left_out}
    for name in ("items", "values", "type"):
        if isinstance(plain.get(name), dict | list):
            plain[name] = _plain(plain[name])
    if "fields" in plain:
        plain["fields"] = [{**field, "type": _plain(field["type"])} for field in plain["fields"]]
    return plain


def _branches(schema: Schema) -> list[Schema]:
    return schema if isinstance(schema, list) else [schema]


def _kind(schema: Schema) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _short_name(schema: Schema) -> str:
    return str(schema["name"]).rpartition(".")[2]


def _logical(schema: Schema) -> str | None:
    return schema.get("logicalType") if isinstance(schema, dict) else None
