"""`pathway-billing verify` on a real Kafka, with real workers, at rest and while they work and die."""

import json
import signal
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from streams.events import decision_from_avro, decision_to_avro
from streams.generator import history
from streams.runtime.processor import InputRecord
from streams.topics import (
    BILLING_DECISIONS,
    CLAIM_RECEIVED,
    DEAD_LETTERS,
    OUTPUT_TOPICS,
    changelog_topic,
    partition_for,
)
from streams.verification.anomalies import Kind
from streams.verification.run import Report
from tests import facts
from tests.broker import command_line
from tests.broker.billing_system import APP_ID, PARTITIONS, BillingSystem, billing_system

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    with billing_system() as running:
        yield running


def read(system: BillingSystem, topic: str) -> list[InputRecord]:
    with system.log() as log:
        return [record for partition in range(PARTITIONS) for record in log.read_all(topic, partition)]


def differences(report: Report) -> list[str]:
    return [f"{anomaly.kind}: {anomaly.sentence}" for anomaly in report.findings.first]


def test_a_transaction_that_is_left_open_is_named(system: BillingSystem) -> None:
    for topic in (*OUTPUT_TOPICS, changelog_topic(APP_ID)):
        with KafkaProducer(
            bootstrap_servers=system.broker.bootstrap_servers, transactional_id=f"stranger-{topic}"
        ) as producer:
            producer.init_transactions()
            producer.begin_transaction()
            producer.send(topic, b"\x00", b"pt-0001", partition=1).get(10)
            report = system.verify(stall_seconds=5)
            assert differences(report) == [
                "torn transaction: a transaction is still open: records behind this offset cannot be read"
            ]
            assert report.findings.first[0][1:3] == (topic, 1)
            producer.abort_transaction()
        assert not differences(system.verify()), "what was aborted does not count"


def test_a_year_of_facts_stays_right_while_workers_work_and_die(system: BillingSystem) -> None:
    year = list(history(250, 17))
    system.start_worker()
    for number in range(4):
        quarter = year[number * len(year) // 4 : (number + 1) * len(year) // 4]
        system.publish(quarter[:-50])
        assert not differences(system.verify())  # while the worker decides
        system.workers[-1].send_signal(signal.SIGKILL)
        system.workers[-1].wait(timeout=10)
        system.publish(quarter[-50:])  # nobody is there to decide these
        report = system.verify()  # in the middle of what the dead worker had begun
        assert not differences(report)
        assert report.counts.waiting >= 50
        system.start_worker()

    report = system.wait_decided()
    assert not differences(report)
    counts = report.counts
    assert counts.facts == len(year)
    assert counts.patients == 250
    assert counts.dead_letters
    assert counts.paid_cents == counts.changes_cents > 0

    done = system.run("verify")
    assert (done.returncode, done.stdout) == (0, "OK\n")
    assert f"{len(year):,} facts; 250 patients" in done.stderr
    done = system.run("verify", "--json")
    assert json.loads(done.stdout)["ok"] is True
    assert json.loads(done.stdout)["counts"]["lines"] == counts.lines


def test_damage_in_the_log_is_found_and_named() -> None:
    with billing_system() as system:
        damage_and_verify(system)
        say_what_to_do_without_topics_or_broker(system)


def damage_and_verify(system: BillingSystem) -> None:
    """What another program wrote, or a worker would have written with a lane that is not exactly-once."""
    system.start_worker()
    system.publish([facts.agreement(), facts.order(), facts.start(), facts.s_line("A", "S0353", "2024-01-08")])
    partition = partition_for(b"pt-0001", PARTITIONS)
    with KafkaProducer(bootstrap_servers=system.broker.bootstrap_servers) as producer:
        producer.send(CLAIM_RECEIVED, b"not Avro", b"pt-0001", partition=partition).get(10)
        assert not differences(system.wait_decided())
        decided = read(system, BILLING_DECISIONS)[-1]
        producer.send(BILLING_DECISIONS, decided.value, decided.key, partition=partition).get(10)
        paid = decision_from_avro(decided.value)
        stranger = paid._replace(
            claim_id="Z", version=1, supersedes=None, paid_before_cents=0, change_cents=paid.paid_cents
        )
        producer.send(BILLING_DECISIONS, decision_to_avro(stranger), decided.key, partition=partition).get(10)
        (letter,) = read(system, DEAD_LETTERS)
        producer.send(DEAD_LETTERS, letter.value, letter.key, list(letter.headers), partition=partition).get(10)
        producer.send(changelog_topic(APP_ID), b"\x01", b"pt-0002", partition=partition).get(10)
    report = system.verify()
    assert set(report.findings.by_kind) == {
        Kind.DUPLICATE,  # the decision, the dead letter
        Kind.PHANTOM,  # the line of claim Z
        Kind.CORRUPT_RECORD,  # its id is that of another decision
        Kind.TORN_TRANSACTION,  # the table does not have it; and the changelog's end, which no position covers
    }

    done = system.run("verify")
    assert done.returncode == 1
    assert "duplicate: billing-decisions/" in done.stdout
    assert "pt-0001" not in done.stdout + done.stderr
    assert "OK" not in done.stdout
    assert len(system.run("verify", "--limit", "1").stdout.splitlines()) == 2
    revealed = system.run("verify", "--reveal").stdout
    assert "patient pt-0001, Z/1" in revealed
    as_json = json.loads(system.run("verify", "--json").stdout)
    assert as_json["ok"] is False
    assert as_json["by_kind"]["duplicate"] == 2
    assert "pt-0001" not in json.dumps(as_json)


def say_what_to_do_without_topics_or_broker(system: BillingSystem) -> None:
    done = system.run("verify", "--app-id", "another")
    assert done.returncode == 2
    assert "another-patients-changelog" in done.stderr
    assert "pathway-billing topics" in done.stderr
    system.broker.stop()
    done = command_line.run("verify", home=system.home)
    assert done.returncode == 2
    assert "pathway-billing broker" in done.stderr
