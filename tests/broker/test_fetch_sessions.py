"""Fetch sessions against Kafka itself: a consumer of many partitions misses nothing, and asks for little."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from deploy.broker import EmbeddedBroker
from streams.runtime.fetch_sessions import FetchSessions
from tests.broker.harness import Arena

pytestmark = pytest.mark.broker

PARTITIONS = 30


class Counted:
    """What goes over the wire."""

    def __init__(self, client: Any) -> None:
        self.asked: list[int] = []  # partitions of each request
        self._send = client.send
        client.send = self.send

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            self.asked.append(sum(len(partitions) for _, partitions in request.topics))
        return await self._send(node_id, request, **options)


@pytest.fixture
def topic(broker: EmbeddedBroker, arena: Arena) -> str:
    name = f"{arena.app_id}-many"
    with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    return name


def test_nothing_is_missed_whatever_becomes_of_the_session(broker: EmbeddedBroker, topic: str) -> None:
    async def run() -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.bootstrap_servers,
            isolation_level="read_committed",
            auto_offset_reset="none",
            fetch_max_wait_ms=50,
        )
        counted = Counted(consumer._client)
        sessions = FetchSessions(consumer._client, linger_seconds=0.005)
        await consumer.start()
        try:
            places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            consumer.assign(places)
            for place in places:
                consumer.seek(place, 0)
            sent = got = 0
            for round_number in range(60):
                spoil(sessions, round_number)
                if round_number == 50:
                    got -= await consumer.position(places[0])
                    consumer.seek(places[0], 0)  # all of its records once more
                producer.send(topic, b"%d" % sent, partition=(7 * round_number) % PARTITIONS)
                producer.flush()
                sent += 1
                async with asyncio.timeout(20):
                    while got < sent:
                        for records in (await consumer.getmany(timeout_ms=1_000)).values():
                            got += len(records)
            assert got == sent
            for place in places:
                assert consumer.highwater(place) == await consumer.position(place)
        finally:
            await consumer.stop()
        whole = counted.asked.count(PARTITIONS)
        assert whole <= 8  # the first one, and one for each time that the session was spoiled
        others = [asked for asked in counted.asked if asked != PARTITIONS]
        assert sum(others) <= 3 * len(others)

    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    try:
        asyncio.run(run())
    finally:
        producer.close()


def spoil(sessions: FetchSessions, round_number: int) -> None:
    """Now and then the broker knows nothing of the session, or of its epoch, or we do not."""
    for session in sessions._sessions.values():
        if round_number == 10:
            session._id += 1
        elif round_number == 20:
            session._epoch += 5
        elif round_number == 30:
            session.forget()
