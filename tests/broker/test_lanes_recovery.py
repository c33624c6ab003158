"""Opening a lane: whatever the changelog looks like, and whatever lies in the state folder."""

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import AsyncIterator

import aiokafka
import pytest
from aiokafka.structs import TopicPartition
from kafka import TopicPartition as Partition
from kafka.admin import ConfigResource, ConfigResourceType

from streams.runtime.failure import WorkerFailure
from streams.runtime.position import POSITION_KEY, Position
from streams.runtime.recovery import Fencing, Recovered, consumer_for, recover
from streams.runtime.settings import LaneSettings
from streams.runtime.start_position import start_position
from streams.runtime.stores import MemoryStore, Store, StoreIdentity, open_store
from tests.broker.harness import Arena

pytestmark = pytest.mark.broker


def settings_of(arena: Arena, **changes: object) -> LaneSettings:
    settings = LaneSettings(
        arena.bootstrap_servers,
        arena.app_id,
        tuple(arena.input_topics),
        arena.partitions,
        table="counts",
        state_folder=arena.folder / "state",
        recovery_stall_seconds=20.0,
    )
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def transaction(
    arena: Arena, *, abort: bool = False, settle: bool = True
) -> AsyncIterator[aiokafka.AIOKafkaProducer]:
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=arena.bootstrap_servers, transactional_id=f"{arena.app_id}-someone"
    )
    await producer.start()
    await producer.begin_transaction()
    yield producer
    await producer.flush()
    if settle:
        await (producer.abort_transaction() if abort else producer.commit_transaction())
    await producer.stop()


class Nobody:
    """No position names a writer."""

    def patience_seconds(self, former: str) -> float:
        raise AssertionError

    async def fence(self, former: str) -> None:
        raise AssertionError


NOBODY = Nobody()


async def recover_store(arena: Arena, store: Store, fencing: Fencing = NOBODY, **changes: object) -> Recovered:
    settings = settings_of(arena, **changes)
    consumer = consumer_for(settings)
    await consumer.start()
    try:
        return await recover(store, consumer, TopicPartition(arena.changelog_topic, 0), settings, fencing)
    finally:
        await consumer.stop()


async def write(arena: Arena, values: dict[bytes, bytes | None], *, abort: bool = False, settle: bool = True) -> None:
    async with transaction(arena, abort=abort, settle=settle) as producer:
        for key, value in values.items():
            await producer.send(arena.changelog_topic, key=key, value=value, partition=0)


def test_an_empty_changelog(arena: Arena) -> None:
    store = MemoryStore()
    recovered = asyncio.run(recover_store(arena, store))
    assert recovered.records == 0
    assert store.next_offset == 0


def test_a_changelog_that_ends_in_transaction_markers(arena: Arena) -> None:
    async def run() -> None:
        await write(arena, {b"a": b"1", b"b": b"1"})
        await write(arena, {b"a": b"2", b"b": None})
        await write(arena, {b"a": b"never committed"}, abort=True)
        store = MemoryStore()
        recovered = await recover_store(arena, store)
        assert dict(store.items()) == {b"a": b"2"}
        assert recovered.records == 4
        assert store.next_offset == 4 + 1 + 3, "behind all markers and aborted records"

    asyncio.run(run())


def test_a_changelog_of_nothing_but_aborted_records(arena: Arena) -> None:
    async def run() -> None:
        await write(arena, {b"a": b"1"}, abort=True)
        store = MemoryStore()
        await recover_store(arena, store)
        assert list(store.items()) == []
        assert store.next_offset == 2

    asyncio.run(run())


@pytest.mark.parametrize("commits", [True, False])
def test_the_former_writer_is_fenced_before_the_end_is_believed(arena: Arena, *, commits: bool) -> None:
    """Its transaction is open when everything settled has been read; what becomes of it is known behind the fence alone."""
    position = Position({}, writer="the former").encode()
    fenced: list[str] = []

    async def run() -> None:
        await write(arena, {b"a": b"1", POSITION_KEY: position})
        store = MemoryStore()
        async with transaction(arena, settle=False) as former:
            await former.send(arena.changelog_topic, key=b"a", value=b"2", partition=0)
            await former.send(arena.changelog_topic, key=POSITION_KEY, value=position, partition=0)
            await former.flush()

            class Former(Nobody):
                def patience_seconds(self, writer: str) -> float:
                    return 0.5

                async def fence(self, writer: str) -> None:
                    assert store.get(b"a") == b"1"
                    fenced.append(writer)
                    await (former.commit_transaction() if commits else former.abort_transaction())

            await recover_store(arena, store, Former(), recovery_stall_seconds=20.0)
        assert store.get(b"a") == (b"2" if commits else b"1")

    asyncio.run(run())
    assert fenced == ["the former"], "once"


def test_who_gives_a_partition_back_is_not_fenced_while_its_markers_are_on_their_way(arena: Arena) -> None:
    """Its last transaction is committed and answered; its successor sees it a little later."""

    class Patient(Nobody):
        def patience_seconds(self, writer: str) -> float:
            assert writer == "the former"
            return 60.0

    async def run() -> None:
        await write(arena, {POSITION_KEY: Position({}, writer="the former").encode()})
        store = MemoryStore()
        async with transaction(arena) as former:
            await former.send(arena.changelog_topic, key=POSITION_KEY, value=Position({}).encode(), partition=0)
            await former.flush()
            recovering = asyncio.create_task(recover_store(arena, store, Patient(), recovery_stall_seconds=20.0))
            await asyncio.sleep(0.2)  # longer, and it would still wait
        await recovering
        assert store.get(POSITION_KEY) == Position({}).encode()

    asyncio.run(run())


def test_a_compacted_changelog(arena: Arena) -> None:
    compaction = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "0",
    }
    # Kafka's cleaner looks for work every 15 s
    arena.admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "200"})])
    arena.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, arena.changelog_topic, compaction)])

    async def write_until_compacted() -> None:
        rounds = 0
        while True:
            await write(arena, {b"key-%d" % n: b"%d" % rounds for n in range(5)})
            rounds += 1
            left = sum(1 for _ in arena.read(arena.changelog_topic))
            if rounds > 5 and left < rounds * 5 - 10:
                return
            assert rounds < 200, "the broker does not compact"
            await asyncio.sleep(0.1)

    async def run() -> None:
        await write_until_compacted()
        newest = {record.key: record.value for record in arena.read(arena.changelog_topic)}
        store = MemoryStore()
        await recover_store(arena, store)
        assert dict(store.items()) == newest

    asyncio.run(run())


def test_it_waits_for_a_transaction_that_hides_records_and_gives_up_with_advice(arena: Arena) -> None:
    """Committed records behind another's open transaction cannot be read: a store without them would be wrong."""

    async def run() -> None:
        await write(arena, {b"a": b"1"})
        await write(arena, {b"b": b"open"}, settle=False)
        with pytest.raises(WorkerFailure, match=r"has not moved.*A transaction is open"):
            await recover_store(arena, MemoryStore(), recovery_stall_seconds=1.0)

        store = MemoryStore()
        waiting = asyncio.create_task(recover_store(arena, store))
        await asyncio.sleep(0)
        async with transaction(arena, abort=True):  # fences the open one
            pass
        await waiting
        assert dict(store.items()) == {b"a": b"1"}

    asyncio.run(run())


def test_a_warm_store_reads_only_the_tail(arena: Arena) -> None:
    async def run() -> None:
        identity = StoreIdentity(arena.changelog_topic, "id", 0)
        store = open_store("rocksdb", arena.folder / "s", identity)
        await write(arena, {b"key-%d" % n: b"1" for n in range(50)})
        assert (await recover_store(arena, store)).records == 50
        store.close()
        await write(arena, {b"key-1": b"2"})
        store = open_store("rocksdb", arena.folder / "s", identity)
        recovered = await recover_store(arena, store)
        assert recovered == (1, recovered.seconds, None)
        assert store.get(b"key-1") == b"2"
        assert len(list(store.items())) == 50

    asyncio.run(run())


def test_a_store_ahead_of_its_changelog_is_rebuilt(arena: Arena) -> None:
    async def run() -> None:
        await write(arena, {b"a": b"1"})
        store = MemoryStore()
        store.apply({b"ghost": b"1"}, 1_000)
        recovered = await recover_store(arena, store)
        assert recovered.rebuilt_because == "it is ahead of the changelog"
        assert dict(store.items()) == {b"a": b"1"}

    asyncio.run(run())


def test_a_store_behind_the_log_start_is_rebuilt(arena: Arena) -> None:
    """What was deleted between its end and the log's start, tombstones too, can never be caught up."""

    async def run() -> None:
        await write(arena, {b"old": b"1"})
        await write(arena, {b"old": None, b"a": b"1"})
        arena.admin.delete_records({Partition(arena.changelog_topic, 0): 3})
        store = MemoryStore()
        store.apply({b"old": b"1"}, 1)
        recovered = await recover_store(arena, store)
        assert recovered.rebuilt_because == "the changelog begins behind it"
        assert dict(store.items()) == {b"a": b"1"}

    asyncio.run(run())


class AgedStore(MemoryStore):
    age_seconds = 13 * 3600.0


def test_a_store_old_enough_to_have_missed_deletes_is_rebuilt(arena: Arena) -> None:
    async def run() -> None:
        await write(arena, {b"a": b"1"})
        store = AgedStore()
        store.apply({b"deleted meanwhile": b"1"}, 0)
        recovered = await recover_store(arena, store)
        assert recovered.rebuilt_because == "it is so old that deletes may be missing"
        assert dict(store.items()) == {b"a": b"1"}

    asyncio.run(run())


# The position


async def position_of(arena: Arena, store: Store, **changes: object) -> Position:
    settings = settings_of(arena, **changes)
    consumer = consumer_for(settings)
    await consumer.start()
    try:
        return await start_position(store, consumer, 0, settings)
    finally:
        await consumer.stop()


async def commit_group_offset(arena: Arena, topic: str, offset: int) -> None:
    async with transaction(arena) as producer:
        await producer.send_offsets_to_transaction({TopicPartition(topic, 0): offset}, arena.app_id)


def stored_position(offsets: dict[str, int], topic_ids: dict[str, str] | None = None) -> Store:
    store = MemoryStore()
    store.apply({POSITION_KEY: Position(offsets, topic_ids or {}).encode()}, 1)
    return store


def test_a_first_start_begins_at_the_beginning(arena: Arena) -> None:
    assert asyncio.run(position_of(arena, MemoryStore())).offsets == dict.fromkeys(arena.input_topics, 0)


def test_a_first_start_behind_somebodys_decisions_is_warned_of(arena: Arena, caplog: pytest.LogCaptureFixture) -> None:
    """As with a mistyped application id: all facts would be decided twice."""

    async def run() -> None:
        none_yet = await position_of(arena, MemoryStore(), decisions_topic=arena.output_topic)
        assert not caplog.messages
        async with transaction(arena) as producer:
            await producer.send(arena.output_topic, key=b"k", value=b"v", partition=0)
        assert await position_of(arena, MemoryStore(), decisions_topic=arena.output_topic) == none_yet
        [warning] = caplog.messages
        assert f"{arena.output_topic} holds decisions, but application id {arena.app_id} has decided nothing" in warning
        await position_of(arena, stored_position(none_yet.offsets), decisions_topic=arena.output_topic)
        assert len(caplog.messages) == 1, "who has decided before is not warned"

    asyncio.run(run())


def test_the_changelogs_position_counts_not_the_groups(arena: Arena) -> None:
    async def run() -> None:
        arena.publish(40)
        await commit_group_offset(arena, arena.input_topics[0], 1)
        store = stored_position(dict.fromkeys(arena.input_topics, 3))
        assert (await position_of(arena, store)).offsets == dict.fromkeys(arena.input_topics, 3)

    asyncio.run(run())


def test_another_number_of_partitions_is_refused(arena: Arena) -> None:
    """A key's records would come to another lane than the key's record."""
    store = MemoryStore()
    position = Position(dict.fromkeys(arena.input_topics, 0), partitions=arena.partitions + 1)
    store.apply({POSITION_KEY: position.encode()}, 1)
    with pytest.raises(
        WorkerFailure, match=f"as one of {arena.partitions + 1}; now there are to be {arena.partitions}"
    ):
        asyncio.run(position_of(arena, store))


def test_a_topic_added_later_begins_at_the_groups_offset_or_the_beginning(arena: Arena) -> None:
    async def run() -> None:
        arena.publish(40)
        known, added = arena.input_topics
        store = stored_position({known: 3, "a topic no longer read": 9})
        assert (await position_of(arena, store)).offsets == {known: 3, added: 0, "a topic no longer read": 9}
        await commit_group_offset(arena, added, 2)
        assert (await position_of(arena, store)).offsets[added] == 2

    asyncio.run(run())


def test_a_lost_table_stops_the_worker(arena: Arena) -> None:
    """Deciding with an empty table what comes next would be wrong in silence."""

    async def run() -> None:
        arena.publish(40)
        await commit_group_offset(arena, arena.input_topics[0], 5)
        with pytest.raises(WorkerFailure, match=r"the table was lost.*delete the group's offsets"):
            await position_of(arena, MemoryStore())

    asyncio.run(run())


def test_an_input_topic_made_again_stops_the_worker(arena: Arena) -> None:
    topic = arena.input_topics[0]
    store = stored_position(dict.fromkeys(arena.input_topics, 0), {topic: "former"})
    with pytest.raises(WorkerFailure, match=f"{topic} was deleted and made again"):
        asyncio.run(position_of(arena, store, topic_ids={topic: "present"}))


@pytest.mark.parametrize("offset", [1, 900])
def test_a_position_that_its_topic_does_not_hold_stops_the_worker(arena: Arena, offset: int) -> None:
    arena.publish(80)
    arena.admin.delete_records({Partition(arena.input_topics[0], 0): 5})
    store = stored_position({arena.input_topics[0]: offset, arena.input_topics[1]: 0})
    with pytest.raises(WorkerFailure, match=f"stands at offset {offset} of .* which holds 5 to"):
        asyncio.run(position_of(arena, store))


# Whole workers


def test_a_worker_with_a_broken_state_folder_rebuilds_it(arena: Arena) -> None:
    arena.publish(300)
    worker = arena.start(topic_ids=arena.topic_ids())
    worker.wait_ready()
    arena.wait_processed()
    assert worker.terminate() == 0

    manifests = list((arena.folder / "state").rglob("MANIFEST*"))
    assert len(manifests) == arena.partitions
    manifests[0].write_bytes(b"garbage")
    worker = arena.start(topic_ids=arena.topic_ids())
    worker.wait_ready()
    assert worker.log.count("local store rebuilt, because it does not open") == 1
    arena.publish(100)
    arena.wait_processed()
    assert worker.terminate() == 0
    arena.assert_exactly_once()


def test_input_that_vanishes_under_a_running_lane_stops_the_worker(arena: Arena) -> None:
    """aiokafka would reset the position in silence, and it would look like an empty stretch of the log."""
    topic = arena.input_topics[0]
    worker = arena.start(session_timeout_seconds=20)
    worker.wait_ready()
    arena.publish(100)
    arena.wait_processed()
    worker.process.send_signal(signal.SIGSTOP)
    arena.publish(100)  # a fetch that was under way takes the first of these along
    arena.publish(100)
    ends = {record.partition: record.offset + 1 for record in arena.read(topic)}
    arena.admin.delete_records({Partition(topic, p): end for p, end in ends.items()})
    worker.process.send_signal(signal.SIGCONT)
    assert worker.wait() == 1
    assert "a lane stands at an offset that its topic does not hold" in worker.log
    assert worker.log.count("worker stops") == 1
