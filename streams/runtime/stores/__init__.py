"""The local copy of one lane's part of the table: a cache of the changelog, never the truth."""

import shutil
from pathlib import Path

from streams.runtime.settings import StoreKind
from streams.runtime.stores.base import Store, StoreIdentity
from streams.runtime.stores.memory import MemoryStore
from streams.runtime.stores.rocksdb import RocksDBStore

__all__ = ["MemoryStore", "RocksDBStore", "Store", "StoreIdentity", "open_store"]


def open_store(kind: StoreKind, folder: Path, identity: StoreIdentity) -> Store:
    """Open the copy that belongs to `identity`; one that is missing, damaged or another's is replaced by an empty one."""
    if kind == "memory":
        return MemoryStore()
    return RocksDBStore(folder / identity.changelog_topic / f"{identity.partition:05d}", identity)


def delete_stores(folder: Path, changelog_topic: str) -> None:
    """Remove every local copy of a table, of all partitions. No worker may be running on the folder."""
    shutil.rmtree(folder / changelog_topic, ignore_errors=True)
