"""The fold alone: facts a second of the offline engine on a generated history, compiled and interpreted. No Kafka, no codec.

    python -m benchmarks.fold [--patients N] [--repeat N] [--json FILE]

Each time is of a process of its own, the two builds in turns. The facts are made before the clock starts.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks.single import count, finish, parser
from streams import compiled
from streams.adjudication.offline import OfflineEngine
from streams.generator import history
from streams.long_lived import long_lived
from streams.policy_files import load_policy

SEED = 1
MODES = {"compiled": "1", "interpreted": "0"}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--patients", type=count, default=5_000, help="default: 5,000, about 40,000 facts")
    options.add_argument("--repeat", type=count, default=5, help="times of each build (default: 5)")
    options.add_argument("--one", action="store_true", help="measure once, in this process, and print JSON")
    given = options.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(_fold(given.patients)))
        return
    measured: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(given.repeat):
        for mode, setting in MODES.items():
            made = _in_a_process(given.patients, setting)
            if str(made["mode"]).startswith(mode):
                measured[mode].append(made)
    rows = [_row(mode, times) for mode, times in measured.items() if times]
    heads = ("Build", "Facts", "Facts/s, best", "Facts/s, median", "Microseconds a fact, median")
    cells = [
        (r["mode"], f"{r['facts']:,}", f"{r['best']:,.0f}", f"{r['median']:,.0f}", f"{1e6 / r['median']:.1f}")
        for r in rows
    ]
    finish(given.json, rows, heads, cells)
    if not measured["compiled"]:
        sys.stderr.write("There is no compiled build of this source: `make install` makes one, with a C compiler.\n")


def _in_a_process(patients: int, setting: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.fold", "--one", "--patients", str(patients)]
    environment = {**os.environ, compiled.VARIABLE: setting}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    made: dict[str, float] = json.loads(done.stdout)
    return made


def _fold(patients: int) -> dict[str, object]:
    facts = list(history(patients, SEED))
    engine = OfflineEngine(load_policy())
    gc.collect()
    begun = time.perf_counter()
    with long_lived():  # as `adjudicate` does
        decisions = sum(len(folded.step.decisions) for folded in engine.fold_all(facts))
    seconds = time.perf_counter() - begun
    return {"mode": compiled.mode(), "facts": len(facts), "decisions": decisions, "seconds": seconds}


def _row(mode: str, times: list[dict[str, float]]) -> dict[str, object]:
    assert len({made["decisions"] for made in times}) == 1, "the same history, the same decisions"
    rates = [made["facts"] / made["seconds"] for made in times]
    return {
        "mode": mode,
        "facts": times[0]["facts"],
        "best": max(rates),
        "median": statistics.median(rates),
        "all": rates,
    }


if __name__ == "__main__":
    main()
