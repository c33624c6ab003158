"""A worker's disk: stands in for RocksDB, with what a crash, an accident and time do to it.

A killed process loses nothing that was applied, but for the last of what it applied while rebuilding. A machine that fails
loses the last writes, in order: a store becomes older, never torn (that RocksDB keeps this promise is tested in
tests/unit/runtime/test_stores.py and tests/faults).
"""

import random
from collections.abc import Callable, Iterator, Mapping

from streams.runtime.failure import WorkerFailure
from streams.runtime.stores import MemoryStore, StoreIdentity
from tests.simulation.loop import Process, running_strand

OnApply = Callable[[int, Mapping[bytes, bytes | None], int], None]
"""Told of each write to any store: partition, changes, the changelog offset behind them."""

Write = tuple[dict[bytes, bytes | None], int]

WRITE_BUFFER = 3
"""So many writes of a rebuild go to the disk together, as RocksDB writes its buffer when it is full."""


class _File:
    """The writes of one store, oldest first."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.holder: Process | None = None
        self.old = False


class Disk:
    """The state folder of one worker; outlives its processes."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._files: dict[StoreIdentity, _File] = {}

    def open(self, identity: StoreIdentity, on_apply: OnApply) -> "DiskStore":
        file = self._files.setdefault(identity, _File())
        process = running_strand().process
        if file.holder is not None and file.holder.alive:
            raise WorkerFailure("the store is in use", "This is a lane that was not closed")
        file.holder = process
        return DiskStore(file, identity.partition, on_apply)

    def lose(self) -> None:
        """Everything is gone."""
        self._files.clear()

    def lose_last_writes(self) -> None:
        """The machine failed."""
        for file in self._files.values():
            del file.writes[self._rng.randint(0, len(file.writes)) :]

    def run_ahead(self) -> None:
        """A copy of another log: values that the changelog does not hold, and an offset that it does not reach."""
        for file in self._files.values():
            if file.writes:
                file.writes.append(({b"stranger": b"1"}, file.writes[-1][1] + 1_000))

    def grow_old(self) -> None:
        """So old that deletes may be missing."""
        for file in self._files.values():
            file.old = True


class DiskStore:
    """A Store whose writes stay when its process is gone."""

    rebuilt_because: str | None = None

    def __init__(self, file: _File, partition: int, on_apply: OnApply) -> None:
        self._file = file
        self._partition = partition
        self._on_apply = on_apply
        self._memory = MemoryStore()
        self._unlogged: list[Write] = []  # in memory alone: a killed process loses them
        for changes, next_offset in file.writes:
            self._memory.apply(changes, next_offset)
        self.next_offset = self._memory.next_offset

    @property
    def age_seconds(self) -> float:
        return 1e9 if self._file.old else 0.0

    def get(self, key: bytes) -> bytes | None:
        return self._memory.get(key)

    def apply(self, changes: Mapping[bytes, bytes | None], next_offset: int, *, rebuilding: bool = False) -> None:
        self._on_apply(self._partition, changes, next_offset)
        self._unlogged.append((dict(changes), next_offset))
        if not rebuilding or len(self._unlogged) == WRITE_BUFFER:
            self._flush()
        self._file.old = False
        self._memory.apply(changes, next_offset)
        self.next_offset = next_offset

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return self._memory.items()

    def wipe(self) -> None:
        self._file.writes.clear()
        self._unlogged.clear()
        self._memory.wipe()
        self.next_offset = None

    def close(self) -> None:
        self._flush()
        self._file.holder = None

    def _flush(self) -> None:
        self._file.writes += self._unlogged
        self._unlogged.clear()


class AuditedMemoryStore(MemoryStore):
    """The real memory store, watched."""

    def __init__(self, partition: int, on_apply: OnApply) -> None:
        super().__init__()
        self._partition = partition
        self._on_apply = on_apply

    def apply(self, changes: Mapping[bytes, bytes | None], next_offset: int, *, rebuilding: bool = False) -> None:
        self._on_apply(self._partition, changes, next_offset)
        super().apply(changes, next_offset, rebuilding=rebuilding)
