"""Memory: what one worker with RocksDB holds resident for many patients of five facts each.

    python -m benchmarks.memory [--patients N] [--touch N] [--json FILE]

A real worker with its default settings: it starts without local state on a changelog of so many patients (changelog.py),
recovers it, and then is sent a fact again for `--touch` of them, so that its cache of decoded patients fills. Memory is sampled
ten times a second.
"""

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from itertools import islice
from pathlib import Path

from benchmarks.changelog import FACTS_PER_PATIENT, Population
from benchmarks.processes import Meter, cost, end
from benchmarks.single import count, finish, parser
from deploy.broker import EmbeddedBroker
from streams.publisher import Publisher
from streams.runtime.settings import LaneSettings
from streams.settings import Settings
from streams.topics import PROVIDER_AGREEMENT, ensure_topics

DEADLINE_SECONDS = 900.0


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--patients", type=count, default=1_000_000, help="default: 1,000,000")
    options.add_argument("--touch", type=count, default=60_000, help="of them get a fact again (default: 60,000)")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pathway-billing-bench-") as name,
        EmbeddedBroker(Path(name) / "b", for_long=True) as broker,
    ):
        row = _measure(broker.bootstrap_servers, Path(name), given.patients, min(given.touch, given.patients))
    heads = ("Patients", "When", "Resident, MiB", "Bytes a patient, the start without patients not counted")
    base = row["started_bytes"]
    moments = (("all recovered", "recovered_bytes"), ("after facts, the most seen", "most_bytes"))
    cells = [("0", "started, nothing to recover", f"{base / 2**20:,.0f}", "")]
    cells += [
        (f"{given.patients:,}", when, f"{row[field] / 2**20:,.0f}", f"{(row[field] - base) / given.patients:,.0f}")
        for when, field in moments
    ]
    finish(given.json, [row], heads, cells)


def _measure(servers: str, folder: Path, patients: int, touched: int) -> dict[str, float]:
    settings = Settings(bootstrap_servers=servers)
    if problems := ensure_topics(servers, settings).problems():
        raise SystemExit(f"error: {problems}")
    population = Population()
    with Publisher(servers, source="/benchmarks") as publisher:
        publisher.publish_all(population.agreements)
    row: dict[str, float] = {"patients": patients, "facts_per_patient": FACTS_PER_PATIENT, "facts_again": touched}
    worker, _ = _start(servers, folder)
    row["started_bytes"] = cost([worker.pid]).rss_bytes
    end(worker)
    shutil.rmtree(folder / "state")

    lanes = LaneSettings(servers, settings.app_id, (), settings.partitions)
    asyncio.run(population.write(lanes, range(patients)))
    begun = time.monotonic()
    worker, port = _start(servers, folder)
    try:
        row["start_seconds"] = time.monotonic() - begun
        row["recovered_bytes"] = cost([worker.pid]).rss_bytes
        meter = Meter([worker.pid])
        chosen = range(0, patients, max(1, patients // touched))
        with Publisher(servers, source="/benchmarks") as publisher:
            publisher.publish_all(population.facts(number)[-1] for number in islice(chosen, touched))
        _wait_for(worker, port, touched)
        meter.stop()
        row["most_bytes"] = meter.peak_rss_bytes()
    finally:
        end(worker)
    return row


def _start(servers: str, folder: Path) -> "tuple[subprocess.Popen[bytes], int]":
    """A worker that is ready, and the port of its metrics."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "streams.cli", "worker", f"--bootstrap-servers={servers}", f"--data={folder}"]
    worker = subprocess.Popen(
        [*command, f"--state={folder / 'state'}", f"--metrics-port={port}", "--log-level=warning"],
        stdout=subprocess.PIPE,
    )
    assert worker.stdout
    if not worker.stdout.readline().startswith(b"ready:"):
        raise SystemExit(f"error: the worker ended with exit code {worker.wait()}")
    return worker, port


def _wait_for(worker: "subprocess.Popen[bytes]", port: int, records: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and worker.poll() is None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        counters = [line for line in lines if line.startswith("pathway_billing_records_total{")]
        done = sum(float(line.split()[-1]) for line in counters if PROVIDER_AGREEMENT not in line)
        if done >= records:
            return
        time.sleep(0.5)
    raise SystemExit("error: the worker did not take in all facts")


if __name__ == "__main__":
    main()
