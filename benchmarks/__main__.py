"""Our worker beside what a user would take instead, on one broker, with the same facts and the same adjudication core.

    python -m benchmarks [--short] [--only throughput,latency,...] [--systems ours,...] [--resume] [--docs]

Runs of the systems are interleaved. Results are saved after each run (build/benchmarks/results.json): `--resume` goes on with
what is there, `--docs` writes docs/performance.md's tables, docs/performance-results.json and the plots from them.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from kafka.errors import KafkaError

from benchmarks import facts, report
from benchmarks.environments import PEERS, PeerMissingError
from benchmarks.measure import Bench, RunFailedError
from benchmarks.systems.catalog import SYSTEMS
from benchmarks.systems.system import System
from deploy.broker import EmbeddedBroker
from deploy.kafka_distribution import KAFKA_VERSION
from streams import compiled

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "benchmarks"
DOCS = ROOT / "docs"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
FEWER_PARTITIONS = (1, 4)
PARTS = ("throughput", "latency", "recovery", "scaling", "patients", "reports")
REPORTS = {
    "profile": "Where the worker's time goes",
    "fold": "The fold alone",
    "recovery": "Recovery into memory and RocksDB",
    "memory": "Memory for many patients",
    "history_length": "Cost over the length of a patient's history",
}


class Plan(NamedTuple):
    """How much of everything."""

    facts: int
    repeats: int
    paces: tuple[int, ...]
    paced_seconds: float
    paced_repeats: int
    minutes: float
    parts: tuple[str, ...] = PARTS


FULL = Plan(facts=100_000, repeats=3, paces=(1_000, 5_000), paced_seconds=10, paced_repeats=2, minutes=40)
SHORT = Plan(
    facts=12_000,
    repeats=1,
    paces=(1_000,),
    paced_seconds=4,
    paced_repeats=1,
    minutes=5,
    parts=("throughput", "latency", "scaling"),  # a peer's recovery alone takes a minute and a half
)


class Run(NamedTuple):
    """A run to be made. `key` tells whether it was made already."""

    kind: str
    key: str
    make: Callable[[Bench], Any]
    about: dict[str, Any]


def runs(plan: Plan, parts: list[str], systems: list[System]) -> Iterator[Run]:
    """All runs, those of different systems interleaved."""
    ours = SYSTEMS[report.OURS]
    for number in range(plan.repeats if "throughput" in parts else 0):
        for system in systems:
            count = system.facts_of(plan.facts)
            yield _run(
                "throughput", system, number, f"{count}", lambda b, s=system, c=count: b.throughput(s, facts.saved(c))
            )
    for number in range(plan.paced_repeats if "latency" in parts else 0):
        for pace in plan.paces:
            for system in systems:
                yield _run("paced", system, number, f"{pace}", lambda b, s=system, p=pace: _paced(b, plan, s, p))
    for number in range(plan.paced_repeats if "latency" in parts and ours in systems else 0):
        for partitions in FEWER_PARTITIONS:
            yield _run(
                "paced-partitions",
                ours,
                number,
                f"1000x{partitions}",
                lambda b, n=partitions: _paced(b, plan, ours, 1_000, partitions=n),
            )
    if "recovery" in parts:
        for system in systems:
            if system.deletes_state:
                count = system.facts_of(plan.facts)
                yield _run(
                    "recovery", system, 0, f"{count}", lambda b, s=system, c=count: b.recovery(s, facts.saved(c))
                )
    if "scaling" in parts and ours in systems:
        for processes, partitions in ((2, 12), (1, 4), (1, 64)):
            yield _run(
                "throughput",
                ours,
                0,
                f"{processes}x{partitions}",
                lambda b, n=processes, p=partitions: b.throughput(
                    ours, facts.saved(plan.facts), processes=n, partitions=p
                ),
            )
    if "patients" in parts and ours in systems:
        for count in (max(4_000, plan.facts // share) for share in (8, 4, 2)):
            yield _run("patients", ours, 0, f"{count}", lambda b, c=count: b.throughput(ours, facts.saved(c)))


def _paced(bench: Bench, plan: Plan, system: System, facts_per_second: int, **layout: int) -> Any:
    """Behind the agreements and the warm-up, a second more of facts than will be sent."""
    file = facts.saved(4_000 + int(facts_per_second * (plan.paced_seconds + 4)))
    return bench.paced(system, file, facts_per_second, plan.paced_seconds, **layout)


def _run(kind: str, system: System, number: int, what: str, make: Callable[[Bench], Any]) -> Run:
    return Run(kind, f"{kind}/{system.name}/{what}/{number}", make, {"system": system.name})


def main() -> None:
    options = _options()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that no system and no broker is left behind
    plan = SHORT if options.short else FULL
    given = {"facts": options.facts, "repeats": options.repeat}
    plan = plan._replace(**{name: value for name, value in given.items() if value})
    parts = options.only.split(",") if options.only else list(plan.parts)
    systems = [SYSTEMS[name] for name in options.systems.split(",")] if options.systems else list(SYSTEMS.values())
    OUT.mkdir(parents=True, exist_ok=True)
    results_file = OUT / ("short.json" if options.short else "results.json")
    results = _results(results_file, resume=options.resume or options.docs)
    if not options.docs:
        deadline = time.monotonic() + (options.minutes or plan.minutes) * 60
        _measure(plan, parts, systems, results, results_file, deadline)
        if "reports" in parts and not options.short:
            _reports(results, deadline)
            _save(results, results_file)
    (OUT / "performance.md").write_text(report.tables(results))
    _draw(results, OUT)
    if options.docs:
        _write_docs(results)
    sys.stdout.write(report.tables(results))
    if any(run.get("same_decisions") is False for run in results["runs"]):
        raise SystemExit("error: a system's standing decisions are not those of the fold (see What was published)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--short", action="store_true", help=f"a look in five minutes: {', '.join(SHORT.parts)}; few facts, once each"
    )
    parser.add_argument("--only", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--systems", help=f"some of {','.join(SYSTEMS)}")
    parser.add_argument("--facts", type=int, help=f"for each throughput run (default: {FULL.facts:,})")
    parser.add_argument("--repeat", type=int, help=f"throughput runs of each system (default: {FULL.repeats})")
    parser.add_argument("--minutes", type=float, help=f"begin no further run after so long (default: {FULL.minutes:g})")
    parser.add_argument(
        "--resume", action="store_true", help="keep earlier results, make only the runs that are missing"
    )
    parser.add_argument("--docs", action="store_true", help="run nothing: write the last results into docs/")
    options = parser.parse_args()
    for chosen, known in ((options.only, PARTS), (options.systems, tuple(SYSTEMS))):
        if unknown := set((chosen or "").split(",")) - {"", *known}:
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return options


def _measure(
    plan: Plan, parts: list[str], systems: list[System], results: dict[str, Any], results_file: Path, deadline: float
) -> None:
    todo = [run for run in runs(plan, parts, systems) if run.key not in {made["key"] for made in results["runs"]}]
    with tempfile.TemporaryDirectory(prefix="pathway-billing-bench-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        with EmbeddedBroker(scratch / "broker", heap_mb=1024, for_long=True) as broker:
            bench = Bench(broker.bootstrap_servers, scratch)
            for number, run in enumerate(todo, 1):
                if time.monotonic() > deadline:
                    _say(f"time is up: {len(todo) - number + 1} runs are left; go on with --resume")
                    return
                begun = time.monotonic()
                made = {"kind": run.kind, "key": run.key, **run.about}
                try:
                    made.update(run.make(bench)._asdict())
                    rate = made.get("facts_per_second") or made.get("recovery_start_seconds")
                    told = f"{rate:,.0f} facts/s" if "facts_per_second" in made else f"{rate:.1f} s"
                    if made.get("p50_ms"):
                        told += f", p50 {made['p50_ms']:.1f} ms, p99 {made['p99_ms']:.1f} ms"
                except (RunFailedError, PeerMissingError, KafkaError, subprocess.CalledProcessError) as error:
                    made.update(kind=f"{run.kind}-failed", key=f"{run.key}/failed", error=str(error))
                    told = f"failed: {error}"
                results["runs"].append(made)
                _save(results, results_file)
                _say(f"{number} of {len(todo)}: {run.key}: {told} ({time.monotonic() - begun:.0f} s)")


def _reports(results: dict[str, Any], deadline: float) -> None:
    """The measurements that need no peers: each a program that prints its table."""
    for name, title in REPORTS.items():
        if not (ROOT / "benchmarks" / f"{name}.py").exists() or title in results["reports"]:
            continue
        if time.monotonic() > deadline:
            _say(f"time is up: {name} is left; go on with --resume")
            return
        data = OUT / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(data)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            results["reports"][title] = f"`python -m benchmarks.{name}`\n\n{done.stdout.strip()}"
            results["data"][name] = json.loads(data.read_text()) if data.exists() else None
        _say(f"{name}: exit code {done.returncode}")


def _results(file: Path, *, resume: bool) -> dict[str, Any]:
    if resume and file.exists():
        kept: dict[str, Any] = json.loads(file.read_text())
        return kept
    return {"machine": _machine(), "runs": [], "reports": {}, "data": {}}


def _machine() -> dict[str, Any]:
    versions = {"Python": platform.python_version(), "Kafka": KAFKA_VERSION}
    versions |= {name: version(name) for name in ("faust-streaming", "aiokafka", "fastavro", "msgspec", "rocksdict")}
    for peer, package in (
        ("quix-streams", "quixstreams"),
        ("bytewax", "bytewax"),
        ("confluent-kafka", "confluent-kafka"),
    ):
        pins = (PEERS / peer / "requirements.txt").read_text().splitlines()
        versions[package] = next(pin.partition("==")[2] for pin in pins if pin.startswith(f"{package}=="))
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": processor,
        "loop_seconds": _loop_seconds(),
        "core": compiled.mode(),
        "versions": versions,
        "command": " ".join(["make bench", *([f'ARGS="{" ".join(sys.argv[1:])}"'] if sys.argv[1:] else [])]),
    }


def _loop_seconds() -> float:
    """How fast this processor and this build of Python are: the time of a loop of 20 million additions."""
    begun, number = time.process_time(), 0
    while number < 20_000_000:
        number += 1
    return round(time.process_time() - begun, 1)


def _save(results: dict[str, Any], file: Path) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(file)


def _draw(results: dict[str, Any], folder: Path) -> None:
    """The plots that the results are enough for."""
    for name, svg in report.drawings(results).items():
        (folder / f"{name}.svg").write_text(svg)


def _write_docs(results: dict[str, Any]) -> None:
    page = DOCS / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"error: {page} has no lines {BEGIN} and {END} to write the tables between")
    folder = DOCS / "performance"
    folder.mkdir(exist_ok=True)
    _draw(results, folder)
    drawn = "\n".join(f"![{name}](performance/{name}.svg)" for name in report.drawings(results))
    page.write_text(f"{before}{BEGIN}\n{report.tables(results)}\n{drawn}\n{END}{after}")
    _save(results, DOCS / "performance-results.json")


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
