"""An installation's log in memory, and an empty database of either kind."""

from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.unit.projections.ledger.log import MemoryLog


@pytest.fixture(scope="session")
def year() -> MemoryLog:
    """A small year, decided, on three partitions."""
    return MemoryLog.of_year(patients=40, seed=11)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()
