"""The form of an event for people and files: a JSON object, checked against the event's schema.

A record is an object and its counterpart the tuple of its values in the order of the schema's fields (see
`schemas.codec`). Dates are ISO local dates, instants are RFC 3339 in UTC. Two things are written shorter than
their schema says: an adjustment is a text (`CO-272/N357:35000`), and the agreement offsets of a request are one
object, of partition to offset (`{"0": 41}`).
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from schemas import catalog
from schemas.catalog import Schema
from schemas.codec import Makers

Parse = Callable[[Any], Any]
Write = Callable[[Any], Any]

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)(?:Z|[+-]00:00)")
_ADJUSTMENT = re.compile(r"([A-Z]{2})-([A-Z0-9]+)((?:/[A-Z0-9]+)*):(-?[0-9]{1,19})")
_PARTITION = re.compile(r"0|[1-9][0-9]{0,9}")
_WIDTHS = {"int": 31, "long": 63}
_ABSENT = object()


class FieldError(ValueError):
    """A field of a JSON event that is missing or not of its type."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}" if path else sentence)
        self.path = path  # such as lines[0].service_date; empty for the event itself
        self.sentence = sentence  # what is expected; never the value found

    def inside(self, outer: str) -> "FieldError":
        """The same error, seen from the object or list around the field."""
        return FieldError(
            outer + ("" if not self.path or self.path.startswith("[") else ".") + self.path, self.sentence
        )


def parser(event: str, makers: Makers) -> Callable[[Any], tuple[Any, ...]]:
    """A function that turns an event's JSON object into its record. `makers` as in `schemas.wire`.

    Unknown fields are ignored, an absent field with a default takes it. Raises `FieldError`.
    """
    return _parser(catalog.newest_schema(event), makers)


@cache
def printer(event: str) -> Callable[[tuple[Any, ...]], dict[str, Any]]:
    """A function that turns an event's record into its JSON object, the fields in the order of the schema."""
    return _printer(catalog.newest_schema(event))


def _parser(schema: Schema, makers: Makers) -> Parse:
    if isinstance(schema, list):
        return _parse_optional(_parser(_other_than_null(schema), makers))
    kind = _kind(schema)
    if kind == "record":
        return _parse_record(schema, makers)
    if kind == "array":
        item = _parser(schema["items"], makers)
        if _name(schema["items"]) == "AgreementOffset":
            return _parse_offsets
        if _name(schema["items"]) == "Adjustment":
            item = _parse_adjustment_into(makers.get("Adjustment"))
        return _parse_array(item)
    scalars: dict[str, Parse] = {
        "date": day_from_iso,
        "timestamp-micros": micros_from_rfc3339,
        "string": _parse_string,
        "boolean": _parse_boolean,
        "int": _parse_number("int"),
        "long": _parse_number("long"),
    }
    return scalars[kind]


def _printer(schema: Schema) -> Write:
    if isinstance(schema, list):
        write = _printer(_other_than_null(schema))
        return lambda value: None if value is None else write(value)
    kind = _kind(schema)
    if kind == "record":
        fields = [(field["name"], _printer(field["type"])) for field in schema["fields"]]
        return lambda record: {name: write(value) for (name, write), value in zip(fields, record, strict=True)}
    if kind == "array":
        if _name(schema["items"]) == "AgreementOffset":
            return lambda offsets: {str(partition): offset for partition, offset in offsets}
        item = _print_adjustment if _name(schema["items"]) == "Adjustment" else _printer(schema["items"])
        return lambda items: [item(value) for value in items]
    scalars: dict[str, Write] = {"date": iso_from_day, "timestamp-micros": rfc3339_from_micros}
    return scalars.get(kind, _as_it_is)


def _kind(schema: Schema) -> str:
    return str(schema.get("logicalType", schema["type"]) if isinstance(schema, dict) else schema)


def _name(schema: Schema) -> str:
    return schema.get("name", "").rpartition(".")[2] if isinstance(schema, dict) else ""


def _other_than_null(union: list[Schema]) -> Schema:
    return next(branch for branch in union if branch != "null")


def _as_it_is(value: Any) -> Any:
    return value


def _parse_optional(parse: Parse) -> Parse:
    return lambda value: None if value is None else parse(value)


def _parse_record(schema: Schema, makers: Makers) -> Parse:
    fields = [(field["name"], _parser(field["type"], makers), _default(field)) for field in schema["fields"]]
    make = makers.get(_name(schema), tuple)

    def parse(value: Any) -> tuple[Any, ...]:
        if type(value) is not dict:
            raise FieldError("", "must be a JSON object")
        values = []
        for name, parse_field, default in fields:
            found = value.get(name, _ABSENT)
            if found is _ABSENT:
                if default is _ABSENT:
                    raise FieldError(name, "is missing; it has to be there")
                values.append(default)
                continue
            try:
                values.append(parse_field(found))
            except FieldError as error:
                raise error.inside(name) from None
        return tuple.__new__(make, values)

    return parse


def _default(field: Any) -> Any:
    default = field.get("default", _ABSENT)
    return tuple(default) if isinstance(default, list) else default


def _parse_array(parse: Parse) -> Parse:
    def parse_array(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise FieldError("", "must be a JSON array")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(parse(item))
            except FieldError as error:
                raise error.inside(f"[{index}]") from None
        return tuple(items)

    return parse_array


def _parse_string(value: Any) -> str:
    if type(value) is not str:
        raise FieldError("", "must be a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FieldError("", "must be text; it has half of a surrogate pair, which UTF-8 cannot hold") from None
    return value


def _parse_boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise FieldError("", "must be true or false")
    return value


def _parse_number(kind: str) -> Parse:
    end = 1 << _WIDTHS[kind]
    width = _WIDTHS[kind] + 1

    def parse(value: Any) -> int:
        if type(value) is not int:
            raise FieldError("", "must be a whole number, written without a point, an exponent or quotes")
        if not -end <= value < end:
            raise FieldError("", f"must be a whole number that fits in {width} bits")
        return value

    return parse


def day_from_iso(value: Any) -> int:
    """The day (since 1970-01-01) of an ISO local date such as 2024-02-29. Raises `FieldError`, without a path."""
    if type(value) is not str:
        raise FieldError("", "must be a date as a string, such as 2024-02-29")
    return _day(value)


@lru_cache(maxsize=8192)
def _day(text: str) -> int:
    if _DATE.fullmatch(text) is None:
        raise FieldError("", "must be an ISO local date (YYYY-MM-DD), such as 2024-02-29")
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        raise FieldError("", "must be a date that exists; the calendar has no such day") from None


@lru_cache(maxsize=8192)
def iso_from_day(day: int) -> str:
    """The ISO local date of a day. Raises ValueError outside of the years 1 to 9999."""
    return date.fromordinal(day + _EPOCH_ORDINAL).isoformat()


def micros_from_rfc3339(value: Any) -> int:
    """The microseconds (since 1970 in UTC) of an instant such as 2024-01-02T15:00:00Z. Raises `FieldError`, without a path."""
    found = _INSTANT.fullmatch(value) if type(value) is str else None
    if found is None:
        raise FieldError("", "must be an instant in UTC, such as 2024-01-02T15:00:00Z or 2024-01-02T15:00:00.123456Z")
    try:
        instant = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError:
        raise FieldError("", "must be an instant that exists; the calendar or the clock has no such one") from None
    return (instant - _EPOCH) // timedelta(microseconds=1)


def rfc3339_from_micros(micros: int) -> str:
    """The RFC 3339 form of an instant in UTC, with a fraction only where there is one. Raises OverflowError outside of the
    years 1 to 9999."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().removesuffix("+00:00") + "Z"


def _parse_offsets(value: Any) -> tuple[tuple[int, int], ...]:
    if type(value) is not dict:
        raise FieldError("", 'must be a JSON object of partition to offset, such as {"0": 41}')
    parse_partition, parse_offset = _parse_number("int"), _parse_number("long")
    offsets = []
    for partition, offset in value.items():
        if _PARTITION.fullmatch(partition) is None:
            raise FieldError("", 'must have partition numbers as names, such as {"0": 41}')
        try:
            offsets.append((parse_partition(int(partition)), parse_offset(offset)))
        except FieldError as error:
            raise error.inside(partition) from None
    return tuple(sorted(offsets))


def _parse_adjustment_into(make: type[tuple[Any, ...]] | None) -> Parse:
    parse_cents = _parse_number("long")

    def parse(value: Any) -> tuple[Any, ...]:
        found = _ADJUSTMENT.fullmatch(value) if type(value) is str else None
        if found is None:
            raise FieldError(
                "",
                "must be an adjustment: GROUP-CARC, then /RARC for each remark, then :cents, such as CO-272/N357:35000",
            )
        group, carc, rarcs, cents = found.groups()
        return tuple.__new__(make or tuple, (group, carc, tuple(rarcs.split("/")[1:]), parse_cents(int(cents))))

    return parse


def _print_adjustment(adjustment: tuple[str, str, tuple[str, ...], int]) -> str:
    group, carc, rarcs, cents = adjustment
    return f"{group}-{'/'.join((carc, *rarcs))}:{cents}"
