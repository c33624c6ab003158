"""Several worker processes on one machine as one: they start, stop and fail together.

A Python process decides on one core. This is no orchestrator and restarts nothing: when one process ends, the others are stopped,
and its exit code is that of all. So whoever restarts workers (systemd, Kubernetes, Compose) sees the failure, counts it and
waits longer each time, as with a single worker, and nobody runs unnoticed on a part of what was asked for.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from typing import Any, TextIO

_FAILURE = 1
_KILLED = 128  # plus the signal's number, as shells have it
_READY = b"ready:"
_PR_SET_PDEATHSIG = 1
_CHUNK_BYTES = 1 << 16


async def supervise(commands: Sequence[Sequence[str]], stop_seconds: float) -> int:
    """Run the commands until SIGINT or SIGTERM, or until one of them ends; the exit code of all.

    The first signal goes on to every process, later ones change nothing; who has not ended `stop_seconds` later is killed.
    The code is 0 when all ended with 0 after a signal; else that of the first that failed, 128 plus the number of the signal that
    killed it, or 1 if it ended with 0 although nobody had asked it to. When each process has said `ready:`, so does this one.
    """
    told: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()

    def tell(asked: signal.Signals) -> None:
        if not told.done():
            told.set_result(asked)

    for asked in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(asked, tell, asked)
    processes = [await _start(command) for command in commands]
    unready = set(range(len(processes)))
    outputs = asyncio.gather(
        *(_pass_on(number, _pipe(process.stdout), sys.stdout, unready) for number, process in enumerate(processes)),
        *(_pass_on(number, _pipe(process.stderr), sys.stderr) for number, process in enumerate(processes)),
    )
    ends = [asyncio.ensure_future(process.wait()) for process in processes]
    either: list[asyncio.Future[Any]] = [told, *ends]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    failed = 0
    if not told.done():
        number, code = next((number, end.result()) for number, end in enumerate(ends) if end.done())
        failed = _exit_code(code) or _FAILURE
        _say(
            f"worker stops: process {number} {_told(code)}; the others are stopped. Its last line says why; restart the worker"
        )
    for process in processes:
        _send(process, told.result() if told.done() else signal.SIGTERM)
    _, late = await asyncio.wait(ends, timeout=stop_seconds)
    for number, end in enumerate(ends):
        if end in late:
            _say(f"process {number} did not stop within {stop_seconds:g} s and is killed")
            _send(processes[number], signal.SIGKILL)
    codes = [_exit_code(await end) for end in ends]
    await outputs
    return failed or next((code for code in codes if code), 0)


async def _start(command: Sequence[str]) -> Process:
    # A session of its own: Ctrl-C in a terminal reaches every process of the foreground group, and would arrive twice.
    return await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, start_new_session=True, preexec_fn=_end_with(os.getpid())
    )


def _end_with(parent: int) -> Callable[[], None] | None:
    """To be called in a new process: whatever ends the parent, even SIGKILL, stops the process. Linux can do this, others not."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(_FAILURE)

    return ask


def _pipe(reader: asyncio.StreamReader | None) -> asyncio.StreamReader:
    assert reader is not None
    return reader


async def _pass_on(number: int, reader: asyncio.StreamReader, out: TextIO, unready: set[int] | None = None) -> None:
    """Write a process's lines with its number before them; with `unready`, look for its first line that says ready."""
    rest = b""
    while chunk := await reader.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _write(out, number, line)
            if unready and number in unready and line.startswith(_READY):
                unready.remove(number)
                if not unready:
                    _say("ready: all processes", out)
    if rest:
        _write(out, number, rest)


def _write(out: TextIO, number: int, line: bytes) -> None:
    _say(f"[{number}] {line.decode(errors='replace')}", out)


def _say(line: str, out: TextIO | None = None) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more; the workers go on, as one alone would
        print(line, file=out or sys.stderr, flush=True)


def _send(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _exit_code(returned: int) -> int:
    return returned if returned >= 0 else _KILLED - returned


def _told(returned: int) -> str:
    return f"ended with exit code {returned}" if returned >= 0 else f"was ended by {signal.Signals(-returned).name}"
