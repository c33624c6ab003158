"""A processor whose output shows at once whether an event was lost, repeated or taken out of order.

Events are numbered; the table's value of a key is how many events it has had and a digest of their numbers; each event
causes one output with its key's count. So the counts of a key must run 1, 2, 3, ... and each number must appear once.
"""

import asyncio
import zlib
from collections.abc import Sequence

import msgspec

from streams.runtime.dead_letters import Reason, dead_letter
from streams.runtime.processor import InputRecord, LaneTable, OutputRecord, Processor


class Event(msgspec.Struct):
    """An input event."""

    number: int
    poison: bool = False
    crash: bool = False


class Count(msgspec.Struct):
    """The table's value of a key."""

    count: int = 0
    digest: int = 0


class Counted(msgspec.Struct):
    """An output."""

    number: int
    count: int


def counted(value: Count, number: int) -> Count:
    """The table's value after one more event."""
    return Count(value.count + 1, zlib.crc32(number.to_bytes(8), value.digest))


class CountingProcessor:
    """Counts the events of each key."""

    def __init__(self, output_topic: str, dead_letter_topic: str, hang_at_batch: int | None) -> None:
        self._output_topic = output_topic
        self._dead_letter_topic = dead_letter_topic
        self._hang_at_batch = hang_at_batch
        self._batches = 0

    async def prepare(self, records: Sequence[InputRecord]) -> None:
        """Counting needs no reference data; a test may have it wait for some that never comes."""
        self._batches += 1
        if self._batches == self._hang_at_batch:
            await asyncio.Event().wait()

    def process(self, table: LaneTable, records: Sequence[InputRecord]) -> list[OutputRecord]:
        outputs = []
        for record in records:
            try:
                assert record.key is not None
                assert record.value is not None
                event = msgspec.json.decode(record.value, type=Event)
                assert not event.poison
            except (AssertionError, msgspec.MsgspecError):
                outputs.append(dead_letter(record, Reason.UNREADABLE, "not an event", topic=self._dead_letter_topic))
                continue
            if event.crash:
                raise KeyError(f"secret of {record.key!r}")
            stored = table.get(record.key)
            value = counted(Count() if stored is None else msgspec.json.decode(stored, type=Count), event.number)
            table.put(record.key, msgspec.json.encode(value))
            outputs.append(
                OutputRecord(
                    self._output_topic,
                    record.key,
                    msgspec.json.encode(Counted(event.number, value.count)),
                    (("from", f"{record.topic}/{record.offset}".encode()),),
                )
            )
        return outputs

    def committed(self) -> None:
        """Nothing to count."""


class CountingFactory:
    """Makes the processor of each lane."""

    def __init__(self, output_topic: str, dead_letter_topic: str, hang_at_batch: int | None = None) -> None:
        self._topics = (output_topic, dead_letter_topic)
        self._hang_at_batch = hang_at_batch

    def __call__(self, partition: int) -> Processor:
        return CountingProcessor(*self._topics, self._hang_at_batch)
