"""What other clients than ours may send: the worker decides it, or refuses it, and whatever else reads the topics can, too."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.events import fact_from_json, fact_to_avro
from streams.topics import CLAIM_RECEIVED
from tests import facts
from tests.broker.billing_system import BillingSystem, billing_system

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
