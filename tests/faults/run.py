"""One run: a system, a publisher that never stops, faults from a seed one after the other, and both judges at the end."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from tests.faults.audit import Audit
from tests.faults.faults import Fault
from tests.faults.system import SESSION_TIMEOUT_SECONDS, Ended, ProxiedBroker, System


class Run(msgspec.Struct, frozen=True):
    """What to do to a system, and to how large a one."""

    name: str
    faults: tuple[tuple[Fault, int], ...]  # how often each, mixed in an order that the seed decides
    events: int = 1_000
    rate: float = 300.0
    partitions: int = 2
    workers: int = 2
    max_batch: int = 200
    in_order: bool = False
    longest_cut_seconds: float = 2 * SESSION_TIMEOUT_SECONDS  # of the network


class Result(msgspec.Struct):
    """What came of a run, as it is kept in JSON."""

    name: str
    seed: int
    took_seconds: float = 0.0
    events: int = 0  # records in the input topics
    decisions: int = 0
    dead_letters: int = 0
    injected: dict[str, int] = {}
    kills: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    verified: bool = False
    verifier_said: str = ""
    sentences: list[str] = []
    recovery_seconds: list[float] = []
    stopped_by_themselves: dict[str, int] = {}  # workers that ended with a cause of their own, by that cause
    notes: list[str] = []

    @property
    def ok(self) -> bool:
        """Nothing lost, double or wrong, the verifier says OK, and faults were injected."""
        return self.verified and not (self.lost or self.duplicated or self.wrong) and sum(self.injected.values()) > 0

    def line(self) -> str:
        """One line for a person."""
        recovery = sorted(self.recovery_seconds)
        measured = f", recovery {recovery[len(recovery) // 2]:.1f} s (most {recovery[-1]:.1f})" if recovery else ""
        return (
            f"{'OK  ' if self.ok else 'FAIL'} {self.name}: {sum(self.injected.values()):,} faults injected, {self.events:,} "
            f"events, {self.lost} lost, {self.duplicated} duplicated, {self.wrong} wrong{measured} ({self.took_seconds:.0f} s)"
        )


KILLS = ("kill -9", "kill -9, taken over", "store deleted")


def perform(
    run: Run, seed: int, broker: ProxiedBroker | None = None, say: Callable[[str], None] = lambda sentence: None
) -> Result:
    """Do it. Raises AssertionError where the system does not come back or does not say what it must."""
    began = time.monotonic()
    rnd = random.Random(f"{run.name}/{seed}")
    result = Result(run.name, seed)
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        _broker(broker, Path(folder), run) as proxied,
        System(
            proxied,
            Path(folder),
            seed=rnd.getrandbits(20),
            partitions=run.partitions,
            workers=run.workers,
            events=run.events,
            rate=run.rate,
            max_batch=run.max_batch,
            longest_cut_seconds=run.longest_cut_seconds,
        ) as system,
    ):
        system.start()
        with ExitStack() as lasting:
            for fault in _schedule(run, rnd):
                say(f"{run.name}: {fault.name}")
                if fault.lasting:
                    lasting.enter_context(fault.inject(system, rnd))
                    continue
                with fault.inject(system, rnd):
                    if fault.interrupts:
                        result.recovery_seconds.append(round(system.wait_recovered(), 2))
                system.check_traffic()
            while len(system.traffic.published) < run.events:
                system.check_traffic()
                time.sleep(0.1)
        system.finish(120 + run.events / 1_000)
        _judge(system, result)
    result.took_seconds = round(time.monotonic() - began, 1)
    return result


def _schedule(run: Run, rnd: random.Random) -> Sequence[Fault]:
    lasting = [fault for fault, _ in run.faults if fault.lasting]
    faults = [fault for fault, times in run.faults for _ in range(times) if not fault.lasting]
    if not run.in_order:
        rnd.shuffle(faults)
    return [*lasting, *faults]


def _judge(system: System, result: Result) -> None:
    result.verified, result.verifier_said = system.verify()
    found: Audit = system.audit()
    result.events, result.decisions, result.dead_letters = found.records, found.decisions, found.dead_letters
    result.lost, result.duplicated, result.wrong = found.lost, found.duplicated, found.wrong
    result.sentences = found.sentences
    result.injected = dict(system.injected)
    result.kills = sum(system.injected[kill] for kill in KILLS) + sum(
        count for name, count in system.injected.items() if name.startswith("died: ")
    )
    result.stopped_by_themselves = _causes(system.ended)
    result.notes = sorted(system.notes)


def _causes(ended: Sequence[Ended]) -> dict[str, int]:
    causes: dict[str, int] = {}
    for end in ended:
        if end.exit_code == 1:
            causes[end.cause] = causes.get(end.cause, 0) + 1
    return causes


@contextmanager
def _broker(given: ProxiedBroker | None, folder: Path, run: Run) -> Iterator[ProxiedBroker]:
    if given is not None:
        yield given
        return
    with ProxiedBroker(folder / "broker", run.workers) as proxied:
        yield proxied
