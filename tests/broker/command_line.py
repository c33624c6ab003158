"""`pathway-billing` as a person runs it: a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

COMMAND = (sys.executable, "-m", "streams.cli")


def environment(home: Path, **changes: str) -> dict[str, str]:
    """This process's environment without its settings, with the data folder below `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PATHWAY_BILLING_")}
    return {**kept, "XDG_DATA_HOME": str(home), **changes}


def run(*arguments: str, home: Path, timeout: float = 60, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        (*COMMAND, *arguments),
        env=environment(home, **changes),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def start(
    *arguments: str, home: Path, prefix: tuple[str, ...] = (), log: IO[str] | None = None, **changes: str
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the test, and is killed at its end if it still does. What it logs goes to a file where it
    may be more than a pipe holds."""
    with subprocess.Popen(
        (*prefix, *COMMAND, *arguments),
        env=environment(home, **changes),
        stdout=subprocess.PIPE,
        stderr=log or subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
