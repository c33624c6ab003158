"""Where the worker's time goes: CPU seconds per 100,000 facts of each stage, and what weighs most in it.

    python -m benchmarks.profile [--facts N] [--json FILE]

One run without a profiler gives the CPU seconds, a second one, sampled by py-spy 200 times a second with the frames of compiled
code, gives their shares. A sample counts for the stage of its innermost frame that has one. The facts are there before the clock
starts.
"""

import contextlib
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import facts
from benchmarks.environments import python_of
from benchmarks.measure import Bench, Throughput
from benchmarks.single import count, finish, parser
from benchmarks.systems.catalog import SYSTEMS
from deploy.broker import EmbeddedBroker

SAMPLES_PER_SECOND = 200
MAIN_THREAD = "run_worker"

STAGES: dict[str, tuple[str, ...]] = {
    "consume": ("aiokafka/consumer/", "aiokafka/record/", "faust/", "runtime/transport.py", "inbox", "Lane.deliver"),
    "decode and check": ("agents___intake___accept", "streams/agents/intake.py"),
    "fold": ("CPyDef_fold___", "CPyPy_fold___", "streams/adjudication/fold.py"),
    "encode": ("adjudicator____publish", "_publish (streams/agents/"),
    "patient state": ("StoredPatient", "patient_state", "streams/runtime/stores/", "streams/runtime/table.py"),
    "around the fold": ("adjudicator___Adjudicator___process", "streams/agents/adjudicator.py"),
    "produce": ("Writer._pack", "TransactionalProducer.pack", "TransactionalProducer._p"),
    "commit": ("runtime/transactions.py", "Lane._commit", "runtime/producer.py"),
    "requests and answers": ("aiokafka/conn.py", "aiokafka/client.py"),
}  # fmt: skip
"""What a frame of each stage has in its name or file. The rest is the event loop and the lanes' own bookkeeping."""
REST = "event loop and lanes"


class Share(NamedTuple):
    """A stage's part of all samples, and the innermost frames that most of them were in."""

    stage: str
    share: float
    heaviest: list[tuple[str, float]]


def stage_of(frames: Sequence[str]) -> str:
    """The stage of a sample, its frames from the outermost to the innermost."""
    for frame in reversed(frames):
        for stage, marks in STAGES.items():
            if any(mark in frame for mark in marks):
                return stage
    return REST


def shares(samples: Iterable[str]) -> list[Share]:
    """Each stage's share, the largest first, of py-spy's raw samples: frames with semicolons between, then a count."""
    stages: Counter[str] = Counter()
    inner: dict[str, Counter[str]] = {}
    for sample in samples:
        stack, _, times = sample.rpartition(" ")
        frames = stack.split(";")
        if not any(frame.startswith(MAIN_THREAD) for frame in frames):
            continue
        stage = stage_of(frames)
        stages[stage] += int(times)
        inner.setdefault(stage, Counter())[_function(frames[-1])] += int(times)
    whole = sum(stages.values())
    return [
        Share(stage, samples / whole, [(name, times / whole) for name, times in inner[stage].most_common(3)])
        for stage, samples in stages.most_common()
    ]


_PART = re.compile(r"(\.(cold|part|isra|constprop)(\.\d+)?)+$")  # what gcc made of a function, or split off


def _function(frame: str) -> str:
    """`fold____publish (0a1b__mypyc.cpython-311.so)` as `fold._publish`; a frame of a file keeps the file."""
    name, _, place = frame.partition(" (")
    name = name.removeprefix("CPyDef_").removeprefix("CPyPy_").replace("___", ".")
    name = name.partition("<")[0]  # without C++ template arguments
    name = _PART.sub("", name)
    return name if "mypyc" in place or not place else f"{name} ({Path(place.partition(':')[0].rstrip(')')).name})"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--facts", type=count, default=100_000, help="default: 100,000")
    given = options.parse_args()
    ours, file = SYSTEMS["ours"], facts.saved(given.facts)
    with tempfile.TemporaryDirectory(prefix="pathway-billing-bench-") as name:
        folder = Path(name)
        raw = folder / "samples"
        with EmbeddedBroker(folder / "broker", heap_mb=1024, for_long=True) as broker:
            bench = Bench(broker.bootstrap_servers, folder)
            run = bench.throughput(ours, file)
            bench.throughput(ours, file, watch=lambda pids: _sampled(pids[0], raw))
        found = shares(raw.read_text().splitlines())
    finish(given.json, [_row(run, share) for share in found], _HEADS, _cells(run, found))
    first = found[0]
    sys.stdout.write(
        f"\nThe next bottleneck is {first.stage}: {first.share:.0%} of the worker's time. In all, {run.cpu_seconds_per_100k:.2f} "
        f"CPU seconds per 100,000 facts at {run.facts_per_second:,.0f} facts/s.\n"
    )


_HEADS = ("Stage", "CPU seconds per 100,000 facts", "Share", "Innermost functions, share of all")


def _cells(run: Throughput, found: list[Share]) -> list[Sequence[str]]:
    return [
        (
            stage,
            f"{share * run.cpu_seconds_per_100k:.2f}",
            f"{share:.0%}",
            ", ".join(f"`{name}` {part:.1%}" for name, part in heaviest),
        )
        for stage, share, heaviest in found
    ]


def _row(run: Throughput, share: Share) -> dict[str, object]:
    return {**share._asdict(), "cpu_seconds_per_100k": share.share * run.cpu_seconds_per_100k}


@contextlib.contextmanager
def _sampled(pid: int, file: Path) -> Iterator[None]:
    """py-spy looks at the process meanwhile. It needs the right to trace it: Linux's ptrace_scope 0, or root."""
    spy = str(python_of("py-spy").with_name("py-spy"))
    command = (spy, "record", "--native", "-f", "raw", "-r", str(SAMPLES_PER_SECOND), "-o", str(file), "-p", str(pid))
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)  # it writes what it has
            process.wait(60)
        if not file.exists():
            said.seek(0)
            raise SystemExit(f"error: py-spy: {said.read()[-500:]}")


if __name__ == "__main__":
    main()
