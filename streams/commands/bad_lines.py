"""The bad lines of a JSONL file, for commands that do nothing if there is one."""

import click

from streams.events import BadLine


class BadLines:
    """Each is named on standard error when it is met, and none is kept: a file of another kind may have millions."""

    def __init__(self, where: object) -> None:
        self.count = 0
        self._where = where

    def add(self, bad: BadLine) -> None:
        """Name one."""
        self.count += 1
        click.echo(f"error: {self._where}: {bad}", err=True)
