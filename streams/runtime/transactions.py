"""One lane's transactions: everything a batch causes becomes visible at once, or never.

The group's offsets are committed without the group's generation, so only the transactional id fences. There is one id for each
partition number, and taking it over (InitProducerId) comes before the changelog or any offset is read: from then on a
former owner cannot commit any more, and its open transaction is settled.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import TypeVar

from aiokafka.errors import KafkaError, ProducerFenced

from streams.runtime.failure import LaneFencedError, WorkerFailure
from streams.runtime.processor import OutputRecord
from streams.runtime.producer import Message, RefusedBatchError, TransactionalProducer
from streams.runtime.settings import LaneSettings
from streams.security import denial

_T = TypeVar("_T")


class LaneProducer:
    """Publishes for one partition number of all topics, a transaction at a time."""

    def __init__(self, settings: LaneSettings, partition: int) -> None:
        self._settings = settings
        self._partition = partition
        self._producer = TransactionalProducer(
            f"{settings.app_id}-{partition}",
            partition,
            transaction_timeout_seconds=settings.transaction_timeout_seconds,
            acknowledge_seconds=settings.commit_timeout_seconds,
            bootstrap_servers=settings.bootstrap_servers,
            client_id=f"{settings.app_id}-lane-{partition}",
            **settings.security.aiokafka(),
        )

    async def start(self) -> None:
        """Fence the former owner of this partition and settle its open transaction."""
        async with asyncio.timeout(self._settings.commit_timeout_seconds):
            await self._producer.start()

    async def stop(self) -> None:
        """Close the connection. An open transaction is left to the next owner's fence."""
        await self._producer.stop()

    async def publish(self, outputs: Iterable[OutputRecord], changelog: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Begin a transaction with outputs, in order within each topic, and changelog records.

        Returns the offset behind the last changelog record when the broker has every record; raises for one that it refused.
        """
        by_topic: dict[str, list[Message]] = {}
        for topic, key, value, headers in outputs:
            by_topic.setdefault(topic, []).append((key, value, headers))
        log = self._settings.changelog_topic
        assert log not in by_topic, "outputs go to other topics"
        by_topic[log] = [(key, value, ()) for key, value in changelog]
        # Dead letters are compressed: a record that came in compressed may be many times larger than what a topic takes, and
        # its dead letter must fit all the same, or one record would stop the lane for good.
        packed = [
            batch
            for topic, messages in by_topic.items()
            for batch in self._producer.pack(topic, messages, compressed=topic == self._settings.dead_letter_topic)
        ]
        return (await self._guarded(self._producer.send(packed)))[log]

    async def send_group_offsets(self, positions: Mapping[str, int]) -> None:
        """Add the group's committed offsets, by topic, to the running transaction."""
        await self._guarded(self._producer.send_offsets(self._settings.app_id, sorted(positions.items())))

    async def commit(self) -> None:
        """Commit, and wait for the broker's word. No answer in time is a doubt: only a new fence can settle it."""
        await self._guarded(self._producer.commit())

    async def _guarded(self, request: Awaitable[_T]) -> _T:
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
            trouble = self._producer.last_trouble
            raise WorkerFailure(
                f"the broker did not take a transaction of partition {self._partition} within "
                f"{self._settings.commit_timeout_seconds:.0f} s"
                + ("" if trouble is None else f" (last trouble: {type(trouble).__name__})"),
                "Check that the broker is up and reachable, then restart the worker",
            ) from exc
        except RefusedBatchError as exc:
            raise WorkerFailure(
                f"a record batch for {exc.topic} was not delivered ({type(exc.__cause__).__name__})",
                "Nothing of its transaction is visible. Check that the topic exists and takes records of this size "
                "(`pathway-billing topics`), then restart the worker",
            ) from exc
        except KafkaError as exc:
            raise WorkerFailure(
                f"the broker refused a transaction of partition {self._partition}: {type(exc).__name__}",
                denial(exc, "publishing")
                or "Nothing of it is visible. Check the broker's log and the topics (`pathway-billing topics`), then restart the "
                "worker",
            ) from exc
