"""The committed records of a Kafka, read partition by partition: what commands that look at whole topics read with.

kafka-python, read_committed, no consumer group: reading leaves no trace. The end of a reading is always an offset that the
caller asked for before, so that a topic that is written to meanwhile ends too.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from streams.runtime.processor import InputRecord
from streams.security import denial, kafka_python_client, perhaps_hidden
from streams.settings import ProblemError, UsageError

# A fetch brings whole topics of small installations at once, and costs at most this much memory.
_FETCH_BYTES = 8 << 20
_POLL_RECORDS = 5_000
_POLL_MS = 200
_COORDINATOR_POLL_SECONDS = 0.1


class LogStuckError(Exception):
    """No committed record came for so long although the log has more: a transaction before the end is open, or Kafka hangs."""

    def __init__(self, topic: str, partition: int, offset: int, end: int, seconds: float) -> None:
        super().__init__(
            f"{topic}/{partition} did not get from offset {offset} to {end} within {seconds:.0f} s: a transaction is open there"
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset  # the last stable offset, as far as it was seen


class CommittedLog:
    """Topics of one Kafka. Use it as a context manager; errors of the client become ProblemErrors."""

    def __init__(self, bootstrap_servers: str, timeout_seconds: float = 30.0, stall_seconds: float = 30.0) -> None:
        """`stall_seconds`: how long `read` waits for a transaction that is open, before it raises. A lane's transaction
        ends after 15 s at the latest."""
        self._servers = bootstrap_servers
        self._timeout_seconds = timeout_seconds
        self._stall_seconds = stall_seconds
        timeout_ms = int(timeout_seconds * 1000)
        with ExitStack() as opened:  # closed again where the rest fails
            try:
                self._admin = kafka_python_client(
                    KafkaAdminClient,
                    bootstrap_servers,
                    client_id="pathway-billing-reader",
                    request_timeout_ms=timeout_ms,
                    bootstrap_timeout_ms=timeout_ms,
                )
                opened.callback(self._admin.close)
                self._consumer = kafka_python_client(
                    KafkaConsumer,
                    bootstrap_servers,
                    client_id="pathway-billing-reader",
                    enable_auto_commit=False,
                    isolation_level="read_committed",
                    auto_offset_reset="none",
                    allow_auto_create_topics=False,
                    max_partition_fetch_bytes=_FETCH_BYTES,
                    max_poll_records=_POLL_RECORDS,
                    fetch_max_wait_ms=20,
                    retry_backoff_ms=20,
                    bootstrap_timeout_ms=timeout_ms,
                    request_timeout_ms=timeout_ms,
                    metrics_enabled=False,
                )
            except KafkaError as error:
                raise self._failed(error) from error
            opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close(autocommit=False)
        self._admin.close()
        if isinstance(error, KafkaError):
            raise self._failed(error) from error

    def partitions(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions each topic has. Raises UsageError if one is missing."""
        wanted = list(topics)
        found = {topic["name"]: len(topic["partitions"]) for topic in self._admin.describe_topics()}
        if missing := [topic for topic in wanted if topic not in found]:
            raise UsageError(
                f"Kafka on {self._servers} has no topic {', '.join(missing)}. Make the topics with `pathway-billing topics`; "
                f"if the worker has another --app-id, name it.{perhaps_hidden()}"
            )
        return {topic: found[topic] for topic in wanted}

    def begins(self, topics: Iterable[str], partition: int) -> dict[str, int]:
        """The first offset that each topic still holds of a partition."""
        # Asked by the consumer, which learns these topics with it: it would look up each new one when it is read, at 0.1 s.
        found = self._consumer.beginning_offsets([TopicPartition(topic, partition) for topic in topics])
        return {tp.topic: int(offset) for tp, offset in found.items()}

    def stable_ends(self, topics: Iterable[str], partition: int) -> dict[str, int]:
        """The last stable offsets: what is committed before the first transaction that is open."""
        found = self._consumer.end_offsets([TopicPartition(topic, partition) for topic in topics])
        return {tp.topic: int(offset) for tp, offset in found.items()}

    def read_all(self, topic: str, partition: int) -> Iterator[InputRecord]:
        """Everything of a partition that is committed now."""
        begin, end = self.begins((topic,), partition)[topic], self.stable_ends((topic,), partition)[topic]
        return self.read(topic, partition, begin, end)

    def ends(self, topics: Iterable[str], partition: int) -> dict[str, int]:
        """The high watermarks: behind the last record, committed or not."""
        # the consumer's own answer would be the last stable offset
        found = self._admin.list_partition_offsets(
            {TopicPartition(topic, partition): OffsetSpec.LATEST for topic in topics}
        )
        return {tp.topic: int(at.offset) for tp, at in found.items()}

    def group_offsets(self, group: str) -> dict[tuple[str, int], int]:
        """The committed offsets of a consumer group, by topic and partition; none if it does not exist."""
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                found: Mapping[str, Mapping[Any, Any]] = self._admin.list_group_offsets({group: None})
                break
            except KafkaError as error:
                # the coordinator moves or loads its offsets; one that never had a group makes its topic now
                if not error.retriable or time.monotonic() > deadline:
                    raise
                time.sleep(_COORDINATOR_POLL_SECONDS)
        return {(tp.topic, tp.partition): int(at.offset) for tp, at in found.get(group, {}).items() if at.offset >= 0}

    def read(self, topic: str, partition: int, begin: int, end: int) -> Iterator[InputRecord]:
        """The committed records from offset `begin` up to, but without, `end`. Raises LogStuckError.

        One reading at a time: a second one ends the first.
        """
        if begin >= end:
            return
        tp = TopicPartition(topic, partition)
        consumer = self._consumer
        consumer.assign([tp])
        consumer.seek(tp, begin)
        position, moved_at = begin, time.monotonic()
        while position < end:
            for fetched in consumer.poll(timeout_ms=_POLL_MS).values():
                for r in fetched:
                    if r.offset >= end:
                        return
                    yield InputRecord(topic, partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
            reached = consumer.position(tp)
            now = time.monotonic()
            if reached is not None and reached != position:
                position, moved_at = reached, now
            elif now - moved_at > self._stall_seconds:
                raise LogStuckError(topic, partition, position, end, self._stall_seconds)

    def _failed(self, error: KafkaError) -> ProblemError:
        if denied := denial(error, "reading topics or groups"):
            return ProblemError(denied)
        return ProblemError(
            f"Kafka on {self._servers} did not answer as expected ({type(error).__name__}). Look at the broker's log, "
            "then try again."
        )
