"""What the faults happen to: a broker, workers behind proxies that are restarted when they end, and both judges."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from kafka import KafkaConsumer, TopicPartition

from deploy.broker import EmbeddedBroker, free_port
from streams.committed_log import CommittedLog
from streams.policy_files import load_policy
from streams.settings import Settings
from streams.topics import BILLING_DECISIONS, INPUT_TOPICS, declared_topics, ensure_topics
from streams.verification.run import verify
from tests.broker.harness import ROOT, WorkerProcess, wait_until
from tests.faults.audit import Audit, audit
from tests.faults.proxy import HOST, Proxy
from tests.faults.traffic import Traffic
from tests.faults.worker import Orders

SESSION_TIMEOUT_SECONDS = 6.0  # the least that a broker allows by default
READY_SECONDS = 60.0
RECOVERY_SECONDS = 120.0


class ProxiedBroker:
    """A broker of the harness's own, with a proxy in front of it for each worker."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.proxies = [Proxy() for _ in range(workers)]
        for proxy in self.proxies:
            proxy.target_port = free_port()
        behind = {proxy.target_port: proxy.port for proxy in self.proxies}
        self.broker = EmbeddedBroker(folder, heap_mb=384, behind_proxies=behind)

    def __enter__(self) -> "ProxiedBroker":
        self.broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self.proxies:
            proxy.close()
        self.broker.stop()

    @property
    def bootstrap_servers(self) -> str:
        return self.broker.bootstrap_servers


class Ended(NamedTuple):
    """A worker process that is gone."""

    worker: int
    exit_code: int
    cause: str  # the line that says why, if it said so itself


class WorkerSlot:
    """A place for a worker: its state folder, its instance id, its proxy. One process at a time."""

    def __init__(
        self, number: int, folder: Path, proxy: Proxy, environment: dict[str, str], arguments: list[str]
    ) -> None:
        self.number = number
        self.proxy = proxy
        self.state_folder = folder / f"state-{number}"
        self.wanted = False
        self.next_release = False
        self.process: WorkerProcess | None = None
        self.lock = threading.RLock()
        self._folder = folder
        self._environment = {**environment, "PATHWAY_BILLING_BOOTSTRAP_SERVERS": f"{HOST}:{proxy.port}"}
        self._arguments = arguments

    def start(self, orders: Orders | None = None, prefix: Sequence[str] = ()) -> WorkerProcess:
        """Start the worker command; with orders, something is wrong in it."""
        with self.lock:
            assert not self.is_running
            if orders is None and self.next_release:
                orders = Orders(next_release=True)
            program = (
                ["-m", "streams.cli"]
                if orders is None
                else ["-m", "tests.faults.worker", msgspec.json.encode(orders).decode()]
            )
            command = [*prefix, sys.executable, *program, "worker", "--state", str(self.state_folder), *self._arguments]
            self.process = WorkerProcess(command, self._folder / "logs", self._environment)
            return self.process

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether the process there is now has had its partitions."""
        return self.is_running and self.process is not None and bool(self.process.ready_lines)

    def wait_ready(self) -> None:
        """Wait until the process there is now, or the one that takes its place, has its partitions."""
        wait_until(
            lambda: self.is_ready,
            READY_SECONDS,
            f"worker {self.number} is ready\n{self.process.log[-2_000:] if self.process else ''}",
        )

    def stop_cleanly(self) -> int:
        """SIGTERM, and its exit code. Not started again until `start`."""
        with self.lock:
            self.wanted = False
            assert self.process is not None
            return self.process.terminate(40)

    def kill(self) -> None:
        """SIGKILL; a supervised worker comes back."""
        with self.lock:
            assert self.process is not None
            self.process.kill()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.process.send_signal(number)


class System:
    """Topics of its own on a broker, workers, a publisher, and what was done to them."""

    def __init__(
        self,
        broker: ProxiedBroker,
        folder: Path,
        *,
        seed: int,
        partitions: int = 2,
        workers: int = 2,
        events: int = 1_000,
        rate: float = 300.0,
        max_batch: int = 200,
        longest_cut_seconds: float = 2 * SESSION_TIMEOUT_SECONDS,
    ) -> None:
        self.broker = broker
        self.folder = folder
        self.partitions = partitions
        self.app_id = f"app-{os.urandom(4).hex()}"
        self.longest_cut_seconds = longest_cut_seconds
        self.struck_at = 0.0
        self.injected: Counter[str] = Counter()
        self.ended: list[Ended] = []
        self.notes: set[str] = set()
        self.environment = {
            "PATHWAY_BILLING_APP_ID": self.app_id,
            "PATHWAY_BILLING_PARTITIONS": str(partitions),
        }
        self._make_topics()
        self.traffic = Traffic(broker.bootstrap_servers, partitions, events, rate, seed)
        self.slots = [
            WorkerSlot(
                number, folder, broker.proxies[number], self.environment, self._worker_arguments(number, max_batch)
            )
            for number in range(workers)
        ]
        self._stopped = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._supervisor.join()
        for slot in self.slots:
            slot.proxy.mend()
            if slot.process is not None:
                slot.process.end()
        self.traffic.close()

    def start(self) -> None:
        """Publish, start all workers, wait until every partition is served and decisions flow."""
        self.traffic.start()
        for slot in self.slots:
            slot.start()
            slot.wanted = True
        for slot in self.slots:
            slot.wait_ready()
        self.struck()
        self.wait_recovered()

    def struck(self) -> None:
        """A fault happens now: recovery counts from here."""
        self.struck_at = time.time()

    def running(self, rnd: random.Random) -> WorkerSlot:
        """Any of the workers, up and ready."""
        slot = rnd.choice(self.slots)
        slot.wait_ready()
        return slot

    def wait_recovered(self) -> float:
        """Seconds from the fault until every partition has a decision that was made after it."""
        since_ms = self.struck_at * 1_000
        waiting = {TopicPartition(BILLING_DECISIONS, p) for p in range(self.partitions)}
        consumer = KafkaConsumer(
            bootstrap_servers=self.broker.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
            metrics_enabled=False,
        )
        try:
            consumer.assign(list(waiting))
            for tp, found in consumer.offsets_for_times({tp: int(since_ms) for tp in waiting}).items():
                if found is None:
                    consumer.seek_to_end(tp)
                else:
                    consumer.seek(tp, found.offset)
            deadline = time.monotonic() + RECOVERY_SECONDS
            while waiting:
                for tp, records in consumer.poll(timeout_ms=100).items():
                    if any(record.timestamp > since_ms for record in records):
                        waiting.discard(tp)
                self.check_traffic()
                assert time.monotonic() < deadline, (
                    f"no decisions in {waiting} after {RECOVERY_SECONDS:.0f} s: {self.logs()}"
                )
            return time.time() - self.struck_at
        finally:
            consumer.close()

    def check_traffic(self) -> None:
        """Raise what went wrong in the publisher."""
        if self.traffic.error is not None:
            raise self.traffic.error

    def finish(self, seconds: float = 120) -> None:
        """Publish what was held back, repair everything, wait until all is decided, stop the workers."""
        self.traffic.finish()
        for slot in self.slots:
            slot.proxy.mend()
        self.wait_decided(seconds)
        self.stop()

    def stop(self) -> None:
        """Stop all workers, for good."""
        for slot in self.slots:
            if slot.process is not None:
                slot.wanted = False
                slot.process.process.terminate()
        for slot in self.slots:
            if slot.process is not None:
                slot.process.wait(40)

    def wait_decided(self, seconds: float = 120) -> None:
        """Wait until the group's offsets, which follow the lanes' positions, are at the ends of all input."""
        with CommittedLog(self.broker.bootstrap_servers) as log:
            ends = {
                (topic, partition): end
                for partition in range(self.partitions)
                for topic, end in log.ends(INPUT_TOPICS, partition).items()
            }

            def decided() -> bool:
                offsets = log.group_offsets(self.app_id)
                return all(offsets.get(place, 0) >= end for place, end in ends.items())

            wait_until(decided, seconds, f"everything is decided\n{self.logs()}")

    def verify(self) -> tuple[bool, str]:
        """What `pathway-billing verify` says, of the release that runs."""
        program = ["-m", "streams.cli"]
        if any(slot.next_release for slot in self.slots):
            program = ["-m", "tests.faults.worker", msgspec.json.encode(Orders(next_release=True)).decode()]
        command = [sys.executable, *program, "verify"]
        servers = {"PATHWAY_BILLING_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers}
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **servers},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        said = ended.stdout.strip()
        return ended.returncode == 0 and said == "OK", f"{said}\n{ended.stderr.strip()}"

    def verify_here(self) -> str | None:
        """The same verification within this process: None, or the first difference."""
        with CommittedLog(self.broker.bootstrap_servers) as log:
            report = verify(log, self.app_id, load_policy())
        return None if report.ok else f"{len(report.findings)} differences, the first: {report.findings.first[0]}"

    def audit(self) -> Audit:
        """What the second judge finds."""
        traffic = self.traffic
        return audit(self.broker.bootstrap_servers, self.partitions, traffic.published, traffic.acknowledged)

    def logs(self) -> str:
        """The ends of the workers' logs."""
        return "\n".join(f"worker {slot.number}:\n{slot.process.log[-3_000:]}" for slot in self.slots if slot.process)

    def _supervise(self) -> None:
        """Start each worker again that has ended, as whatever runs it in production would."""
        while not self._stopped.wait(0.1):
            for slot in self.slots:
                with slot.lock:
                    if slot.wanted and not slot.is_running and slot.process is not None:
                        self.note_end(slot)
                        slot.start()

    def note_end(self, slot: WorkerSlot) -> Ended:
        """Remember how a worker's process ended."""
        assert slot.process is not None
        code = slot.process.process.poll()
        assert code is not None
        lines = [
            line for line in slot.process.log.splitlines() if "worker stops: " in line or line.startswith("error: ")
        ]
        ended = Ended(slot.number, code, lines[0].partition("worker stops: ")[2] or lines[0] if lines else "")
        self.ended.append(ended)
        return ended

    def _make_topics(self) -> None:
        """All topics anew: they have fixed names, and the broker may have served another system before."""
        servers = self.broker.bootstrap_servers
        with CommittedLog(servers) as log:
            admin = log._admin
            names = {topic["name"] for topic in admin.describe_topics()}
            known = [topic.name for topic in declared_topics(self.app_id) if topic.name in names]
            if known:
                admin.delete_topics(known)
                gone = set(known)
                wait_until(
                    lambda: not gone & {topic["name"] for topic in admin.describe_topics()},
                    30,
                    "the old topics are gone",
                )
        report = ensure_topics(servers, Settings(app_id=self.app_id, partitions=self.partitions))
        assert report.ok, report.problems()

    def _worker_arguments(self, number: int, max_batch: int) -> list[str]:
        return [
            "--instance-id",
            f"{self.app_id}-{number}",
            "--session-timeout",
            str(SESSION_TIMEOUT_SECONDS),
            "--max-batch",
            str(max_batch),
        ]
