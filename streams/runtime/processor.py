"""What a lane runs: the seam between the exactly-once runtime and the billing agents.

The runtime moves bytes and knows nothing of billing; a processor turns input records into output records and table writes
and knows nothing of Kafka. One processor is made for each lane, when the lane opens, and dropped with it: whatever it
caches is as old as the lane.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

Headers = tuple[tuple[str, bytes | None], ...]
"""A value may be null: any publisher may send such a header, and a compiled loop over the headers takes only what is said here."""


class InputRecord(NamedTuple):
    """One record of an input topic, as it was fetched."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class OutputRecord(NamedTuple):
    """One record to publish; the lane sends it to its own partition number of the topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class LaneTable(Protocol):
    """The lane's part of the patient table. Writes become changelog records of the running transaction and reach the local
    store only after its commit; reads see the writes of the running transaction."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a value, or delete it with None."""
        ...


class NotYet(Exception):
    """What a record needs cannot be had now, from outside of Kafka. The lane keeps the record, says so, and asks again."""


class Processor(Protocol):
    """Turns a lane's input, in order, into what is to be published in the same transaction."""

    async def prepare(self, records: Sequence[InputRecord]) -> None:
        """Wait until the reference data that these records need has been read. May be called for any batch before `process`, and
        again after it has raised NotYet."""
        ...

    def process(self, table: LaneTable, records: Sequence[InputRecord]) -> list[OutputRecord]:
        """Decide the records in order. Synchronous and free of I/O; an exception stops the worker and nothing is committed."""
        ...

    def committed(self) -> None:
        """What the last `process` returned is committed: the time to count it."""
        ...


class ProcessorFactory(Protocol):
    """Makes the processor of one lane."""

    def __call__(self, partition: int) -> Processor: ...
