"""FULL_TRANSITIVE, field by field: what would break an old reader or an old record, each in a sentence.

Apache's `avro` package decides whether a type can be read as another; the walk around it only knows which field it is at. Avro
lets logical types change as they like, so those are compared here too: days must not become milliseconds.
"""

import json
from collections.abc import Iterator
from typing import Any

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

WHAT_TO_DO = "Evolve it compatibly: add fields with a default, remove none without one, change no type."


def problems(released: str, changed: str, *, version: str, subject: str) -> list[str]:
    """Why `changed` cannot follow `released`, both as JSON texts. Empty: it can, in both directions."""
    old, new = json.loads(released), json.loads(changed)
    found = [
        f"{subject}: {where}: {what}, so a record of {version} cannot be read with the changed schema. {WHAT_TO_DO}"
        for where, what in _unreadable(reader=new, writer=old, path="")
    ]
    found += [
        f"{subject}: {where}: {what}, so a reader that has {version} cannot read a record of the changed schema. {WHAT_TO_DO}"
        for where, what in _unreadable(reader=old, writer=new, path="")
    ]
    for reader, writer, broken in ((new, old, "old records"), (old, new, "old readers")):
        if not found and not _compatible(reader, writer):
            found.append(f"{subject}: Apache's avro package finds that it breaks {broken} of {version}. {WHAT_TO_DO}")
    return found


def _unreadable(reader: Any, writer: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each field at which data of the writer's schema cannot be read with the reader's."""
    where = f"field {path}" if path else "the record"
    kinds = _kind(reader), _kind(writer)
    if kinds == ("record", "record"):
        if reader["name"] != writer["name"]:
            yield where, f"record {writer['name']} is called {reader['name']}"
        theirs = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            inner = f"{path}.{field['name']}" if path else field["name"]
            if field["name"] in theirs:
                yield from _unreadable(field["type"], theirs[field["name"]]["type"], inner)
            elif "default" not in field:
                yield f"field {inner}", "is in one of them alone and has no default"
    elif kinds == ("array", "array"):
        yield from _unreadable(reader["items"], writer["items"], f"{path}[]")
    elif kinds == ("optional", "optional"):
        yield from _unreadable(_not_null(reader), _not_null(writer), path)
    elif not _compatible(reader, writer):
        yield where, f"{json.dumps(writer)} became {json.dumps(reader)} or the other way round"
    elif _logical(reader) != _logical(writer):
        yield where, f"logical type {_logical(writer)} became {_logical(reader)} or the other way round"


def _compatible(reader: Any, writer: Any) -> bool:
    parsed = [avro.schema.parse(json.dumps(schema)) for schema in (reader, writer)]
    result = ReaderWriterCompatibilityChecker().get_compatibility(*parsed)
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "optional" if len(schema) == 2 and "null" in schema else "union"
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _not_null(union: list[Any]) -> Any:
    return next(branch for branch in union if branch != "null")


def _logical(schema: Any) -> str | None:
    if isinstance(schema, list):
        return next((found for branch in schema if (found := _logical(branch))), None)
    return schema.get("logicalType") if isinstance(schema, dict) else None
