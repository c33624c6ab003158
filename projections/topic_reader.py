"""Reading a whole topic as it is written: committed records only, of all partitions at once, to the end or on and on.

(`streams.committed_log` reads ranges of one partition, for commands that compare topics with one another.) Without a
consumer group: whoever projects stores its own position or, like this reader, begins at the beginning. The end is
the last stable offset when the reading began: records of a transaction that is open then are not waited for, and neither
are the markers that end transactions, which take up offsets but are no records.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.security import denial, kafka_python_client, perhaps_hidden
from streams.topics import partition_for

_POLL_SECONDS = 0.25
_POLL_RECORDS = 5_000
_FETCH_BYTES = 4 * 1024 * 1024


class LogUnavailableError(Exception):
    """The topic cannot be read. The message says what to do."""


class NoSuchTopicError(LogUnavailableError):
    """The Kafka has no such topic, or does not show it to this user."""


class TopicReader:
    """The committed records of a topic. Close it, or use it in a `with` block."""

    def __init__(
        self, bootstrap_servers: str, topic: str, *, key: str | None = None, timeout_seconds: float = 30.0
    ) -> None:
        """Connects. With a key, only the partition of that key is read.

        Raises LogUnavailableError, as does the reading, when Kafka does not answer or brings nothing more for
        `timeout_seconds` although there is more to read.
        """
        self.topic = topic
        self._servers = bootstrap_servers
        self._timeout_seconds = timeout_seconds
        timeout_ms = int(timeout_seconds * 1000)
        with self._kafka_errors():
            self._consumer: Any = kafka_python_client(
                KafkaConsumer,
                bootstrap_servers,
                client_id="pathway-billing-reader",
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=timeout_ms,
                request_timeout_ms=timeout_ms,
                max_partition_fetch_bytes=_FETCH_BYTES,
                metrics_enabled=False,
            )
        try:
            self._partitions = self._assign(key)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(timeout_ms=0)

    def read_to_end(self) -> Iterator[Any]:
        """kafka-python's ConsumerRecords from where the reading stands to what is the end now, in order within a partition."""
        with self._kafka_errors():
            ends = self._consumer.end_offsets(self._partitions)
        deadline = time.monotonic() + self._timeout_seconds
        standing = self._positions()
        while any(standing[partition] < end for partition, end in ends.items()):
            yield from self.poll()
            before, standing = standing, self._positions()
            if standing != before:
                deadline = time.monotonic() + self._timeout_seconds
            elif time.monotonic() > deadline:
                raise LogUnavailableError(
                    f"Kafka on {self._servers} brought nothing more of {self.topic} for {self._timeout_seconds:g} "
                    "seconds, although there is more to read. Look at the broker's log, then try again."
                )

    def poll(self, wait_seconds: float = _POLL_SECONDS) -> list[Any]:
        """The next records that are committed; none, when there are none for that long."""
        with self._kafka_errors():
            fetched = self._consumer.poll(timeout_ms=int(wait_seconds * 1000), max_records=_POLL_RECORDS)
        return [record for records in fetched.values() for record in records]

    def _assign(self, key: str | None) -> list[TopicPartition]:
        with self._kafka_errors():
            numbers = sorted(self._consumer.partitions_for_topic(self.topic) or ())
            if not numbers:
                raise NoSuchTopicError(
                    f"Kafka on {self._servers} has no topic {self.topic}. Make the topics with `pathway-billing topics`."
                    f"{perhaps_hidden()}"
                )
            if key is not None:
                numbers = [partition_for(key.encode(), len(numbers))]
            partitions = [TopicPartition(self.topic, number) for number in numbers]
            self._consumer.assign(partitions)
            self._consumer.seek_to_beginning(*partitions)
        return partitions

    def _positions(self) -> dict[TopicPartition, int]:
        timeout_ms = int(self._timeout_seconds * 1000)
        with self._kafka_errors():
            return {
                partition: self._consumer.position(partition, timeout_ms=timeout_ms) for partition in self._partitions
            }

    @contextmanager
    def _kafka_errors(self) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            if denied := denial(error, f"reading {self.topic}"):
                raise LogUnavailableError(denied) from error
            raise LogUnavailableError(
                f"{self.topic} cannot be read from Kafka on {self._servers} ({error}). "
                "Look at the broker's log, then try again."
            ) from error
