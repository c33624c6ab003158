"""Workers as real processes on a real broker, and a verifier that shares no code with the lanes.

A test gets an `Arena`: input, output, dead-letter and changelog topics of its own. It publishes numbered events, starts, stops
and kills workers, and at the end asks `Arena.verify()`, which reads the topics as any read_committed consumer would and
derives from the input what must be there.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from deploy.broker import EmbeddedBroker
from tests.broker.counting import Count, counted
from tests.broker.counting_worker import WorkerConfig

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The condition's value as soon as it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)
    return value


def is_running(pid: int) -> bool:
    """Whether a process runs: a zombie that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes while it is looked at
        return False


class WorkerProcess:
    """A worker as a process, with its output in files."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex[:8]
        self._stdout = folder / f"{name}.out"
        self._stderr = folder / f"{name}.err"
        with self._stdout.open("w") as out, self._stderr.open("w") as err:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                stdout=out,
                stderr=err,
            )

    @property
    def output(self) -> str:
        return self._stdout.read_text()

    @property
    def log(self) -> str:
        return self._stderr.read_text()

    @property
    def log_lines(self) -> list[str]:
        """What it says of itself: without the line that Kafka is slow, which a busy machine decides."""
        return [line for line in self.log.splitlines() if "repeats a request to Kafka" not in line]

    @property
    def ready_lines(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("ready:")]

    def wait_ready(self, times: int = 1, seconds: float = READY_SECONDS) -> str:
        """Wait for the nth ready line; returns it."""

        def ready() -> bool:
            assert self.process.poll() is None, f"worker ended with {self.process.returncode}:\n{self.log}"
            return len(self.ready_lines) >= times

        wait_until(ready, seconds, f"ready line {times}\n{self.log}")
        return self.ready_lines[times - 1]

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, seconds: float = 60) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = 60) -> int:
        """The exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker does not end:\n{self.log}") from None

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.kill()


class Verdict(msgspec.Struct):
    """What a verification found."""

    inputs: int
    outputs: int
    lost: list[int]
    repeated: list[int]
    wrong_counts: list[str]
    wrong_values: list[str]
    open_transactions: list[str]

    @property
    def ok(self) -> bool:
        return not (self.lost or self.repeated or self.wrong_counts or self.wrong_values or self.open_transactions)


class Arena:
    """Topics, workers and a publisher of one test."""

    def __init__(self, bootstrap_servers: str, folder: Path, *, partitions: int = 2, inputs: int = 2) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.folder = folder
        self.partitions = partitions
        self.app_id = f"app-{uuid.uuid4().hex[:8]}"
        self.input_topics = [f"{self.app_id}-in{i}" for i in range(inputs)]
        self.output_topic = f"{self.app_id}-out"
        self.dead_letter_topic = f"{self.app_id}-dead"
        self.changelog_topic = f"{self.app_id}-counts-changelog"
        self.broker: EmbeddedBroker | None = None  # only where a test may harm it
        self.workers: list[WorkerProcess] = []
        self.published = 0
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
        self.create_topics([*self.input_topics, self.output_topic, self.dead_letter_topic, self.changelog_topic])
        self._producer = KafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=2)

    def create_topics(self, names: list[str], configs: dict[str, str] | None = None) -> None:
        self.admin.create_topics(
            {
                name: {"num_partitions": self.partitions, "replication_factor": 1, "configs": configs or {}}
                for name in names
            }
        )

    def topic_ids(self) -> dict[str, str]:
        """Name to id, as the worker command would find them."""
        topics = [*self.input_topics, self.changelog_topic]
        return {topic["name"]: str(topic["topic_id"]) for topic in self.admin.describe_topics(topics)}

    def config(self, **changes: Any) -> WorkerConfig:
        config = WorkerConfig(
            self.bootstrap_servers,
            self.app_id,
            self.input_topics,
            self.output_topic,
            self.dead_letter_topic,
            self.partitions,
            str(self.folder / "state"),
            instance_id="one",
        )
        return msgspec.structs.replace(config, **changes)

    def start(self, **changes: Any) -> WorkerProcess:
        """Start a worker; by default a static member, so that its successor after a kill need not wait for a timeout."""
        config = msgspec.json.encode(self.config(**changes)).decode()
        command = [sys.executable, str(ROOT / "tests/broker/counting_worker.py"), config]
        worker = WorkerProcess(command, self.folder / "logs")
        self.workers.append(worker)
        return worker

    def publish(self, count: int, *, keys: int = 50, rate: float | None = None, seed: int = 1) -> None:
        """Publish the next `count` numbered events over all input topics; waits for all acks."""
        rnd = random.Random(seed + self.published)
        started = time.monotonic()
        sent = []
        for i in range(count):
            number = self.published
            self.published += 1
            sent.append(
                self._producer.send(
                    self.input_topics[number % len(self.input_topics)],
                    key=b"key-%05d" % rnd.randrange(keys),
                    value=json.dumps({"number": number}).encode(),
                )
            )
            if rate is not None and i % 50 == 49:
                time.sleep(max(0.0, started + i / rate - time.monotonic()))
        self._producer.flush()
        for future in sent:
            future.get(timeout=30)

    @contextlib.contextmanager
    def load(self, rate: float) -> Iterator[None]:
        """A publisher that does not stop while workers come and go. What goes wrong in it fails the test."""
        finished = threading.Event()

        def publish() -> None:
            while not finished.is_set():
                self.publish(200, rate=rate)

        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publish)
            try:
                yield
            finally:
                finished.set()
            publishing.result()

    def publish_later(self, key: bytes | None, value: bytes | None) -> None:
        """Publish one record to the first input topic without waiting: see `flush`."""
        self._producer.send(self.input_topics[0], key=key, value=value)

    def flush(self) -> None:
        """Wait until everything is published."""
        self._producer.flush()

    def publish_raw(
        self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        """Publish one record as it is, to the first input topic, partition 0 if it has no key."""
        partition = 0 if key is None else None
        self._producer.send(self.input_topics[0], key=key, value=value, headers=headers or [], partition=partition).get(
            timeout=30
        )

    def read(self, topic: str, *, isolation_level: str = "read_committed") -> Iterator[Any]:
        """All records that a reader with this isolation level can see now, partition by partition."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            isolation_level=isolation_level,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            tps = [TopicPartition(topic, p) for p in range(self.partitions)]
            consumer.assign(tps)
            ends = consumer.end_offsets(tps)
            consumer.seek_to_beginning(*tps)
            while any(consumer.position(tp) < ends[tp] for tp in tps):
                for records in consumer.poll(timeout_ms=200).values():
                    yield from records
        finally:
            consumer.close()

    def outputs_seen(self) -> int:
        """How many outputs a read_committed reader can see."""
        return sum(1 for _ in self.read(self.output_topic))

    def is_processed(self) -> bool:
        """Whether every published event has at least one output."""
        seen = {json.loads(record.value)["number"] for record in self.read(self.output_topic)}
        return len(seen) >= self.published

    def wait_processed(self, seconds: float = 60) -> None:
        """Wait until it is."""
        wait_until(self.is_processed, seconds, f"{self.published} events processed")

    def group_offsets(self) -> dict[tuple[str, int], int]:
        """The group's committed offsets."""
        groups = self.admin.list_group_offsets({self.app_id: None})
        return {(tp.topic, tp.partition): offset.offset for tp, offset in groups[self.app_id].items()}

    def verify(self) -> Verdict:
        """Derive from the input what the outputs and the table must be, and compare."""
        numbers: dict[bytes, set[int]] = defaultdict(set)
        for topic in self.input_topics:
            for record in self.read(topic):
                with contextlib.suppress(Exception):
                    event = json.loads(record.value)
                    if record.key is not None and not event.get("poison"):
                        numbers[record.key].add(event["number"])
        counts: dict[bytes, list[int]] = defaultdict(list)
        order: dict[bytes, list[int]] = defaultdict(list)
        for record in self.read(self.output_topic):
            output = json.loads(record.value)
            counts[record.key].append(output["count"])
            order[record.key].append(output["number"])
        table = {
            record.key: record.value for record in self.read(self.changelog_topic) if not record.key.startswith(b"\0")
        }
        seen = Counter(number for of_key in order.values() for number in of_key)
        expected = {number for of_key in numbers.values() for number in of_key}
        wrong_counts = [k.decode() for k, v in counts.items() if v != list(range(1, len(numbers[k]) + 1))]
        wrong_values = []
        for key in numbers:
            value = Count()
            for number in order[key]:
                value = counted(value, number)
            if table.get(key) != msgspec.json.encode(value):
                wrong_values.append(key.decode())
        wrong_values += [key.decode() for key in table if key not in numbers]
        return Verdict(
            inputs=len(expected),
            outputs=sum(seen.values()),
            lost=sorted(expected - set(seen)),
            repeated=sorted(number for number, times in seen.items() if times > 1),
            wrong_counts=wrong_counts,
            wrong_values=wrong_values,
            open_transactions=self._open_transactions(),
        )

    def assert_exactly_once(self) -> None:
        """Every event's effects are there once."""
        verdict = self.verify()
        assert verdict.ok, verdict
        assert verdict.inputs == verdict.outputs > 0

    @contextlib.contextmanager
    def paused_broker(self) -> Iterator[None]:
        """The arena's own broker takes connections and answers nothing."""
        assert self.broker is not None
        pid = self.broker.java_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End what is left running."""
        for worker in self.workers:
            worker.end()
        self._producer.close()
        self.admin.close()

    def _open_transactions(self) -> list[str]:
        """Partitions whose committed end is not their end."""
        found = []
        for topic in (self.output_topic, self.changelog_topic):
            tps = [TopicPartition(topic, p) for p in range(self.partitions)]
            ends = []
            for isolation_level in ("read_committed", "read_uncommitted"):
                consumer = KafkaConsumer(bootstrap_servers=self.bootstrap_servers, isolation_level=isolation_level)
                ends.append(consumer.end_offsets(tps))
                consumer.close()
            found += [f"{tp.topic}/{tp.partition}" for tp in tps if ends[0][tp] != ends[1][tp]]
        return found
