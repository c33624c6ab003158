"""What other clients than ours may send: the worker decides it, or refuses it, and whatever else reads the topics can, too."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer

from streams.events import fact_from_json, fact_to_avro
from streams.topics import CLAIM_RECEIVED, partition_for
from tests import facts
from tests.broker.billing_system import PARTITIONS, BillingSystem, billing_system

pytestmark = pytest.mark.broker

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    with billing_system() as running:
        running.start_worker()
        yield running


def claim(number: int, claim_id: str) -> tuple[bytes, bytes]:
    """Key and value of a claim of a patient of its own."""
    patient_id = f"patient-{number:04}"
    made = facts.s_line(claim_id, "S0353", "2024-01-08") | {
        "patient_id": patient_id,
        "event_id": f"{claim_id} received",
    }
    _, key, value = fact_to_avro(fact_from_json(made))
    return key, value


def decided(system: BillingSystem) -> set[str]:
    """The claims with a decision, when all facts are decided and verification has read every record, too."""
    report = system.wait_decided()
    assert report.ok, [anomaly.sentence for anomaly in report.findings.first]
    decisions: list[dict[str, Any]] = system.decisions()
    return {decision["claim_id"] for decision in decisions}


def test_batches_are_read_however_they_are_compressed(system: BillingSystem) -> None:
    for codec in CODECS:
        settings = {"partitioner": "murmur2_random", "compression.type": codec, "linger.ms": 50}
        producer = Producer({"bootstrap.servers": system.broker.bootstrap_servers, **settings})
        for number in range(20):
            key, value = claim(number, f"{codec}-{number}")
            producer.produce(CLAIM_RECEIVED, value, key)
        assert producer.flush(30) == 0
    assert decided(system) >= {f"{codec}-{number}" for codec in CODECS for number in range(20)}
    projected = system.run("project", "--once")
    assert projected.returncode == 0, projected.stderr


class Latin(str):
    """A name that is not written in UTF-8; Kafka takes it."""

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


def test_a_header_may_have_any_name_and_no_value(system: BillingSystem) -> None:
    servers = system.broker.bootstrap_servers
    key, value = claim(30, "named")
    with KafkaProducer(bootstrap_servers=servers) as producer:
        producer.send(CLAIM_RECEIVED, value, key, [(Latin("caf\xe9"), b"au lait")]).get(timeout=10)
    other = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random"})
    other.produce(CLAIM_RECEIVED, b"not Avro", key, headers=[("nothing", None)])
    assert other.flush(10) == 0
    assert "named" in decided(system)
    (letter,) = listed(system)
    redriven = system.run("dead-letters", "redrive", letter["letter"], "--because", "a try", "--by", "ann", "--yes")
    assert redriven.returncode == 0, redriven.stderr
    assert "named" in decided(system)
    assert len(listed(system)) == 2
    assert system.workers[0].poll() is None


def test_a_record_in_another_partition_than_its_keys_is_refused_and_a_redrive_puts_it_right(
    system: BillingSystem,
) -> None:
    key, value = claim(40, "astray")
    home = partition_for(key, PARTITIONS)
    with KafkaProducer(bootstrap_servers=system.broker.bootstrap_servers) as producer:
        producer.send(CLAIM_RECEIVED, value, key, partition=(home + 1) % PARTITIONS).get(timeout=10)
    assert "astray" not in decided(system)
    (letter,) = listed(system, "--reason", "KEY_MISMATCH")
    redriven = system.run("dead-letters", "redrive", letter["letter"], "--because", "its place", "--by", "ann", "--yes")
    assert redriven.returncode == 0, redriven.stderr
    assert "astray" in decided(system)


def listed(system: BillingSystem, *filters: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in system.run("dead-letters", "list", "--json", *filters).stdout.splitlines()]
