"""The measurement: one system at a time on one broker, watched from outside.

Every run begins with empty topics and a group of its own. Outputs count when a read_committed reader has them.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from kafka import KafkaAdminClient

from benchmarks import facts
from benchmarks.environments import python_of
from benchmarks.figures import Latency, latency
from benchmarks.processes import Meter, end, touch_memory, with_descendants
from benchmarks.systems.system import Place, System
from streams.events import decision_from_avro, notice_from_avro
from streams.settings import Settings
from streams.topics import BILLING_DECISIONS, alter_topics, ensure_topics

ROOT = Path(__file__).parents[1]
STALLED_SECONDS = 20.0  # less than expected is there, and nothing new for so long
DEADLINE_SECONDS = 400.0
READY_SECONDS = 60.0
WARM_UP_FACTS = 2_000  # behind the agreements, which come first and lead to no output
WARM_UP_SECONDS = 3.0
DRAIN_SECONDS = 2.0
READY_MEMORY_BYTES = 1 << 30  # more than any of the systems takes for so many facts


class Progress(NamedTuple):
    """How many outputs were readable at an instant of the monotonic clock."""

    at: float
    outputs: int


class Throughput(NamedTuple):
    """One system, once through facts that were published before."""

    system: str
    facts: int
    patients: int
    partitions: int
    processes: int
    facts_per_second: float
    cpu_seconds_per_100k: float
    peak_rss_bytes: int
    outputs: int
    distinct_decisions: int
    repeated_decisions: int
    lines: int
    same_decisions: bool | None  # as the fold alone makes of them; None: it decides nothing


class Paced(NamedTuple):
    """One system under facts at a steady pace."""

    system: str
    partitions: int
    facts_per_second: int
    keeps_up: bool
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    outputs: int
    note: str


class Recovery(NamedTuple):
    """A start without local state, after so many patients."""

    system: str
    patients: int
    fresh_start_seconds: float  # from the start of a process to its first output, with nothing to recover
    recovery_start_seconds: float  # the same with the state to recover


class RunFailedError(Exception):
    """A system did not do its work; the text has the end of its log."""


class _Reader:
    """The process that reads the outputs, and what it says of its progress."""

    def __init__(self, servers: str, folder: Path) -> None:
        self._file = folder / f"read-{uuid.uuid4().hex[:6]}.msgpack"
        self._process = subprocess.Popen(
            _traffic("read", servers, self._file), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.progress: list[Progress] = []
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        if not self._begun.wait(30):
            raise RunFailedError("the reader did not start")

    def _follow(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.progress.append(Progress(*json.loads(line)))
            self._begun.set()

    @property
    def outputs(self) -> int:
        return self.progress[-1].outputs

    def finish(self) -> list[Any]:
        """Everything read: instant, topic, value, cause."""
        assert self._process.stdin
        self._process.stdin.close()
        if self._process.wait(60):
            raise RunFailedError("the reader failed")
        self._thread.join()
        rows: list[Any] = msgspec.msgpack.decode(self._file.read_bytes())
        self._file.unlink()
        return rows

    def abandon(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


def _traffic(*arguments: object) -> list[str]:
    return [str(python_of("confluent-kafka")), "-m", "benchmarks.traffic", *map(str, arguments)]


def publish(servers: str, file: Path, begin: int, finish: int) -> None:
    """Facts of the file, as fast as Kafka takes them; returns when all are acknowledged."""
    subprocess.run(_traffic("load", servers, file, begin, finish), cwd=ROOT, check=True)


def empty_topics(servers: str, app_id: str, partitions: int) -> None:
    """All topics anew, and one for a peer's changelog."""
    with KafkaAdminClient(bootstrap_servers=servers) as admin:
        old = [name for name in admin.list_topics() if not name.startswith("__")]
        if old:
            admin.delete_topics(old)
        _wait(lambda: not [name for name in admin.list_topics() if not name.startswith("__")], 30, "topics to go")
    settings = Settings(bootstrap_servers=servers, partitions=partitions, app_id=app_id)
    report = ensure_topics(servers, settings)
    alter_topics(report, settings)


Watch = Callable[[list[int]], AbstractContextManager[None]]


def _nobody_watches(pids: list[int]) -> AbstractContextManager[None]:  # noqa: ARG001
    return nullcontext()


class Bench:
    """Runs on one broker."""

    def __init__(self, servers: str, scratch: Path) -> None:
        self.servers = servers
        self._scratch = scratch

    def throughput(
        self, system: System, file: Path, *, partitions: int = 12, processes: int = 1, watch: Watch = _nobody_watches
    ) -> Throughput:
        """The system is warm, then stands still (SIGSTOP) while the facts are published; the clock runs from its going on to
        the moment in which the last output is readable. Start-up does not count, nobody publishes meanwhile, and the memory that it
        will take is at hand.

        `watch` is entered with the processes' ids when the clock starts.
        """
        wanted = facts.expected(file)
        warm_up = wanted.agreements + WARM_UP_FACTS
        with self._place(system, file, partitions, processes) as place, self._reader(place) as reader:
            publish(self.servers, file, 0, warm_up)
            with self._running(system, place) as running:
                _wait(lambda: running.check() and reader.outputs > 0, READY_SECONDS, f"{system.name} to decide")
                self._until_quiet(reader, 1.0, 30)
                already = reader.outputs
                with running.paused():
                    publish(self.servers, file, warm_up, wanted.facts)
                    touch_memory(READY_MEMORY_BYTES)
                    begun = time.monotonic()
                with watch(running.pids):
                    self._until_done(reader, running, _expected_outputs(system, wanted), system.quiet_seconds)
                ended = reader.progress[-1].at
                rows = reader.finish()
        assert len(rows) > already, "the last facts lead to outputs"
        found = facts.outcome((topic, value) for _, topic, value, _ in rows) if system.decides else None
        count = wanted.facts - warm_up
        return Throughput(
            system=system.name,
            facts=count,
            patients=wanted.patients,
            partitions=partitions,
            processes=processes,
            facts_per_second=count / (ended - begun),
            cpu_seconds_per_100k=running.meter.cpu_seconds_between(begun, ended) / count * 100_000,
            peak_rss_bytes=running.meter.peak_rss_bytes(),
            outputs=len(rows),
            distinct_decisions=found.distinct if found else 0,
            repeated_decisions=found.repeated if found else 0,
            lines=found.lines if found else 0,
            same_decisions=(found.fingerprint == wanted.fingerprint) if found else None,
        )

    def paced(
        self, system: System, file: Path, facts_per_second: int, seconds: float, *, partitions: int = 12
    ) -> Paced:
        """Facts at a steady pace, after a warm-up; the latency of those sent after it."""
        wanted = facts.expected(file)
        warm_up = wanted.agreements + WARM_UP_FACTS
        until = min(wanted.facts, warm_up + int(facts_per_second * (seconds + WARM_UP_SECONDS)))
        with (
            self._place(system, file, partitions, 1) as place,
            self._reader(place) as reader,
            self._running(system, place) as running,
        ):
            publish(self.servers, file, 0, warm_up)
            _wait(lambda: running.check() and reader.outputs > 0, READY_SECONDS, f"{system.name} to decide")
            self._until_quiet(reader, 1.0, 30)
            sent_file = place.folder / "sent.msgpack"
            pace = _traffic("pace", self.servers, file, warm_up, until, facts_per_second, sent_file)
            subprocess.run(pace, cwd=ROOT, check=True)
            ended = time.monotonic()
            self._until_quiet(reader, 2.0, 60)
            running.check()
            rows = reader.finish()
            told = msgspec.msgpack.decode(sent_file.read_bytes())
        sent: dict[str, float] = told["sent"]
        begun = min(sent.values()) + WARM_UP_SECONDS
        arrived = [(at, _cause(topic, value, cause)) for at, topic, value, cause in rows]
        measured: Latency | None = latency(sent, arrived, begun)
        last = max((at for at, cause in arrived if cause in sent), default=ended + DRAIN_SECONDS)
        keeps_up = measured is not None and last - ended < DRAIN_SECONDS and told["late_seconds"] < 1
        note = "" if keeps_up else f"done {max(0.0, last - ended):.0f} s after the last fact of {seconds:.0f} s"
        shown = measured if keeps_up else None
        return Paced(
            system.name,
            partitions,
            facts_per_second,
            keeps_up,
            shown.p50 if shown else None,
            shown.p99 if shown else None,
            shown.p999 if shown else None,
            measured.outputs if measured else 0,
            note,
        )

    def recovery(self, system: System, file: Path) -> Recovery:
        """How much longer a start takes when the state must come back from Kafka: stopped, folder emptied, started again."""
        wanted = facts.expected(file)
        warm_up = wanted.agreements + WARM_UP_FACTS
        probe = 200
        with self._place(system, file, 12, 1) as place:
            publish(self.servers, file, 0, warm_up)
            with self._reader(place) as reader:
                begun = time.monotonic()
                with self._running(system, place) as running:
                    _wait(lambda: running.check() and reader.outputs > 0, READY_SECONDS, f"{system.name} to decide")
                    fresh = next(step.at for step in reader.progress if step.outputs > 0) - begun
                    publish(self.servers, file, warm_up, wanted.facts - probe)
                    self._until_quiet(reader, 12.0, DEADLINE_SECONDS)
                before = reader.outputs
                publish(self.servers, file, wanted.facts - probe, wanted.facts)
                again = Place(**{**place.__dict__, "folder": place.folder / "again"})
                again.folder.mkdir()
                begun = time.monotonic()
                with self._running(system, again) as running:
                    _wait(
                        lambda: running.check() and reader.outputs > before,
                        DEADLINE_SECONDS,
                        f"{system.name} to decide",
                    )
                    recovered = next(step.at for step in reader.progress if step.outputs > before) - begun
        return Recovery(system.name, wanted.patients, fresh, recovered)

    @contextmanager
    def _place(self, system: System, file: Path, partitions: int, processes: int) -> Iterator[Place]:
        wanted = facts.expected(file)
        app_id = f"{system.name}-{uuid.uuid4().hex[:6]}"
        with tempfile.TemporaryDirectory(
            prefix=f"{system.name}-", dir=self._scratch, ignore_cleanup_errors=True
        ) as name:
            empty_topics(self.servers, app_id, partitions)
            yield Place(
                self.servers,
                file,
                Path(name),
                app_id,
                partitions,
                processes,
                output_bytes=wanted.output_bytes // max(1, wanted.outputs),
                outputs_per_1000=round(wanted.outputs * 1000 / (wanted.facts - wanted.agreements)),
                state_bytes=wanted.state_bytes // max(1, wanted.state_writes),
            )

    @contextmanager
    def _reader(self, place: Place) -> Iterator[_Reader]:
        reader = _Reader(self.servers, place.folder)
        try:
            yield reader
        finally:
            reader.abandon()

    @contextmanager
    def _running(self, system: System, place: Place) -> Iterator["_Running"]:
        running = _Running(system, place)
        try:
            yield running
        finally:
            running.stop()

    def _until_done(self, reader: _Reader, running: "_Running", expected_outputs: int, quiet_seconds: float) -> None:
        begun = time.monotonic()
        while (now := time.monotonic()) - begun < DEADLINE_SECONDS:
            running.check()
            quiet = now - max(begun, reader.progress[-1].at)
            if quiet > (quiet_seconds if reader.outputs >= expected_outputs else STALLED_SECONDS):
                return
            time.sleep(0.05)
        raise RunFailedError(
            f"not done within {DEADLINE_SECONDS:.0f} s: {reader.outputs} of {expected_outputs} outputs"
        )

    def _until_quiet(self, reader: _Reader, quiet_seconds: float, most_seconds: float) -> None:
        begun = time.monotonic()
        while (now := time.monotonic()) - begun < most_seconds:
            if now - max(begun, reader.progress[-1].at) > quiet_seconds:
                return
            time.sleep(0.05)


class _Running:
    """A system's processes, and what they cost."""

    def __init__(self, system: System, place: Place) -> None:
        self._log = place.folder / "system.log"
        with self._log.open("ab") as log:
            self._processes = [
                subprocess.Popen(system.command(place, number), cwd=ROOT, stdout=log, stderr=log)
                for number in range(place.processes)
            ]
        self.meter = Meter([process.pid for process in self._processes])

    @property
    def pids(self) -> list[int]:
        """The processes that were started."""
        return [process.pid for process in self._processes]

    def check(self) -> bool:
        """True, or RunFailedError when a process has ended."""
        for process in self._processes:
            if process.poll() is not None:
                raise RunFailedError(f"it ended with exit code {process.returncode}\n{self.log()}")
        return True

    def log(self) -> str:
        """The end of what it said."""
        return self._log.read_text(errors="replace")[-3000:]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The processes stand still."""
        pids = with_descendants([process.pid for process in self._processes])
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop measuring, then end the processes."""
        self.meter.stop()
        for process in self._processes:
            end(process)


def _expected_outputs(system: System, wanted: facts.Expected) -> int:
    # The order in which a system reads its topics decides how many versions a line goes through: it may publish fewer than the
    # file's order leads to. Without rules it is a mean, rounded down in each partition.
    return int(wanted.outputs * (0.9 if system.decides else 0.98))


def _cause(topic: str, value: bytes, cause: str) -> str:
    if cause:
        return cause
    return decision_from_avro(value).caused_by if topic == BILLING_DECISIONS else notice_from_avro(value).caused_by


def _wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RunFailedError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)
