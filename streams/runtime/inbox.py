"""A lane's input between fetch and transaction: split into bounded pieces, handed out as an unbroken chain.

The second safeguard lives here. Offsets alone cannot tell whether something is missing, because transaction markers and
compaction leave holes between records; so each piece carries the fetch position before and after it, and a piece that does
not begin where the lane stands stops the worker. Whatever the layers below lose or repeat is noticed here.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from streams.runtime.failure import BrokenChainError
from streams.runtime.processor import Headers, InputRecord
from streams.runtime.settings import BatchLimits


class FetchedRecord(Protocol):
    """What aiokafka's ConsumerRecord gives us."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


PIECE_RECORDS = 100
"""What was fetched is cut into pieces of at most this many records; a batch is made of whole pieces."""


class Batch(NamedTuple):
    """The input of one transaction, and where each topic stands after it."""

    records: list[InputRecord]
    positions: dict[str, int]


class _Piece(NamedTuple):
    topic: str
    start: int
    records: Sequence[FetchedRecord]
    end: int
    size_bytes: int


class Inbox:
    """Fetched and not yet processed records of one lane, in the order of arrival."""

    def __init__(self, partition: int, limits: BatchLimits) -> None:
        self._partition = partition
        self._limits = limits
        self._pieces: deque[_Piece] = deque()
        self._records = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Number of fetched pieces waiting, also those that only move the position."""
        return len(self._pieces)

    @property
    def is_full(self) -> bool:
        """Four transactions wait: fetching more would only take memory."""
        return self._records > 4 * self._limits.records or self._bytes > 4 * self._limits.bytes

    @property
    def is_low(self) -> bool:
        """At most one transaction waits: fetch again, so that the lane does not run dry."""
        return self._records <= self._limits.records and self._bytes <= self._limits.bytes

    def add(self, topic: str, start: int, records: Sequence[FetchedRecord], end: int) -> None:
        """Append what one fetch returned for one topic: the positions before and after it and the records between."""
        if end < start or (records and not start <= records[0].offset <= records[-1].offset < end):
            raise BrokenChainError(
                f"a fetch of {topic}/{self._partition} from {start} to {end} brought records outside of it",
                "Restart the worker; it resumes at its last commit",
            )
        begin, piece_start, size = 0, start, 0
        most = min(self._limits.records, PIECE_RECORDS)
        for index, record in enumerate(records):
            record_size = _size_bytes(record)
            if index > begin and (index - begin >= most or size + record_size > self._limits.bytes):
                self._append(_Piece(topic, piece_start, records[begin:index], record.offset, size))
                begin, piece_start, size = index, record.offset, 0
            size += record_size
        self._append(_Piece(topic, piece_start, records[begin:], end, size))

    def take(self, positions: Mapping[str, int], max_records: int | None = None) -> Batch:
        """Take pieces up to the limits, or to `max_records` if that is less; at least one if there is one.

        The chain continues from `positions`.
        """
        most = min(self._limits.records, max_records or self._limits.records)
        records: list[InputRecord] = []
        after = dict(positions)
        size = 0
        while self._pieces:
            piece = self._pieces[0]
            if records and (len(records) + len(piece.records) > most or size + piece.size_bytes > self._limits.bytes):
                break
            if after.get(piece.topic) != piece.start:
                raise BrokenChainError(
                    f"{piece.topic}/{self._partition} continues at {piece.start}, but the lane stands at "
                    f"{after.get(piece.topic)}",
                    "Records may have been lost on the way; nothing was committed. Restart the worker: it resumes at its "
                    "last commit",
                )
            self._pieces.popleft()
            self._records -= len(piece.records)
            self._bytes -= piece.size_bytes
            records.extend(
                InputRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                for r in piece.records
            )
            size += piece.size_bytes
            after[piece.topic] = piece.end
        return Batch(records, after)

    def clear(self) -> None:
        """Forget everything; the lane will fetch again from its own position."""
        self._pieces.clear()
        self._records = self._bytes = 0

    def _append(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self._records += len(piece.records)
        self._bytes += piece.size_bytes


def _size_bytes(record: FetchedRecord) -> int:
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size
