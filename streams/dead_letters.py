"""What is done about dead letters: how each stands, sending one again, discarding one.

A letter is named by where the refused record stands: `claim-received/3@17`. Nothing is ever deleted or changed: an action is an
event in `dead-letter-actions`, and the newest one of a letter says how it stands. A redrive is one Kafka transaction: the record in
its topic again, and the event that says so. All redrives share a transactional id, so whoever begins fences who is at it, and then
reads what was done before: two people cannot send one letter twice without knowing (docs/adr/0008).
"""

import re
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, ProducerFencedError

from streams.acls import REDRIVE_TRANSACTION
from streams.adjudication.facts import Fact
from streams.committed_log import CommittedLog
from streams.events import (
    DeadLetterAction,
    Unreadable,
    action_from_avro,
    action_headers,
    action_to_avro,
    fact_headers,
    fact_to_avro,
)
from streams.runtime.dead_letters import (
    ADDED_HEADERS,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    SENTENCE_HEADER,
    TOPIC_HEADER,
)
from streams.runtime.processor import Headers
from streams.security import denial, kafka_python_client
from streams.settings import ProblemError
from streams.topics import DEAD_LETTER_ACTIONS, DEAD_LETTERS, INPUT_TOPICS, partition_for

OPEN = "OPEN"
REDRIVEN = "REDRIVEN"
DISCARDED = "DISCARDED"
STATES = (OPEN, REDRIVEN, DISCARDED)

REDRIVEN_FROM_HEADER = "dlq_redriven_from"
"""Of a record that was sent again: the letter that it comes from. It stays if the record is refused again."""

SOURCE = "/pathway-billing/dead-letters"

_TRANSACTION_TIMEOUT_SECONDS = 30
_LARGEST_RECORD_BYTES = 8 << 20


class Place(NamedTuple):
    """Where a refused record stands; the name of its dead letter."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that is written `topic/partition@offset`. Raises ValueError."""
        match = re.fullmatch(r"([A-Za-z0-9._-]+)/(\d{1,9})@(\d{1,18})", text)
        if match is None:
            raise ValueError(text)
        return cls(match[1], int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


class Letter(NamedTuple):
    """A dead letter, without its value."""

    place: Place
    reason: str
    sentence: str
    refused_at_ms: int  # Kafka's timestamp of the dead letter
    event_id: str | None  # of its CloudEvents header, where it has one
    redriven_from: str | None  # the letter that it was before, if it was sent again and refused again
    partition: int  # of dead-letters
    offset: int
    value_bytes: int
    actions: tuple[DeadLetterAction, ...]  # the newest last

    @property
    def state(self) -> str:
        return self.actions[-1].action if self.actions else OPEN


class Content(NamedTuple):
    """The record that was refused, as it came."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class StrangeLetterError(ProblemError):
    """A record of `dead-letters` that no worker wrote."""


def letters(log: CommittedLog) -> Iterator[Letter]:
    """All dead letters, as they stand now, by partition and in the order in which they were refused."""
    done = actions(log)
    for partition in range(log.partitions((DEAD_LETTERS,))[DEAD_LETTERS]):
        for record in log.read_all(DEAD_LETTERS, partition):
            headers = {name: value or b"" for name, value in record.headers}
            try:
                place = Place(
                    headers[TOPIC_HEADER].decode(), int(headers[PARTITION_HEADER]), int(headers[OFFSET_HEADER])
                )
                reason, sentence = headers[REASON_HEADER].decode(), headers[SENTENCE_HEADER].decode()
            except (KeyError, ValueError) as error:
                raise StrangeLetterError(
                    f"record {record.offset} of {DEAD_LETTERS}/{partition} has not the headers of a dead letter. "
                    "Find out who wrote it: only a worker may."
                ) from error
            yield Letter(
                place,
                reason,
                sentence,
                record.timestamp_ms,
                _text(headers.get("ce_id")),
                _text(headers.get(REDRIVEN_FROM_HEADER)),
                partition,
                record.offset,
                len(record.value or b""),
                tuple(done.get(place, ())),
            )


def actions(log: CommittedLog) -> Mapping[Place, list[DeadLetterAction]]:
    """What was done about each letter, the newest last."""
    found: dict[Place, list[DeadLetterAction]] = defaultdict(list)
    for partition in range(log.partitions((DEAD_LETTER_ACTIONS,))[DEAD_LETTER_ACTIONS]):
        for record in log.read_all(DEAD_LETTER_ACTIONS, partition):
            try:
                action = action_from_avro(record.value)
            except Unreadable as error:
                raise ProblemError(
                    f"record {record.offset} of {DEAD_LETTER_ACTIONS}/{partition} is no action: {error}. Find out who wrote it."
                ) from error
            found[Place(action.topic, action.partition, action.offset)].append(action)
    return found


def content(log: CommittedLog, letter: Letter) -> Content:
    """The refused record of a letter, key, value and headers as they came."""
    record = next(log.read(DEAD_LETTERS, letter.partition, letter.offset, letter.offset + 1))
    headers = list(record.headers)
    while headers and headers[-1][0] in ADDED_HEADERS and len(headers) > len(record.headers) - len(ADDED_HEADERS):
        headers.pop()
    return Content(record.key, record.value, tuple(headers))


class DoneBeforeError(ProblemError):
    """Somebody has done something about the letter already."""


class DeadLetterDesk:
    """Where letters are sent again or discarded, one person at a time. Use it as a context manager.

    Opening it ends, by Kafka's fence, what somebody else is doing at this moment.
    """

    def __init__(
        self, bootstrap_servers: str, log: CommittedLog, *, acted_by: str, because: str, timeout_seconds: float
    ) -> None:
        self._log = log
        self._acted_by = acted_by
        self._because = because
        self._timeout_seconds = timeout_seconds
        timeout_ms = int(timeout_seconds * 1000)
        with ExitStack() as opened:  # closed again where the rest fails
            try:
                self._producer = kafka_python_client(
                    KafkaProducer,
                    bootstrap_servers,
                    client_id="pathway-billing-dead-letters",
                    transactional_id=REDRIVE_TRANSACTION,
                    transaction_timeout_ms=_TRANSACTION_TIMEOUT_SECONDS * 1000,
                    allow_auto_create_topics=False,
                    max_request_size=_LARGEST_RECORD_BYTES,
                    compression_type="gzip",  # as dead letters are: the record may be larger than its topic takes unpacked
                    bootstrap_timeout_ms=timeout_ms,
                    max_block_ms=timeout_ms,
                    metrics_enabled=False,
                )
                opened.callback(self._producer.close, timeout=0)
                self._producer.init_transactions()
            except KafkaError as error:
                raise _failed(error) from error
            self._done = dict(actions(log))  # after the fence: whoever was here before has finished or never will
            self._partitions = log.partitions(INPUT_TOPICS)
            opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.close(timeout=0 if kind else self._timeout_seconds)

    def redrive(self, letter: Letter, *, corrected: Fact | None = None, again: bool = False) -> DeadLetterAction:
        """Send the record to its topic again: as it came, or corrected. Raises ProblemError; nothing is sent then."""
        self.check(letter, again=again)
        if letter.place.topic not in self._partitions:
            raise ProblemError(f"{letter.place}: {letter.place.topic} is no topic of facts, so nothing is sent there.")
        came = content(self._log, letter)
        if corrected is None:
            key, value, headers = came
        else:
            _, key, value = fact_to_avro(corrected)
            kept = tuple(header for header in came.headers if header[0] == "traceparent")
            headers = (*fact_headers(corrected, SOURCE), *kept)
        partitions = self._partitions[letter.place.topic]
        partition = letter.place.partition if key is None else partition_for(key, partitions)
        # kafka-python takes no header without a value
        sent_headers = [(name, value or b"") for name, value in headers]
        sent_headers.append((REDRIVEN_FROM_HEADER, str(letter.place).encode()))
        try:
            self._producer.begin_transaction()
            sent = self._producer.send(letter.place.topic, value, key, sent_headers, partition)
            self._producer.flush(timeout=self._timeout_seconds)
            offset = sent.get(timeout=self._timeout_seconds).offset
            return self._record(letter, REDRIVEN, corrected is not None, (partition, offset))
        except KafkaError as error:
            raise _failed(error) from error

    def discard(self, letter: Letter, *, again: bool = False) -> DeadLetterAction:
        """Say that nothing will be done about a letter. Raises ProblemError."""
        self.check(letter, again=again)
        try:
            self._producer.begin_transaction()
            return self._record(letter, DISCARDED, False, (None, None))
        except KafkaError as error:
            raise _failed(error) from error

    def check(self, letter: Letter, *, again: bool) -> None:
        """Raises DoneBeforeError where something was done about the letter, unless it is to be done again."""
        before = self._done.get(letter.place)
        if before and not again:
            newest = before[-1]
            raise DoneBeforeError(
                f"{letter.place} was {newest.action.lower()} by {newest.acted_by} already, because: {newest.because}. "
                "To do something about it all the same, say --again."
            )

    def _record(
        self, letter: Letter, action: str, corrected: bool, sent: tuple[int | None, int | None]
    ) -> DeadLetterAction:
        """Send the event that says what was done, and commit both."""
        event = DeadLetterAction(
            str(uuid.uuid4()),
            *letter.place,
            action,
            self._acted_by,
            time.time_ns() // 1000,
            self._because,
            corrected,
            *sent,
        )
        key = str(letter.place).encode()
        future = self._producer.send(DEAD_LETTER_ACTIONS, action_to_avro(event), key, list(action_headers(event)))
        self._producer.flush(timeout=self._timeout_seconds)
        future.get(timeout=self._timeout_seconds)
        self._producer.commit_transaction()
        self._done.setdefault(letter.place, []).append(event)
        return event


def _failed(error: KafkaError) -> ProblemError:
    if isinstance(error, ProducerFencedError):
        return ProblemError(
            "somebody else works on the dead letters now; of the letter at hand nothing was sent. Look at "
            "`pathway-billing dead-letters list`, then try again."
        )
    return ProblemError(
        denial(error, "working on dead letters")
        or f"Kafka did not take what was sent ({type(error).__name__}); of the letter at hand nothing is visible, unless the "
        "answer to its commit was lost: `pathway-billing dead-letters list` tells. Then try again."
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
