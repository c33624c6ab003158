"""The form of a record's value on Kafka: the Confluent wire format.

Byte 0 is the magic number 0, bytes 1 to 4 are the id of the schema that wrote the record (big-endian), the rest is the Avro
body. Schemas and ids are those of `schemas.catalog`; records of an older version are read as the newest one has them. With a
schema registry (`use`), records are written with its ids, and ids that the catalog does not have are looked up there.
"""

import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

from schemas import catalog
from schemas.catalog import Schema
from schemas.codec import Makers, Malformed, compile_reader, compile_writer

HEAD_BYTES: Final = 5  # before the Avro body


class Unreadable(Exception):
    """A record value that cannot be turned into an event. The sentence holds none of the record's content."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class SchemasUnavailable(Exception):
    """Whoever knows the schemas does not answer now, so nothing is known about a record: ask again later. The text says who and
    what to do."""


class SchemaSource(Protocol):
    """Who knows schemas by id, besides the catalog. Its calls may block, and raise `SchemasUnavailable`."""

    def id_of(self, event: str) -> int:
        """The id that records of an event are written with."""
        ...

    def schema_of(self, schema_id: int) -> Schema | None:
        """The schema with an id, as parsed JSON; None when there certainly is none."""
        ...


class _Bundled:
    """The catalog alone: fixed ids, no network."""

    def id_of(self, event: str) -> int:
        return catalog.NEWEST[event].id

    def schema_of(self, schema_id: int) -> Schema | None:  # noqa: ARG002 - those of the catalog are found before
        return None


_source: SchemaSource = _Bundled()
_sources = 1  # how many there have been: what was learnt from an earlier one counts no more
_heads: Final[dict[str, bytes]] = {}


def use(source: SchemaSource | None) -> None:
    """Take schema ids from this source from now on, in the whole process; with None from the catalog alone."""
    global _source, _sources  # noqa: PLW0603 - one process speaks with one registry, and the codecs are made once
    _source = source or _Bundled()
    _sources += 1
    _heads.clear()


def has_registry() -> bool:
    """Whether a schema that the catalog does not have may be known elsewhere."""
    return not isinstance(_source, _Bundled)


class _Refusal(NamedTuple):
    """Why the records with a schema id cannot be read."""

    sentence: str
    asked_at: float


# An id that the registry does not have today may be given to a schema later; until then it is not asked for every record.
_ASK_AGAIN_SECONDS = 10.0
_MOST_REFUSALS = 10_000


class WireReader:
    """Reads record values. `makers` names the class of a record's tuples, by the record's name in the schema; records that
    it does not name become plain tuples."""

    def __init__(self, makers: Makers | None = None) -> None:
        self._makers = makers or {}
        self._readers: dict[str, dict[bytes, Callable[[bytes, int], tuple[Any, ...]]]] = {}  # by topic, by head
        self._refusals: dict[tuple[str, bytes], _Refusal] = {}
        self._sources = _sources

    def _forget(self) -> None:
        """Schema ids may mean something else since `use` was called."""
        self._readers.clear()
        self._refusals.clear()
        self._sources = _sources

    def unknown(self, records: Iterable[tuple[str, bytes | None]]) -> set[tuple[str, bytes]]:
        """Of these records (topic, value) the topics and heads that `learn` has to be called for before `decode` answers at
        once. Without a registry none."""
        if not has_registry():
            return set()
        if self._sources != _sources:
            self._forget()
        found = {(topic, value[:HEAD_BYTES]) for topic, value in records if value}
        return {
            (topic, head)
            for topic, head in found
            if head not in self._readers.get(topic, {}) and not self._refused_lately((topic, head))
        }

    def learn(self, unknown: Iterable[tuple[str, bytes]]) -> None:
        """Ask for the schemas of these. Blocks; raises `SchemasUnavailable`. What cannot be read at all is left to `decode`."""
        for topic, head in unknown:
            self._refusals.pop((topic, head), None)
            try:
                self._reader(topic, head)
            except Unreadable:
                continue

    def _refused_lately(self, head: tuple[str, bytes]) -> bool:
        refusal = self._refusals.get(head)
        return refusal is not None and time.monotonic() - refusal.asked_at < _ASK_AGAIN_SECONDS

    def decode(self, topic: str, value: bytes | None) -> tuple[Any, ...]:
        """The record in a value of a topic, its fields in the order of the schema. Raises `Unreadable` for everything else."""
        if not value:
            raise Unreadable("the record has no value; publish a tombstone to none of these topics")
        if self._sources != _sources:
            self._forget()
        head = value[:HEAD_BYTES]
        of_topic = self._readers.get(topic)
        read = of_topic.get(head) if of_topic is not None else None
        if read is None:
            read = self._reader(topic, head)
        try:
            return read(value, HEAD_BYTES)
        except Malformed as error:
            raise Unreadable(f"{error}; write it again with the schema that its id names") from None
        except IndexError:
            raise Unreadable(
                "the record ends before its last field; write it again with the schema that its id names"
            ) from None
        except UnicodeDecodeError:
            raise Unreadable(
                "a text of the record is not UTF-8; write it again with the schema that its id names"
            ) from None

    def _reader(self, topic: str, head: bytes) -> Callable[[bytes, int], tuple[Any, ...]]:
        if refusal := self._refusals.get((topic, head)):
            raise Unreadable(refusal.sentence)
        try:
            read = self._made_for(topic, head)
        except Unreadable as error:
            if has_registry():
                if len(self._refusals) >= _MOST_REFUSALS:
                    self._refusals.clear()
                self._refusals[topic, head] = _Refusal(error.sentence, time.monotonic())
            raise
        self._readers.setdefault(topic, {})[head] = read
        return read

    def _made_for(self, topic: str, head: bytes) -> Callable[[bytes, int], tuple[Any, ...]]:
        if head[0] != 0:
            raise Unreadable(
                "the record does not begin with the magic byte 0 of the Confluent wire format; use a serializer that writes it"
            )
        if len(head) < HEAD_BYTES:
            raise Unreadable("the record is cut off inside the schema id of the Confluent wire format")
        schema_id = int.from_bytes(head[1:], "big")
        version = next((version for version in catalog.VERSIONS if version.id == schema_id), None)
        if version is None:
            return self._foreign(topic, schema_id)
        if catalog.TOPICS[version.event] != topic:
            right = catalog.TOPICS[version.event]
            raise Unreadable(
                f"schema id {schema_id} is of {version.event}, whose topic is {right}; send the record there"
            )
        return compile_reader(catalog.schema(version.file), catalog.newest_schema(version.event), self._makers)

    def _foreign(self, topic: str, schema_id: int) -> Callable[[bytes, int], tuple[Any, ...]]:
        """A reader for a schema that the catalog does not have, in a topic of ours."""
        written = _source.schema_of(schema_id)
        event = next((event for event, its_topic in catalog.TOPICS.items() if its_topic == topic), None)
        if written is None or event is None:
            registry = " and the schema registry does not have it" if has_registry() else ""
            raise Unreadable(
                f"schema id {schema_id} is not one of this contract{registry}; write the record with a schema id of "
                f"schemas/catalog.py{', or register its schema' if has_registry() else ''}"
            )
        from schemas.foreign import DoesNotResolve, compile_foreign_reader

        try:
            return compile_foreign_reader(written, event, self._makers)
        except DoesNotResolve as error:
            raise Unreadable(f"schema id {schema_id} cannot be read as {event}: {error}") from None


def encode(event: str, record: tuple[Any, ...]) -> bytes:
    """The value of an event's record, whose fields come in the order of the schema."""
    return writer(event)(record)


@cache
def writer(event: str) -> Callable[[tuple[Any, ...]], bytes]:
    """What `encode` does, for one event. A date that a record holds is a number of days, an instant one of microseconds.

    With a registry the first call may block and raise `SchemasUnavailable`, see `learn_ids`.
    """
    write = compile_writer(catalog.newest_schema(event))
    return lambda record: write(_heads.get(event) or _head(event), record)


def _head(event: str) -> bytes:
    """The first bytes of an event's records; asked for once."""
    head = _heads[event] = b"\0" + _source.id_of(event).to_bytes(4, "big")
    return head


def learn_ids(events: Iterable[str]) -> None:
    """Ask for the ids that these events are written with, so that no `encode` has to. Raises `SchemasUnavailable`."""
    for event in events:
        if event not in _heads:
            _head(event)
