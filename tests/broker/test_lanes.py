"""One worker: every event's effects are committed once, through restarts, kills and bad records."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.broker import EmbeddedBroker
from tests.broker.harness import READY_SECONDS, Arena, wait_until

pytestmark = pytest.mark.broker

STEPS = ("before begin", "sent", "before commit", "committed", "stored")
NEVER = 3_600.0
"""A transaction for the group's offsets alone, while no input comes, goes through the same steps as one of a batch."""


@pytest.fixture(scope="module")
def fragile_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that tests may harm."""
    with EmbeddedBroker(tmp_path_factory.mktemp("fragile")) as broker:
        yield broker


@pytest.fixture
def fragile(fragile_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Arena]:
    """An arena on that broker."""
    arena = Arena(fragile_broker.bootstrap_servers, tmp_path)
    arena.broker = fragile_broker
    yield arena
    arena.close()


def test_exactly_once_through_a_clean_restart(arena: Arena) -> None:
    worker = arena.start()
    arena.publish(1_000)
    worker.wait_ready()
    arena.wait_processed()
    assert worker.terminate() == 0

    arena.publish(1_000)
    worker = arena.start()
    worker.wait_ready()
    arena.wait_processed()
    assert worker.terminate() == 0

    arena.assert_exactly_once()
    ends = {(topic, p): 0 for topic in arena.input_topics for p in range(arena.partitions)}
    for topic in arena.input_topics:
        for record in arena.read(topic):
            ends[topic, record.partition] = record.offset + 1
    assert arena.group_offsets() == ends, "the group's offsets follow, for lag monitors"


@pytest.mark.parametrize("seed", [20261123])
@pytest.mark.timeout(600)
def test_exactly_once_through_twenty_kills_under_load(arena: Arena, seed: int) -> None:
    """The publisher never stops while the worker is killed, now and then while it still recovers."""
    print(f"seed {seed}")
    rnd = random.Random(seed)
    kills = {"opening": 0, "working": 0}
    with arena.load(rate=1_000):
        while sum(kills.values()) < 20:
            worker = arena.start(store=rnd.choice(["memory", "rocksdb"]), batch_records=rnd.choice([20, 500]))
            if rnd.random() < 0.3:
                time.sleep(rnd.uniform(1.0, 2.0))
                kills["opening"] += 1
            else:
                worker.wait_ready()
                time.sleep(rnd.uniform(0.0, 1.0))
                kills["working"] += 1
            assert worker.process.poll() is None, worker.log
            worker.kill()
    print("kills", kills, "events", arena.published)
    worker = arena.start()
    worker.wait_ready()
    arena.wait_processed()
    assert worker.terminate() == 0
    arena.assert_exactly_once()


def test_exactly_once_when_the_process_ends_at_each_step_of_a_transaction(arena: Arena) -> None:
    arena.publish(1_500)
    seen = 0
    for step in STEPS:
        worker = arena.start(die_at=step, die_at_time=3, batch_records=50, group_offsets_every_seconds=NEVER)
        assert worker.wait() == 9
        before, seen = seen, arena.outputs_seen()
        assert before < seen < 1_500, "some transactions were committed before the end"
    worker = arena.start()
    worker.wait_ready()
    arena.wait_processed()
    assert worker.terminate() == 0
    arena.assert_exactly_once()


def test_an_input_is_in_exactly_one_transaction_and_an_aborted_one_is_not_seen(arena: Arena) -> None:
    arena.publish(200)
    worker = arena.start(die_at="before commit", batch_records=50, group_offsets_every_seconds=NEVER)
    assert worker.wait() == 9
    assert arena.outputs_seen() == 0
    uncommitted = sum(1 for _ in arena.read(arena.output_topic, isolation_level="read_uncommitted"))
    assert uncommitted > 0, "the outputs were sent, and only their commit is missing"


def test_a_failing_processor_stops_the_worker_and_commits_nothing_of_its_batch(arena: Arena) -> None:
    arena.publish(100)
    worker = arena.start()
    worker.wait_ready()
    arena.wait_processed()

    arena.publish_raw(b"patient-4711", json.dumps({"number": 999_999, "crash": True}).encode())
    assert worker.wait() == 1
    failures = [line for line in worker.log.splitlines() if "worker stops" in line]
    assert len(failures) == 1
    assert "KeyError at counting.py" in failures[0]
    assert "restart the worker" in failures[0]
    assert "4711" not in worker.log, "the exception's text, which names the patient, is not logged"
    assert arena.outputs_seen() == 100

    # Stock Faust acknowledges the failing event and goes on behind it; this one is tried again, and stops again
    worker = arena.start()
    assert worker.wait() == 1
    assert arena.outputs_seen() == 100


def test_a_bad_record_stops_nothing_and_is_kept_as_it_was(arena: Arena) -> None:
    arena.publish(50)
    arena.publish_raw(None, b"no key")
    arena.publish_raw(b"no value", None, [("trace", b"1")])
    arena.publish_raw(b"broken", b"\xff\x00 not json", [("trace", b"2"), ("dlq_reason", b"an older one")])
    arena.publish(50)
    worker = arena.start()
    worker.wait_ready()
    arena.wait_processed()
    letters = wait_until(
        lambda: len(found := list(arena.read(arena.dead_letter_topic))) >= 3 and found, READY_SECONDS, "dead letters"
    )

    assert {(letter.key, letter.value) for letter in letters} == {
        (None, b"no key"),
        (b"no value", None),
        (b"broken", b"\xff\x00 not json"),
    }
    by_key = {letter.key: letter.headers for letter in letters}
    assert next(iter(by_key[b"no value"])) == ("trace", b"1")
    assert list(by_key[b"broken"])[:2] == [("trace", b"2"), ("dlq_reason", b"an older one")]
    added = dict(by_key[b"broken"])
    assert added["dlq_reason"] == b"UNREADABLE"
    assert added["dlq_topic"].decode() == arena.input_topics[0]
    originals = {(r.partition, r.offset): r.key for r in arena.read(arena.input_topics[0])}
    assert originals[int(added["dlq_partition"]), int(added["dlq_offset"])] == b"broken"
    assert worker.terminate() == 0
    arena.assert_exactly_once()


def test_a_flood_of_bad_records_stops_the_worker_also_after_a_restart(arena: Arena) -> None:
    for _ in range(1_500):
        arena.publish_later(b"same key", b"bad")
    arena.flush()
    for _ in range(2):  # batches of 300: without a memory, each start would let 999 more pass
        worker = arena.start(batch_records=300)
        assert worker.wait() == 1
        assert "1,000 records in a row could not be used" in worker.log
        assert "--allow-dead-letter-flood" in worker.log
    passed = sum(1 for _ in arena.read(arena.dead_letter_topic))
    assert passed < 1_000

    worker = arena.start(dead_letter_flood_limit=False)
    worker.wait_ready()
    wait_until(lambda: sum(1 for _ in arena.read(arena.dead_letter_topic)) == 1_500, 60, "all let pass")
    assert worker.terminate() == 0


def test_a_batch_lost_on_its_way_to_the_lane_stops_the_worker(arena: Arena) -> None:
    """The chain check: the second safeguard."""
    worker = arena.start(drop_fetch=2)
    worker.wait_ready()

    def ended() -> bool:
        arena.publish(50)  # what comes after the gap shows it: whatever one fetch brings may be all lost
        return worker.process.poll() is not None

    wait_until(ended, 60, "the gap is noticed")
    assert worker.wait() == 1
    assert "but the lane stands at" in worker.log

    worker = arena.start()
    worker.wait_ready()
    arena.wait_processed()
    assert worker.terminate() == 0
    arena.assert_exactly_once()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_working_worker_cleanly_and_soon(arena: Arena, number: signal.Signals) -> None:
    arena.publish(5_000)
    worker = arena.start(batch_records=50)
    worker.wait_ready()
    worker.process.send_signal(number)
    assert worker.wait() == 0, "the worker ends with 1 where it is not done within its own deadline"
    assert "stopped: 2 of 2 lanes closed" in worker.log
    assert len(worker.log_lines) <= 5, worker.log


def test_a_hung_broker_does_not_keep_a_stopping_worker(fragile: Arena) -> None:
    """The broker is paused, as by a dead network: nothing answers, and no connection is refused."""
    worker = fragile.start(stop_timeout_seconds=4)
    worker.wait_ready()
    fragile.publish(10)
    fragile.wait_processed()
    with fragile.paused_broker():
        code = worker.terminate(seconds=15)
    assert code in (0, 1)
    if code == 1:
        assert "not finished after 4 s" in worker.log


def test_a_batch_that_the_broker_refuses_is_noticed_before_the_commit(arena: Arena) -> None:
    """aiokafka waits for the batches of a transaction but looks at none, and commits what is left of it: the position
    without its outputs, which nobody would ever publish again."""
    arena.admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, arena.output_topic, {"max.message.bytes": "60"})]
    )
    arena.publish(50)
    worker = arena.start()
    assert worker.wait() == 1
    assert f"a record batch for {arena.output_topic}/" in worker.log
    assert "was not delivered" in worker.log
    arena.admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, arena.output_topic, {"max.message.bytes": "1048588"})]
    )
    healthy = arena.start()
    healthy.wait_ready()
    arena.wait_processed()
    assert healthy.terminate() == 0
    arena.assert_exactly_once()


def test_a_lane_that_stands_still_with_input_stops_the_worker(arena: Arena) -> None:
    """What it waits for never comes and raises no error; without the watch nobody would notice."""
    worker = arena.start(hang_at_batch=1, stand_still_seconds=3)
    worker.wait_ready()
    arena.publish(20)
    assert worker.wait() == 1
    assert "has not moved for 3 s" in worker.log
    healthy = arena.start()
    healthy.wait_ready()
    arena.wait_processed()
    assert healthy.terminate() == 0
    arena.assert_exactly_once()


def test_a_paused_worker_publishes_nothing_after_its_successor(arena: Arena) -> None:
    """The fence: a worker stopped in the middle of a transaction wakes up after another one took its partitions."""
    arena.publish(300)
    old = arena.start(instance_id=None, stop_at="sent", state_folder=str(arena.folder / "old"))
    wait_until(lambda: "stopping myself" in old.log, 60, "the old worker pauses")
    new = arena.start(instance_id=None, state_folder=str(arena.folder / "new"))
    new.wait_ready()
    arena.wait_processed()
    outputs = arena.outputs_seen()

    os.kill(old.process.pid, signal.SIGCONT)
    assert old.wait() == 1
    assert "taken over by another worker" in old.log
    assert arena.outputs_seen() == outputs
    assert new.terminate() == 0
    arena.assert_exactly_once()


def test_exactly_once_through_a_killed_broker(fragile: Arena) -> None:
    """The worker may wait for the broker or stop; a person or a supervisor starts it again. Nothing is lost or repeated."""
    assert fragile.broker is not None
    worker = fragile.start(batch_records=20)
    worker.wait_ready()
    fragile.publish(500)
    wait_until(fragile.outputs_seen, 60, "first outputs")
    fragile.broker.kill()
    fragile.broker.start()
    fragile.publish(500)

    def processed() -> bool:
        nonlocal worker
        if worker.process.poll() is not None:  # it may stop some time after the broker is back, too
            assert worker.process.returncode == 1, worker.log
            worker = fragile.start()
        return fragile.is_processed()

    wait_until(processed, 120, "everything processed")
    worker.wait_ready()
    assert worker.terminate() == 0
    fragile.assert_exactly_once()
