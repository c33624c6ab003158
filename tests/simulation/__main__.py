"""Long runs: `python -m tests.simulation --seeds 10000 --from 1`. Exit code 1 with the failing seed and how to repeat it."""

import argparse
import sys
import time
import traceback
from collections import Counter

from tests.simulation.simulation import Simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, metavar="N", help="how many seeds (default: 1000)")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="S", help="the first seed (default: 1)")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failing seed")
    arguments = parser.parse_args()
    started, started_cpu = time.perf_counter(), time.process_time()
    faults: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    events = commits = done = failed = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        simulation = Simulation(seed)
        try:
            report = simulation.run()
        except Exception as exc:  # noqa: BLE001  # each is a finding
            failed += 1
            print(f"seed {seed}: {type(exc).__name__}: {exc}")
            print(f"  repeat it: python -m tests.simulation --seeds 1 --from {seed}")
            if arguments.seeds == 1:
                traceback.print_exc()
            if not arguments.keep_going:
                break
            continue
        done += 1
        events += report.events
        commits += report.commits
        faults.update(report.faults)
        failures.update(report.failures)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    print(
        f"{done} seeds in {seconds:.1f} s ({60 * done / cpu_seconds:,.0f} a minute of one core): "
        f"{events:,} events, {commits:,} commits, "
        f"{sum(faults.values()):,} faults, {failed} failed"
    )
    for name, count in sorted(faults.items()):
        print(f"  {count:7,} {name}")
    for name, count in sorted(failures.items()):
        print(f"  {count:7,} workers stopped with {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
