"""A PostgreSQL of the tests' own: Debian's package, in a temporary folder, on loopback alone, never as root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.broker import free_port
from tests.broker.harness import wait_until

MISSING = (
    "PostgreSQL is missing: `apt-get install postgresql` (the tests need its initdb and postgres, on the PATH or in "
    "/usr/lib/postgresql/*/bin)"
)


class Postgres:
    """A running server. `stop` and `start` as a test wants it."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._user = "postgres" if os.geteuid() == 0 else None  # the package's own; the server refuses to run as root
        if self._user:
            shutil.chown(folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.port = free_port()
        subprocess.run(
            (_program("initdb"), "-D", self._data, "-U", "billing", "-A", "trust", "--no-sync", "--no-instructions"),
            cwd=folder,
            user=self._user,
            capture_output=True,
            check=True,
        )

    def start(self) -> None:
        arguments = ("-D", self._data, "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (_program("postgres"), *arguments), cwd=self._data, user=self._user, stdout=log, stderr=log
            )

        def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            try:
                psycopg.connect(self._server("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(answers, 60, "PostgreSQL answers")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: at once, as if the power had gone
            self._process.wait(30)
            self._process = None

    def new_database(self, name: str | None = None) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = name or f"billing_{self._databases}"
        with psycopg.connect(self._server("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._server(name)

    def _server(self, database: str) -> str:
        return f"postgresql://billing:not-asked@127.0.0.1:{self.port}/{database}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="pathway-billing-postgres-") as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    if found is None:
        pytest.fail(MISSING)
    return found
