"""Facts on their way to Kafka, and decisions on their way back: `publish`, `decisions`, and what they are made of."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from deploy.broker import EmbeddedBroker
from projections.current_decisions import CurrentDecisions
from projections.decision_log import DecisionLog
from projections.topic_reader import LogUnavailableError, TopicReader
from streams.adjudication.decisions import Decision
from streams.adjudication.facts import PendExpired
from streams.adjudication.intake import InvalidFact
from streams.adjudication.offline import OfflineEngine
from streams.commands import publish
from streams.events import decision_to_avro, decision_to_json, fact_from_avro, fact_to_json, key_of, topic_of
from streams.generator import history
from streams.policy_files import load_policy
from streams.publisher import Publisher, PublishError, TopicsMissingError, UnreachableError
from streams.settings import Settings
from streams.topics import BILLING_DECISIONS, CLAIM_RECEIVED, INPUT_TOPICS, ensure_topics, partition_for
from tests.broker import command_line
from tests.broker.billing_system import PARTITIONS, BillingSystem, billing_system
from tests.broker.harness import wait_until

pytestmark = pytest.mark.broker

FACTS = list(history(60, 5))


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    """A Kafka with all topics, and no worker."""
    with billing_system() as running:
        yield running


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    file = tmp_path / "facts.jsonl"
    file.write_text("".join(json.dumps(fact_to_json(fact)) + "\n" for fact in FACTS))
    return file


class Fetched:
    """What stands in all fact topics from where they ended when this was made."""

    def __init__(self, system: BillingSystem) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=system.broker.bootstrap_servers, group_id=None)
        self._partitions = [TopicPartition(topic, number) for topic in INPUT_TOPICS for number in range(PARTITIONS)]
        self._consumer.assign(self._partitions)
        self._begins = self._consumer.end_offsets(self._partitions)

    def records(self) -> list:  # type: ignore[type-arg]
        ends = self._consumer.end_offsets(self._partitions)
        found = []
        for partition, begin in self._begins.items():
            self._consumer.seek(partition, begin)
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            found += itertools.chain.from_iterable(self._consumer.poll(timeout_ms=200).values())
        return found

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def fetched(system: BillingSystem) -> Iterator[Fetched]:
    with closing(Fetched(system)) as made:
        yield made


def test_every_fact_arrives_once_in_its_partition_in_order_with_its_headers(
    system: BillingSystem, fetched: Fetched, jsonl: Path
) -> None:
    done = system.run("publish", str(jsonl), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["published"] == len(FACTS)
    assert report["topics"] == dict(Counter(topic_of(fact) for fact in FACTS))

    records = fetched.records()
    assert len(records) == len(FACTS)
    for record in records:
        assert record.partition == partition_for(record.key, PARTITIONS)
    expected = {}
    found = {}
    for fact in FACTS:
        expected.setdefault((topic_of(fact), key_of(fact)), []).append(fact)
    for record in sorted(records, key=lambda record: record.offset):
        fact = fact_from_avro(record.topic, record.value)
        found.setdefault((record.topic, record.key.decode()), []).append(fact)
        headers = dict(record.headers)
        assert headers["ce_id"] == fact.event_id.encode()
        assert headers["ce_source"] == b"/pathway-billing/publish"
        assert headers["content-type"] == b"application/avro"
    assert found == expected


def test_a_person_gets_counts_and_a_rate(system: BillingSystem, jsonl: Path) -> None:
    done = system.run("publish", str(jsonl))
    assert done.returncode == 0
    assert f"{len(FACTS):,}  facts published and acknowledged in" in done.stdout
    assert done.stderr == "", "no bars where nobody looks"


def test_bad_lines_are_all_named_and_nothing_is_published(system: BillingSystem, fetched: Fetched, jsonl: Path) -> None:
    lines = jsonl.read_text().splitlines()
    lines[3] = lines[3].replace('"effective_from": "', '"effective_from": "2024-02-30x')
    lines[7] = "not json"
    lines += ["?"] * 30
    jsonl.write_text("\n".join(lines))
    done = system.run("publish", str(jsonl))
    assert done.returncode == 2
    assert "line 4: spans[0].effective_from:" in done.stderr
    assert "line 8: is not JSON" in done.stderr
    assert len(done.stderr.splitlines()) == 33, "one for each, and that nothing was published"
    assert "nothing was published" in done.stderr
    assert fetched.records() == []


def published_in_process(system: BillingSystem, *arguments: str) -> Result:
    servers = {"PATHWAY_BILLING_BOOTSTRAP_SERVERS": system.broker.bootstrap_servers}
    return CliRunner(env=servers).invoke(publish.command, arguments)


def test_what_is_more_than_memory_may_hold_is_read_once_more(
    system: BillingSystem, fetched: Fetched, jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MOST_FACTS_IN_MEMORY", 7)
    jsonl.write_text(jsonl.read_text().replace("\n", "\n \n"))  # blank lines between
    assert published_in_process(system, str(jsonl)).exit_code == 0
    records = fetched.records()
    assert Counter(fact_from_avro(record.topic, record.value) for record in records) == Counter(FACTS)
    progress = tmp_path / "progress"
    whole = published_in_process(system, str(jsonl), "--progress", str(progress))
    assert whole.exit_code == 0, whole.output
    told = json.loads(progress.read_text())
    assert told["acknowledged"] == len(FACTS)
    progress.write_text(json.dumps(told | {"acknowledged": len(FACTS) - 3}))
    rest = published_in_process(system, str(jsonl), "--progress", str(progress), "--json")
    assert json.loads(rest.stdout)["published"] == 3


def test_a_file_that_changes_while_it_is_published_is_noticed(
    system: BillingSystem, jsonl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MOST_FACTS_IN_MEMORY", 7)
    ask = publish.resolve_bootstrap_servers

    def meanwhile(*arguments: object) -> str:
        with jsonl.open("a") as file:
            file.write('{"half a line')
        return ask(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(publish, "resolve_bootstrap_servers", meanwhile)
    done = published_in_process(system, str(jsonl))
    assert done.exit_code == 2
    assert "the file was changed while it was published. 7 facts of what it was are published." in done.output


def test_progress_belongs_to_the_facts_that_were_checked(
    system: BillingSystem, fetched: Fetched, jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = tmp_path / "progress"
    others = [PendExpired(f"other-{number}", "pt-1", "A") for number in range(len(FACTS) + 3)]
    check = publish._checked

    def replaced_behind_it(*arguments: Any) -> Any:
        checked = check(*arguments)
        jsonl.write_text("".join(json.dumps(fact_to_json(fact)) + "\n" for fact in others))
        return checked

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(publish, "_checked", replaced_behind_it)
        done = published_in_process(system, str(jsonl), "--progress", str(progress))
    assert done.exit_code == 0, done.output
    found = Counter(fact_from_avro(record.topic, record.value) for record in fetched.records())
    assert found == Counter(FACTS), "what was checked is published"

    again = published_in_process(system, str(jsonl), "--progress", str(progress))
    assert (again.exit_code, "has changed since" in again.output) == (2, True), again.output
    progress.unlink()
    assert published_in_process(system, str(jsonl), "--progress", str(progress)).exit_code == 0
    assert len(fetched.records()) == len(FACTS) + len(others)


def test_standard_input_is_published_up_to_its_first_bad_line(
    system: BillingSystem, fetched: Fetched, jsonl: Path
) -> None:
    lines = jsonl.read_text().splitlines()
    lines[5] = "{}"
    done = subprocess.run(
        (*command_line.COMMAND, "publish", "-", "--bootstrap-servers", system.broker.bootstrap_servers),
        env=command_line.environment(system.home),
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "line 6: type: is missing" in done.stderr
    assert "The 5 facts before it are published" in done.stderr
    assert len(fetched.records()) == 5


def test_wrong_payers_and_conflicts_are_sent(system: BillingSystem, fetched: Fetched) -> None:
    refused = [
        folded.fact for folded in OfflineEngine(load_policy()).fold_all(FACTS) if folded.step.refusal is not None
    ]
    with Publisher(system.broker.bootstrap_servers, source="/tests") as publisher:
        publisher.publish_all(refused)
    assert Counter(fact_from_avro(record.topic, record.value) for record in fetched.records()) == Counter(refused)
    assert publisher.acknowledged.total() == len(refused)


def test_no_kafka_is_said_in_bounded_time(jsonl: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"no Kafka answers on 127\.0\.0\.1:1"):
        Publisher("127.0.0.1:1", source="/tests", timeout_seconds=1)
    assert time.monotonic() - began < 10
    done = command_line.run("publish", str(jsonl), "--bootstrap-servers", "127.0.0.1:1", home=tmp_path)
    assert done.returncode == 2
    assert "no Kafka answers on 127.0.0.1:1" in done.stderr


def test_missing_topics_are_named(broker: object, jsonl: Path, tmp_path: Path) -> None:
    servers = broker.bootstrap_servers  # type: ignore[attr-defined]
    with pytest.raises(TopicsMissingError, match=CLAIM_RECEIVED):
        Publisher(servers, source="/tests")
    for command in (("publish", str(jsonl)), ("decisions",), ("project",)):
        done = command_line.run(*command, "--bootstrap-servers", servers, "--request-timeout", "5", home=tmp_path)
        assert done.returncode == 2, command
        assert "`pathway-billing topics`" in done.stderr
    with pytest.raises(LogUnavailableError, match="has no topic billing-decisions"):
        DecisionLog(servers, timeout_seconds=5)


def test_a_broker_that_dies_is_said_with_what_was_acknowledged(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, heap_mb=256) as dying:
        ensure_topics(dying.bootstrap_servers, Settings(partitions=PARTITIONS))
        publisher = Publisher(dying.bootstrap_servers, source="/tests", timeout_seconds=2)
        publisher.publish_all(FACTS[:10])
        dying.kill()
        began = time.monotonic()
        with pytest.raises(PublishError, match="10 facts were acknowledged") as caught, publisher:
            publisher.publish_all(FACTS[10:])
        assert time.monotonic() - began < 30
        assert caught.value.acknowledged.total() == 10


# Decisions


@pytest.fixture(scope="module")
def decided() -> list[Decision]:
    return [d for folded in OfflineEngine(load_policy()).fold_all(FACTS) for d in folded.step.decisions]


def transactional(system: BillingSystem, name: str) -> KafkaProducer:
    producer = KafkaProducer(bootstrap_servers=system.broker.bootstrap_servers, transactional_id=name)
    producer.init_transactions()
    return producer


def send(producer: KafkaProducer, decisions: list[Decision]) -> None:
    for decision in decisions:
        producer.send(BILLING_DECISIONS, decision_to_avro(decision), decision.patient_id.encode())
    producer.flush()


def commit(system: BillingSystem, decisions: list[Decision]) -> None:
    """In one transaction. Again what is there already changes no line."""
    with closing(transactional(system, "worker")) as producer:
        producer.begin_transaction()
        send(producer, decisions)
        producer.commit_transaction()


def read(system: BillingSystem, **of: str) -> list[Decision]:
    with DecisionLog(system.broker.bootstrap_servers, timeout_seconds=10, **of) as log:
        return list(log.read_to_end())


def test_committed_decisions_alone_are_read_to_the_end(system: BillingSystem, decided: list[Decision]) -> None:
    nothing = system.run("decisions", "--current")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "there are no decisions in billing-decisions yet" in nothing.stderr

    producer = transactional(system, "worker")
    half = len(decided) // 2
    producer.begin_transaction()
    send(producer, decided[:half])
    producer.commit_transaction()
    assert Counter(read(system)) == Counter(decided[:half])

    producer.begin_transaction()
    send(producer, decided[half:])
    assert len(read(system)) == half, "an open transaction is not waited for"
    producer.abort_transaction()
    assert len(read(system)) == half, "an aborted one was never there"

    producer.begin_transaction()
    send(producer, decided[half:])
    producer.commit_transaction()
    assert Counter(read(system)) == Counter(decided)
    producer.close()

    patient = decided[0].patient_id
    assert read(system, patient_id=patient) == [d for d in decided if d.patient_id == patient]

    current = CurrentDecisions()
    for decision in decided:
        current.add(decision)
    shown = system.run("decisions", "--current", "--json")
    assert shown.returncode == 0
    assert [json.loads(line) for line in shown.stdout.splitlines()] == [decision_to_json(d) for d in current]

    of_one = system.run("decisions", "--patient", patient, "--json").stdout.splitlines()
    assert [json.loads(line)["decision_id"] for line in of_one] == [
        d.decision_id for d in decided if d.patient_id == patient
    ]


def test_patients_are_masked_unless_asked_for(system: BillingSystem, decided: list[Decision]) -> None:
    commit(system, decided)
    plain = system.run("decisions", "--current").stdout
    assert len(plain.splitlines()) == len({(d.claim_id, d.line_number) for d in decided})
    assert "pt-" not in plain
    assert f"…{decided[0].patient_id[-4:]}" in plain
    assert decided[0].patient_id in system.run("decisions", "--current", "--reveal").stdout


def test_following_goes_on_until_it_is_asked_to_stop(system: BillingSystem, decided: list[Decision]) -> None:
    before = len(system.decisions())
    for how in (signal.SIGINT, signal.SIGTERM):
        with system.start("decisions", "--follow", "--json") as process:
            assert process.stdout is not None
            for _ in range(before):
                assert process.stdout.readline()
            commit(system, decided[:1])
            before += 1
            assert json.loads(process.stdout.readline())["decision_id"] == decided[0].decision_id
            process.send_signal(how)
            wait_until(lambda process=process: process.poll() is not None, 60, "the end of following")
            assert process.returncode == 0


def test_a_record_that_is_no_decision_is_named(system: BillingSystem) -> None:
    with KafkaProducer(bootstrap_servers=system.broker.bootstrap_servers) as producer:
        producer.send(BILLING_DECISIONS, b"poison", b"pt-0001")
    done = system.run("decisions")
    assert done.returncode == 1
    assert "is no decision" in done.stderr
    with TopicReader(system.broker.bootstrap_servers, BILLING_DECISIONS, key="pt-0001") as reader:
        assert b"poison" in [record.value for record in reader.read_to_end()]


def test_the_examples_of_the_docs_run(system: BillingSystem, fetched: Fetched) -> None:
    page = (Path(__file__).parents[2] / "docs/publishing.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    told = []
    for example in examples:
        done = subprocess.run(
            (sys.executable, "-c", example.replace("127.0.0.1:9092", system.broker.bootstrap_servers)),
            env=command_line.environment(system.home),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told == ["Counter({'treatment-started': 1})\n", "1 more\n"]
    assert len(lines := examples[0].splitlines()) - lines.count("") <= 10
    first, second = (record.value for record in fetched.records())
    assert first == second, "both say the same"


def test_a_wrong_fact_is_named_before_it_is_sent(system: BillingSystem, fetched: Fetched) -> None:
    start = next(fact for fact in FACTS if topic_of(fact) == "treatment-started")
    with Publisher(system.broker.bootstrap_servers, source="/tests") as publisher:
        with pytest.raises(InvalidFact, match="status: must be"):
            publisher.publish(start._replace(status="PAUSED"))
        with pytest.raises(InvalidFact, match="TreatmentStart: has a value of a wrong type"):
            publisher.publish(start._replace(onset_date="2024-01-08"))
    assert fetched.records() == []


def test_after_a_kill_the_same_command_goes_on_and_nothing_is_lost(
    system: BillingSystem, fetched: Fetched, tmp_path: Path
) -> None:
    file, progress = tmp_path / "many.jsonl", tmp_path / "many.progress"
    with file.open("w") as lines:
        for number in range(45_000):
            fact = {
                "type": "pend-expired",
                "event_id": f"e-{number}",
                "patient_id": f"pt-{number % 97}",
                "claim_id": "A",
            }
            lines.write(json.dumps(fact) + "\n")
    with system.start("publish", str(file), "--progress", str(progress)) as process:
        wait_until(progress.exists, 60, "some are acknowledged")
        process.kill()
        process.wait()
    before = json.loads(progress.read_text())["acknowledged"]
    assert 0 < before < 45_000
    assert len(fetched.records()) >= before, "never ahead of Kafka"

    report = json.loads(system.run("publish", str(file), "--progress", str(progress), "--json").stdout)
    assert (report["published_before"], report["published"]) == (before, 45_000 - before)
    ids = Counter(dict(record.headers)["ce_id"] for record in fetched.records())
    assert set(ids) == {f"e-{number}".encode() for number in range(45_000)}

    again = system.run("publish", str(file), "--progress", str(progress))
    assert (again.returncode, "45,000  facts were published before" in again.stdout) == (0, True)
    file.write_text(file.read_text() + json.dumps(fact) + "\n")
    changed = system.run("publish", str(file), "--progress", str(progress))
    assert changed.returncode == 2
    assert "has changed since" in changed.stderr
