"""Facts per second through the whole worker, beside stock Faust around the same fold, in the same run on the same broker.

    python -m benchmarks.throughput [--facts 200000] [--stock-facts 20000] [--repeat 3]

All facts are published first; then the worker is started, and its rate is that of the decisions and notices that appear in the
log, from the first to the last, watched from outside (the output topics' end offsets). CPU seconds are the worker process's own.
Stock Faust gets fewer facts, since it is slower; a rate does not depend on how many there are.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

from deploy.broker import EmbeddedBroker
from streams.adjudication.facts import Fact
from streams.events import fact_to_json
from streams.generator import history
from streams.publisher import Publisher
from streams.settings import Settings
from streams.topics import BILLING_DECISIONS, ELIGIBILITY_NOTICES, ensure_topics

PARTITIONS = 12
FACTS_PER_PATIENT = 5  # fewer than there are: enough patients for any number of facts
QUIET_SECONDS = 5.0  # nothing new for so long: the run is over
DEADLINE_SECONDS = 900.0


class Run(NamedTuple):
    """One system, once through all facts."""

    system: str
    facts: int
    published: int  # decisions and notices
    seconds: float
    cpu_seconds: float

    @property
    def facts_per_second(self) -> float:
        return self.facts / self.seconds

    @property
    def cpu_seconds_per_100k(self) -> float:
        return self.cpu_seconds / self.facts * 100_000


def ours(broker: EmbeddedBroker, _facts_file: Path, folder: Path) -> list[str]:
    """The worker with its defaults: exactly once, RocksDB."""
    command = [str(Path(sys.executable).with_name("pathway-billing")), "worker"]
    return [*command, "--bootstrap-servers", broker.bootstrap_servers, "--data", str(folder)]


def stock_faust(broker: EmbeddedBroker, facts_file: Path, folder: Path) -> list[str]:
    """Stock Faust with its defaults: at least once, memory."""
    app = [sys.executable, "-m", "benchmarks.stock_faust", broker.bootstrap_servers, str(facts_file), str(folder)]
    return [*app, "worker", "-l", "warn", "--without-web"]


SYSTEMS = {"pathway-billing (exactly once, RocksDB)": ours, "stock Faust (at least once, memory)": stock_faust}


def measure(system: str, facts: list[Fact]) -> Run:
    """Publish the facts to a broker of its own, then let the system loose on them."""
    with tempfile.TemporaryDirectory(prefix="pathway-billing-bench-") as name:
        folder = Path(name)
        facts_file = folder / "facts.jsonl"
        with facts_file.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(fact_to_json(fact)) + "\n" for fact in facts)
        with EmbeddedBroker(folder / "broker", heap_mb=1024) as broker:
            ensure_topics(broker.bootstrap_servers, Settings(data_dir=folder, partitions=PARTITIONS))
            with Publisher(broker.bootstrap_servers, source="benchmark") as publisher:
                publisher.publish_all(facts)
            with (folder / "worker.log").open("wb") as log:
                command = SYSTEMS[system](broker, facts_file, folder / "state")
                worker = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                published, seconds = _watch(broker.bootstrap_servers, worker)
            except RuntimeError as error:
                raise SystemExit(f"error: {system}: {error}\n{(folder / 'worker.log').read_text()[-3000:]}") from error
            finally:
                if worker.returncode is None:
                    worker.send_signal(signal.SIGTERM)
                    cpu_seconds = _end(worker)
    return Run(system, len(facts), published, seconds, cpu_seconds)


def _watch(bootstrap_servers: str, worker: "subprocess.Popen[bytes]") -> tuple[int, float]:
    """How many decisions and notices appear, and the seconds from the first to the last of them."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers)
    outputs = [
        TopicPartition(topic, p) for topic in (BILLING_DECISIONS, ELIGIBILITY_NOTICES) for p in range(PARTITIONS)
    ]
    begun = time.monotonic()
    first = last = begun
    seen = 0
    while time.monotonic() - begun < DEADLINE_SECONDS:
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended with exit code {worker.returncode}")
        count = sum(consumer.end_offsets(outputs).values())
        now = time.monotonic()
        if count > seen:
            first = now if seen == 0 else first
            seen, last = count, now
        elif seen and now - last > QUIET_SECONDS:
            consumer.close()
            return seen, last - first
        time.sleep(0.05)
    raise RuntimeError(f"not done within {DEADLINE_SECONDS:.0f} s")


def _end(worker: "subprocess.Popen[bytes]") -> float:
    """Wait for the end; the CPU seconds (user and system) that the process used in all, start included."""
    deadline = time.monotonic() + 60
    while True:
        pid, _status, usage = os.wait4(worker.pid, os.WNOHANG)
        if pid:
            worker.returncode = 0
            return usage.ru_utime + usage.ru_stime
        if time.monotonic() > deadline:
            worker.kill()
            deadline += 60
        time.sleep(0.05)


def table(runs: Iterable[Run]) -> str:
    """Median and spread for each system, and the ratio to the last one, as Markdown."""
    runs = list(runs)
    by_system = {system: [run for run in runs if run.system == system] for system in SYSTEMS}
    base = statistics.median(run.facts_per_second for run in by_system[list(SYSTEMS)[-1]])
    lines = [
        "| system | facts | facts/s, median (min to max) | ratio | CPU seconds per 100,000 facts |",
        "|---|---|---|---|---|",
    ]
    for system, own in by_system.items():
        rates = [run.facts_per_second for run in own]
        cpu = statistics.median(run.cpu_seconds_per_100k for run in own)
        middle = statistics.median(rates)
        spread = f"{middle:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
        lines.append(f"| {system} | {own[0].facts:,} | {spread} | {middle / base:.1f} | {cpu:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=200_000, help="for our worker (default: %(default)s)")
    parser.add_argument("--stock-facts", type=int, default=20_000, help="for stock Faust (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, in turn (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the runs to this file, too")
    options = parser.parse_args()

    counts = dict(zip(SYSTEMS, (options.facts, options.stock_facts), strict=True))
    most = max(counts.values())
    facts = list(islice(history(most // FACTS_PER_PATIENT, options.seed), most))
    runs = []
    for number in range(options.repeat):
        for system, count in counts.items():
            runs.append(measure(system, facts[:count]))
            print(f"run {number + 1}: {system}: {runs[-1].facts_per_second:,.0f} facts/s", file=sys.stderr, flush=True)
    versions = {name: version(name) for name in ("faust-streaming", "aiokafka", "fastavro", "msgspec", "rocksdict")}
    print(table(runs))
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores, {versions}")
    if options.json:
        options.json.write_text(json.dumps([run._asdict() for run in runs], indent=1))


if __name__ == "__main__":
    main()
