"""Two workers: partitions move, lanes that stay are kept, and nothing is lost or done twice."""

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.broker import EmbeddedBroker
from tests.broker.harness import Arena, WorkerProcess, wait_until

pytestmark = pytest.mark.broker


@pytest.fixture
def arena(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Arena]:
    """Four partitions, so that two workers have two each."""
    arena = Arena(broker.bootstrap_servers, tmp_path, partitions=4)
    yield arena
    arena.close()


def start(arena: Arena, name: str, **changes: Any) -> WorkerProcess:
    """A worker with a state folder of its own, as on a machine of its own."""
    return arena.start(instance_id=None, state_folder=str(arena.folder / name), batch_records=100, **changes)


def partitions(worker: WorkerProcess) -> set[str]:
    """The partitions of the newest ready line."""
    return set(worker.ready_lines[-1].split()[1:]) if worker.ready_lines else set()


def test_exactly_once_through_joins_and_leaves(arena: Arena) -> None:
    silence = 90.0  # so long that no partition moves because of it
    with arena.load(rate=800):
        first = start(arena, "first", session_timeout_seconds=silence)
        assert first.wait_ready() == "ready: 0 1 2 3"
        second = start(arena, "second", session_timeout_seconds=silence)
        wait_until(lambda: len(partitions(first)) == len(partitions(second)) == 2, 60, "two partitions each")
        assert partitions(first) | partitions(second) == set("0123")
        kept = re.findall(r"\((\d) kept\)", first.log)
        assert kept[-1] == "2", "the partitions that stayed kept their lanes"
        assert first.log.count("open after") == 4, "no lane was opened again"

        leaving = time.monotonic()
        assert second.terminate() == 0
        wait_until(lambda: len(partitions(first)) == 4, 60, "the rest is taken over")
        assert time.monotonic() - leaving < silence, "who leaves says so: nobody waits for its session to time out"
        third = start(arena, "third", session_timeout_seconds=silence)
        wait_until(lambda: len(partitions(third)) == 2, 60, "partitions for a newcomer")
        assert first.terminate() == 0
        wait_until(lambda: len(partitions(third)) == 4, 60, "all partitions for the last one")
    arena.wait_processed()
    assert third.terminate() == 0
    arena.assert_exactly_once()


@pytest.mark.parametrize("seed", [7])
def test_exactly_once_while_two_workers_are_killed_stopped_and_started(arena: Arena, seed: int) -> None:
    """Workers without static membership: after a kill, the group waits for the session timeout."""
    print(f"seed {seed}")
    rnd = random.Random(seed)
    with arena.load(rate=500):
        workers = [start(arena, "a"), start(arena, "b")]
        for worker in workers:
            worker.wait_ready()
        for fault in ("kill", "terminate", "kill"):
            index = rnd.randrange(2)
            time.sleep(rnd.uniform(0.0, 0.7))  # a moment of the generator's choice, not a wait for something
            if fault == "kill":
                workers[index].kill()
            else:
                assert workers[index].terminate() == 0
            workers[index] = start(arena, f"{'ab'[index]}")
            for worker in workers:
                wait_until(lambda w=worker: len(partitions(w)) == 2, 90, f"both serve after {fault}: {worker.log}")
    arena.wait_processed()
    for worker in workers:
        assert worker.terminate() == 0
    arena.assert_exactly_once()
