"""Opening a ledger: made, migrated, refused; and what a person is told when the database is down, locked or somebody else's."""

import sqlite3
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, select, text

from projections.ledger import database as opening
from projections.ledger.checksum import checksums
from projections.ledger.database import (
    LedgerError,
    LedgerUnavailableError,
    Migration,
    migrations,
    open_database,
    open_for_reading,
)
from projections.ledger.projector import Projector
from projections.ledger.tables import metadata, positions, views
from tests.postgres import Postgres, running_postgres
from tests.unit.projections.ledger.log import MemoryLog

# A ledger of version 1 with four patients, as `sqlite3 ledger.sqlite .dump` prints it. Never made again: old ledgers look like it.
VERSION_1 = Path(__file__).with_name("version_1.sql")


def test_the_migrations_make_the_declared_tables(database_url: str) -> None:
    with open_database(database_url) as database:
        found = inspect(database.engine)
        names = set(found.get_table_names(schema=database.schema))
        assert names == {table.name for table in metadata.sorted_tables} | {"ledger_migrations"}
        assert set(found.get_view_names(schema=database.schema)) == set(views.tables)
        for table in (*metadata.sorted_tables, *views.sorted_tables):
            there = {column["name"]: column for column in found.get_columns(table.name, schema=database.schema)}
            assert list(there) == [column.name for column in table.columns], table.name
            if table.metadata is metadata:
                assert {n: c["nullable"] for n, c in there.items()} == {c.name: c.nullable for c in table.columns}
                key = found.get_pk_constraint(table.name, schema=database.schema)["constrained_columns"]
                assert key == [column.name for column in table.primary_key]
                indexes = {index["name"] for index in found.get_indexes(table.name, schema=database.schema)}
                assert {index.name for index in table.indexes} <= indexes


def test_an_older_ledger_is_migrated_and_keeps_its_rows(
    database_url: str, year: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(database_url) as database:
        Projector(database, year.reader()).project_to_end()  # type: ignore[arg-type]
        with database.read() as connection:
            before = checksums(connection)
    later = Migration(
        len(migrations()) + 1, "later", ("ALTER TABLE positions ADD COLUMN note TEXT", "CREATE TABLE more (n INTEGER)")
    )
    known = (*migrations(), later)
    monkeypatch.setattr(opening, "migrations", lambda: known)
    with pytest.raises(LedgerError, match="`pathway-billing project` brings it up to that"):
        open_for_reading(database_url)
    for _ in range(2):
        with open_database(database_url) as database, database.read() as connection:
            assert checksums(connection) == before
            assert connection.execute(text("SELECT note FROM positions")).first() == (None,)
    monkeypatch.undo()
    for opens in (open_database, open_for_reading):
        with pytest.raises(
            LedgerError, match=f"of version {later.number}, this program knows version {later.number - 1}"
        ):
            opens(database_url)


def test_a_migration_that_fails_changes_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(database_url).close()
    broken = Migration(
        len(migrations()) + 1, "broken", ("CREATE TABLE more (n INTEGER)", "CREATE TABLE more (n INTEGER)")
    )
    known = (*migrations(), broken)
    with monkeypatch.context() as patched:
        patched.setattr(opening, "migrations", lambda: known)
        with pytest.raises(LedgerError):
            open_database(database_url)
    with open_database(database_url) as database:
        assert "more" not in inspect(database.engine).get_table_names(schema=database.schema)


@pytest.fixture
def old_ledger(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of the ledger of version 1; on PostgreSQL its rows in tables of version 1."""
    if database_url.startswith("sqlite"):
        with sqlite3.connect(tmp_path / "ledger.sqlite") as old:
            old.executescript(VERSION_1.read_text(encoding="utf-8"))
        old.close()
        return database_url
    with sqlite3.connect(tmp_path / "version_1.sqlite") as old:
        old.executescript(VERSION_1.read_text(encoding="utf-8"))
    old.close()
    first = migrations()[:1]
    with monkeypatch.context() as patched:
        patched.setattr(opening, "migrations", lambda: first)
        with (
            open_for_reading(f"sqlite:///{tmp_path / 'version_1.sqlite'}") as source,
            open_database(database_url) as target,
            source.read() as reading,
            target.write() as writing,
        ):
            there = set(inspect(reading).get_table_names())
            for table in metadata.sorted_tables:
                if table.name in there and (rows := reading.execute(select(table)).mappings().all()):
                    writing.execute(table.insert(), [dict(row) for row in rows])
    return database_url


def test_a_ledger_of_version_1_is_still_read_and_continued(old_ledger: str, tmp_path: Path) -> None:
    year = MemoryLog.of_year(patients=4, seed=2)
    with pytest.raises(LedgerError, match=f"of version 1, this program reads version {len(migrations())}"):
        open_for_reading(old_ledger)
    with open_database(old_ledger) as database:
        with database.read() as connection:
            kept = checksums(connection)
        assert not kept["claim_lines"].startswith("0:"), "the old rows are there"
        Projector(database, year.reader()).project_to_end()  # type: ignore[arg-type]
        with database.read() as connection:
            continued = checksums(connection)
    with open_database(f"sqlite:///{tmp_path / 'new.sqlite'}") as database:
        Projector(database, year.reader()).project_to_end()  # type: ignore[arg-type]
        with database.read() as connection:
            assert checksums(connection) == continued


def test_somebody_elses_database_is_left_alone(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        engine = create_engine(database_url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE mine (n INTEGER)"))
        engine.dispose()
        with pytest.raises(LedgerUnavailableError, match="tables of something else"):
            open_database(database_url)
    else:
        with open_database(database_url) as database, database.write() as connection:
            connection.execute(text("DROP TABLE ledger_migrations"))
        with pytest.raises(LedgerUnavailableError, match="tables of something else"):
            open_database(database_url)


def test_there_is_nothing_to_read_before_it_is_made(database_url: str) -> None:
    with pytest.raises(LedgerUnavailableError, match="Make it with `pathway-billing project`"):
        open_for_reading(database_url)


@pytest.mark.parametrize(
    "url", ["", "ledger.sqlite", "sqlite://", "sqlite:///:memory:", "mysql://host/name", "postgresql://host:port/name"]
)
def test_what_is_no_database_is_told(url: str) -> None:
    with pytest.raises(LedgerUnavailableError, match="named by a URL such as"):
        open_database(url)


def test_a_file_that_is_no_database_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("This is no database at all, but long enough to be looked at." * 100)
    with pytest.raises(LedgerUnavailableError, match="is not an SQLite database"):
        open_database(f"sqlite:///{path}")
    with pytest.raises(LedgerUnavailableError, match="its folder is missing"):
        open_database(f"sqlite:///{tmp_path / 'missing' / 'ledger.sqlite'}")


def test_a_ledger_that_stays_locked(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(database_url).close()
    monkeypatch.setattr(opening, "_LOCK_SECONDS", 1)
    with (
        open_database(database_url) as holder,
        open_database(database_url) as waiting,
        holder.write(),
        pytest.raises(LedgerUnavailableError, match="was locked by another program for 1 seconds"),
        waiting.write(),
    ):
        pass


def test_a_postgresql_that_goes_away_is_told_without_its_password(year: MemoryLog) -> None:
    with running_postgres() as server:
        url = server.new_database()
        with open_database(url) as database:
            projector = Projector(database, year.reader())  # type: ignore[arg-type]
            server.stop()
            with pytest.raises(LedgerUnavailableError, match=r"does not answer .*Start the database") as told:
                projector.project_to_end()
            assert "not-asked" not in str(told.value)
            with pytest.raises(LedgerUnavailableError, match="does not answer"):
                open_database(url)
            server.start()
            Projector(database, year.reader()).project_to_end()  # type: ignore[arg-type]
            with database.read() as connection:
                assert connection.execute(select(positions)).first() is not None


def test_a_user_without_rights_is_told(postgres: Postgres) -> None:
    url = postgres.new_database()
    open_database(url).close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text("CREATE ROLE reader LOGIN"))
        connection.execute(text("GRANT USAGE ON SCHEMA ledger TO reader"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO reader"))
    engine.dispose()
    reader = url.replace("billing:not-asked", "reader")
    with open_for_reading(reader) as database, database.read() as connection:
        assert connection.execute(select(positions)).all() == []
    with pytest.raises(LedgerError, match="may not be written by this user"):
        open_database(reader)


def test_readers_that_wait_in_vain_for_a_connection_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    open_database(url).close()
    with open_for_reading(url) as database, ExitStack() as others:
        monkeypatch.setattr(database.engine.pool, "_timeout", 0)
        for _ in range(15):  # as many as a pool has
            others.enter_context(database.read())
        with pytest.raises(LedgerUnavailableError, match="too slowly for all who ask it at once"), database.read():
            pass
