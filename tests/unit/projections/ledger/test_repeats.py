"""Decisions that Kafka holds twice, as after a hanging transaction (docs/reliability.md): rows and counters know each once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from projections.current_decisions import InconsistentLogError
from projections.ledger.checksum import checksums
from projections.ledger.database import open_database
from projections.ledger.projector import Projector
from projections.ledger.rebuild import rebuild
from projections.ledger.tables import decision_versions
from streams.adjudication.decisions import Decision
from streams.events import decision_from_avro, decision_to_avro
from streams.metrics import PROJECTOR_REGISTRY
from streams.runtime.processor import InputRecord
from streams.topics import BILLING_DECISIONS
from tests.unit.projections.ledger.log import PARTITIONS, MemoryLog

ONE_BY_ONE, ALL_AT_ONCE = 1, 100_000  # records in a batch


def spread(record: InputRecord) -> list[InputRecord]:
    """With room for another one behind it."""
    return [record._replace(offset=2 * record.offset)]


def again(record: InputRecord) -> InputRecord:
    """The same, published once more a second later."""
    return record._replace(offset=2 * record.offset + 1, timestamp_ms=record.timestamp_ms + 1_000)


def twice(record: InputRecord) -> list[InputRecord]:
    return [*spread(record), again(record)]


def project(url: str, log: MemoryLog, batch_records: int) -> tuple[Projector, dict[str, str]]:
    with open_database(url) as database:
        projector = Projector(database, log.reader(batch_records=batch_records))  # type: ignore[arg-type]
        projector.project_to_end()
        with database.read() as connection:
            return projector, checksums(connection)


@pytest.fixture
def right(tmp_path: Path, year: MemoryLog) -> dict[str, str]:
    """The rows of the log that holds each decision once."""
    return project(f"sqlite:///{tmp_path / 'right.sqlite'}", year.with_decisions(spread), ALL_AT_ONCE)[1]


def counted() -> float:
    found = PROJECTOR_REGISTRY.get_sample_value("pathway_billing_projector_records_total", {"topic": BILLING_DECISIONS})
    return found or 0.0


@pytest.mark.parametrize("batch_records", [ONE_BY_ONE, ALL_AT_ONCE])
def test_a_decision_that_comes_again_changes_nothing(
    database_url: str, year: MemoryLog, right: dict[str, str], batch_records: int
) -> None:
    before = counted()
    projector, rows = project(database_url, year.with_decisions(twice), batch_records)
    assert rows == right
    assert projector.records[BILLING_DECISIONS] == counted() - before == len(year.decisions)


def test_all_of_a_partition_may_come_again_behind_it(database_url: str, year: MemoryLog) -> None:
    assert any(decision.version > 1 for decision in year.decisions), "some come again behind the version after them"
    _, right = project(database_url, year, 100)

    def much_later(record: InputRecord) -> list[InputRecord]:
        return [record, record._replace(offset=record.offset + 1_000_000)]

    projector, rows = project(database_url, year.with_decisions(much_later), 100)
    assert rows == right
    assert projector.records == {}, "nothing of it is written"


def test_a_rebuild_passes_repeats_over_and_gives_the_same_rows(
    database_url: str, year: MemoryLog, right: dict[str, str]
) -> None:
    log = year.with_decisions(twice)
    project(database_url, log, 50)
    with open_database(database_url) as database:
        rebuilt = rebuild(database, log.reader(seed=4, batch_records=7))  # type: ignore[arg-type]
    assert rebuilt.differing == []
    assert rebuilt.new == right


def explained_otherwise(decision: Decision) -> Decision:
    return decision._replace(explanation=decision.explanation + " Or not.")


def caused_otherwise(decision: Decision) -> Decision:
    return decision._replace(caused_by="another event")


def cut_otherwise(decision: Decision) -> Decision:
    first, *others = decision.adjustments
    return decision._replace(adjustments=(first._replace(carc="999"), *others))


@pytest.mark.parametrize("batch_records", [ONE_BY_ONE, ALL_AT_ONCE])
@pytest.mark.parametrize("other", [explained_otherwise, caused_otherwise, cut_otherwise])
def test_another_decision_with_the_same_id_stops_it(
    database_url: str, year: MemoryLog, batch_records: int, other: Callable[[Decision], Decision]
) -> None:
    of = next(decision for decision in year.decisions if decision.adjustments)

    def changed(record: InputRecord) -> list[InputRecord]:
        decision = decision_from_avro(record.value)
        if decision.decision_id != of.decision_id:
            return spread(record)
        return [*spread(record), again(record)._replace(value=decision_to_avro(other(decision)))]

    with pytest.raises(InconsistentLogError, match=f"have one id and differ.*{of.decision_id}"):
        project(database_url, year.with_decisions(changed), batch_records)
    with open_database(database_url) as database, database.read() as connection:
        stands = connection.scalars(
            select(decision_versions.c.explanation).where(decision_versions.c.decision_id == of.decision_id)
        ).all()
    assert stands == ([of.explanation] if batch_records == ONE_BY_ONE else []), "nothing of that batch is written"


@pytest.mark.parametrize("batch_records", [ONE_BY_ONE, ALL_AT_ONCE])
def test_a_decision_of_two_partitions_stops_it(database_url: str, year: MemoryLog, batch_records: int) -> None:
    """Else the rows would depend on which partition is read first."""

    def elsewhere(record: InputRecord) -> list[InputRecord]:
        other = (record.partition + 1) % PARTITIONS
        return [record, record._replace(partition=other, offset=record.offset + 1_000_000)]

    with pytest.raises(InconsistentLogError, match="stand in two partitions"):
        project(database_url, year.with_decisions(elsewhere), batch_records)
