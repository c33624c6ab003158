"""`make prove`: every fault at its full dose, at most an hour; results in JSON and in the table of docs/reliability.md.

python -m tests.faults                                  the full set
python -m tests.faults --seed 7 --only "broker restart" one run, repeated from its seed
python -m tests.faults --scale 0.05                     a twentieth of every dose
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.broker.harness import ROOT
from tests.faults.plans import FULL
from tests.faults.run import Result, Run, perform

RESULTS = ROOT / "docs" / "reliability-results.json"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- results: written by `make prove` -->", "<!-- end of results -->"

LEAST_EVENTS = 1_000_000
LEAST_KILLS = 100


class Results(msgspec.Struct):
    """One call of the command."""

    date: str
    seed: int
    scale: float
    cores: int
    took_minutes: float
    runs: list[Result]

    @property
    def events(self) -> int:
        return sum(run.events for run in self.runs)

    @property
    def kills(self) -> int:
        return sum(run.kills for run in self.runs)

    @property
    def injected(self) -> int:
        return sum(sum(run.injected.values()) for run in self.runs)


def main() -> int:
    """0: nothing lost, double or wrong. 1: something was, or too little was tried."""
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(3))
    runs = [run for run in FULL if arguments.only in (None, run.name)]
    if not runs:
        print(
            f"error: no run is called {arguments.only!r}. There are: {', '.join(run.name for run in FULL)}",
            file=sys.stderr,
        )
        return 2
    _say(f"seed {seed}; repeat with: python -m tests.faults --seed {seed} --scale {arguments.scale:g}")
    began = time.monotonic()
    results = Results(time.strftime("%Y-%m-%d"), seed, arguments.scale, os.cpu_count() or 0, 0.0, [])
    for run in runs:
        result = _perform(_scaled(run, arguments.scale), seed)
        results.runs.append(result)
        _report(result, arguments.scale)
    results.took_minutes = round((time.monotonic() - began) / 60, 1)
    full = arguments.only is None and arguments.scale == 1.0
    return _conclude(results, full=full, write=full or arguments.write)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Faults at their full dose.")
    parser.add_argument("--seed", type=int, help="repeat what was done under this seed; drawn otherwise")
    parser.add_argument("--only", metavar="RUN", help="one run, by its name")
    parser.add_argument("--scale", type=float, default=1.0, help="this part of every dose (at least one of each)")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the results also where it was not the full set: these runs replace their own in the last one",
    )
    return parser.parse_args()


def _scaled(run: Run, scale: float) -> Run:
    faults = tuple((fault, math.ceil(times * scale)) for fault, times in run.faults)
    return msgspec.structs.replace(run, events=max(500, int(run.events * scale)), faults=faults)


def _perform(run: Run, seed: int) -> Result:
    try:
        return perform(run, seed, say=_say)
    except Exception as error:  # noqa: BLE001  # the other runs still have something to say
        return Result(run.name, seed, sentences=[f"{type(error).__name__}: {error}"])


def _report(result: Result, scale: float) -> None:
    _say(result.line())
    for name, count in sorted(result.injected.items()):
        _say(f"     {count:,} x {name}")
    for cause, count in sorted(result.stopped_by_themselves.items()):
        _say(f"     a worker stopped by itself, {count} x: {cause}")
    for note in result.notes:
        _say(f"     {note}")
    if not result.ok:
        for sentence in [*result.sentences, result.verifier_said]:
            _say(f"     {sentence}")
        _say(f'     repeat with: python -m tests.faults --seed {result.seed} --scale {scale:g} --only "{result.name}"')


def _conclude(results: Results, *, full: bool, write: bool) -> int:
    failed = [run.name for run in results.runs if not run.ok]
    _say(
        f"{results.injected:,} faults injected ({results.kills} worker kills), {results.events:,} events, "
        f"{results.took_minutes:g} minutes, seed {results.seed}: {'failed: ' + ', '.join(failed) if failed else 'OK'}"
    )
    if write:
        kept = results if full else _merged(results)
        RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
        write_table(PAGE, kept)
    if full and (results.events < LEAST_EVENTS or results.kills < LEAST_KILLS):
        _say(f"too little was tried: at least {LEAST_EVENTS:,} events and {LEAST_KILLS} kills are asked for")
        return 1
    return 1 if failed else 0


def _merged(results: Results) -> Results:
    """The last full set with these runs in the place of its own."""
    if not RESULTS.exists():
        return results
    last = msgspec.json.decode(RESULTS.read_bytes(), type=Results)
    again = {run.name: run for run in results.runs}
    return msgspec.structs.replace(
        last,
        runs=[again.get(run.name, run) for run in last.runs],
        took_minutes=round(last.took_minutes + results.took_minutes, 1),
    )


def write_table(page: Path, results: Results) -> None:
    """Replace what stands between the marks of the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{page} has the marks {BEGIN} and {END}"
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}")


def table(results: Results) -> str:
    """The results as a table, a run a row."""
    rows = [
        f"{results.date}, seed {results.seed}, {results.cores} cores, {results.took_minutes:g} minutes: "
        f"{results.injected:,} faults injected, {results.kills} of them deaths of workers, {results.events:,} events. "
        "Recovery: from the fault until every partition has a decision made after it.",
        "",
        "| run | dose | events | lost | duplicated | wrong | verify | recovery: median, most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows += [_row(run) for run in results.runs]
    notes = sorted({note for run in results.runs for note in run.notes})
    return "\n".join([*rows, "", *(["How: " + "; ".join(notes) + "."] if notes else [])]).rstrip()


def _row(run: Result) -> str:
    dose = ", ".join(f"{count:,} x {name}" for name, count in sorted(run.injected.items()))
    says = "OK" if run.verified else "differences"
    return (
        f"| {run.name} | {dose} | {run.events:,} | {run.lost} | {run.duplicated} | {run.wrong} | {says} | "
        f"{_recovery(run.recovery_seconds)} |"
    )


def _recovery(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.1f} s, {ordered[-1]:.1f} s" if ordered else "-"


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
