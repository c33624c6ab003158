"""A rebuild's switch on PostgreSQL, with a projector or a reader in the middle of its transaction, and the other way round."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event, text

from projections.ledger.checksum import checksums
from projections.ledger.database import Database, open_database
from projections.ledger.projector import Projector
from projections.ledger.rebuild import REBUILD_SCHEMA, _switch
from tests.broker.harness import wait_until
from tests.postgres import Postgres
from tests.unit.projections.ledger.log import MemoryLog


class Ledgers(NamedTuple):
    """The live ledger and the one that takes its place. Both stand at the same place, before the log's end."""

    live: Database
    new: Database


@pytest.fixture
def ledgers(postgres: Postgres, year: MemoryLog) -> Iterator[Ledgers]:
    url = postgres.new_database()
    with open_database(url) as live, open_database(url, schema=REBUILD_SCHEMA) as new:
        both = Ledgers(live, new)
        for database in both:
            projector(database, year).project_to_end({key: end * 2 // 3 for key, end in year.ends().items()})
        yield both


def projector(database: Database, log: MemoryLog) -> Projector:
    return Projector(database, log.reader(batch_records=200))  # type: ignore[arg-type]


def rows(database: Database) -> dict[str, str]:
    with database.read() as connection:
        return checksums(connection)


@pytest.fixture
def right(postgres: Postgres, year: MemoryLog) -> dict[str, str]:
    with open_database(postgres.new_database()) as database:
        projector(database, year).project_to_end()
        return rows(database)


def switched(database: Database) -> bool:
    with database.read() as connection:
        return connection.scalar(text("SELECT to_regclass('ledger_old.positions') IS NOT NULL")) is True


@contextmanager
def before_statement(database: Database, begins_with: str, act: Callable[[], None]) -> Iterator[None]:
    """`act` once, in whose transaction it is, just before the first statement that begins so."""
    acted = False

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal acted
        if not acted and statement.startswith(begins_with):
            acted = True
            act()

    event.listen(database.engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", look)
    assert acted, f"no statement began with {begins_with}"


def until_it_waits_or_ends(database: Database, thread: threading.Thread) -> None:
    """What `thread` does is started now, and is held up by a lock, or done."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass('ledger.positions')")

    def settled() -> bool:
        with database.engine.connect() as connection:
            return not thread.is_alive() or bool(connection.scalar(waiting))

    thread.start()
    wait_until(settled, 30, "the other transaction waits or has ended")


@pytest.mark.parametrize("statement", ["INSERT INTO facts", "INSERT INTO adjustments", "INSERT INTO provider_months"])
def test_the_switch_waits_for_a_projector_in_its_transaction(
    ledgers: Ledgers, year: MemoryLog, right: dict[str, str], statement: str
) -> None:
    switch = threading.Thread(target=_switch, args=ledgers)
    with before_statement(ledgers.live, statement, lambda: until_it_waits_or_ends(ledgers.new, switch)):
        projector(ledgers.live, year).project_to_end()
    switch.join(30)
    assert switched(ledgers.live)
    projector(ledgers.live, year).project_to_end()
    assert rows(ledgers.live) == right


def test_a_projector_that_waits_for_the_switch_writes_into_the_new_tables(
    ledgers: Ledgers, year: MemoryLog, right: dict[str, str]
) -> None:
    writer = threading.Thread(target=lambda: projector(ledgers.live, year).project_to_end())
    held = "ALTER SCHEMA ledger RENAME"
    with before_statement(ledgers.live, held, lambda: until_it_waits_or_ends(ledgers.new, writer)):
        _switch(*ledgers)
    writer.join(60)
    assert not writer.is_alive()
    assert switched(ledgers.live)
    assert rows(ledgers.live) == right


def test_the_switch_waits_for_a_reader_in_its_transaction(
    postgres: Postgres, year: MemoryLog, right: dict[str, str]
) -> None:
    url = postgres.new_database()
    with open_database(url) as live:
        projector(live, year).project_to_end()
        with live.read() as reading:
            before = checksums(reading)
            with open_database(url, schema=REBUILD_SCHEMA) as new:  # made when the reader has begun
                projector(new, year).project_to_end()
                switch = threading.Thread(target=_switch, args=(live, new))
                until_it_waits_or_ends(new, switch)
                assert checksums(reading) == before == right
        switch.join(30)
        assert switched(live)
        assert rows(live) == right
