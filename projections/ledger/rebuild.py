"""Making a ledger again from the first offset, beside the live one, which is read and written meanwhile.

1. All of the log up to where the live ledger stands goes into new tables: a file beside the live one (SQLite), or the schema
   `ledger_rebuild` (PostgreSQL).
2. The checksums of both are compared. They are equal unless the live ledger was damaged, or made by a program that saw things
   otherwise.
3. The new one is brought up to the end of the log and takes the live one's place in one transaction. Readers see the one or the
   other; a projector that writes meanwhile goes on from wherever the ledger stands then.

Killed at any point it leaves the live ledger as it was; what it left half made is deleted by the next rebuild. SQLite: the
live file is overwritten page by page in one transaction of its own (the backup API), never replaced, because others have it open.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from projections.ledger.checksum import checksums
from projections.ledger.database import (
    POSTGRESQL,
    SCHEMA,
    Database,
    LedgerError,
    database_errors,
    open_database,
    sqlite_path,
)
from projections.ledger.log import LedgerLog
from projections.ledger.projector import Projector
from projections.ledger.writer import positions_in

REBUILD_SCHEMA = "ledger_rebuild"
_OLD_SCHEMA = "ledger_old"


class Rebuilt(NamedTuple):
    """What a rebuild found."""

    live: dict[str, str]  # checksums by table, where the live ledger stood
    new: dict[str, str]  # of the new tables at the same place
    records: int  # written to the new tables

    @property
    def differing(self) -> list[str]:
        """The tables whose rows are others than before."""
        return sorted(table for table, checksum in self.new.items() if self.live.get(table) != checksum)


def rebuild(live: Database, log: LedgerLog) -> Rebuilt:
    """Make the ledger again and put it in its place. Raises LedgerError, LogUnavailableError and InconsistentLogError."""
    url = live.url.render_as_string(hide_password=False)
    with _alone(live):
        _remove_leftovers(live)
        with live.read() as connection:
            stands_at = {key: position.next_offset for key, position in positions_in(connection).items()}
            before = checksums(connection)
        with _open_beside(live, url) as new:
            projector = Projector(new, log)
            projector.project_to_end({key: stands_at.get(key, 0) for key in log.topic_ids})
            with new.read() as connection:
                after = checksums(connection)
            projector.project_to_end()
            _switch(live, new)
        _remove_leftovers(live)
    return Rebuilt(before, after, projector.records.total())


def _open_beside(live: Database, url: str) -> Database:
    if live.kind == POSTGRESQL:
        return open_database(url, schema=REBUILD_SCHEMA)
    return open_database(live.url.set(database=str(_beside(live))).render_as_string(hide_password=False))


def _beside(live: Database) -> Path:
    path = Path(sqlite_path(live.url))
    return path.with_name(path.name + ".rebuild")


def _remove_leftovers(live: Database) -> None:
    """Of a rebuild that was killed."""
    if live.kind == POSTGRESQL:
        with database_errors(live.url), live.engine.begin() as connection:
            for schema in (REBUILD_SCHEMA, _OLD_SCHEMA):
                connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    else:
        for end in ("", "-wal", "-shm"):
            _beside(live).with_name(_beside(live).name + end).unlink(missing_ok=True)


def _switch(live: Database, new: Database) -> None:
    if live.kind == POSTGRESQL:
        with database_errors(live.url), live.engine.begin() as connection:
            # Renaming waits for nobody. A transaction that holds its lock, a writer's or a reader's, would go on in the new tables
            # with what it has moved or seen in the old ones; one that waits looks the name up again and finds the new table.
            connection.execute(text(f"LOCK TABLE {SCHEMA}.positions IN ACCESS EXCLUSIVE MODE"))
            connection.execute(text(f"ALTER SCHEMA {SCHEMA} RENAME TO {_OLD_SCHEMA}"))
            connection.execute(text(f"ALTER SCHEMA {REBUILD_SCHEMA} RENAME TO {SCHEMA}"))
        return
    source, target = new.engine.raw_connection(), live.engine.raw_connection()
    try:
        assert isinstance(source.driver_connection, sqlite3.Connection)
        assert isinstance(target.driver_connection, sqlite3.Connection)
        source.driver_connection.backup(target.driver_connection)
    except sqlite3.Error as error:
        raise LedgerError(
            f"the new tables could not take their place: {error}. The ledger is as it was; try again."
        ) from error
    finally:
        source.close()
        target.close()


@contextmanager
def _alone(live: Database) -> Iterator[None]:
    """One rebuild of a ledger at a time; ends with the process, however that ends."""
    busy = LedgerError(f"another rebuild of {live.name} is under way. Wait for its end.")
    if live.kind == POSTGRESQL:
        with database_errors(live.url), live.engine.connect() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(7035)")):
                raise busy
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(7035)"))
        return
    with _beside(live).with_name(_beside(live).name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
