"""Where a lane stands in its input, kept as a record of the changelog.

Written in the same transaction as the table's changes and the outputs, so the three cannot disagree. The group's committed
offsets follow about once a second for lag monitors and are not read when a position exists; a replay must therefore reset
both.
"""

import dataclasses

import msgspec

from streams.runtime.failure import WorkerFailure

POSITION_KEY = b"\x00position"
"""Key of the position in the changelog. Keys of the table never begin with a zero byte."""

FORMAT_VERSION = 1


class UnreadablePositionError(WorkerFailure):
    """The position record was written by a newer program or is not ours."""


class _PositionRecord(msgspec.Struct):
    format: int
    offsets: dict[str, int]
    topic_ids: dict[str, str]
    refusals: list[tuple[int, int]] = []
    refused_in_row: int = 0
    writer: str = ""
    partitions: int = 0


@dataclasses.dataclass(frozen=True)
class Position:
    """The next offset to process of each input topic, by name, so that topics can be added later.

    `topic_ids` tells a topic from another one of the same name that was made after the first was deleted. `refusals` and
    `refused_in_row` are the flood limit's memory (see dead_letters): kept here, a restart does not start to count
    anew. `writer` is the transactional id that may write this partition, empty when nobody may (see transactions). `partitions` is
    how many there were, 0 where an older program did not say: with another number, a key's records would come to another lane.
    """

    offsets: dict[str, int]
    topic_ids: dict[str, str] = dataclasses.field(default_factory=dict)
    refusals: tuple[tuple[int, int], ...] = ()
    refused_in_row: int = 0
    writer: str = ""
    partitions: int = 0

    def encode(self) -> bytes:
        """JSON, so that an operator can read it with any consumer."""
        return msgspec.json.encode(
            _PositionRecord(
                FORMAT_VERSION,
                self.offsets,
                self.topic_ids,
                list(self.refusals),
                self.refused_in_row,
                self.writer,
                self.partitions,
            )
        )

    @classmethod
    def decode(cls, value: bytes) -> "Position":
        """Inverse of `encode`; raises UnreadablePositionError for any other format."""
        try:
            record = msgspec.json.decode(value, type=_PositionRecord)
        except msgspec.MsgspecError as exc:
            raise UnreadablePositionError(
                "the changelog's position record cannot be read",
                "Use the program version that wrote it, or another application id to decide everything anew",
            ) from exc
        if record.format != FORMAT_VERSION:
            raise UnreadablePositionError(
                f"the changelog's position record has format {record.format}; this program reads {FORMAT_VERSION}",
                "Use the program version that wrote it, or another application id to decide everything anew",
            )
        return cls(
            record.offsets,
            record.topic_ids,
            tuple(record.refusals),
            record.refused_in_row,
            record.writer,
            record.partitions,
        )
