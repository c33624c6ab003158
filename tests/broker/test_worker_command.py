"""`pathway-billing worker` as an operator runs it, with the real rules."""

import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer

from deploy.broker import EmbeddedBroker, free_port
from streams.topics import changelog_topic
from tests.broker import command_line
from tests.broker.harness import WorkerProcess, is_running, wait_until

pytestmark = pytest.mark.broker


class Installation:
    """A broker of its own, because topics have fixed names, and a home folder."""

    def __init__(self, broker: EmbeddedBroker, home: Path) -> None:
        self.broker = broker
        self.home = home
        self.settings = {
            "PATHWAY_BILLING_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "PATHWAY_BILLING_PARTITIONS": "3",
        }
        self.workers: list[WorkerProcess] = []

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = command_line.run(*arguments, home=self.home, **self.settings)
        return done.returncode, done.stdout, done.stderr

    def worker(self, *arguments: str) -> WorkerProcess:
        command = [sys.executable, "-m", "streams.cli", "worker", "--instance-id", "one", *arguments]
        environment = command_line.environment(self.home, **self.settings)
        worker = WorkerProcess(command, self.home / "logs", environment)
        self.workers.append(worker)
        return worker

    def all_decided(self) -> bool:
        """Whether no fact waits for a worker; what is decided has to be right."""
        code, out, err = self.run("verify", "--json")
        assert code == 0, out + err
        return bool(json.loads(out)["counts"]["waiting"] == 0)

    def decisions(self) -> list[str]:
        code, out, err = self.run("decisions", "--json")
        assert code == 0, err
        return out.splitlines()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("home")
    with EmbeddedBroker(home / "own-broker") as broker:
        installation = Installation(broker, home)
        yield installation
        for worker in installation.workers:
            worker.end()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def has_decided(port: int) -> bool:
    """Whether the worker has taken in some records: the count of each topic is there from the start, and 0."""
    return bool(re.search(r"^pathway_billing_records_total\{[^}]*\} [1-9]", get(port, "/metrics")[1], re.MULTILINE))


def test_facts_are_decided_once_through_a_kill_and_a_restart(installation: Installation) -> None:
    facts = installation.home / "facts.jsonl"
    assert installation.run("generate", "--patients", "60", "--seed", "3", "--output", str(facts))[0] == 0
    port = free_port()
    worker = installation.worker("--metrics-port", str(port))
    ready = worker.wait_ready()
    assert re.fullmatch(r"ready: pathway-billing on 127\.0\.0\.1:\d+, 3 of 3 partitions: 0,1,2", ready)
    assert get(port, "/health/live") == (200, "live")
    assert get(port, "/health/ready") == (200, "ready")

    assert installation.run("publish", str(facts))[0] == 0
    wait_until(lambda: has_decided(port), 60, "the first records")
    worker.kill()
    worker = installation.worker("--metrics-port", str(port))
    worker.wait_ready()
    wait_until(installation.all_decided, 60, "all decided")

    code, out, err = installation.run("verify")
    assert code == 0, out + err
    assert out.split()[0] == "OK", out
    lines = installation.decisions()
    assert len(lines) > 100

    metrics = get(port, "/metrics")[1]
    assert "pathway_billing_lanes_open 3.0" in metrics
    assert worker.terminate() == 0
    assert len(worker.log_lines) < 8, worker.log
    patients = {json.loads(line)["patient_id"] for line in facts.read_text().splitlines() if "patient_id" in line}
    npis = {json.loads(line)["npi"] for line in facts.read_text().splitlines() if '"npi"' in line}
    assert patients
    for text in (worker.log, worker.output, metrics):
        assert not [name for name in patients | npis if name in text]

    worker = installation.worker()
    worker.wait_ready()
    worker.process.send_signal(signal.SIGINT)
    assert worker.wait() == 0
    assert installation.decisions() == lines, "a restart decides nothing again"


@contextmanager
def open_transaction(installation: Installation, partitions: tuple[int, ...]) -> Iterator[None]:
    """Somebody's transaction on the changelog: a lane that is being opened waits for its end."""
    servers = installation.broker.bootstrap_servers
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id="somebody", transaction_timeout_ms=120_000)
    producer.init_transactions()
    producer.begin_transaction()
    for partition in partitions:
        producer.send(changelog_topic("pathway-billing"), key=b"x", value=b"x", partition=partition).get(timeout=30)
    try:
        yield
    finally:
        producer.abort_transaction()
        producer.close()


def wait_answer(port: int, path: str, answer: tuple[int, str]) -> None:
    seen = []

    def answered() -> bool:
        try:
            seen[:] = [get(port, path)]
        except OSError as error:  # nobody listens yet
            seen[:] = [error]
        return seen == [answer]

    try:
        wait_until(answered, 40, f"{path} says {answer}")
    except AssertionError:
        pytest.fail(f"{path} does not say {answer}, but {seen}")


def test_readiness_names_the_phase_from_start_to_stop(installation: Installation) -> None:
    assert installation.run("topics")[0] == 0
    port, other_port = free_port(), free_port()
    with open_transaction(installation, (0,)):
        worker = installation.worker("--metrics-port", str(port))
        wait_answer(port, "/health/ready", (503, "opening: 2 of 3 lanes are open"))
        assert get(port, "/health/live") == (200, "live")
        assert worker.ready_lines == []
    wait_answer(port, "/health/ready", (200, "ready"))

    with open_transaction(installation, (0, 1, 2)):  # whichever partition moves, its new owner waits
        state = str(installation.home / "state-of-two")
        other = installation.worker("--instance-id", "two", "--state", state, "--metrics-port", str(other_port))
        wait_answer(other_port, "/health/ready", (503, "opening: 0 of 1 lanes are open"))
        assert get(other_port, "/health/live") == (200, "live")
        wait_answer(port, "/health/ready", (200, "ready"))  # it keeps its lanes, and need not read them again
    wait_answer(other_port, "/health/ready", (200, "ready"))

    java = installation.broker.java_pid
    assert java is not None
    os.kill(java, signal.SIGSTOP)  # so that its goodbye to Kafka lasts
    try:
        other.process.send_signal(signal.SIGTERM)
        wait_answer(other_port, "/health/ready", (503, "stopping"))
        assert get(other_port, "/health/live") == (200, "live")
    finally:
        os.kill(java, signal.SIGCONT)
    assert other.wait() == 0, other.log
    assert worker.terminate() == 0, worker.log


def test_another_partition_count_is_refused(installation: Installation) -> None:
    code, _, err = installation.run("worker", "--partitions", "5")
    assert code == 2
    assert "partitions is 3, but should be 5" in err
    assert "pathway-billing topics" in err


def test_without_a_broker_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = command_line.run("worker", home=tmp_path)
    assert done.returncode == 2
    assert "pathway-billing broker" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_metrics_port_is_named(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = installation.run("worker", "--metrics-port", str(taken.getsockname()[1]))
    assert code == 2
    assert err.count("error: metrics cannot be served on") == 1
    assert "--metrics-port" in err


def test_a_policy_that_cannot_be_used_is_bad_usage(installation: Installation, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("profile = 1")
    code, _, err = installation.run("worker", "--policy", str(policy))
    assert code == 2
    assert "policy.toml" in err


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def gone(pids: list[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


def test_processes_share_the_partitions_and_stop_as_one(installation: Installation) -> None:
    facts = installation.home / "more-facts.jsonl"
    assert installation.run("generate", "--patients", "20", "--seed", "8", "--output", str(facts))[0] == 0
    port = free_port()
    worker = installation.worker("--processes", "2", "--metrics-port", str(port))
    assert worker.wait_ready() == "ready: all processes"
    # The first that came may have opened all partitions before the second joined
    wait_until(
        lambda: "lanes_open 2.0" in get(port, "/metrics")[1] + get(port + 1, "/metrics")[1], 60, "two lanes in one"
    )
    wait_until(lambda: "lanes_open 1.0" in get(port, "/metrics")[1] + get(port + 1, "/metrics")[1], 60, "the third")
    before = len(installation.decisions())
    assert installation.run("publish", str(facts))[0] == 0
    wait_until(installation.all_decided, 60, "all decided")
    assert len(installation.decisions()) > before
    for number in (0, 1):
        wait_until(lambda number=number: has_decided(port + number), 60, f"process {number} has decided some")
        assert f"[{number}] ready: pathway-billing" in worker.output
        assert f"[{number}] 2" in worker.log, "a log line with its number"
        assert (installation.home / "pathway-billing" / "state" / f"process-{number}").is_dir()
    processes = children(worker.process.pid)
    assert len(processes) == 2
    assert worker.terminate() == 0, worker.log
    assert gone(processes)
    assert "worker stops" not in worker.log


def test_when_one_process_fails_all_are_stopped(installation: Installation) -> None:
    worker = installation.worker("--processes", "2", "--log-level", "error")
    worker.wait_ready()
    processes = children(worker.process.pid)
    os.kill(processes[1], signal.SIGKILL)
    assert worker.wait() == 128 + signal.SIGKILL
    assert "worker stops: process 1 was ended by SIGKILL" in worker.log
    assert gone(processes)


def test_processes_do_not_outlive_their_supervisor(installation: Installation) -> None:
    worker = installation.worker("--processes", "2", "--log-level", "error")
    worker.wait_ready()
    processes = children(worker.process.pid)
    worker.kill()
    wait_until(lambda: gone(processes), 30, "the workers to stop")


def test_metrics_ports_beyond_the_last_are_refused(installation: Installation) -> None:
    code, _, err = installation.run("worker", "--processes", "3", "--metrics-port", "65534")
    assert code == 2
    assert "goes beyond port 65535" in err
