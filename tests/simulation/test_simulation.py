"""Some hundred seeds of the simulation, all that ever failed, and the simulation itself. Long runs: see __main__."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS, Bug, planted
from tests.simulation.simulation import Simulation

HERE = Path(__file__).parent
FIRST_SEED = 10_000
SECONDS = 10.0
LEAST_SEEDS = 30
MOST_SEEDS_FOR_A_BUG = 200


def regression_seeds() -> list[int]:
    """Seeds that failed once, from seeds.txt: a number, and what it had found."""
    lines = (HERE / "seeds.txt").read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def run(seed: int) -> Simulation:
    simulation = Simulation(seed)
    try:
        simulation.run()
    except Exception as exc:
        raise AssertionError(
            f"seed {seed}: {exc}. Repeat it: python -m tests.simulation --seeds 1 --from {seed}; "
            "when it is understood, add it to tests/simulation/seeds.txt"
        ) from exc
    return simulation


def test_new_seeds() -> None:
    """As many seeds as the time allows; the faults that they had are counted, a run without any proves nothing."""
    started, faults, seed = time.process_time(), 0, FIRST_SEED
    while time.process_time() - started < SECONDS or seed < FIRST_SEED + LEAST_SEEDS:
        faults += sum(run(seed).report.faults.values())
        seed += 1
    print(f"{seed - FIRST_SEED} seeds, {faults} faults")
    assert faults > seed - FIRST_SEED


@pytest.mark.parametrize("seed", regression_seeds())
def test_seeds_that_failed_once(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_deliberate_bug_is_caught(bug: Bug) -> None:
    with planted(bug):
        caught = None
        for seed in [*bug.seeds, *range(1, MOST_SEEDS_FOR_A_BUG + 1)]:
            try:
                Simulation(seed).run()
            except Exception as exc:  # noqa: BLE001  # each is a finding
                caught = exc
                break
    assert caught is not None, f"{bug.name}: not caught in {MOST_SEEDS_FOR_A_BUG} seeds"


def test_a_seed_is_the_same_run_whatever_the_hash_seed() -> None:
    script = (
        "from tests.simulation.simulation import Simulation; "
        "print(*[Simulation(seed).run() for seed in range(10_000, 10_006)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=HERE.parents[1],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1
