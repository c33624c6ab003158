"""Avro bodies read and written by functions that are made for one schema.

The values are those of the contract without ceremony: a record is a tuple of its values in the order of the schema's fields
(of the class that the caller names for it, else a plain tuple), an array is a tuple, a date the number of days and an
instant the number of microseconds since 1970-01-01. So what the core decides on is written as it is and read as it is.

Why not a general library: at 20,000 facts a second a fact may cost 50 microseconds in all. By way of fastavro 1.13 it took 22 of
them from the bytes of a claim with two lines to the `Claim`, and 26 from a `Decision` to its bytes; by way of the functions
made here 12 and 6, on the same machine. They are made from source text, as `namedtuple` does, because a call for each
field would cost as much as reading it. The tests hold them against fastavro and against Apache's own package.

Compiled (streams/compiling.py), `i64` is the machine's own number and a `BytesWriter` its own buffer: of a decision's
40,000 instructions a third is left. As they are, they are Python's, and the arithmetic here gives the same either way.

Supported is what the contract uses: null, boolean, int, long, string, array, record, and unions of null with one other type.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from librt.strings import BytesWriter
from mypy_extensions import i64

from schemas.catalog import Schema

Makers = Mapping[str, type[tuple[Any, ...]]]  # record name, without namespace -> the class of its tuples


class Malformed(ValueError):
    """Bytes that are no value of the schema. The message is a sentence that holds none of their content."""


def compile_reader(writer: Schema, reader: Schema, makers: Makers) -> Callable[[bytes, int], tuple[Any, ...]]:
    """A function (data, position of the body) -> the record, for bodies written with `writer`, as `reader` has it now.

    Fields that only the writer knows are left out, fields that only the reader knows take their defaults. The function
    raises `Malformed` for bytes that are no such record, IndexError where they end early, UnicodeDecodeError for text that
    is not UTF-8.
    """
    source = _ReaderSource(makers)
    function: Callable[[bytes, int], tuple[Any, ...]] = source.function(source.text_of(writer, reader))
    return function


def compile_writer(schema: Schema) -> Callable[[bytes, tuple[Any, ...]], bytes]:
    """A function (head, record) -> the head followed by the record's body. Raises ValueError for what Avro cannot hold."""
    source = _WriterSource()
    function: Callable[[bytes, tuple[Any, ...]], bytes] = source.function(source.text_of(schema))
    return function


SHORT_BYTES: Final = 10
SHORT_ARRAY_BYTES: Final = 64
MOST_SHORT_TEXTS: Final = 8192
"""Texts of at most so many bytes, and arrays of texts, are made once and kept, so many of each. A claim is full of codes, NPIs and
names of plans, the same ones in every claim: a third of what a worker keeps of its patients were copies of them."""

MOST_DAYS: Final = 1 << 15
"""Dates from 1970-01-01 to 2059-09-18 are made once, too."""

COMPILED: dict[str, Callable[..., Any]] = {}
"""Functions that were compiled beforehand, by the digest of their text; every other one is made when it is asked for."""


def digest(text: str) -> str:
    """Names a function's text."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def reader_text(writer: Schema, reader: Schema, makers: Makers) -> str:
    """The text of what `compile_reader` makes."""
    return _ReaderSource(makers).text_of(writer, reader)


def writer_text(schema: Schema) -> str:
    """The text of what `compile_writer` makes."""
    return _WriterSource().text_of(schema)


class _Source:
    """The text of a function that is being made."""

    def __init__(self, **names: Any) -> None:
        self.names = names  # what the text may call
        self._lines: list[str] = []
        self._depth = 1
        self._variables = 0

    def add(self, *lines: str) -> None:
        self._lines.extend("    " * self._depth + line for line in lines)

    @contextmanager
    def under(self, head: str) -> Iterator[None]:
        """What is added within is indented under the head."""
        self.add(head)
        self._depth += 1
        yield
        self._depth -= 1

    def variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def text(self, head: str, result: str) -> str:
        return "\n".join((head, *self._lines, f"    return {result}"))

    def function(self, text: str) -> Any:
        compiled = COMPILED.get(digest(text))
        if compiled is not None:
            return compiled
        exec(text, self.names)  # noqa: S102 - our text, from our schemas
        return self.names[text[len("def ") : text.index("(")]]


class _ReaderSource(_Source):
    """Statements that read `data` from `at` on. What lies behind the end of the data shows as an IndexError or as an `at`
    behind the end, and every turn of a loop reads at least one byte: so a count of a million millions ends there too."""

    def __init__(self, makers: Makers) -> None:
        super().__init__(
            i64=i64,
            new=tuple.__new__,
            long=long,
            text_end=text_end,
            short=short,
            texts=texts,
            day=day,
            count=count,
            finish=finish,
            Malformed=Malformed,
        )
        self.makers = makers
        self.add("end: i64 = 0; byte: i64 = 0; branch: i64 = 0")

    def text_of(self, writer: Schema, reader: Schema) -> str:
        result = self.read(writer, reader)
        return self.text("def read(data: bytes, at: i64) -> tuple:", f"finish(data, at, {result})")

    def read(self, writer: Schema, reader: Schema) -> str:
        """Adds the statements that read a value. The answer is the expression that then stands for it."""
        if isinstance(writer, list):
            return self._optional(writer, reader)
        kind, reader = _kind(writer), _not_null(reader)
        if kind == "record":
            return self._record(writer, reader)
        if kind == "array":
            return self._array(writer, reader)
        value = self.variable()
        if kind == "string":
            self.add(
                "end = data[at]; at += 1",
                "if end & 0x81: end, at = text_end(data, at - 1)",  # of more than 63 bytes, or of a negative length
                "else: end = at + (end >> 1)",
                f"{value} = data[at:end].decode() if end - at > {SHORT_BYTES} else short(data[at:end])",
                "at = end",
            )
        elif kind in ("int", "long"):
            self.add(
                "byte = data[at]",
                f"if byte < 128: {value} = (byte >> 1) ^ -(byte & 1); at += 1",
                f"else: {value}, at = long(data, at)",
            )
            if _is_date(writer):
                date = self.variable()
                self.add(f"{date} = day({value})")
                return date
        elif kind == "boolean":
            self.add(
                "byte = data[at]; at += 1",
                "if byte > 1: raise Malformed('the record holds a boolean that is neither 0 nor 1')",
                f"{value} = byte == 1",
            )
        else:
            raise _unsupported(writer)
        return value

    def _record(self, writer: Schema, reader: Schema) -> str:
        wanted = {field["name"]: field for field in reader["fields"]}
        found = {
            field["name"]: self.read(field["type"], wanted.get(field["name"], field)["type"])
            for field in writer["fields"]
        }
        values = "".join(f"{found.get(name) or _default(field)}, " for name, field in wanted.items())
        make = self.makers.get(reader["name"].rpartition(".")[2])
        if make is None:
            return f"({values})"
        self.names[make.__name__] = make
        return f"new({make.__name__}, ({values}))"

    def _array(self, writer: Schema, reader: Schema) -> str:
        items, block, begin = self.variable(), self.variable(), self.variable()
        self.add(f"{items} = []", f"{begin} = at")
        with self.under("while data[at]:"):
            self.add(f"{block}, at = count(data, at)")
            with self.under(f"for _ in range({block}):"):
                self.add(f"{items}.append({self.read(writer['items'], reader['items'])})")
        made = f"tuple({items})"
        if _kind(writer["items"]) == "string":
            value = self.variable()
            self.add(f"{value} = {made} if at - {begin} > {SHORT_ARRAY_BYTES} else texts({made})")
            made = value
        self.add("at += 1")
        return made

    def _optional(self, writer: Schema, reader: Schema) -> str:
        null, other = _branches(writer)
        value = self.variable()
        self.add("branch = data[at]; at += 1")
        with self.under(f"if branch == {2 * null}:"):
            self.add(f"{value} = None")
        with self.under(f"elif branch == {2 - 2 * null}:"):
            self.add(f"{value} = {self.read(other, reader)}")
        with self.under("else:"):
            self.add("raise Malformed('the record holds a branch that its union does not have')")
        return value


class _WriterSource(_Source):
    """Statements that write the pieces of a value to `out`."""

    def __init__(self) -> None:
        super().__init__(BytesWriter=BytesWriter, put_number=put_number, put_text=put_text)
        self.add("out = BytesWriter()", "out.write(head)")

    def text_of(self, schema: Schema) -> str:
        self.write(schema, "record")
        return self.text("def write(head: bytes, record: tuple) -> bytes:", "out.getvalue()")

    def write(self, schema: Schema, value: str) -> None:
        """Adds the statements that write the value of an expression."""
        if isinstance(schema, list):
            self._optional(schema, value)
            return
        kind = _kind(schema)
        if kind == "record":
            fields = [self.variable() for _ in schema["fields"]]
            self.add(f"{''.join(f'{name}, ' for name in fields)} = {value}")
            for field, name in zip(schema["fields"], fields, strict=True):
                self.write(field["type"], name)
        elif kind == "array":
            items, item = self.variable(), self.variable()
            self.add(f"{items}: tuple = {value}")
            with self.under(f"if {items}:"):
                self.add(f"put_number(out, len({items}))")
                with self.under(f"for {item} in {items}:"):
                    self.write(schema["items"], item)
            self.add("out.append(0)")
        elif kind == "string":
            self.add(f"put_text(out, {value})")
        elif kind in ("int", "long"):
            self.add(f"put_number(out, {value})")
        elif kind == "boolean":
            self.add(f"out.append(1 if {value} else 0)")
        else:
            raise _unsupported(schema)

    def _optional(self, union: Schema, value: str) -> None:
        null, other = _branches(union)
        with self.under(f"if {value} is None:"):
            self.add(f"out.append({2 * null})")
        with self.under("else:"):
            self.add(f"out.append({2 - 2 * null})")
            self.write(other, value)


def _kind(schema: Schema) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _is_date(schema: Schema) -> bool:
    return isinstance(schema, dict) and schema.get("logicalType") == "date"


def _branches(union: list[Schema]) -> tuple[int, Schema]:
    """Where null stands in an optional field's union, and the other branch."""
    if len(union) != 2 or "null" not in union:
        raise _unsupported(union)
    null = union.index("null")
    return null, union[1 - null]


def _not_null(schema: Schema) -> Schema:
    return _branches(schema)[1] if isinstance(schema, list) else schema


def _unsupported(schema: Schema) -> TypeError:
    return TypeError(f"schemas/codec.py has no code for {schema!r} yet: add it there, to the reader and to the writer")


def _default(field: Schema) -> str:
    """The source text of a field's default: null, a string, a number, a boolean or the empty array."""
    default = field["default"]
    return repr(tuple(default) if isinstance(default, list) else default)


_TOO_SHORT = "the record ends before its last field"


def finish(data: bytes, at: i64, record: tuple[Any, ...]) -> tuple[Any, ...]:
    if at != len(data):
        raise Malformed(_TOO_SHORT if at > len(data) else "bytes are left over after the last field")
    return record


def long(data: bytes, at: i64) -> tuple[i64, i64]:
    """The variable-length zig-zag number at a position, and the position behind it."""
    byte: i64 = data[at]
    number: i64 = byte & 0x7F
    shift: i64 = 0
    while byte >= 128:
        at += 1
        shift += 7
        byte = data[at]
        if shift == 63 and byte > 1:
            raise Malformed("the record holds a number of more than 64 bits")
        number |= (byte & 0x7F) << shift
    return ((number >> 1) & 0x7FFF_FFFF_FFFF_FFFF) ^ -(number & 1), at + 1


def text_end(data: bytes, at: i64) -> tuple[i64, i64]:
    """Where the text ends whose length is at a position, and where it begins."""
    length, at = long(data, at)
    if length < 0:
        raise Malformed("the record holds a negative length")
    if length > len(data):
        raise Malformed(_TOO_SHORT)
    return at + length, at


_short_texts: Final[dict[Any, Any]] = {}
_short_arrays: Final[dict[Any, Any]] = {}


def short(data: bytes) -> Any:
    """A short text, the same object each time it comes."""
    text = _short_texts.get(data)
    return _keep(_short_texts, data, data.decode()) if text is None else text


def texts(items: tuple[Any, ...]) -> Any:
    """A short array of texts, the same object each time it comes."""
    found = _short_arrays.get(items)
    return _keep(_short_arrays, items, items) if found is None else found


def _keep(kept: dict[Any, Any], key: object, value: Any) -> Any:
    if len(kept) >= MOST_SHORT_TEXTS:
        kept.clear()
    kept[key] = value
    return value


_days: Final[list[Any]] = list(range(MOST_DAYS))


def day(number: i64) -> Any:
    """A number of days, the same object each time it comes."""
    return _days[number] if 0 <= number < MOST_DAYS else number


def count(data: bytes, at: i64) -> tuple[i64, i64]:
    """The count of an array's block, and the position behind it. After a negative count comes the block's size in bytes,
    for readers that want to skip it."""
    count, at = long(data, at)
    if count < 0:
        _, at = long(data, at)
        count = -count
    if not 0 <= count <= len(data):  # the negative of the least number of 64 bits is itself
        raise Malformed(_TOO_SHORT)
    return count, at


def put_text(out: BytesWriter, text: str) -> None:
    """Write a text behind its length."""
    data = text.encode()
    put_number(out, len(data))
    out.write(data)


def put_number(out: BytesWriter, number: int) -> None:
    """Write a number in Avro's variable-length zig-zag form."""
    if -64 <= number < 64:
        out.append(2 * number if number >= 0 else -2 * number - 1)
        return
    # The first bounds are a plain comparison where this runs compiled, the second, real ones are not
    if not -(1 << 61) <= number < 1 << 61 and not -(1 << 63) <= number < 1 << 63:
        raise ValueError("a number of more than 64 bits cannot be written")
    whole: i64 = number
    rest: i64 = (whole << 1) ^ (whole >> 63)
    low: int  # what a compiled `append` takes as it is; an `i64` would go by way of an object
    while rest & -128:
        low = rest & 0x7F | 0x80
        out.append(low)
        rest = (rest >> 7) & 0x01FF_FFFF_FFFF_FFFF
    low = rest
    out.append(low)
