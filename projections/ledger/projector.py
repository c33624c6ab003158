"""The projector: from the log into the ledger, batch by batch, to the end or on and on."""

import time
from collections import Counter
from collections.abc import Callable, Mapping

from projections.ledger.database import Database, LedgerError
from projections.ledger.log import Batch, LedgerLog
from projections.ledger.writer import (
    OvertakenError,
    TopicPartition,
    add_partitions,
    read_positions,
    write_batch,
)
from projections.topic_reader import LogUnavailableError
from schemas.wire import Unreadable
from streams import metrics
from streams.topics import BILLING_DECISIONS

_LAG_EVERY_SECONDS = 5.0


class Projector:
    """Writes what `log` has into `database`, from where that stands. Any number may run at once; what one has written the
    others pass over.

    All of it raises LedgerError, LogUnavailableError and InconsistentLogError (current_decisions.py).
    """

    def __init__(self, database: Database, log: LedgerLog) -> None:
        self._database = database
        self._log = log
        self._partitions = Counter(topic for topic, _ in log.topic_ids)  # how many each topic has
        self.records: Counter[str] = Counter()  # written, by topic
        self._measured_at: float | None = None
        add_partitions(database, log.topic_ids)
        self._go_on()

    def project_to_end(self, ends: Mapping[TopicPartition, int] | None = None, stall_seconds: float = 30.0) -> None:
        """Write everything before these offsets, and nothing behind them; without any, up to what is the end now."""
        exactly = ends is not None
        targets = self._log.ends() if ends is None else ends
        moved = time.monotonic()
        while self._behind(targets):
            self._measure_lag()
            batch = self._log.poll()
            if exactly:
                batch = _cut(batch, targets)
            if self._write(batch):
                moved = time.monotonic()
            elif time.monotonic() - moved > stall_seconds:
                topic, partition = next(iter(self._behind(targets)))
                raise LogUnavailableError(
                    f"Kafka brought nothing more of {topic}/{partition} for {stall_seconds:g} seconds, although there is more to "
                    "read. Look at the broker's log, then try again."
                )
        if exactly:
            self._go_on()  # the log was read further than the ledger was written
        else:
            metrics.PROJECTOR_READY.set(1)

    def follow(self, stopped: Callable[[], bool]) -> None:
        """Write what is committed as it comes, until `stopped()`, which is asked four times a second."""
        while not stopped():
            self._write(self._log.poll())
            self._measure_lag()

    def _write(self, batch: Batch) -> bool:
        """Whether the ledger moved."""
        if not batch.after:
            return False
        began = time.perf_counter()
        try:
            repeats = write_batch(self._database, batch.records, batch.before, batch.after, self._partitions)
        except OvertakenError:
            metrics.PROJECTOR_OVERTAKEN.inc()
            self._go_on()
            return True
        except Unreadable as error:
            raise LedgerError(
                f"a record that only a worker may write cannot be read: {error}. Find out who wrote it."
            ) from error
        metrics.PROJECTOR_TRANSACTION_SECONDS.observe(time.perf_counter() - began)
        written = Counter(record.topic for record in batch.records) - Counter({BILLING_DECISIONS: repeats})
        for topic, count in written.items():
            metrics.PROJECTOR_RECORDS.labels(topic).inc(count)
            self.records[topic] += count
        return True

    def _go_on(self) -> None:
        """Read from where the ledger stands."""
        standing = read_positions(self._database)
        for key, topic_id in self._log.topic_ids.items():
            if standing[key].topic_id != topic_id:
                raise LedgerError(
                    f"the ledger was made from another topic {key[0]} than the one that is on this Kafka: it was deleted and made "
                    "again, or this is another Kafka. Name another --database, or --rebuild this one from what is there."
                )
        self._log.seek({key: standing[key].next_offset for key in self._log.topic_ids})

    def _behind(self, targets: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        standing = self._log.stands_at()
        return [key for key, target in targets.items() if standing[key] < target]

    def _measure_lag(self) -> None:
        """Every few seconds: the question goes to the broker."""
        if self._measured_at is not None and time.monotonic() - self._measured_at < _LAG_EVERY_SECONDS:
            return
        self._measured_at = time.monotonic()
        standing = self._log.stands_at()
        for (topic, partition), end in self._log.ends().items():
            metrics.PROJECTOR_LAG_RECORDS.labels(topic, str(partition)).set(max(0, end - standing[topic, partition]))
        metrics.PROJECTOR_LOOK_TIMESTAMP_SECONDS.set_to_current_time()


def _cut(batch: Batch, targets: Mapping[TopicPartition, int]) -> Batch:
    """The part of a batch that lies before these offsets."""
    after = {key: min(offset, max(targets[key], batch.before[key])) for key, offset in batch.after.items()}
    records = [record for record in batch.records if record.offset < targets[record.topic, record.partition]]
    return Batch(records, batch.before, after)
