"""The fold alone: facts a second of the offline engine on a generated history, compiled and interpreted. No Kafka, no codec.

    python -m benchmarks.fold [--patients N] [--repeat N] [--json FILE]

The two builds in turns, each time in a process of its own. The facts are made before the clock starts. A process folds the history
three times, each time from nothing: the first time it also takes its memory from the system, a page at a time, and fills its
memos; after that it runs as one does that has run for a while, and the better of these two counts.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.single import count, finish, parser
from streams import compiled
from streams.adjudication.offline import OfflineEngine
from streams.generator import history
from streams.long_lived import long_lived
from streams.policy_files import load_policy

SEED = 1
ROUNDS = 3
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
    measured: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for _ in range(given.repeat):
        for mode, setting in MODES.items():
            made = _in_a_process(given.patients, setting)
            if str(made["mode"]).startswith(mode):
                measured[mode].append(made)
    rows = [_row(mode, made) for mode, made in measured.items() if made]
    heads = (
        "Build",
        "Facts",
        "Facts/s, best",
        "Facts/s, median",
        "Microseconds a fact, median",
        "In a new process, facts/s, best",
        "median",
    )
    cells = [
        (
            r["mode"],
            f"{r['facts']:,}",
            f"{r['best']:,.0f}",
            f"{r['median']:,.0f}",
            f"{1e6 / r['median']:.1f}",
            f"{r['new_best']:,.0f}",
            f"{r['new_median']:,.0f}",
        )
        for r in rows
    ]
    finish(given.json, rows, heads, cells)
    if not measured["compiled"]:
        sys.stderr.write("There is no compiled build of this source: `make install` makes one, with a C compiler.\n")


def _in_a_process(patients: int, setting: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.fold", "--one", "--patients", str(patients)]
    environment = {**os.environ, compiled.VARIABLE: setting}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def _fold(patients: int) -> dict[str, object]:
    facts = list(history(patients, SEED))
    seconds, decisions = [], set()
    for _ in range(ROUNDS):
        engine = OfflineEngine(load_policy())
        gc.collect()
        begun = time.perf_counter()
        with long_lived():  # as `adjudicate` does
            decisions.add(sum(len(folded.step.decisions) for folded in engine.fold_all(facts)))
        seconds.append(time.perf_counter() - begun)
    assert len(decisions) == 1, "the same history, the same decisions"
    return {"mode": compiled.mode(), "facts": len(facts), "decisions": decisions.pop(), "seconds": seconds}


def _row(mode: str, made: list[dict[str, Any]]) -> dict[str, object]:
    assert len({one["decisions"] for one in made}) == 1, "the same history, the same decisions"
    facts = made[0]["facts"]
    rates = [facts / min(one["seconds"][1:]) for one in made]
    new = [facts / one["seconds"][0] for one in made]
    return {
        "mode": mode,
        "facts": facts,
        "best": max(rates),
        "median": statistics.median(rates),
        "new_best": max(new),
        "new_median": statistics.median(new),
        "all": [[facts / seconds for seconds in one["seconds"]] for one in made],
    }


if __name__ == "__main__":
    main()
