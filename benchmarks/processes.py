"""What a process costs: CPU seconds and resident memory of it and all its descendants, from /proc."""

import contextlib
import mmap
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """At an instant of the monotonic clock."""

    at: float
    cpu_seconds: float  # user and system, since the start
    rss_bytes: int  # now; memory that processes share counts in each


def cost(pids: list[int]) -> Cost:
    """The cost of these processes and their descendants."""
    total_ticks = rss = 0
    for pid in with_descendants(pids):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total_ticks += int(fields[11]) + int(fields[12])
            rss += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return Cost(time.monotonic(), total_ticks / _TICKS, rss)


def with_descendants(pids: list[int]) -> list[int]:
    """These processes and all that they have started."""
    found = list(pids)
    for pid in found:  # grows while it is walked
        for task in Path("/proc").glob(f"{pid}/task/*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def touch_memory(size_bytes: int) -> None:
    """Take so much memory from the machine and give it back at once: what is taken next is there already.

    The host of a virtual machine may take back what its guest does not use (free page reporting), and then hands it out again page
    by page: 8 to 11 microseconds a page on the machine of docs/performance.md, 2.5 where the host has it still. Which of the two a
    run met was chance, and up to a third of its CPU seconds.
    """
    with mmap.mmap(-1, size_bytes) as memory:
        for at in range(0, size_bytes, mmap.PAGESIZE):
            memory[at] = 1


class Meter:
    """Samples the cost of processes until it is stopped."""

    def __init__(self, pids: list[int], every_seconds: float = 0.1) -> None:
        self._pids = pids
        self._every_seconds = every_seconds
        self.samples: list[Cost] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            self.samples.append(cost(self._pids))

    def stop(self) -> None:
        """No further samples."""
        self._stop.set()
        self._thread.join()

    def cpu_seconds_between(self, begin: float, end: float) -> float:
        """CPU seconds between two instants, to the nearest samples."""
        if not self.samples:
            return 0.0
        return self._nearest(end).cpu_seconds - self._nearest(begin).cpu_seconds

    def peak_rss_bytes(self) -> int:
        """The most memory that was resident at a sample."""
        return max((sample.rss_bytes for sample in self.samples), default=0)

    def _nearest(self, at: float) -> Cost:
        return min(self.samples, key=lambda sample: abs(sample.at - at))


def end(process: "subprocess.Popen[bytes]", seconds: float = 12) -> None:
    """SIGTERM, then SIGKILL after a while (Quix Streams was seen to need it)."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
