"""What publishers may send: transactions, aborted ones too, large producer batches, many fetches' worth at once."""

import json

import pytest
from kafka import KafkaProducer

from tests.broker.harness import READY_SECONDS, Arena, wait_until

pytestmark = pytest.mark.broker


def transactional(arena: Arena) -> KafkaProducer:
    producer = KafkaProducer(bootstrap_servers=arena.bootstrap_servers, transactional_id=f"{arena.app_id}-publisher")
    producer.init_transactions()
    return producer


def event(number: int) -> bytes:
    return json.dumps({"number": number}).encode()


def wait_for_dead_letters(arena: Arena, *sizes: int) -> None:
    """They may be in another transaction than the outputs that were waited for, and in a later one."""
    wait_until(
        lambda: sorted(len(letter.value) for letter in arena.read(arena.dead_letter_topic)) == list(sizes),
        READY_SECONDS,
        f"dead letters of {sizes} bytes",
    )


def test_markers_and_aborted_records_move_the_chain_without_breaking_it(arena: Arena) -> None:
    """A fetch may bring nothing but transaction markers or aborted records: the position moves, and no record comes."""
    worker = arena.start()
    worker.wait_ready()
    producer = transactional(arena)
    number = 0
    for attempt in range(12):
        producer.begin_transaction()
        for _ in range(20):
            key = b"key-%d" % (number % 7)
            producer.send(arena.input_topics[attempt % 2], key=key, value=event(number if attempt % 3 else 900_000))
            number += bool(attempt % 3)
        producer.flush()
        if attempt % 3:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()
    arena.published = number
    arena.wait_processed()
    assert worker.terminate() == 0
    arena.assert_exactly_once()

    # The last thing in each log is a marker; a restart must find its place behind or before it
    worker = arena.start()
    worker.wait_ready()
    arena.publish(10)
    arena.wait_processed()
    assert worker.terminate() == 0
    arena.assert_exactly_once()


def test_one_large_compressed_producer_batch_is_split_into_bounded_transactions(arena: Arena) -> None:
    """A fetch brings at least one whole producer batch, here 5,000 records; a transaction holds at most 100."""
    producer = KafkaProducer(
        bootstrap_servers=arena.bootstrap_servers, compression_type="gzip", batch_size=900_000, linger_ms=2_000
    )
    for number in range(5_000):
        producer.send(arena.input_topics[0], key=b"same", value=event(number))
    producer.flush()
    producer.close()
    arena.published = 5_000
    worker = arena.start(batch_records=100)
    worker.wait_ready()
    arena.wait_processed()
    assert worker.terminate() == 0
    arena.assert_exactly_once()
    positions = [record for record in arena.read(arena.changelog_topic) if record.key == b"\x00position"]
    assert len(positions) >= 50


def test_records_of_nearly_a_megabyte(arena: Arena) -> None:
    worker = arena.start()
    worker.wait_ready()
    for number in range(4):
        arena.publish_raw(b"large", b'{"number": %d, "padding": "%s"}' % (number, b"x" * 1_000_000))
    arena.publish_raw(b"bad", b"x" * 1_000_000)
    arena.published = 4
    arena.wait_processed()
    wait_for_dead_letters(arena, 1_000_000)
    assert worker.terminate() == 0
    arena.assert_exactly_once()


def test_a_bad_record_that_is_far_larger_unpacked_than_a_topic_takes_stops_nobody(arena: Arena) -> None:
    """It came in compressed; its dead letter has to fit all the same, or the lane would stop at it for good."""
    worker = arena.start()
    worker.wait_ready()
    producer = KafkaProducer(
        bootstrap_servers=arena.bootstrap_servers, compression_type="gzip", max_request_size=32 << 20
    )
    producer.send(arena.input_topics[0], key=b"huge", value=b"x" * (16 << 20), partition=0)
    producer.send(arena.input_topics[0], key=None, value=b"neither key nor sense", partition=0)
    producer.flush()
    producer.close()
    arena.publish(1)
    arena.wait_processed()
    wait_for_dead_letters(arena, 21, 16 << 20)
    assert worker.terminate() == 0
    arena.assert_exactly_once()
