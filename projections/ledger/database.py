"""Opening the ledger's database: an SQLite file, or a schema of PostgreSQL, brought to the newest version of its tables.

A migration is a numbered SQL file beside `migrations/`, in SQL that both databases understand; each is applied once, all that are
due in one transaction. One that is on main is never changed.

Writers exclude one another: a transaction begins with the whole file's write lock (SQLite) or with a lock of `positions` that
readers do not notice (PostgreSQL). Both wait 30 seconds for it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
SCHEMA: Final = "ledger"
"""The schema of a PostgreSQL database that holds the live ledger."""

_LOCK_SECONDS = 30
_CONNECT_SECONDS = 10
_NO_DATABASE = "file is not a database"  # what SQLite says of another kind of file
_CREATE_VERSIONS = "CREATE TABLE ledger_migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL)"


class LedgerError(Exception):
    """The ledger cannot be used. The message says what to do, and holds neither a password nor patient data."""


class LedgerUnavailableError(LedgerError):
    """Nobody is at fault but the address or the moment: no ledger is or can be there, or another program keeps it locked."""


class Migration(NamedTuple):
    """A step from one version of the tables to the next."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations() -> tuple[Migration, ...]:
    """All migrations of this program, from 1 without a gap."""
    folder = resources.files("projections.ledger") / "migrations"
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if match := re.fullmatch(r"([0-9]{4})_([a-z0-9_]+)\.sql", file.name):
            lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("--")]
            statements = tuple(filter(None, (part.strip() for part in "\n".join(lines).split(";"))))
            found.append(Migration(int(match[1]), match[2], statements))
    assert [migration.number for migration in found] == list(range(1, len(found) + 1)), "a migration is missing"
    return tuple(found)


class Database:
    """A ledger's database, open and of the newest version. Close it, or use it in a `with` block."""

    def __init__(self, engine: Engine, url: URL, schema: str | None) -> None:
        self.engine = engine
        self.url = url
        self.schema = schema  # of PostgreSQL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self.engine.dispose()

    @property
    def kind(self) -> str:
        """SQLITE or POSTGRESQL."""
        return self.engine.dialect.name

    @property
    def name(self) -> str:
        """How a person calls it; without the password."""
        return shown(self.url)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction with the write lock: all of it, or, after an exception, nothing. Raises LedgerError."""
        with self._errors(), self.engine.begin() as connection:
            if self.kind == POSTGRESQL:
                connection.execute(text("LOCK TABLE positions IN SHARE ROW EXCLUSIVE MODE"))
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One state of the ledger, however long the reading takes. Raises LedgerError."""
        with self._errors(), self.engine.connect() as connection:
            if self.kind == POSTGRESQL:
                connection.execution_options(isolation_level="REPEATABLE READ")
                connection.execute(text("SET TRANSACTION READ ONLY"))
                # held until the end, so that a rebuild's switch waits: in the new tables this transaction would see what they
                # held when it began, which may be nothing
                connection.execute(text("LOCK TABLE positions IN ACCESS SHARE MODE"))
            else:
                connection.exec_driver_sql("BEGIN")
            yield connection

    def _errors(self) -> Any:
        return database_errors(self.url)


def open_database(url: str, *, schema: str = SCHEMA) -> Database:
    """Open a ledger for writing: made if it is not there, migrated if it is of an older version.

    Raises LedgerUnavailableError when no database answers, it stays locked or is somebody else's, LedgerError when it is of a
    newer version.
    """
    database = _connect(ledger_url(url), schema)
    try:
        with database_errors(database.url):
            _migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def open_for_reading(url: str, *, schema: str = SCHEMA) -> Database:
    """Open a ledger that is there. It is never changed. Raises LedgerError, also when there is none or it is of another version."""
    parsed = ledger_url(url)
    if parsed.get_backend_name() == SQLITE and not _file_exists(parsed):
        raise LedgerUnavailableError(f"there is no ledger {shown(parsed)}. Make it with `pathway-billing project`.")
    database = _connect(parsed, schema, read_only=True)
    try:
        with database_errors(database.url), database.engine.connect() as connection:
            _refuse_other_version(database, _version(connection, database), len(migrations()))
    except BaseException:
        database.close()
        raise
    return database


def shown(url: URL | str) -> str:
    """A database's URL without its password."""
    return make_url(url).render_as_string(hide_password=True)


@contextmanager
def database_errors(url: URL) -> Iterator[None]:
    """What the driver says, in our sentences. Neither values nor statements are repeated: they may be about patients."""
    try:
        yield
    except PoolTimeoutError as error:
        raise LedgerUnavailableError(
            f"the ledger {shown(url)} answers too slowly for all who ask it at once. Try again, and look after the database."
        ) from error
    except DatabaseError as error:
        said = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
        sentence = _sentence(shown(url), said, error)
        unavailable = isinstance(error, OperationalError) or _NO_DATABASE in said
        raise (LedgerUnavailableError if unavailable else LedgerError)(sentence) from error


def _sentence(name: str, said: str, error: DatabaseError) -> str:
    state = getattr(error.orig, "sqlstate", None)
    if "database is locked" in said or state == "55P03":  # lock_not_available
        return (
            f"the ledger {name} was locked by another program for {_LOCK_SECONDS} seconds. Find the one that keeps a "
            "transaction open on it, then try again."
        )
    if _NO_DATABASE in said:
        return f"{name} is not an SQLite database. Name another one with --database."
    if "unable to open database file" in said:
        return f"{name} cannot be opened: its folder is missing or may not be written. Make it, or name another --database."
    if "readonly database" in said or state == "42501":  # insufficient_privilege
        return f"the ledger {name} may not be written by this user. Grant that, or name another --database."
    if "disk is full" in said or state == "53100":
        return f"there is no room left for the ledger {name}. Make room, then start again: nothing is lost."
    if isinstance(error, OperationalError) and (state is None or state[:2] in ("08", "28", "3D", "57", "53")):
        return f"the ledger {name} does not answer ({_without_addresses(said)}). Start the database, or correct --database."
    return f"the ledger {name} refused a statement ({type(error.orig).__name__} {state or ''}".rstrip() + ")."


def _without_addresses(said: str) -> str:
    return said.replace("\t", " ")[:200]


def ledger_url(url: str) -> URL:
    """The address of a ledger. Raises LedgerUnavailableError for one at which there can be none."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise _bad_url() from None
    if backend == SQLITE and parsed.database and parsed.database != ":memory:":
        return parsed
    if backend == POSTGRESQL or parsed.drivername == "postgres":
        return parsed.set(drivername="postgresql+psycopg")
    raise _bad_url()


def _bad_url() -> LedgerUnavailableError:
    return LedgerUnavailableError(
        "the database is named by a URL such as sqlite:////var/lib/pathway-billing/ledger.sqlite or "
        "postgresql://user@host:5432/name; --database (PATHWAY_BILLING_DATABASE) is none."
    )


def sqlite_path(url: URL) -> str:
    """The file of an SQLite ledger."""
    assert url.database, "an SQLite ledger is a file"
    return url.database


def _file_exists(url: URL) -> bool:
    return Path(sqlite_path(url)).is_file()


def _connect(url: URL, schema: str, *, read_only: bool = False) -> Database:
    # hide_parameters: what a failed statement was given is about patients, and errors end in logs
    common: dict[str, Any] = {
        "hide_parameters": True,
        "json_serializer": _json_text,
        "json_deserializer": msgspec.json.decode,
    }
    if url.get_backend_name() == SQLITE:
        engine = create_engine(url, connect_args={"timeout": _LOCK_SECONDS}, **common)
        event.listen(engine, "connect", _set_up_sqlite_reader if read_only else _set_up_sqlite)
        return Database(engine, url, None)
    assert re.fullmatch(r"[a-z_]+", schema), "a schema's name is written into statements"
    options = f"-c search_path={schema} -c lock_timeout={_LOCK_SECONDS}s -c timezone=UTC"
    # prepare_threshold: a statement that the server keeps prepared would go on with the old tables after a rebuild
    arguments = {"options": options, "connect_timeout": _CONNECT_SECONDS, "prepare_threshold": None}
    engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, **common)
    return Database(engine, url, schema)


def _json_text(value: Any) -> str:
    """Of the JSON columns; eight times as fast as the standard library's, which took a tenth of the time of a batch."""
    return msgspec.json.encode(value).decode()


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `Database` says so
    connection.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for one another
    # a power cut may cost the last transactions, rows and positions together: they are projected again
    connection.execute("PRAGMA synchronous = NORMAL")


def _set_up_sqlite_reader(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only = ON")


def _migrate(database: Database) -> None:
    known = migrations()
    with database.engine.begin() as connection:
        if database.kind == POSTGRESQL:
            # two programs at once: the second waits here and then finds the work done
            connection.execute(text("SELECT pg_advisory_xact_lock(7034, hashtext(:name))"), {"name": database.schema})
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {database.schema}"))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        found = _version(connection, database)
        if found > len(known):
            raise _newer(database, found, len(known))
        if found == 0:
            _refuse_foreign(connection, database)
            connection.exec_driver_sql(_CREATE_VERSIONS)
        for migration in known[found:]:
            for statement in migration.statements:
                connection.exec_driver_sql(statement)
            connection.execute(
                text("INSERT INTO ledger_migrations (number, name) VALUES (:number, :name)"),
                {"number": migration.number, "name": migration.name},
            )


def _version(connection: Connection, database: Database) -> int:
    """The number of the last migration; 0 where there is no ledger yet."""
    if not inspect(connection).has_table("ledger_migrations", schema=database.schema):
        return 0
    return int(connection.execute(text("SELECT COALESCE(MAX(number), 0) FROM ledger_migrations")).scalar_one())


def _refuse_foreign(connection: Connection, database: Database) -> None:
    if others := inspect(connection).get_table_names(schema=database.schema):
        raise LedgerUnavailableError(
            f"{database.name} has {len(others)} tables of something else and no ledger. Name another --database."
        )


def _refuse_other_version(database: Database, found: int, known: int) -> None:
    if found == 0:
        raise LedgerUnavailableError(f"there is no ledger in {database.name}. Make it with `pathway-billing project`.")
    if found > known:
        raise _newer(database, found, known)
    if found < known:
        raise LedgerError(
            f"the ledger {database.name} is of version {found}, this program reads version {known}. "
            "`pathway-billing project` brings it up to that."
        )


def _newer(database: Database, found: int, known: int) -> LedgerError:
    return LedgerError(
        f"the ledger {database.name} is of version {found}, this program knows version {known}. Use the newer program, or "
        "another --database: nothing was changed."
    )
