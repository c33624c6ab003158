"""The patient table: a lane's part of it during a transaction, and what Faust knows of it.

Stock Faust sends each write to the changelog as it happens and writes RocksDB before the changelog is acknowledged (a crash
leaves the local state ahead of the log). Here a write goes to the running lane's transaction and reaches the local store
after its commit.
"""

from typing import Any, NoReturn

import faust
from faust.tables.manager import TableManager

from streams.runtime.service_log import service_log
from streams.runtime.stores import Store


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


class NamedTable(faust.Table[bytes, bytes]):
    """Setting `Table`: the changelog's name, by which Faust's assignor hands out its partitions. Keys and values are the lanes'."""

    logger = service_log

    async def on_start(self) -> None:
        """Nothing; unlike stock Faust, do not create the changelog: `pathway-billing topics` made it."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("a table is read and written by the lane that is processing; use a processor")

    on_key_get = on_key_set = on_key_del = _refuse


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
