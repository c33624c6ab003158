"""`pathway-billing` with something wrong in its process: `python -m tests.faults.worker '<JSON of Orders>' worker ...`.

The command and everything in it are the product's; only what the orders say is changed from outside.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import msgspec

STEPS = ("before begin", "submitted", "sent", "before commit", "committed", "stored", "claimed")
"""The lane's own steps, and `submitted`: record batches are under way, and their answer has not come."""

DIED = 9


class Orders(msgspec.Struct):
    """What shall go wrong."""

    # End the process the nth time that a lane reaches this step, or pause it there (SIGSTOP)
    die_at: str | None = None
    pause_at: str | None = None
    at_time: int = 1
    # Count only transactions that publish something, not those of facts without decisions, or of the group's offsets
    with_outputs: bool = False
    # Set this process's clock to another time every so many seconds
    clock_seed: int | None = None
    clock_every_seconds: float = 1.0
    # Be a release whose patient state has a newer format
    next_release: bool = False
    # A deliberate bug of tests.faults.bugs
    bug: str | None = None


def main() -> None:
    orders = msgspec.json.decode(sys.argv.pop(1), type=Orders)
    if orders.clock_seed is not None:
        _step_the_clock(orders.clock_seed, orders.clock_every_seconds)
    if orders.next_release:
        _raise_state_format()
    if orders.bug is not None:
        from tests.faults.bugs import BUGS

        BUGS[orders.bug].inject()
    if orders.die_at is not None:
        _at_step(orders.die_at, orders, lambda: os._exit(DIED))
    if orders.pause_at is not None:
        _at_step(orders.pause_at, orders, _pause)
    from streams.cli import main as command_line

    command_line()


def _pause() -> None:
    print("pausing", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)


def _at_step(wanted: str, orders: Orders, act: Callable[[], object]) -> None:
    from streams.runtime.lane import Lane
    from streams.runtime.producer import TransactionalProducer
    from streams.runtime.transactions import Writer

    make, commit, produce = Lane.__init__, Lane._commit, TransactionalProducer._produce_to
    make_writer, transaction = Writer.__init__, Writer._transaction
    reached = 0
    # Lanes commit side by side, each in a task of its own, and the writer runs its transactions in another
    publishing: set[int] = set()
    publishes: ContextVar[bool] = ContextVar("publishes", default=False)

    def on_step(step: str) -> None:
        nonlocal reached
        if step == wanted and (publishes.get() or not orders.with_outputs):
            reached += 1
            if reached == orders.at_time:
                act()

    def watched_make(self: Lane, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self._on_step = on_step

    async def watched_commit(self: Lane, held: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        publishes.set(bool(outputs))
        (publishing.add if outputs else publishing.discard)(self.partition)
        await commit(self, held, outputs, *args, **kwargs)

    def watched_make_writer(self: Writer, settings: Any, _: Any) -> None:
        make_writer(self, settings, on_step)

    async def watched_transaction(self: Writer, parts: Any, batches: Any) -> Any:
        publishes.set(any(part.partition in publishing for part in parts))
        return await transaction(self, parts, batches)

    async def watched_produce(*args: Any) -> Any:
        answer = asyncio.create_task(produce(*args))
        await asyncio.sleep(0)  # the request goes out
        on_step("submitted")
        return await answer

    Lane.__init__ = watched_make  # type: ignore[method-assign]
    Lane._commit = watched_commit  # type: ignore[method-assign]
    Writer.__init__ = watched_make_writer  # type: ignore[method-assign]
    Writer._transaction = watched_transaction  # type: ignore[method-assign]
    TransactionalProducer._produce_to = watched_produce  # type: ignore[method-assign]


def _step_the_clock(seed: int, every_seconds: float) -> None:
    """Replace the wall clock of this process: hours and days forward and back. The monotonic clock runs on."""
    rnd = random.Random(seed)
    now, started = time.time, time.monotonic()
    steps = [0.0]

    def stepping_time() -> float:
        while len(steps) <= (time.monotonic() - started) / every_seconds:
            steps.append(rnd.choice((-1, 1)) * rnd.choice((1.0, 60.0, 3_600.0, 86_400.0, 40 * 86_400.0)))
            print(f"clock off by {steps[-1]:+.0f} s", file=sys.stderr, flush=True)
        return now() + steps[-1]

    time.time = stepping_time


def _raise_state_format() -> None:
    """As a next release would: it writes format 2 and still reads format 1 (here both have the same body)."""
    from streams.agents import patient_state

    old, new = patient_state._VERSION_BYTE, bytes((patient_state.FORMAT_VERSION + 1,))
    read_body = patient_state._body

    def body(value: bytes) -> memoryview:
        return memoryview(value)[1:] if value[:1] == new else read_body(value)

    def store(self: patient_state.StoredPatient, put: Callable[[bytes, bytes], None]) -> None:
        write(self, lambda key, value: put(key, new + value[len(old) :]))

    write = patient_state.StoredPatient.store
    patient_state._body = body
    patient_state.StoredPatient.store = store  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
