"""Fail-stop: the one way a worker gives up, and the bound on the time a stop may take.

A lane that is in doubt must not guess. What it did not commit is invisible to read_committed readers and is done again by
whoever opens the lane next, so the safe answer to every doubt is the same: say once what failed and what to do, and leave
with a non-zero exit code.
"""

import asyncio
import logging
import os
import threading
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from aiokafka.errors import KafkaError

from streams import metrics
from streams.security import denial

log = logging.getLogger(__name__)

EXIT_FAILURE = 1


class WorkerFailure(Exception):
    """Why a worker stops. The text is ours from end to end: it names topics, partitions and offsets, never a key or value."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}. {advice}")
        self.what = what
        self.advice = advice


class BrokenChainError(WorkerFailure):
    """A batch does not begin where the lane stands: records were lost or are about to be processed twice."""


class LaneFencedError(WorkerFailure):
    """Another worker opened this lane while we still believed that it was ours."""


class StoreDamagedError(WorkerFailure):
    """The local copy of the table cannot be read. It is only a copy: it will be rebuilt from the changelog."""


class StoreInUseError(WorkerFailure):
    """Another process holds the local copy of the table."""


class DeadLetterFloodError(WorkerFailure):
    """So many records cannot be used that the fault is upstream (or ours), not in single records."""


class FailureHandler(Protocol):
    """Receives whatever stopped a part of the runtime."""

    def __call__(self, exc: BaseException, *, doing: str) -> None: ...


def describe(exc: BaseException, doing: str) -> WorkerFailure:
    """A failure that is safe to log.

    The message of a foreign exception may hold a patient's id (a KeyError prints its key), so of those only the type and
    the place in the code are kept.
    """
    if isinstance(exc, WorkerFailure):
        return exc
    if denied := denial(exc, doing):
        return WorkerFailure(f"{doing} failed: {type(exc).__name__}", denied)
    if isinstance(exc, KafkaError):
        return WorkerFailure(
            f"{doing} failed: {type(exc).__name__}",
            "Check that the broker is up and reachable and its log; then restart the worker: nothing uncommitted is visible",
        )
    frames = traceback.extract_tb(exc.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return WorkerFailure(
        f"{doing} failed: {type(exc).__name__}{place}",
        "Nothing of the running batch was committed; restart the worker. If it stops at the same place again, report the "
        "exception's type and place",
    )


class StopDeadline:
    """Ends the process when a stop hangs, for example in a request to a broker that no longer answers."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started = False

    def start(self) -> None:
        """Arm the deadline once; a thread of its own, because the event loop may be what hangs."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._wait, name="stop-deadline", daemon=True).start()

    def _wait(self) -> None:
        threading.Event().wait(self.seconds)
        log.error(
            "stop: not finished after %.0f s, leaving without it. Uncommitted work is invisible and will be done again",
            self.seconds,
        )
        logging.shutdown()
        os._exit(EXIT_FAILURE)


class FailStop:
    """The exit path of every failure: one log line, a bounded stop, a non-zero exit code."""

    def __init__(self, crash: Callable[[BaseException], Awaitable[None]], deadline: StopDeadline) -> None:
        self._crash = crash
        self._deadline = deadline
        self._crashing: asyncio.Task[None] | None = None
        self.failure: WorkerFailure | None = None

    def __call__(self, exc: BaseException, *, doing: str) -> None:
        """Stop the worker because of `exc`. The first cause counts: what fails afterwards is a consequence."""
        if self.failure is not None:
            return
        self.failure = describe(exc, doing)
        if isinstance(exc, AssertionError):
            metrics.violation_log.note(str(self.failure))
        log.error("worker stops: %s", self.failure)
        log.debug("worker stops", exc_info=exc)
        self._deadline.start()
        self._crashing = asyncio.get_running_loop().create_task(self._run_crash(self.failure), name="fail-stop")

    async def _run_crash(self, failure: WorkerFailure) -> None:
        await self._crash(failure)
