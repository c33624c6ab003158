"""An event loop with a clock of its own: nothing sleeps, nothing is random but the seed.

Each callback belongs to a strand, a thread of a simulated process, through its context. Within a strand callbacks run in
the order in which they were scheduled, as in any event loop; which strand runs next is drawn. A process that is killed never
runs another callback, so it dies between any two awaits; one that is paused runs them all when it comes back, late.
"""

import asyncio
import contextlib
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any


class LivelockError(AssertionError):
    """The simulation takes more steps than any run should."""


class Handle:
    """A callback to run; what asyncio wants back from `call_soon` and `call_at`."""

    __slots__ = ("args", "callback", "context", "dropped", "strand", "when")

    def __init__(
        self, callback: Callable[..., Any], args: Any, context: contextvars.Context, strand: "Strand", when: float
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.strand = strand
        self.when = when
        self.dropped = False

    def cancel(self) -> None:
        self.dropped = True

    def cancelled(self) -> bool:
        return self.dropped


class Process:
    """What is killed or paused as a whole."""

    def __init__(self, loop: "SimulatedLoop", name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.steps_left: int | None = None  # killed when they are used up
        self.on_death: list[Callable[[], None]] = []
        self._loop = loop
        self._strands: list[Strand] = []

    def strand(self) -> "Strand":
        """A new thread of this process."""
        strand = Strand(self)
        self._strands.append(strand)
        return strand

    def kill(self) -> None:
        """As kill -9: not one more callback."""
        if self.alive:
            self.alive = False
            for strand in self._strands:
                strand.ready.clear()
                self._loop.not_runnable(strand)
            for tell in self.on_death:
                tell()

    def pause(self) -> None:
        """As SIGSTOP."""
        self.paused = True
        for strand in self._strands:
            self._loop.not_runnable(strand)

    def resume(self) -> None:
        """As SIGCONT; everything that came due meanwhile runs now."""
        if self.alive and self.paused:
            self.paused = False
            for strand in self._strands:
                if strand.ready:
                    self._loop.runnable.append(strand)


class Strand:
    """A thread of a process: its callbacks in order, and the context that its tasks run in."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.ready: deque[Handle] = deque()
        self.context = contextvars.Context()
        self.context.run(_strand.set, self)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task in this strand."""
        return asyncio.get_running_loop().create_task(coroutine, context=self.context.copy())


_strand: contextvars.ContextVar[Strand] = contextvars.ContextVar("strand")


def running_strand() -> Strand:
    """The strand of the running callback."""
    return _strand.get()


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks of all processes in an order drawn from the seed, and moves the clock when there are none."""

    def __init__(self, rng: random.Random, most_steps: int) -> None:
        self._rng = rng
        self._most_steps = most_steps
        self._now = 1_000.0
        self._timers: list[tuple[float, int, Handle]] = []
        self._count = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[Any]] = []
        self.runnable: list[Strand] = []
        self.steps = 0
        self.failure: BaseException | None = None
        self.world = Process(self, "world").strand()

    # What asyncio needs of a loop

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> Any:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        # The hot path, so in one piece: half of a run's callbacks come through here
        if context is None:
            context = contextvars.copy_context()
        strand = context.get(_strand, self.world)
        handle = Handle(callback, args, context, strand, self._now)
        process = strand.process
        if process.alive:
            if not strand.ready and not process.paused:
                self.runnable.append(strand)
            strand.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if context is None:
            context = contextvars.copy_context()
        handle = Handle(callback, args, context, context.get(_strand, self.world), when)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_exception_handler(self, context: Any) -> None:
        """What nobody handles; of a task that is collected, nothing."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """A thread of the pool: some time later, in the strand that asked."""
        future = self.create_future()

        def run() -> None:
            try:
                result = func(*args)
            except Exception as exc:  # noqa: BLE001  # handed on
                if not future.done():
                    future.set_exception(exc)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self._rng.random() * 0.01, run)
        return future

    # Ours

    def world_later(self, delay: float, callback: Any, *args: Any) -> Handle:
        """Outside of all processes, such as in the broker or on the wire."""
        world, when = self.world, self._now + delay
        handle = Handle(callback, args, world.context, world, when)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run until the coroutine, a task of the world, has ended; raises the first failure of anything."""
        asyncio.events._set_running_loop(self)
        try:
            main = self.world.spawn(coroutine)
            main.add_done_callback(lambda _: self.stop(), context=self.world.context)
            self._run()
            if self.failure is not None:
                raise self.failure
            return main.result()
        finally:
            self._bury()
            asyncio.events._set_running_loop(None)

    def stop(self) -> None:
        self._stopping = True

    def not_runnable(self, strand: Strand) -> None:
        with contextlib.suppress(ValueError):
            self.runnable.remove(strand)

    def _run(self) -> None:
        runnable, timers, draw = self.runnable, self._timers, self._rng.random
        while not self._stopping:
            if not runnable:
                when, _, handle = heapq.heappop(timers)
                if not handle.dropped:
                    if when > self._now:
                        self._now = when
                    self._ready(handle)
                continue
            index = 0 if len(runnable) == 1 else int(draw() * len(runnable))
            strand = runnable[index]
            handle = strand.ready.popleft()
            if not strand.ready:
                del runnable[index]
            if handle.dropped:
                continue
            process = strand.process
            if process.steps_left is not None:
                process.steps_left -= 1
                if process.steps_left < 0:
                    process.kill()
                    continue
            self.steps += 1
            if self.steps > self._most_steps:
                raise LivelockError(f"no end after {self._most_steps:,} steps")
            try:
                handle.context.run(handle.callback, *handle.args)
            except Exception as exc:  # noqa: BLE001  # of a callback, not of a task
                self.fail(exc)

    def fail(self, exc: BaseException) -> None:
        """End the run with this."""
        if self.failure is None:
            self.failure = exc
        self.stop()

    def _ready(self, handle: Handle) -> None:
        strand = handle.strand
        process = strand.process
        if not process.alive:
            return
        if not strand.ready and not process.paused:
            self.runnable.append(strand)
        strand.ready.append(handle)

    def _bury(self) -> None:
        """Close what is still suspended now, and not some time in the next run."""
        self.runnable.clear()
        self._timers.clear()
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine = task.get_coro()
                for _ in range(5):
                    try:
                        coroutine.close()
                        break
                    except BaseException:  # noqa: BLE001  # whatever a clean-up wants that nobody will answer
                        continue
            elif not task.cancelled():
                task.exception()  # seen
        self._tasks.clear()
