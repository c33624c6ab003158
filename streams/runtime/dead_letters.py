"""Records that cannot be used: how they are kept, and when there are too many of them.

A dead letter is the original record, key, value and headers untouched, in the topic `dead-letters`, published in the same
transaction that moves the lane past it. These headers are added behind the original ones (the last of a name counts):

=================  ==========================================================================================
`dlq_reason`       one of `Reason`
`dlq_sentence`     what is wrong, in a sentence for a person; names fields, never values that identify a patient
`dlq_topic`        topic, partition and offset where the record stands
`dlq_partition`
`dlq_offset`
=================  ==========================================================================================
"""

import enum
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby

from streams.runtime.failure import DeadLetterFloodError
from streams.runtime.processor import Headers, InputRecord, OutputRecord

REASON_HEADER = "dlq_reason"
SENTENCE_HEADER = "dlq_sentence"
TOPIC_HEADER = "dlq_topic"
PARTITION_HEADER = "dlq_partition"
OFFSET_HEADER = "dlq_offset"
ADDED_HEADERS = (REASON_HEADER, SENTENCE_HEADER, TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER)

MAX_RECORD_BYTES = 512 << 10
"""Size of key and value together above which an input record is TOO_LARGE."""


class Reason(enum.StrEnum):
    """Why a record could not be used; one code a cause."""

    UNREADABLE = "UNREADABLE"
    INVALID = "INVALID"
    KEY_MISMATCH = "KEY_MISMATCH"
    WRONG_PAYER = "WRONG_PAYER"
    CONFLICT = "CONFLICT"
    TOO_LARGE = "TOO_LARGE"

    @property
    def counts_towards_flood(self) -> bool:
        """Wrong payers and conflicts are well-formed records of the business: many of them say nothing about a fault."""
        return self not in (Reason.WRONG_PAYER, Reason.CONFLICT)


def dead_letter(record: InputRecord, reason: Reason, sentence: str, *, topic: str) -> OutputRecord:
    """The dead letter of an input record, to be published to `topic` in the transaction that passes the record."""
    added: Headers = (
        (REASON_HEADER, reason.value.encode()),
        (SENTENCE_HEADER, sentence.encode()),
        (TOPIC_HEADER, record.topic.encode()),
        (PARTITION_HEADER, str(record.partition).encode()),
        (OFFSET_HEADER, str(record.offset).encode()),
    )
    return OutputRecord(topic, record.key, record.value, (*record.headers, *added))


def reasons_of(outputs: Iterable[OutputRecord], *, topic: str) -> dict[tuple[str, int], Reason]:
    """Which input records (topic, offset) the outputs of a batch refuse, and why."""
    refused: dict[tuple[str, int], Reason] = {}
    for output in outputs:
        if output.topic == topic:
            headers = {name: value or b"" for name, value in output.headers}
            refused[headers[TOPIC_HEADER].decode(), int(headers[OFFSET_HEADER])] = Reason(
                headers[REASON_HEADER].decode()
            )
    return refused


class FloodLimit:
    """Stops a lane whose input is mostly unusable, instead of emptying a topic into the dead letters.

    Two limits, whichever comes first: 1,000 refused records in a row, or half of the last 10,000. The window is kept as
    ten counts of 1,000 records, so it is exact to one tenth of its length and small enough to travel with the position.
    """

    IN_A_ROW = 1_000
    WINDOW = 10_000
    SPAN = 1_000

    def __init__(self, spans: Sequence[tuple[int, int]] = (), in_row: int = 0) -> None:
        self._spans: deque[tuple[int, int]] = deque(spans, maxlen=self.WINDOW // self.SPAN)
        self.in_row = in_row

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """(records seen, records refused), oldest first; the last may still be filling."""
        return tuple(self._spans)

    def after(self, refusals: Iterable[bool]) -> "FloodLimit":
        """The state after these records, in input order; raises DeadLetterFloodError where a limit is reached."""
        later = FloodLimit(self._spans, self.in_row)
        for refused, alike in groupby(refusals):
            later._count(refused, sum(1 for _ in alike))
        return later

    def _count(self, refused: bool, records: int) -> None:
        """Count records in a row that are all refused, or all are not."""
        while records:
            if not self._spans or self._spans[-1][0] == self.SPAN:
                self._spans.append((0, 0))
            seen, bad = self._spans[-1]
            counted = min(records, self.SPAN - seen)
            records -= counted
            self._spans[-1] = (seen + counted, bad + counted * refused)
            self.in_row = self.in_row + counted if refused else 0
            if self.in_row >= self.IN_A_ROW:
                raise _flood(f"{self.IN_A_ROW:,} records in a row could not be used")
            if refused and sum(span[1] for span in self._spans) >= self.WINDOW // 2:
                raise _flood(f"half of the last {self.WINDOW:,} records could not be used")


def counted_refusals(records: Sequence[InputRecord], refused: dict[tuple[str, int], Reason]) -> list[bool]:
    """For each record of a batch, in order: was it refused for a reason that counts towards a flood?"""
    if not refused:
        return [False] * len(records)
    counted = {place for place, reason in refused.items() if reason.counts_towards_flood}
    return [(record.topic, record.offset) in counted for record in records]


def _flood(what: str) -> DeadLetterFloodError:
    return DeadLetterFloodError(
        what,
        "Look at the last records of `dead-letters` and stop the publisher that sends them; if the flood is known and may "
        "pass, start the worker with --allow-dead-letter-flood",
    )
