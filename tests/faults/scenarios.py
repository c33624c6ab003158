"""The scenarios in which deliberate bugs show: a few facts, one fault at the right place, and both judges.

The same scenarios without a bug must come out right; otherwise the judges would find anything.
"""

import contextlib
import random
import signal
import tempfile
from pathlib import Path

import msgspec

from tests.broker.harness import wait_until
from tests.faults.system import ProxiedBroker, System
from tests.faults.traffic import every_kind_of_poison
from tests.faults.worker import DIED, Orders

EVENTS = 240


class Found(msgspec.Struct):
    """What each judge said."""

    by_verify: str | None  # None: OK
    by_audit: list[str]

    def __bool__(self) -> bool:
        return self.by_verify is not None or bool(self.by_audit)


def look_for(
    broker: ProxiedBroker,
    bug: str | None,
    *,
    die_at: str | None = None,
    pause_at: str | None = None,
    returns_after_another: bool = False,
) -> Found:
    """Run the scenario with a bug, or without one, and say what the judges found."""
    with (
        tempfile.TemporaryDirectory(prefix="bug-") as folder,
        System(broker, Path(folder), seed=1, partitions=1, events=EVENTS, max_batch=20) as system,
    ):
        system.traffic.publish_agreements()
        system.traffic.publish(EVENTS // 2)
        system.traffic.publish(EVENTS // 2, every_kind_of_poison(random.Random(1), system.traffic.orders()))
        if returns_after_another:
            _returns_after_another(system, bug)
        elif pause_at is not None:
            _pauses(system, bug, pause_at)
        elif die_at is not None:
            _dies(system, bug, die_at)
        else:
            system.slots[0].start(Orders(bug=bug))
        wait_until(
            lambda: all(not slot.is_running or slot.is_ready for slot in system.slots),
            60,
            "the workers are ready or gone",
        )
        if bug is None:
            system.wait_decided(60)
        else:  # it may keep the group's offsets from the end for ever: then the judges say what they find at that moment
            with contextlib.suppress(AssertionError):
                system.wait_decided(10)
        system.stop()
        return Found(system.verify_here(), system.audit().sentences)


def _dies(system: System, bug: str | None, step: str) -> None:
    """One worker dies there and comes back."""
    slot = system.slots[0]
    dying = slot.start(Orders(bug=bug, die_at=step, at_time=3, with_outputs=True))
    assert dying.wait(60) == DIED, dying.log
    slot.start(Orders(bug=bug))


def _pauses(system: System, bug: str | None, step: str) -> None:
    """One worker is paused in the middle, another takes over and decides everything, the first one goes on."""
    first, second = system.slots
    paused = first.start(Orders(bug=bug, pause_at=step, at_time=3, with_outputs=True))
    wait_until(lambda: "pausing" in paused.log, 60, "the worker pauses itself")
    taking_over = second.start(Orders(bug=bug))
    taking_over.wait_ready(seconds=60)
    wait_until(lambda: "partitions 0" in taking_over.log, 60, "it was taken over")
    system.wait_decided(60)
    first.signal(signal.SIGCONT)
    wait_until(lambda: not first.is_running or paused.log.count("ready: ") > 1, 60, "it stops or joins again")


def _returns_after_another(system: System, bug: str | None) -> None:
    """One worker is paused at rest, another decides what comes, and ends; the first one gets its partition back."""
    first, second = system.slots
    paused = first.start(Orders(bug=bug))
    paused.wait_ready(seconds=60)
    system.wait_decided(60)
    first.signal(signal.SIGSTOP)
    between = second.start(Orders(bug=bug))
    wait_until(lambda: "partitions 0" in between.log, 60, f"it was taken over\n{between.log}")
    system.traffic.publish(EVENTS)
    system.wait_decided(60)
    assert second.stop_cleanly() == 0
    first.signal(signal.SIGCONT)
    wait_until(lambda: not first.is_running or paused.log.count("ready: ") > 1, 60, "it stops or joins again")
    if not first.is_running:
        first.start(Orders(bug=bug))
    # The group's offsets are at the ends already, where the other worker left them: with more to decide, the wait for
    # them ends only when the first worker has gone through all that it takes for undecided
    system.traffic.publish(EVENTS // 4)
