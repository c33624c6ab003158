"""One lane's transactional producer: everything a batch causes becomes visible at once, or never.

The offset commit of aiokafka carries no group generation, so only the transactional id fences. There is one id for each
partition number, and starting its producer (InitProducerId) comes before the changelog or any offset is read: from then on a
former owner cannot commit any more, and its open transaction is settled.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import aiokafka
import aiokafka.producer.sender
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streams.runtime.failure import LaneFencedError, WorkerFailure
from streams.runtime.processor import Headers, OutputRecord
from streams.runtime.settings import LaneSettings
from streams.security import denial

log = logging.getLogger(__name__)

# aiokafka sleeps a fixed 20 ms when a transaction begins before the last one's markers are written, which at one transaction
# per record is nearly always. With 2 ms the median latency fell from 18 to 8.5 ms.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002

RETRY_BACKOFF_MS = 5
"""Brokers of version 4 answer NotEnoughReplicas while the last transaction's markers are being written; it passes in a
few milliseconds, and aiokafka's default backoff of 100 ms would be paid each time."""

MAX_BATCH_BYTES = 1_000_000
"""Just below Kafka's default limit of a record batch (message.max.bytes = 1,048,588)."""

Message = tuple[bytes | None, bytes | None, Headers]


class LaneProducer:
    """Publishes for one partition number of all topics, a transaction at a time."""

    def __init__(self, settings: LaneSettings, partition: int) -> None:
        self._settings = settings
        self._partition = partition
        self._producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            client_id=f"{settings.app_id}-lane-{partition}",
            transactional_id=f"{settings.app_id}-{partition}",
            acks="all",
            max_batch_size=MAX_BATCH_BYTES,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            transaction_timeout_ms=int(settings.transaction_timeout_seconds * 1000),
            **settings.security.aiokafka(),
        )

    async def start(self) -> None:
        """Fence the former owner of this partition and settle its open transaction."""
        async with asyncio.timeout(self._settings.commit_timeout_seconds):
            await self._producer.start()

    async def stop(self) -> None:
        """Close the connection. An open transaction is left to the next owner's fence."""
        await self._producer.stop()

    async def begin(self) -> None:
        """Begin a transaction."""
        await self._guarded(self._producer.begin_transaction())

    async def publish(
        self, outputs: Iterable[OutputRecord], changelog: Iterable[tuple[bytes, bytes | None]]
    ) -> "Publication":
        """Send outputs, in order within each topic, and the changelog records behind them."""
        by_topic: dict[str, list[Message]] = {}
        for output in outputs:
            by_topic.setdefault(output.topic, []).append((output.key, output.value, output.headers))
        publication = Publication()
        for topic, messages in by_topic.items():
            await self._send(topic, messages, publication)
        await self._send(
            self._settings.changelog_topic, ((key, value, ()) for key, value in changelog), publication, changelog=True
        )
        return publication

    async def send_group_offsets(self, positions: Mapping[str, int]) -> None:
        """Add the group's committed offsets, by topic, to the running transaction."""
        offsets = {
            TopicPartition(topic, self._partition): OffsetAndMetadata(offset, "") for topic, offset in positions.items()
        }
        await self._guarded(self._producer.send_offsets_to_transaction(offsets, self._settings.app_id))

    async def delivered(self, publication: "Publication") -> None:
        """Wait until the broker has every record batch; raises for one that it refused.

        Call it before `commit`: aiokafka waits for the batches of a transaction, looks at none of them, and commits what is
        left, so that a refused batch of decisions would be lost behind a committed position.
        """
        await self._guarded(publication.delivered())

    async def commit(self) -> None:
        """Commit, and wait for the broker's word. No answer in time is a doubt: only a new fence can settle it."""
        await self._guarded(self._producer.commit_transaction())

    async def _send(
        self, topic: str, messages: Iterable[Message], publication: "Publication", *, changelog: bool = False
    ) -> None:
        batch = self._batch_for(topic)
        for key, value, headers in messages:
            if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                await self._submit(batch, topic, publication, changelog=changelog)
                batch = self._batch_for(topic)
                added = batch.append(key=key, value=value, timestamp=None, headers=list(headers))
                assert added is not None, "an empty batch takes a record of any size"
        if batch.record_count():
            await self._submit(batch, topic, publication, changelog=changelog)

    def _batch_for(self, topic: str) -> Any:
        """An empty batch. Dead letters are compressed: a record that came in compressed may be many times larger than what a
        topic takes, and its dead letter must fit all the same, or one record would stop the lane for good."""
        if topic == self._settings.dead_letter_topic:
            return BatchBuilder(MAX_BATCH_BYTES, DefaultRecordBatch.CODEC_GZIP, is_transactional=1)
        return self._producer.create_batch()

    async def _submit(self, batch: Any, topic: str, publication: "Publication", *, changelog: bool) -> None:
        count = batch.record_count()
        batch.close()
        sent = await self._guarded(self._producer.send_batch(batch, topic, partition=self._partition))
        publication.add(topic, count, sent, changelog=changelog)

    async def _guarded(self, request: Any) -> Any:
        """Await a producer call: bounded in time, and with the fence told from other errors."""
        try:
            async with asyncio.timeout(self._settings.commit_timeout_seconds):
                return await request
        except ProducerFenced as exc:
            raise LaneFencedError(
                f"partition {self._partition} was taken over by another worker, or its transaction ran out of time",
                "This is how a paused or disconnected worker is kept from writing; restart it and it will rejoin",
            ) from exc
        except TimeoutError as exc:
            raise WorkerFailure(
                f"the broker did not answer a transaction of partition {self._partition} within "
                f"{self._settings.commit_timeout_seconds:.0f} s",
                "Check that the broker is up and reachable, then restart the worker",
            ) from exc
        except KafkaError as exc:
            raise WorkerFailure(
                f"the broker refused a transaction of partition {self._partition}: {type(exc).__name__}",
                denial(exc, "publishing")
                or "Nothing of it is visible. Check the broker's log and the topics (`pathway-billing topics`), then restart the "
                "worker",
            ) from exc


class Publication:
    """What was sent in a transaction and must be looked at after its commit."""

    def __init__(self) -> None:
        self._sent: list[tuple[str, asyncio.Future[Any]]] = []
        self._last_changelog: tuple[int, asyncio.Future[Any]] | None = None

    def add(self, topic: str, count: int, sent: "asyncio.Future[Any]", *, changelog: bool) -> None:
        """Note a record batch and its promise."""
        self._sent.append((topic, sent))
        if changelog:
            self._last_changelog = (count, sent)

    async def delivered(self) -> None:
        """Wait for every promise. Raises for a batch that was not delivered, which stock Faust only logs."""
        await asyncio.wait([sent for _, sent in self._sent])
        for topic, sent in self._sent:
            cause = asyncio.CancelledError() if sent.cancelled() else sent.exception()
            if isinstance(cause, ProducerFenced):
                raise cause
            if cause is not None:
                raise WorkerFailure(
                    f"a record batch for {topic} was not delivered ({type(cause).__name__})",
                    "Nothing of its transaction is visible. Check that the topic exists and takes records of this size "
                    "(`pathway-billing topics`), then restart the worker",
                ) from cause

    def next_changelog_offset(self) -> int:
        """The offset behind the last changelog record, once all is delivered."""
        assert self._last_changelog is not None, "each transaction writes the position"
        count, sent = self._last_changelog
        return int(sent.result().offset) + count
