"""The table of a transaction, and the Faust table that routes to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.app import create_app
from streams.runtime.lane_app import LaneApp
from streams.runtime.settings import LaneSettings
from streams.runtime.stores import MemoryStore
from streams.runtime.table import TableTransaction, running_transaction


def processor(partition: int) -> object:
    raise AssertionError(f"no lane {partition} opens here")


@pytest.fixture
def app(tmp_path: Path) -> LaneApp:
    settings = LaneSettings("127.0.0.1:1", "app", ("facts",), 2, state_folder=tmp_path)
    return create_app(settings, processor)  # type: ignore[arg-type]


@pytest.fixture
def transaction() -> Iterator[TableTransaction]:
    store = MemoryStore()
    store.apply({b"a": b"committed"}, 1)
    transaction = TableTransaction(store)
    token = running_transaction.set(transaction)
    yield transaction
    running_transaction.reset(token)


def test_reads_see_the_writes_of_the_running_transaction(transaction: TableTransaction) -> None:
    assert transaction.get(b"a") == b"committed"
    transaction.put(b"a", b"new")
    transaction.put(b"b", None)
    assert transaction.get(b"a") == b"new"
    assert transaction.get(b"b") is None
    assert transaction.changes == {b"a": b"new", b"b": None}


def test_keys_of_the_runtime_cannot_be_written(transaction: TableTransaction) -> None:
    with pytest.raises(AssertionError):
        transaction.put(b"\x00position", b"mine")


def test_the_faust_table_is_a_dictionary_over_the_running_transaction(
    app: LaneApp, transaction: TableTransaction
) -> None:
    assert app.table[b"a"] == b"committed"
    app.table[b"a"] = b"new"
    del app.table[b"b"]
    assert app.table.get(b"a") == b"new"
    assert app.table.get(b"b", b"none") == b"none"
    assert transaction.changes == {b"a": b"new", b"b": None}


def test_outside_of_a_lane_the_faust_table_cannot_be_written(app: LaneApp) -> None:
    with pytest.raises(RuntimeError, match="use a processor"):
        app.table[b"a"] = b"1"
    assert app.table.get(b"a") is None
    assert list(app.table) == []


def test_the_changelog_has_fausts_name(app: LaneApp) -> None:
    assert app.table.changelog_topic.get_topic_name() == app.lanes.settings.changelog_topic == "app-patients-changelog"
