"""A lane's input between fetch and transaction: split into bounded pieces, handed out as an unbroken chain.

The second safeguard lives here. Offsets alone cannot tell whether something is missing, because transaction markers and
compaction leave holes between records; so each piece carries the fetch position before and after it, and a piece that does
not begin where the lane stands stops the worker. Whatever the layers below lose or repeat is noticed here.

Each topic is an unbroken chain; between topics the records' timestamps decide, as in Kafka Streams. Behind a backlog a claim is
then decided after the order that was published before it, although a fetch brings topic after topic: fewer versions of a decision,
and fewer payments that go there and back (over 100,000 facts published at once, 62,000 outputs instead of 83,000 to 96,000).
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.runtime.failure import BrokenChainError
from streams.runtime.processor import InputRecord
from streams.runtime.settings import BatchLimits

PIECE_RECORDS = 100
"""What was fetched is cut into pieces of at most this many records; a batch is made of whole pieces."""


MOST_OVERTAKEN_PIECES = 200
"""So many pieces of other topics may overtake one by their timestamps: a publisher whose clock is wrong is served all the same."""


class Batch(NamedTuple):
    """The input of one transaction, and where each topic stands after it."""

    records: list[InputRecord]
    positions: dict[str, int]


class _Piece(NamedTuple):
    topic: str
    start: int
    records: Sequence[InputRecord]
    end: int
    size_bytes: int
    first_ms: int  # of its first record; 0 without one
    turn: int  # when it would be taken in order of arrival: so many pieces before it


class Inbox:
    """Fetched and not yet processed records of one lane."""

    def __init__(self, partition: int, limits: BatchLimits) -> None:
        self._partition = partition
        self._limits = limits
        self._pieces: defaultdict[str, deque[_Piece]] = defaultdict(deque)  # by topic
        self._waiting = 0  # pieces
        self._taken = 0  # pieces, ever
        self._records = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Number of fetched pieces waiting, also those that only move the position."""
        return self._waiting

    @property
    def is_full(self) -> bool:
        """Four transactions wait: fetching more would only take memory."""
        return self._records > 4 * self._limits.records or self._bytes > 4 * self._limits.bytes

    @property
    def is_low(self) -> bool:
        """At most one transaction waits: fetch again, so that the lane does not run dry."""
        return self._records <= self._limits.records and self._bytes <= self._limits.bytes

    def add(self, topic: str, start: int, records: Sequence[InputRecord], end: int) -> None:
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
                self._append(topic, piece_start, records[begin:index], record.offset, size)
                begin, piece_start, size = index, record.offset, 0
            size += record_size
        self._append(topic, piece_start, records[begin:], end, size)

    def take(self, positions: Mapping[str, int], max_records: int | None = None) -> Batch:
        """Take pieces up to the limits, or to `max_records` if that is less; at least one if there is one.

        The chain continues from `positions`.
        """
        most = min(self._limits.records, max_records or self._limits.records)
        records: list[InputRecord] = []
        after = dict(positions)
        size = 0
        while self._waiting:
            piece = self._next()
            if records and (len(records) + len(piece.records) > most or size + piece.size_bytes > self._limits.bytes):
                break
            if after.get(piece.topic) != piece.start:
                raise BrokenChainError(
                    f"{piece.topic}/{self._partition} continues at {piece.start}, but the lane stands at "
                    f"{after.get(piece.topic)}",
                    "Records may have been lost on the way; nothing was committed. Restart the worker: it resumes at its "
                    "last commit",
                )
            self._pieces[piece.topic].popleft()
            self._waiting -= 1
            self._taken += 1
            self._records -= len(piece.records)
            self._bytes -= piece.size_bytes
            records += piece.records
            size += piece.size_bytes
            after[piece.topic] = piece.end
        return Batch(_by_timestamp(records), after)

    def clear(self) -> None:
        """Forget everything; the lane will fetch again from its own position."""
        self._pieces.clear()
        self._waiting = self._records = self._bytes = 0

    def _append(self, topic: str, start: int, records: Sequence[InputRecord], end: int, size_bytes: int) -> None:
        first_ms = records[0].timestamp_ms if records else 0
        self._pieces[topic].append(
            _Piece(topic, start, records, end, size_bytes, first_ms, self._taken + self._waiting)
        )
        self._waiting += 1
        self._records += len(records)
        self._bytes += size_bytes

    def _next(self) -> _Piece:
        """Of the topics' first pieces the one with the earliest timestamp, unless one has been overtaken too often."""
        heads = [pieces[0] for pieces in self._pieces.values() if pieces]
        oldest = min(heads, key=_turn)
        if self._taken - oldest.turn > MOST_OVERTAKEN_PIECES:
            return oldest
        return min(heads, key=_first_ms_and_turn)


def _turn(piece: _Piece) -> int:
    return piece.turn


def _first_ms_and_turn(piece: _Piece) -> tuple[int, int]:
    return piece.first_ms, piece.turn


def _by_timestamp(records: list[InputRecord]) -> list[InputRecord]:
    """By time, but no record before one of its own topic that stands in front of it: then the later of both times counts."""
    latest_ms: dict[str, int] = {}
    times_ms = []
    for record in records:
        time_ms = max(record.timestamp_ms, latest_ms.get(record.topic, 0))
        latest_ms[record.topic] = time_ms
        times_ms.append(time_ms)
    if len(latest_ms) < 2:
        return records
    return [records[index] for index in sorted(range(len(records)), key=times_ms.__getitem__)]


def _size_bytes(record: InputRecord) -> int:
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size
