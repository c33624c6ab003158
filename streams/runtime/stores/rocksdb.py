"""Values in RocksDB: a warm restart reads only the changelog's tail.

The changelog offset is written in the same batch as the values, after the transaction's commit, so the copy is never ahead
of the log and never in between. It is not synced to disk: after a crash of the machine it is older, not wrong.

A store that is rebuilt needs no write-ahead log of its own: the changelog is one. A value takes 4.0 instead of 4.9 microseconds.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import rocksdict

from streams.runtime.failure import StoreDamagedError, StoreInUseError, WorkerFailure
from streams.runtime.stores.base import StoreIdentity

FORMAT_VERSION = 1

_STATE_KEY = b"\x00\x00store"
_DAMAGED_MARK = "DAMAGED"
_LOCK_PATIENCE_SECONDS = 10.0
_DISK_REFUSES = (
    "No space left on device",
    "Read-only file system",
    "Permission denied",
    "File too large",
    "Disk quota exceeded",
)


class _State(msgspec.Struct, array_like=True):
    format: int
    topic: str
    topic_id: str
    partition: int
    next_offset: int
    complete_at: float


def _options() -> Any:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    # A worker holds a dozen of these at once: 8 MiB of cache and two 8 MiB write buffers each keep them below 300 MiB.
    options.set_write_buffer_size(8 << 20)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(64)
    options.set_keep_log_file_num(2)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(rocksdict.Cache(8 << 20))
    table.set_bloom_filter(10, False)
    table.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(table)
    # The checksums of what is read are always verified; a torn end of the write-ahead log is a crash, not damage.
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
    return options


class RocksDBStore:
    """A Store in a folder of its own."""

    def __init__(self, folder: Path, identity: StoreIdentity) -> None:
        self._folder = folder
        self._identity = identity
        self.rebuilt_because: str | None = None
        self.next_offset: int | None = None
        self._complete_at = time.time()
        self._unlogged = rocksdict.WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign, assignment]  # rocksdict's hints call it a method
        self._holds_unlogged = False  # values that are in memory alone
        mark = folder / _DAMAGED_MARK
        if mark.exists():
            self._discard("it was found damaged")
        try:
            self._db = self._open()
            self._read_state()
        except StoreDamagedError as exc:
            self._discard(exc.what)
            self._db = self._open()
            self._read_state()

    @property
    def age_seconds(self) -> float:
        return max(0.0, time.time() - self._complete_at)

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key)
        except Exception as exc:
            raise self._failed(exc) from exc
        return value

    def apply(self, changes: Mapping[bytes, bytes | None], next_offset: int, *, rebuilding: bool = False) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._write(batch, next_offset, logged=not rebuilding)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        try:
            for key, value in self._db.items():
                if key != _STATE_KEY:
                    yield key, value
        except Exception as exc:
            raise self._failed(exc) from exc

    def wipe(self) -> None:
        self._db.close()
        shutil.rmtree(self._folder)
        self._db = self._open()
        self.next_offset = None

    def close(self) -> None:
        if self.next_offset is not None:
            # The lane was at the end of its changelog until now: the copy is as fresh as this moment.
            self._write(rocksdict.WriteBatch(raw_mode=True), self.next_offset)
        try:
            self._db.close()
        except Exception as exc:  # it writes what is in memory, which a full disk refuses
            raise self._failed(exc) from exc

    def _open(self) -> Any:
        """Open the database; waits a little for a former lane, in this or another process, to let go of it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise self._unusable(str(exc.strerror)) from exc
        give_up_at = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                return rocksdict.Rdict(str(self._folder), _options())
            except Exception as exc:
                # rocksdict knows only one exception type; the text tells a disk and a held lock from damage
                if why := next((why for why in _DISK_REFUSES if why in str(exc)), None):
                    raise self._unusable(why) from exc
                if "/LOCK:" not in str(exc):
                    raise StoreDamagedError("it does not open", "") from exc
                if time.monotonic() > give_up_at:
                    raise StoreInUseError(
                        f"the state folder of partition {self._identity.partition} is in use by another process",
                        "Give each worker a state folder of its own (--state)",
                    ) from exc
                time.sleep(0.05)

    def _read_state(self) -> None:
        try:
            value = self._db.get(_STATE_KEY)
            empty = value is None and next(iter(self._db.keys()), None) is None
            state = None if value is None else msgspec.msgpack.decode(value, type=_State)
        except Exception as exc:
            self._db.close()
            raise StoreDamagedError("its state cannot be read", "") from exc
        if state is None:
            if not empty:
                self._db.close()
                raise StoreDamagedError("it holds values but not their changelog offset", "")
            return
        if state.format != FORMAT_VERSION:
            self._db.close()
            raise StoreDamagedError(f"it has format {state.format}, this program writes {FORMAT_VERSION}", "")
        if (state.topic, state.topic_id, state.partition) != self._identity:
            self._db.close()
            raise StoreDamagedError("it is the copy of another changelog (the topic was made again)", "")
        self.next_offset = state.next_offset
        self._complete_at = state.complete_at

    def _write(self, batch: Any, next_offset: int, *, logged: bool = True) -> None:
        self._complete_at = time.time()
        state = _State(FORMAT_VERSION, *self._identity, next_offset=next_offset, complete_at=self._complete_at)
        batch.put(_STATE_KEY, msgspec.msgpack.encode(state))
        try:
            if not logged:
                self._holds_unlogged = True
                self._db.write(batch, self._unlogged)
            else:
                if self._holds_unlogged:  # or a crash would leave this offset without the values before it
                    self._db.flush()
                    self._holds_unlogged = False
                self._db.write(batch)
        except Exception as exc:
            raise self._failed(exc) from exc
        self.next_offset = next_offset

    def _discard(self, why: str) -> None:
        try:
            shutil.rmtree(self._folder)
        except OSError as exc:
            raise self._unusable(str(exc.strerror)) from exc
        self.rebuilt_because = why

    def _failed(self, exc: Exception) -> WorkerFailure:
        """What to raise for RocksDB's error. Damage leaves a mark, so that the next start throws this copy away."""
        partition = self._identity.partition
        if "Corruption" not in str(exc):
            return self._unusable(str(exc).split(":")[0])
        with contextlib.suppress(OSError):
            (self._folder / _DAMAGED_MARK).touch()
        return StoreDamagedError(
            f"the local store of partition {partition} is damaged",
            "Restart the worker: it rebuilds the store from the changelog. If it happens again, check the disk",
        )

    def _unusable(self, why: str) -> WorkerFailure:
        """What to raise when the disk is at fault, and not what is on it."""
        return WorkerFailure(
            f"the local store of partition {self._identity.partition} cannot be read or written ({why})",
            "Check that the state folder is writable and the disk is not full, then restart the worker",
        )
