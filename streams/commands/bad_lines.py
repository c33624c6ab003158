"""The bad lines of a JSONL file, for commands that do nothing if there is one."""

from streams.events import BadLine

MAX_NAMED_LINES = 20


class BadLines:
    """The first are named, all are counted: a file of another kind may have millions."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[BadLine] = []

    def add(self, bad: BadLine) -> None:
        """Take note of one."""
        self.count += 1
        if len(self._first) < MAX_NAMED_LINES:
            self._first.append(bad)

    def named(self, where: object) -> list[str]:
        """A sentence for each of the first, and one for how many more there are."""
        sentences = [f"{where}: {bad}" for bad in self._first]
        if self.count > len(self._first):
            sentences.append(f"{where}: {self.count - len(self._first):,} more bad lines")
        return sentences
