"""The form of a record's value on Kafka: the Confluent wire format.

Byte 0 is the magic number 0, bytes 1 to 4 are the id of the schema that wrote the record (big-endian), the rest is the Avro
body. Schemas and ids are those of `schemas.catalog`; records of an older version are read as the newest one has them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from schemas import catalog
from schemas.codec import Makers, Malformed, compile_reader, compile_writer

HEAD_BYTES = 5  # before the Avro body


class Unreadable(Exception):
    """A record value that cannot be turned into an event. The sentence holds none of the record's content."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class WireReader:
    """Reads record values. `makers` names the class of a record's tuples, by the record's name in the schema; records that
    it does not name become plain tuples."""

    def __init__(self, makers: Makers | None = None) -> None:
        self._makers = makers or {}
        self._readers: dict[tuple[str, bytes], Callable[[bytes, int], tuple[Any, ...]]] = {}

    def decode(self, topic: str, value: bytes | None) -> tuple[Any, ...]:
        """The record in a value of a topic, its fields in the order of the schema. Raises `Unreadable` for everything else."""
        if not value:
            raise Unreadable("the record has no value; publish a tombstone to none of these topics")
        head = value[:HEAD_BYTES]
        read = self._readers.get((topic, head)) or self._reader(topic, head)
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
        if head[0] != 0:
            raise Unreadable(
                "the record does not begin with the magic byte 0 of the Confluent wire format; use a serializer that writes it"
            )
        if len(head) < HEAD_BYTES:
            raise Unreadable("the record is cut off inside the schema id of the Confluent wire format")
        schema_id = int.from_bytes(head[1:], "big")
        version = next((version for version in catalog.VERSIONS if version.id == schema_id), None)
        if version is None:
            raise Unreadable(
                f"schema id {schema_id} is not one of this contract; write the record with a schema id of schemas/catalog.py"
            )
        if catalog.TOPICS[version.event] != topic:
            right = catalog.TOPICS[version.event]
            raise Unreadable(
                f"schema id {schema_id} is of {version.event}, whose topic is {right}; send the record there"
            )
        read = compile_reader(catalog.schema(version.file), catalog.newest_schema(version.event), self._makers)
        self._readers[topic, head] = read
        return read


def encode(event: str, record: tuple[Any, ...]) -> bytes:
    """The value of an event's record, whose fields come in the order of the schema."""
    return writer(event)(record)


@cache
def writer(event: str) -> Callable[[tuple[Any, ...]], bytes]:
    """What `encode` does, for one event. A date that a record holds is a number of days, an instant one of microseconds."""
    head = b"\0" + catalog.NEWEST[event].id.to_bytes(4, "big")
    write = compile_writer(catalog.newest_schema(event))
    return lambda record: write(head, record)
