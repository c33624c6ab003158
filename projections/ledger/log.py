"""The topics that the ledger is made of, read from where it stands: committed records only, of all partitions at once."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from projections.ledger.writer import TopicPartition
from projections.topic_reader import LogUnavailableError, NoSuchTopicError
from streams.runtime.processor import InputRecord
from streams.security import denial, kafka_python_client, perhaps_hidden
from streams.topics import BILLING_DECISIONS, DEAD_LETTER_ACTIONS, DEAD_LETTERS, ELIGIBILITY_NOTICES, INPUT_TOPICS

LEDGER_TOPICS = (*INPUT_TOPICS, BILLING_DECISIONS, ELIGIBILITY_NOTICES, DEAD_LETTERS, DEAD_LETTER_ACTIONS)

_FETCH_BYTES = 1024 * 1024  # of each of some 120 partitions
_LEADER_WAIT_SECONDS = 0.1


class Batch(NamedTuple):
    """Records and the offsets behind them, of the partitions that moved; offsets also move past the ends of transactions."""

    records: list[InputRecord]
    before: dict[TopicPartition, int]
    after: dict[TopicPartition, int]


class LedgerLog:
    """All partitions of the ledger's topics on one Kafka. Close it, or use it in a `with` block.

    Raises LogUnavailableError wherever they cannot be read.
    """

    def __init__(self, bootstrap_servers: str, *, timeout_seconds: float = 30.0, batch_records: int = 5_000) -> None:
        """Connects and looks up the partitions."""
        self._servers = bootstrap_servers
        self._timeout_seconds = timeout_seconds
        self._batch_records = batch_records
        self._positions: dict[KafkaPartition, int] = {}
        timeout_ms = int(timeout_seconds * 1000)
        common: dict[str, Any] = {
            "client_id": "pathway-billing-projector",
            "request_timeout_ms": timeout_ms,
            "bootstrap_timeout_ms": timeout_ms,
        }
        with self._kafka_errors():
            admin = kafka_python_client(KafkaAdminClient, bootstrap_servers, **common)
            try:
                described = {topic["name"]: topic for topic in admin.describe_topics()}
            finally:
                admin.close()
        if missing := [topic for topic in LEDGER_TOPICS if topic not in described]:
            raise NoSuchTopicError(
                f"Kafka on {bootstrap_servers} has no topic {', '.join(missing)}. Make it with `pathway-billing topics`."
                f"{perhaps_hidden()}"
            )
        self.topic_ids: dict[TopicPartition, str] = {
            (topic, number): str(described[topic]["topic_id"])
            for topic in LEDGER_TOPICS
            for number in range(len(described[topic]["partitions"]))
        }
        """The id of each partition's topic: another one after the topic was deleted and made again."""
        with self._kafka_errors():
            self._consumer: Any = kafka_python_client(
                KafkaConsumer,
                bootstrap_servers,
                **common,
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=_FETCH_BYTES,
                metrics_enabled=False,
            )
        self._all = [KafkaPartition(*key) for key in sorted(self.topic_ids)]
        self._consumer.assign(self._all)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(timeout_ms=0)

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets, of all partitions."""
        begins = self._begins()
        for partition in self._all:
            offset = offsets[partition.topic, partition.partition]
            if offset < begins[partition]:
                raise LogUnavailableError(
                    f"{partition.topic}/{partition.partition} begins at offset {begins[partition]}, but the ledger stands at "
                    f"{offset}: records were deleted before it had read them. Restore them; these topics are kept for ever."
                )
            self._consumer.seek(partition, offset)
            self._positions[partition] = offset

    def ends(self) -> dict[TopicPartition, int]:
        """The end of what is committed, of each partition: the last stable offset."""
        with self._kafka_errors():
            found = self._consumer.end_offsets(self._all)
        return {(tp.topic, tp.partition): int(end) for tp, end in found.items()}

    def poll(self, wait_seconds: float = 0.25) -> Batch:
        """What comes next; an empty batch when nothing is committed for that long."""
        with self._kafka_errors():
            fetched = self._consumer.poll(timeout_ms=int(wait_seconds * 1000), max_records=self._batch_records)
            batch = Batch([], {}, {})
            for tp in self._all:
                position = self._consumer.position(tp)
                if position is not None and position != self._positions[tp]:
                    batch.before[tp.topic, tp.partition] = self._positions[tp]
                    batch.after[tp.topic, tp.partition] = position
                    self._positions[tp] = position
        for tp, records in fetched.items():
            batch.records.extend(
                InputRecord(tp.topic, tp.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                for r in records
            )
        return batch

    def stands_at(self) -> dict[TopicPartition, int]:
        """The offset that comes next, of each partition."""
        return {(tp.topic, tp.partition): offset for tp, offset in self._positions.items()}

    def _begins(self) -> dict[KafkaPartition, int]:
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            with self._kafka_errors():
                found: dict[KafkaPartition, int] = self._consumer.beginning_offsets(self._all)
            if len(found) == len(self._all):
                return found
            if time.monotonic() > deadline:
                raise LogUnavailableError(f"Kafka on {self._servers} does not serve all partitions. Look at its log.")
            time.sleep(_LEADER_WAIT_SECONDS)

    @contextmanager
    def _kafka_errors(self) -> Iterator[None]:
        try:
            yield
        except OffsetOutOfRangeError as error:
            raise LogUnavailableError(
                "the log on Kafka ends before the place where the ledger stands: records were lost there. Restore them, or "
                "make the ledger again from what is left with `pathway-billing project --rebuild`."
            ) from error
        except KafkaError as error:
            if denied := denial(error, "reading the ledger's topics"):
                raise LogUnavailableError(denied) from error
            raise LogUnavailableError(
                f"the ledger's topics cannot be read from Kafka on {self._servers} ({error}). "
                "Look at the broker's log, then try again."
            ) from error
