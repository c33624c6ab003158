"""The embedded broker: a real Apache Kafka that starts, continues, stops, dies and says why it cannot."""

import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from deploy import kafka_distribution
from deploy.broker import (
    DataFolderInUseError,
    DataFolderUnusableError,
    EmbeddedBroker,
    PortTakenError,
    RunningBroker,
    answers,
    find_running,
)
from deploy.kafka_distribution import DownloadError, kafka_jars
from tests.broker import command_line
from tests.broker.harness import is_running, wait_until

pytestmark = pytest.mark.broker

DEADLINE_SECONDS = 60


def publish(broker: EmbeddedBroker, *values: bytes) -> None:
    with KafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        for value in values:
            producer.send("kept", value, partition=0).get(timeout=10)


def read(broker: EmbeddedBroker) -> list[bytes]:
    with KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest") as consumer:
        partition = TopicPartition("kept", 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        values: list[bytes] = []
        while consumer.position(partition) < end:
            values += [record.value for record in consumer.poll(1000).get(partition, [])]
        return values


def test_a_second_start_continues_with_topics_and_records_also_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one cluster id in 64 begins with a dash, and must not be taken for an option
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xfb" * 16))
    broker = EmbeddedBroker(tmp_path / "data, with a name like this")
    with broker:
        found = find_running(broker.data_dir)
        assert found is not None
        assert found.bootstrap_servers == broker.bootstrap_servers
        assert found.pid == os.getpid()
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
            admin.create_topics({"kept": {"num_partitions": 3, "replication_factor": 1}})
        publish(broker, b"one")
    assert find_running(broker.data_dir) is None

    address = broker.bootstrap_servers
    with broker:
        assert broker.bootstrap_servers == address, "clients must find it again"
        publish(broker, b"two")
        broker.kill()
        assert not answers(address)
        broker.start()
        assert read(broker) == [b"one", b"two"]


def test_a_folder_serves_one_broker_at_a_time(broker: EmbeddedBroker) -> None:
    with pytest.raises(DataFolderInUseError, match=f"{broker.bootstrap_servers}, process {os.getpid()}"):
        EmbeddedBroker(broker.data_dir).start()
    assert answers(broker.bootstrap_servers)


@pytest.mark.parametrize("option", ["port", "controller_port"])
def test_a_taken_port_is_named(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is taken.*--port"):
            EmbeddedBroker(tmp_path, **{option: port}).start()


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataFolderUnusableError, match=r"file/data.*--data"):
        EmbeddedBroker(tmp_path / "file" / "data").start()
    with pytest.raises(DataFolderUnusableError, match=r"cannot write /proc/none.*\(--data\)"):
        EmbeddedBroker(Path("/proc/none/broker")).start()


def test_a_stale_broker_file_counts_for_nothing(broker: EmbeddedBroker, tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "broker.json").write_text(
        json.dumps(RunningBroker(broker.bootstrap_servers, ended.pid, ended.pid, "4.3.1", "")._asdict())
    )
    assert find_running(tmp_path) is None
    (tmp_path / "broker.json").write_text("torn {")
    assert find_running(tmp_path) is None


def test_something_that_listens_but_is_no_kafka_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not answers(f"127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.1)


# -- the command -------------------------------------------------------------------------------------------------------


@contextmanager
def started(home: Path) -> Iterator[tuple[subprocess.Popen[str], RunningBroker]]:
    """`pathway-billing broker` in a process of its own, ready."""
    with command_line.start("broker", "--port", "0", home=home) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("ready: Apache Kafka 4.3.1 on 127.0.0.1:"), process.communicate()
        running = find_running(home / "pathway-billing" / "broker")
        assert running
        yield process, running
    wait_until(lambda: not is_running(running.java_pid), DEADLINE_SECONDS, "Java gone")


def stops_cleanly(process: subprocess.Popen[str], running: RunningBroker, number: signal.Signals) -> None:
    process.send_signal(number)
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, output, errors) == (0, "", "")
    assert not is_running(running.java_pid)
    assert not answers(running.bootstrap_servers)


def test_the_command_stops_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    with started(tmp_path) as (process, running):
        stops_cleanly(process, running, signal.SIGINT)


def test_a_killed_command_leaves_no_java_behind_and_its_folder_can_be_used_at_once(tmp_path: Path) -> None:
    with started(tmp_path) as (process, running):
        process.kill()
        process.wait()
        with started(tmp_path) as (successor, running_again):
            assert not is_running(running.java_pid)
            stops_cleanly(successor, running_again, signal.SIGTERM)


def test_the_command_says_when_java_died(tmp_path: Path) -> None:
    with started(tmp_path) as (process, running):
        os.kill(running.java_pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert "error: Apache Kafka ended with exit code -9" in errors
    assert "Kafka Server started" in errors, "the end of Kafka's log"
    assert "Traceback" not in errors


def test_the_command_says_which_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = command_line.run("broker", "--port", str(port), home=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: port {port} on 127.0.0.1 is taken. ")
    assert ended.stdout == ""


# -- a full disk -------------------------------------------------------------------------------------------------------


def on_a_small_disk(folder: Path, size: str) -> tuple[str, ...]:
    """The command prefix that mounts a small file system on a folder, for the command alone. Skips where that is not allowed."""
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    prefix = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(folder))
    if not shutil.which("unshare") or subprocess.run((*prefix, "true"), capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here (needs Linux with user namespaces)")
    return prefix


def test_a_disk_that_is_full_at_the_start_is_named(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with command_line.start(
        "broker", "--port", "0", "--data", str(disk), home=tmp_path, prefix=on_a_small_disk(disk, "16k")
    ) as process:
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, output) == (1, "")
    assert f"no space left on the disk of {disk}" in errors
    assert "Traceback" not in errors


def test_a_disk_that_runs_full_is_named(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with command_line.start(
        "broker", "--port", "0", "--data", str(disk), home=tmp_path, prefix=on_a_small_disk(disk, "4m")
    ) as process:
        assert process.stdout
        address = process.stdout.readline().partition(" on ")[2].partition(",")[0]
        with KafkaAdminClient(bootstrap_servers=address) as admin:
            admin.create_topics({"large": {"num_partitions": 1, "replication_factor": 1}})
        # without retries, and soon given up: closing the producer would wait for a broker that does not come back
        limits = dict.fromkeys(("max_block_ms", "request_timeout_ms", "delivery_timeout_ms"), 5_000)
        producer = KafkaProducer(bootstrap_servers=address, enable_idempotence=False, acks=1, retries=0, **limits)
        with producer:
            while process.poll() is None:
                with suppress(KafkaError):  # of a slow answer, too: the disk is full when the process ends
                    producer.send("large", os.urandom(500_000)).get(timeout=10)
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert f"no space left on the disk of {disk}" in errors


# -- the download ------------------------------------------------------------------------------------------------------


class Mirror:
    """A Maven repository on this machine that serves the jars of the real cache, and counts."""

    def __init__(self, *, garbled: str = "") -> None:
        jars = kafka_jars()
        self.requested: list[str] = []
        requested = self.requested

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[1]
                requested.append(name)
                if not (jars / name).exists():
                    return self.send_error(404)
                content = (jars / name).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:-1] + b"?" if name == garbled else content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Mirror":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def use_mirror(mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv(kafka_distribution.MIRROR_VARIABLE, mirror.address)


def test_the_jars_are_fetched_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Mirror() as mirror:
        use_mirror(mirror, tmp_path, monkeypatch)
        announced: list[str] = []
        with ThreadPoolExecutor() as pool:
            folders = set(pool.map(lambda _: kafka_jars(announced.append), range(3)))
        jars = [name for name in mirror.requested if name.endswith(".jar")]
    assert len(folders) == 1
    assert sorted(path.name for path in folders.pop().iterdir()) == sorted(jars)
    assert len(announced) == 1
    assert not list(tmp_path.glob("*/*.partial-*"))


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Mirror(garbled="kafka_2.13-4.3.1.jar") as mirror:
        use_mirror(mirror, tmp_path, monkeypatch)
        with pytest.raises(DownloadError, match=r"kafka_2.13-4.3.1.jar is not the file that was expected"):
            kafka_jars()
    assert [path.suffix for path in (tmp_path / "pathway-billing").iterdir()] == [".lock"], "no half download stays"


def test_the_command_says_what_a_failed_download_needs(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        mirror = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        ended = command_line.run(
            "broker",
            "--port",
            "0",
            home=tmp_path,
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            PATHWAY_BILLING_MAVEN_REPOSITORY=mirror,
        )
    assert ended.returncode == 1
    assert f"error: could not download Apache Kafka 4.3.1 from {mirror}" in ended.stderr
    assert "PATHWAY_BILLING_KAFKA_JARS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_jars_that_are_there_already_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars = kafka_jars()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(kafka_distribution.JARS_VARIABLE, str(jars))
    assert kafka_jars() == jars
    monkeypatch.setenv(kafka_distribution.JARS_VARIABLE, str(tmp_path))
    with pytest.raises(DownloadError, match="libs folder"):
        kafka_jars()
