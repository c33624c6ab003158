"""The local stores: one behaviour for all of them, and what RocksDB adds."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.runtime.failure import StoreDamagedError, StoreInUseError, WorkerFailure
from streams.runtime.stores import RocksDBStore, Store, StoreIdentity, open_store, rocksdb

IDENTITY = StoreIdentity("app-patients-changelog", "topic-1", 4)

OpenStore = Callable[[], Store]


@pytest.fixture(params=["memory", "rocksdb"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(request.param, tmp_path, IDENTITY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_new_store_is_empty_and_has_read_nothing(any_store: Store) -> None:
    assert any_store.next_offset is None
    assert any_store.rebuilt_because is None
    assert any_store.get(b"k") is None
    assert list(any_store.items()) == []


def test_it_holds_what_was_applied_last(any_store: Store) -> None:
    any_store.apply({b"a": b"1", b"b": b"2", b"": b"empty key"}, 3)
    any_store.apply({b"a": b"", b"b": None, b"c": b"4", b"never there": None}, 9)
    assert any_store.next_offset == 9
    assert dict(any_store.items()) == {b"a": b"", b"c": b"4", b"": b"empty key"}
    assert any_store.get(b"a") == b"", "an empty value is not a missing one"
    assert any_store.get(b"b") is None


def test_an_offset_can_move_without_a_value(any_store: Store) -> None:
    any_store.apply({}, 0)
    assert any_store.next_offset == 0
    any_store.apply({}, 5)
    assert any_store.next_offset == 5
    assert list(any_store.items()) == []


def test_wiping_forgets_the_offset_too(any_store: Store) -> None:
    any_store.apply({b"a": b"1"}, 3)
    any_store.wipe()
    assert any_store.next_offset is None
    assert any_store.get(b"a") is None
    any_store.apply({b"b": b"1"}, 1)
    assert dict(any_store.items()) == {b"b": b"1"}


def test_keys_and_values_of_any_bytes(any_store: Store) -> None:
    values = {bytes([n, 0, 255 - n]): bytes(range(n)) for n in range(256)}
    any_store.apply(values, 1)
    assert dict(any_store.items()) == values


def test_a_value_of_a_megabyte(any_store: Store) -> None:
    any_store.apply({b"large": b"x" * 1_000_000}, 1)
    assert any_store.get(b"large") == b"x" * 1_000_000


def test_it_closes(any_store: Store) -> None:
    any_store.apply({b"a": b"1"}, 3)
    any_store.close()


# RocksDB: what stays when it is opened again


def test_a_reopened_store_continues(folder: Path) -> None:
    store = RocksDBStore(folder, IDENTITY)
    store.apply({b"a": b"1"}, 3)
    store.close()
    again = RocksDBStore(folder, IDENTITY)
    assert again.next_offset == 3
    assert again.get(b"a") == b"1"
    assert again.rebuilt_because is None
    assert again.age_seconds < 60


def test_a_killed_process_loses_nothing_that_was_applied(folder: Path) -> None:
    script = f"""
import os, pathlib
from streams.runtime.stores import RocksDBStore, StoreIdentity
store = RocksDBStore(pathlib.Path({str(folder)!r}), StoreIdentity(*{tuple(IDENTITY)!r}))
for n in range(100):
    store.apply({{b"key-%d" % n: b"v"}}, n + 1)
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    store = RocksDBStore(folder, IDENTITY)
    assert store.next_offset == 100
    assert len(list(store.items())) == 100


REBUILD = """
import os, pathlib, sys
from streams.runtime.stores import RocksDBStore, StoreIdentity
store = RocksDBStore(pathlib.Path(sys.argv[1]), StoreIdentity(*{identity!r}))
for n in range(400):
    store.apply({{b"key-%d" % n: os.urandom(50_000)}}, n + 1, rebuilding=True)
if sys.argv[2] == "done":
    store.apply({{}}, 500)
os.kill(os.getpid(), 9)
"""


def _rebuilt(folder: Path, how_far: str) -> RocksDBStore:
    script = REBUILD.format(identity=tuple(IDENTITY))
    assert subprocess.run([sys.executable, "-c", script, str(folder), how_far], check=False).returncode == -9
    return RocksDBStore(folder, IDENTITY)


def test_a_process_killed_while_rebuilding_leaves_a_store_that_is_older_and_whole(folder: Path) -> None:
    """20 MB are more than the write buffers hold: the first of them are on the disk, and the offset is theirs."""
    store = _rebuilt(folder, "killed")
    assert store.next_offset is not None
    assert 0 < store.next_offset < 400
    assert {key for key, _ in store.items()} == {b"key-%d" % n for n in range(store.next_offset)}
    store.apply({b"key-last": b"v"}, 500)
    store.close()
    assert RocksDBStore(folder, IDENTITY).next_offset == 500


def test_the_first_write_after_rebuilding_makes_all_of_it_last(folder: Path) -> None:
    store = _rebuilt(folder, "done")
    assert store.next_offset == 500
    assert {key for key, _ in store.items()} == {b"key-%d" % n for n in range(400)}


def test_a_store_closed_while_rebuilding_keeps_what_it_has(folder: Path) -> None:
    store = RocksDBStore(folder, IDENTITY)
    store.apply({b"a": b"1"}, 3, rebuilding=True)
    store.close()
    again = RocksDBStore(folder, IDENTITY)
    assert (again.next_offset, again.get(b"a")) == (3, b"1")


@pytest.mark.parametrize(
    "other",
    [IDENTITY._replace(topic_id="topic-2"), IDENTITY._replace(partition=5), IDENTITY._replace(changelog_topic="x")],
)
def test_the_copy_of_another_changelog_is_thrown_away(folder: Path, other: StoreIdentity) -> None:
    store = RocksDBStore(folder, other)
    store.apply({b"a": b"1"}, 3)
    store.close()
    again = RocksDBStore(folder, IDENTITY)
    assert again.rebuilt_because is not None
    assert again.next_offset is None
    assert again.get(b"a") is None


@pytest.mark.parametrize("what", ["MANIFEST", "CURRENT"])
def test_a_store_that_does_not_open_is_thrown_away(folder: Path, what: str) -> None:
    store = RocksDBStore(folder, IDENTITY)
    store.apply({b"a": b"1"}, 3)
    store.close()
    for file in folder.glob(f"{what}*"):
        file.write_bytes(b"garbage")
    again = RocksDBStore(folder, IDENTITY)
    assert again.rebuilt_because == "it does not open"
    assert again.next_offset is None


def test_values_without_their_offset_are_thrown_away(folder: Path) -> None:
    store = RocksDBStore(folder, IDENTITY)
    store._db.put(b"a", b"1")
    store.close()
    again = RocksDBStore(folder, IDENTITY)
    assert again.rebuilt_because is not None
    assert again.get(b"a") is None


def test_a_flipped_bit_is_noticed_when_read_and_rebuilt_at_the_next_start(folder: Path) -> None:
    store = RocksDBStore(folder, IDENTITY)
    store.apply({b"key-%04d" % n: n.to_bytes(2) * 50 for n in range(2_000)}, 2_000)
    store._db.flush()
    store.close()
    table = max(folder.glob("*.sst"), key=lambda file: file.stat().st_size)
    content = bytearray(table.read_bytes())
    content[len(content) // 3] ^= 0x10
    table.write_bytes(content)

    damaged = RocksDBStore(folder, IDENTITY)
    with pytest.raises(StoreDamagedError, match="partition 4 is damaged"):
        [damaged.get(b"key-%04d" % n) for n in range(2_000)]
    with contextlib.suppress(WorkerFailure):
        damaged.close()
    again = RocksDBStore(folder, IDENTITY)
    assert again.rebuilt_because == "it was found damaged"
    assert again.next_offset is None


def test_a_store_in_use_is_not_taken_for_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rocksdb, "_LOCK_PATIENCE_SECONDS", 0.1)
    store = RocksDBStore(folder, IDENTITY)
    store.apply({b"a": b"1"}, 3)
    with pytest.raises(StoreInUseError, match="state folder of its own"):
        RocksDBStore(folder, IDENTITY)
    assert store.get(b"a") == b"1"


def test_its_age_counts_from_the_last_time_it_was_complete(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RocksDBStore(folder, IDENTITY)
    store.apply({b"a": b"1"}, 3)
    store.close()
    now = time.time()
    monkeypatch.setattr(rocksdb.time, "time", lambda: now + 3600)
    assert 3500 < RocksDBStore(folder, IDENTITY).age_seconds < 3700
