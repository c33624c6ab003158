"""The topics on a real Kafka: made once, checked ever after, never changed in silence."""

import json
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import MessageSizeTooLargeError

from deploy.broker import EmbeddedBroker
from streams.settings import ProblemError, Settings
from streams.topics import (
    CLAIM_RECEIVED,
    DEAD_LETTERS,
    FACT_TOPICS,
    INPUT_TOPICS,
    OUTPUT_TOPICS,
    PROVIDER_AGREEMENT,
    alter_topics,
    changelog_topic,
    declared_topics,
    ensure_topics,
)
from tests.broker import command_line
from tests.broker.harness import wait_until

pytestmark = pytest.mark.broker

SETTINGS = Settings(partitions=4)
ALL = {*INPUT_TOPICS, *OUTPUT_TOPICS, "dead-letter-actions", "pathway-billing-patients-changelog"}


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker on which only these tests make topics: their names are fixed."""
    with EmbeddedBroker(tmp_path_factory.mktemp("topics")) as running:
        yield running


@pytest.fixture
def admin(own_broker: EmbeddedBroker) -> Iterator[KafkaAdminClient]:
    """An admin client on a Kafka without topics."""
    with KafkaAdminClient(bootstrap_servers=own_broker.bootstrap_servers) as client:
        delete(client, *ALL.intersection(client.list_topics()))
        yield client


def delete(admin: KafkaAdminClient, *topics: str) -> None:
    """Delete topics and wait until the broker knows: the controller answers before."""
    if topics:
        admin.delete_topics(topics)
    wait_until(lambda: not set(topics).intersection(admin.list_topics()), 30, f"{topics} gone")


def configs(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    return {name: config["value"] for name, config in found["topic"][topic].items()}


def test_every_topic_of_the_contract_is_declared_once() -> None:
    names = [topic.name for topic in declared_topics("pathway-billing")]
    assert len(names) == len(set(names))
    assert set(names) == ALL
    assert set(INPUT_TOPICS) - set(FACT_TOPICS) == {PROVIDER_AGREEMENT}


def test_missing_topics_are_made_and_existing_ones_left_alone(
    own_broker: EmbeddedBroker, admin: KafkaAdminClient
) -> None:
    first = ensure_topics(own_broker.bootstrap_servers, SETTINGS)
    assert first.ok, first.problems()
    assert {state.topic.name for state in first.topics if state.created} == ALL
    assert {(state.partitions, state.replication_factor) for state in first.topics} == {(4, 1)}

    delete(admin, DEAD_LETTERS)
    second = ensure_topics(own_broker.bootstrap_servers, SETTINGS)
    assert second.ok, second.problems()
    assert {state.topic.name for state in second.topics if state.created} == {DEAD_LETTERS}
    changed = {
        before.topic.name
        for before, after in zip(first.topics, second.topics, strict=True)
        if before.topic_id != after.topic_id
    }
    assert changed == {DEAD_LETTERS}, "a topic that was made again has another id"


def test_facts_are_kept_for_ever_and_the_changelog_is_compacted(
    own_broker: EmbeddedBroker, admin: KafkaAdminClient
) -> None:
    ensure_topics(own_broker.bootstrap_servers, SETTINGS)
    facts = configs(admin, CLAIM_RECEIVED)
    assert (facts["cleanup.policy"], facts["retention.ms"], facts["retention.bytes"]) == ("delete", "-1", "-1")
    assert configs(admin, changelog_topic("pathway-billing"))["cleanup.policy"] == "compact"
    by_kafkas_clock = {
        topic.name
        for topic in declared_topics("pathway-billing")
        if configs(admin, topic.name)["message.timestamp.type"] == "LogAppendTime"
    }
    assert by_kafkas_clock == {*OUTPUT_TOPICS, changelog_topic("pathway-billing")}


def test_the_largest_fact_fits_into_the_dead_letters_with_its_headers(
    own_broker: EmbeddedBroker, admin: KafkaAdminClient
) -> None:
    ensure_topics(own_broker.bootstrap_servers, SETTINGS)
    value = bytes(1024 * 1024 - 500)
    too_large = bytes(1024 * 1024 + 500)
    with KafkaProducer(bootstrap_servers=own_broker.bootstrap_servers, max_request_size=1 << 22) as producer:
        producer.send(CLAIM_RECEIVED, value).get(timeout=10)
        producer.send(DEAD_LETTERS, too_large, headers=[("why", bytes(2000))]).get(timeout=10)
        refused = producer.send(CLAIM_RECEIVED, too_large)
        with pytest.raises(MessageSizeTooLargeError):
            refused.get(timeout=10)


def test_another_partition_count_is_reported_and_nothing_is_changed(
    own_broker: EmbeddedBroker, admin: KafkaAdminClient
) -> None:
    ensure_topics(own_broker.bootstrap_servers, SETTINGS)
    report = ensure_topics(own_broker.bootstrap_servers, Settings(partitions=6))
    assert not report.ok
    assert len(report.problems()) == len(ALL)
    assert "partitions is 4, but should be 6." in report.problems()[0]
    assert "PATHWAY_BILLING_PARTITIONS=4" in report.problems()[0]
    assert ensure_topics(own_broker.bootstrap_servers, SETTINGS).ok


def test_a_changed_setting_is_reported_and_corrected_only_on_request(
    own_broker: EmbeddedBroker, admin: KafkaAdminClient
) -> None:
    ensure_topics(own_broker.bootstrap_servers, SETTINGS)
    wrong = {"retention.ms": "86400000", "cleanup.policy": "compact", "segment.ms": "3600000"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, CLAIM_RECEIVED, wrong)])
    wait_until(lambda: wrong.items() <= configs(admin, CLAIM_RECEIVED).items(), 30, "the change known to the broker")

    report = ensure_topics(own_broker.bootstrap_servers, SETTINGS)
    assert [(state.topic.name, [m[:3] for m in state.mismatches]) for state in report.topics if state.mismatches] == [
        (CLAIM_RECEIVED, [("cleanup.policy", "delete", "compact"), ("retention.ms", "-1", "86400000")])
    ]
    assert configs(admin, CLAIM_RECEIVED)["retention.ms"] == "86400000"

    assert alter_topics(report, SETTINGS).ok
    assert configs(admin, CLAIM_RECEIVED)["retention.ms"] == "-1"
    assert configs(admin, CLAIM_RECEIVED)["segment.ms"] == "3600000", "what is not declared is not touched"


def test_more_copies_than_brokers_are_refused_by_kafka(own_broker: EmbeddedBroker, admin: KafkaAdminClient) -> None:
    with pytest.raises(ProblemError, match=r"Kafka did not make the topic .*replication factor"):
        ensure_topics(own_broker.bootstrap_servers, Settings(replication_factor=3))


def test_several_may_make_the_topics_at_once(own_broker: EmbeddedBroker, admin: KafkaAdminClient) -> None:
    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda _: ensure_topics(own_broker.bootstrap_servers, SETTINGS), range(3)))
    assert all(report.ok for report in reports)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_makes_and_then_checks(own_broker: EmbeddedBroker, admin: KafkaAdminClient, tmp_path: Path) -> None:
    servers = ("--bootstrap-servers", own_broker.bootstrap_servers)
    made = command_line.run("topics", *servers, "--json", home=tmp_path, PATHWAY_BILLING_PARTITIONS="4")
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["ok"]
    assert {topic["name"]: topic["state"] for topic in report["topics"]} == dict.fromkeys(ALL, "created")

    checked = command_line.run("topics", *servers, "--partitions", "4", home=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    head, *rows = checked.stdout.splitlines()
    assert head.split() == ["topic", "state", "partitions", "copies", "kept"]
    assert [row.split()[:4] for row in rows] == [[topic["name"], "ok", "4", "1"] for topic in report["topics"]]

    differs = command_line.run("topics", *servers, home=tmp_path)
    assert differs.returncode == 1
    assert differs.stderr.count("error: topic ") == len(ALL)


def test_the_command_waits_for_the_broker_on_the_data_folder(
    own_broker: EmbeddedBroker, admin: KafkaAdminClient, tmp_path: Path
) -> None:
    with command_line.start("topics", "--partitions", "4", home=tmp_path) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        shutil.copytree(
            own_broker.data_dir, tmp_path / "pathway-billing" / "broker", ignore=lambda *_: ["kafka", "tmp"]
        )
        output, errors = waiting.communicate(timeout=30)
    assert (waiting.returncode, errors) == (0, "")
    assert output.count("created") == len(ALL)


def test_no_broker_is_said_in_a_sentence_after_the_wait(tmp_path: Path) -> None:
    ended = command_line.run("topics", "--wait", "0.2", home=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: no broker runs on the data folder ")
    assert "`pathway-billing broker`" in ended.stderr

    ended = command_line.run("topics", "--wait", "0.2", "--bootstrap-servers", "127.0.0.1:9", home=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: no Kafka answers on 127.0.0.1:9 within 0.2 seconds.")
    assert ended.stderr.count("\n") == 1


def test_a_broker_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    with HalfKafka() as address:
        ended = command_line.run(
            "topics", "--bootstrap-servers", address, "--request-timeout", "1", home=tmp_path, timeout=30
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: Kafka on {address} did not do what was asked")
    assert ended.stderr.count("\n") == 1


class HalfKafka:
    """Answers the request that asks whether a Kafka is there, and nothing else."""

    def __enter__(self) -> str:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            key, version, correlation_id = struct.unpack(">4xhhi", connection.recv(12))
            if (key, version) == (18, 0):
                connection.sendall(struct.pack(">iihi", 10, correlation_id, 0, 0))

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._open:
            connection.close()


def test_ctrl_c_ends_the_wait_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        with command_line.start("topics", "--bootstrap-servers", servers, home=tmp_path) as waiting:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)  # it has begun to wait: while Python itself starts, it would end with a traceback
                waiting.send_signal(signal.SIGINT)
                output, errors = waiting.communicate(timeout=30)
    assert (waiting.returncode, output, errors.strip()) == (130, "", "")


def test_a_reader_who_has_seen_enough_is_no_error(
    own_broker: EmbeddedBroker, admin: KafkaAdminClient, tmp_path: Path
) -> None:
    with command_line.start(
        "topics", "--partitions", "4", "--bootstrap-servers", own_broker.bootstrap_servers, home=tmp_path
    ) as process:
        assert process.stdout
        process.stdout.close()
        process.wait(60)
        assert process.stderr
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE
