"""FHIR resources in JSON: a file of them, one after the other, and places in one, which remember what was read.

A file holds one resource, or NDJSON: a resource a line. A bad line of NDJSON costs no other line.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Final, NamedTuple

LARGEST_RESOURCE_BYTES = 64 * 1024 * 1024  # of a Bundle or of a line of NDJSON: it is held whole, times about five
_MISSING: Final = object()
_NAME = re.compile(r"[A-Za-z0-9_]{1,63}")


class Unreadable(Exception):
    """A resource that cannot be read; the sentence holds none of its content."""


class NoResource(Unreadable):
    """JSON that is no resource."""


class BadValue(Exception):
    """A value at a path of a resource that cannot be used."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path  # such as Claim.item[0].quantity
        self.sentence = sentence  # what is expected; never the value found


class Read(NamedTuple):
    """A resource of a file, or what stands in its place."""

    line_number: int | None  # of NDJSON, counted from 1
    resource: dict[str, Any] | Unreadable


def read_resources(file: BinaryIO) -> Iterator[Read]:
    """The resource of a file, or those of its lines. Raises Unreadable where the whole of it is no JSON, or nothing is there."""
    first = file.readline(LARGEST_RESOURCE_BYTES + 1)
    if not first:
        raise Unreadable("the file is empty: it may have been cut off on its way")
    try:
        resource = _parsed(first)
    except Unreadable as bad:
        try:
            found = _parsed(first + file.read(LARGEST_RESOURCE_BYTES + 1 - len(first)))
        except Unreadable as whole:
            if not _goes_on_with_a_resource(file, first):
                raise (bad if isinstance(bad, NoResource) else whole) from None
            yield Read(1, bad)
        else:
            if found is not None:
                yield Read(None, found)
            return
    else:
        if resource is not None:
            yield Read(1, resource)
    line_number = 1
    while line := file.readline(LARGEST_RESOURCE_BYTES + 1):
        line_number += 1
        try:
            resource = _parsed(line)
        except Unreadable as bad:
            _skip_line(file, line)
            yield Read(line_number, bad)
        else:
            if resource is not None:
                yield Read(line_number, resource)


def _goes_on_with_a_resource(file: BinaryIO, first: bytes) -> bool:
    """Whether the second line is a resource of its own, and so the first was meant to be one, too; then it is read next."""
    file.seek(len(first))
    _skip_line(file, first)
    begin = file.tell()
    try:
        found = _parsed(file.readline(LARGEST_RESOURCE_BYTES + 1))
    except Unreadable:
        return False
    file.seek(begin)
    return found is not None


def _skip_line(file: BinaryIO, line: bytes) -> None:
    """Go on behind a line of which the beginning was read."""
    while line and not line.endswith(b"\n"):
        line = file.readline(LARGEST_RESOURCE_BYTES)


def _parsed(data: bytes) -> dict[str, Any] | None:
    """A resource as a JSON object; None for a blank line. Amounts come as Decimal. Raises Unreadable."""
    if len(data) > LARGEST_RESOURCE_BYTES:
        raise Unreadable(f"a resource has more than {LARGEST_RESOURCE_BYTES:,} bytes; split it, or use NDJSON")
    try:
        text = data.decode().removeprefix("\ufeff")
        if not text.strip():
            return None
        # without its end, which an error at the end of a line would take for a line of its own
        found = json.loads(text.rstrip("\r\n"), parse_float=Decimal, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("<"):
            raise Unreadable("is not JSON but looks like XML; have the resources sent as JSON") from None
        what = error.msg.removesuffix(" at")
        raise Unreadable(f"is not JSON: {what} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError, InvalidOperation):
        raise Unreadable("is nested too deeply, or holds a number with too many digits") from None
    if not isinstance(found, dict) or "resourceType" not in found:
        raise NoResource("must be a JSON object with a resourceType")
    return found


def _no_constant(_: str) -> Any:
    raise ValueError


class Place:
    """A place in a resource, which remembers what was read of it."""

    def __init__(self, value: Any, path: str, taken: set[tuple[int, str]]) -> None:
        self.value = value
        self.path = path
        self._taken = taken

    def __bool__(self) -> bool:
        return self.value is not _MISSING

    def get(self, name: str) -> "Place":
        """An element; nothing is there where this is no object or has none of that name."""
        value = self.value.get(name, _MISSING) if isinstance(self.value, dict) else _MISSING
        return Place(_MISSING if value is None else value, f"{self.path}.{name}", self._taken)

    def items(self, name: str) -> list["Place"]:
        """The items of a repeating element. Raises BadValue."""
        found = self.get(name)
        if not found:
            return []
        if not isinstance(found.value, list):
            raise BadValue(found.path, "must be a JSON array")
        return [Place(one, f"{found.path}[{index}]", self._taken) for index, one in enumerate(found.value)]

    def codes(self, name: str) -> list[str]:
        """The codes of a CodeableConcept, whatever their systems. Raises BadValue."""
        return [coding.text("code") for coding in self.get(name).items("coding")]

    def text(self, name: str) -> str:
        """A string; empty where there is none. Raises BadValue."""
        found = self.get(name)
        if not found:
            return ""
        if not isinstance(found.value, str):
            raise BadValue(found.path, "must be a string")
        self.take(name)
        return found.value.strip()

    def texts(self, name: str) -> list[str]:
        """Strings. Raises BadValue."""
        found = [one.value for one in self.items(name)]
        if not all(isinstance(one, str) for one in found):
            raise BadValue(f"{self.path}.{name}", "must be an array of strings")
        self.take(name)
        return found

    def number(self, name: str) -> Decimal | None:
        """A number; None where there is none. Raises BadValue."""
        found = self.get(name)
        if not found:
            return None
        if isinstance(found.value, bool) or not isinstance(found.value, int | Decimal):
            raise BadValue(found.path, "must be a number")
        self.take(name)
        return Decimal(found.value)

    def whole(self, name: str) -> int | None:
        """A whole number; None where there is none. Raises BadValue."""
        number = self.number(name)
        if number is None:
            return None
        if not -(10**15) < number < 10**15 or number != number.to_integral_value():
            raise BadValue(f"{self.path}.{name}", "must be a whole number")
        return int(number)

    def wholes(self, name: str) -> list[int]:
        """Whole numbers. Raises BadValue."""
        found = [one.value for one in self.items(name)]
        if not all(type(one) is int for one in found):
            raise BadValue(f"{self.path}.{name}", "must be an array of whole numbers")
        self.take(name)
        return found

    def flag(self, name: str) -> bool:
        """Whether an element is true."""
        found = self.get(name)
        if found:
            self.take(name)
        return found.value is True

    def take(self, name: str) -> None:
        """Mark an element as read."""
        self._taken.add((id(self.value), name))

    def left_over(self, stop_at: frozenset[str]) -> Iterator[tuple[str, str]]:
        """What nobody read: (path without indices, the name that stopped the search or the first name below this place).

        What stands below an element of a name in `stop_at` is not looked at. A name that could be anything is shown as "?".
        """
        stack: list[tuple[Any, str, str]] = [(self.value, self.path, "")]
        while stack:
            value, path, first_name = stack.pop()
            if isinstance(value, dict):
                for name, inner in value.items():
                    if (id(value), name) in self._taken or name == "resourceType":
                        continue
                    shown = name if _NAME.fullmatch(name) else "?"
                    if shown in stop_at:
                        yield f"{path}.{shown}", shown
                    else:
                        stack.append((inner, f"{path}.{shown}", first_name or shown))
            elif isinstance(value, list):
                stack.extend((inner, path, first_name) for inner in value)
            else:
                yield path, first_name
