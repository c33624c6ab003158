"""The patient table as a Faust table: agents read and write it like a dictionary, the running lane carries it.

Stock Faust sends each write to the changelog as it happens and writes RocksDB before the changelog is acknowledged (a crash
leaves the local state ahead of the log). Here a write goes to the running lane's transaction and reaches the local store
after its commit.
"""

import contextvars
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import faust
from faust.stores.base import Store as FaustStore
from faust.tables.manager import TableManager
from faust.types import TP

from streams.runtime.position import POSITION_KEY
from streams.runtime.service_log import service_log
from streams.runtime.stores import Store

if TYPE_CHECKING:
    from streams.runtime.lanes import Lanes


class TableTransaction:
    """One lane's part of the table during a transaction: committed values, and the writes that wait for the commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value as the running transaction sees it, its own writes included."""
        if key in self.changes:
            return self.changes[key]
        return self._store.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a value, or delete it with None."""
        assert not key.startswith(b"\x00"), "keys with a zero byte in front belong to the runtime"
        self.changes[key] = value


running_transaction: contextvars.ContextVar[TableTransaction | None] = contextvars.ContextVar(
    "running_transaction", default=None
)
"""The table as the lane that is processing right now sees it."""


class LaneStore(FaustStore[bytes, bytes]):
    """What the Faust table sees as its storage: the running lane's part; outside of a lane, all parts, read-only."""

    logger = service_log

    @property
    def _lanes(self) -> "Lanes":
        return cast("Lanes", self.app.lanes)  # type: ignore[attr-defined]

    def __getitem__(self, key: bytes) -> bytes:
        running = running_transaction.get()
        if running is not None:
            value = running.get(key)
        else:
            found = (store.get(key) for store in self._lanes.stores())
            value = next((candidate for candidate in found if candidate is not None), None)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes | None) -> None:
        running = running_transaction.get()
        if running is None:
            raise RuntimeError("a table is written by the lane that is processing; use a processor")
        running.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        self[key] = None

    def __contains__(self, key: object) -> bool:
        return self.get(cast(bytes, key)) is not None

    def __iter__(self) -> Iterator[bytes]:
        for store in self._lanes.stores():
            yield from (key for key, _ in store.items() if key != POSITION_KEY)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, key: bytes, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def apply_changelog_batch(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("lanes recover their own part of the table")

    def persisted_offset(self, tp: TP) -> int | None:  # noqa: ARG002
        """None: Faust keeps no offsets of ours."""
        return None

    def reset_state(self) -> None:
        """Nothing: a lane wipes its own store."""

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("the changelog is the backup")

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("the changelog is the backup")


class LaneTable(faust.Table[bytes, bytes]):
    """Setting `Table`: the lane's transaction writes the changelog, so Faust's hooks on reads and writes do nothing."""

    logger = service_log

    def _new_store(self) -> Any:
        return LaneStore("lane://", self.app, self, table_name=self.name, loop=self.loop)

    async def on_start(self) -> None:
        """Start the storage; unlike stock Faust, do not create the changelog: `pathway-billing topics` made it."""
        await self.add_runtime_dependency(self.data)

    def get(self, key: bytes, default: Any = None) -> Any:
        return self.data.get(key, default)

    def on_key_get(self, key: bytes) -> None: ...

    def on_key_set(self, key: bytes, value: bytes) -> None: ...

    def on_key_del(self, key: bytes) -> None: ...


class LaneTableManager(TableManager):
    """Setting `TableManager`: recovery is the lanes' own, and the changelog is not part of the group's subscription.

    A subscribed changelog would be prefetched for nothing although it is paused; Faust's assignor hands out its partitions
    all the same, because it knows the table.
    """

    logger = service_log

    @property
    def recovery(self) -> Any:
        return self.app.lanes  # type: ignore[attr-defined]

    async def on_start(self) -> None:
        """As in Faust, without its pause of one second before the first subscription."""
        await self._update_channels()
        await self.recovery.start()

    async def on_stop(self) -> None:
        """As in Faust, whose own check looks at an attribute that a replaced recovery does not set."""
        await self.app._fetcher.stop()  # type: ignore[attr-defined]
        await self.recovery.stop()
        for table in self.values():
            await table.stop()

    async def _update_channels(self) -> None:
        self._tables_finalized.set()
        for table in self.values():
            await table.maybe_start()
        self._tables_registered.set()
