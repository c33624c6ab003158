"""The ledger's rows are those of the log, however it is read: in any order, killed, twice at once, rebuilt."""

import random
from collections import Counter, defaultdict
from typing import Any

import pytest
from sqlalchemy import event, func, select, text, update

from projections.current_decisions import CurrentDecisions, InconsistentLogError
from projections.ledger import rebuild as rebuilding
from projections.ledger.checksum import checksums
from projections.ledger.database import Database, LedgerError, open_database, open_for_reading
from projections.ledger.patients import patient_facts
from projections.ledger.projector import Projector
from projections.ledger.rebuild import rebuild
from projections.ledger.tables import (
    adjustments,
    claim_lines,
    dead_letters,
    decision_versions,
    facts,
    patient_timeline,
    pends,
    provider_months,
)
from streams.adjudication.facts import ProviderAgreement
from streams.adjudication.offline import OfflineEngine
from streams.generator import history
from streams.policy_files import load_policy
from streams.topics import INPUT_TOPICS
from tests.unit.projections.ledger.log import MemoryLog


class Killed(BaseException):
    """The process ends here."""


def project(url: str, log: MemoryLog) -> None:
    with open_database(url) as database:
        Projector(database, log).project_to_end()  # type: ignore[arg-type]


def sums(url: str) -> dict[str, str]:
    with open_for_reading(url) as database, database.read() as connection:
        return checksums(connection)


@pytest.fixture
def right(tmp_path: Any, year: MemoryLog) -> dict[str, str]:
    """The checksums of a ledger that was made in one go, on SQLite."""
    url = f"sqlite:///{tmp_path / 'right.sqlite'}"
    project(url, year.reader(seed=99, batch_records=10_000))
    return sums(url)


def test_the_rows_are_those_of_the_log(database_url: str, year: MemoryLog) -> None:
    project(database_url, year.reader())
    current = CurrentDecisions()
    moved: Counter[str] = Counter()
    for decision in year.decisions:
        current.add(decision)
        if decision.change_cents:
            moved[decision.billing_npi] += decision.change_cents
    with open_for_reading(database_url) as database, database.read() as connection:
        lines = {(r.claim_id, r.line_number): r for r in connection.execute(select(claim_lines))}
        assert len(lines) == len(current)
        for decision in current:
            row = lines[decision.claim_id, decision.line_number]
            assert (row.version, row.decision_id, row.outcome, row.paid_cents, row.explanation) == (
                decision.version, decision.decision_id, decision.outcome, decision.paid_cents, decision.explanation,
            )  # fmt: skip
            assert row.service_date.toordinal() - 719_163 == decision.service_date
        versions = {r.decision_id: r for r in connection.execute(select(decision_versions))}
        cuts: dict[str, list[str]] = defaultdict(list)
        for row in connection.execute(select(adjustments).order_by(adjustments.c.decision_id, adjustments.c.number)):
            cuts[row.decision_id].append(
                f"{row.group_code}-{'/'.join(filter(None, (row.carc, row.rarcs)))}:{row.cents}"
            )
        assert len(versions) == len(year.decisions)
        for decision in year.decisions:
            row = versions[decision.decision_id]
            assert (row.supersedes, row.caused_by) == (decision.supersedes, decision.caused_by)
            assert row.evidence == [evidence._asdict() for evidence in decision.evidence]
            assert cuts[decision.decision_id] == [str(adjustment) for adjustment in decision.adjustments]
        months = connection.execute(
            select(provider_months.c.billing_npi, func.sum(provider_months.c.paid_cents - provider_months.c.taken_back_cents))
            .group_by(provider_months.c.billing_npi)
        )  # fmt: skip
        assert {npi: int(cents) for npi, cents in months} == dict(moved)
        pended = {(d.claim_id, d.line_number) for d in current if d.outcome == "PENDED"}
        waiting = connection.execute(select(pends)).all()
        assert {(r.claim_id, r.line_number) for r in waiting} == pended
        assert all(r.received_date is not None for r in waiting)
        letters = connection.execute(select(dead_letters)).all()
        assert len(letters) == len(year.records("dead-letters"))
        assert any(r.record_key == "pt\ufffd\ufffd" for r in letters), "a key that is no text is kept as one"
        refused = connection.scalars(
            select(patient_timeline.c.refused).where(patient_timeline.c.refused.is_not(None))
        ).all()
        assert Counter(refused) == Counter(r.reason for r in letters if r.reason != "UNREADABLE")
        of_facts = [record for topic in INPUT_TOPICS for record in year.records(topic)]
        unreadable = 1
        assert connection.scalar(select(func.count()).select_from(facts)) == len(of_facts) - unreadable


def test_order_and_size_of_batches_and_the_database_change_nothing(
    database_url: str, year: MemoryLog, right: dict[str, str]
) -> None:
    project(database_url, year.reader(seed=5, batch_records=3))
    assert sums(database_url) == right
    assert not any(value.startswith("0:") for value in right.values())


def test_a_killed_projector_leaves_rows_and_positions_of_one_moment(
    database_url: str, year: MemoryLog, right: dict[str, str]
) -> None:
    chance = random.Random(17)
    kills = 0
    while True:
        log = year.reader(seed=kills, batch_records=8)
        with open_database(database_url) as database:
            projector = Projector(database, log)  # type: ignore[arg-type]
            left = chance.randint(1, 40)

            def kill(*_: Any) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Killed

            event.listen(database.engine, "before_cursor_execute", kill)
            try:
                projector.project_to_end()
                break
            except Killed:
                kills += 1
    assert kills > 3
    assert sums(database_url) == right


def test_two_projectors_at_once_write_what_one_would(database_url: str, year: MemoryLog, right: dict[str, str]) -> None:
    chance = random.Random(3)
    with open_database(database_url) as one, open_database(database_url) as other:
        logs = [year.reader(seed=1, batch_records=30), year.reader(seed=2, batch_records=30)]
        both = [Projector(database, log) for database, log in zip((one, other), logs, strict=True)]  # type: ignore[arg-type]
        while any(log.stands_at() != log.ends() for log in logs):
            projector, log = chance.choice(list(zip(both, logs, strict=True)))
            projector._write(log.poll())
    assert sums(database_url) == right


def test_a_rebuild_gives_the_same_rows_and_takes_their_place(
    database_url: str, year: MemoryLog, right: dict[str, str]
) -> None:
    project(database_url, year.reader())
    with open_for_reading(database_url) as reader, open_database(database_url) as database:
        with reader.read() as connection:
            connection.execute(select(func.count()).select_from(claim_lines))
        rebuilt = rebuild(database, year.reader(seed=8))  # type: ignore[arg-type]
        assert rebuilt.differing == []
        with reader.read() as connection:
            assert checksums(connection) == right, "who has the ledger open sees the new rows"
    project(database_url, year.reader())
    assert sums(database_url) == right == rebuilt.new


def test_a_rebuild_finds_and_repairs_a_changed_row(database_url: str, year: MemoryLog, right: dict[str, str]) -> None:
    project(database_url, year.reader())
    with open_database(database_url) as database:
        with database.write() as connection:
            one = connection.execute(select(claim_lines.c.decision_id).limit(1)).scalar_one()
            connection.execute(update(claim_lines).where(claim_lines.c.decision_id == one).values(reason="HAND"))
        assert rebuild(database, year.reader()).differing == ["claim_lines"]  # type: ignore[arg-type]
    assert sums(database_url) == right


def test_a_rebuild_that_is_killed_leaves_the_ledger_and_the_next_one_cleans_up(
    database_url: str, year: MemoryLog, right: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project(database_url, year.reader())

    def kill(live: Database, new: Database) -> None:
        raise Killed

    with open_database(database_url) as database:
        with monkeypatch.context() as killing:
            killing.setattr(rebuilding, "_switch", kill)
            with pytest.raises(Killed):
                rebuild(database, year.reader())  # type: ignore[arg-type]
        assert sums(database_url) == right
        assert rebuild(database, year.reader()).differing == []  # type: ignore[arg-type]
    assert sums(database_url) == right


def test_another_log_is_not_mixed_in(database_url: str, year: MemoryLog) -> None:
    project(database_url, year.reader())
    other = year.reader()
    other.topic_ids = dict.fromkeys(other.topic_ids, "made again")
    with pytest.raises(LedgerError, match="another topic"):
        project(database_url, other)


def test_a_version_that_does_not_continue_the_one_before_stops_it(database_url: str, year: MemoryLog) -> None:
    second = next(decision for decision in year.decisions if decision.version == 2)
    assert second.supersedes is not None
    with open_database(database_url) as database:
        with pytest.raises(InconsistentLogError, match="does not continue"):
            Projector(database, year.without(second.supersedes)).project_to_end()  # type: ignore[arg-type]
        with database.read() as connection:
            known = connection.scalars(select(decision_versions.c.decision_id)).all()
    assert second.decision_id not in known, "nothing of the batch was written"


def test_a_patient_read_back_is_decided_as_before(database_url: str, year: MemoryLog) -> None:
    project(database_url, year.reader())
    whole = OfflineEngine(load_policy())
    for _ in whole.fold_all(history(40, 11)):
        pass
    with open_for_reading(database_url) as database, database.read() as connection:
        for patient_id, record in list(whole.records.items())[:10]:
            known = patient_facts(connection, patient_id)
            assert any(isinstance(fact, ProviderAgreement) for fact in known)
            again = OfflineEngine(load_policy())
            for _ in again.fold_all(known):
                pass
            assert {k: p.ruling for k, p in again.records[patient_id].positions.items()} == {
                k: p.ruling for k, p in record.positions.items()
            }


def test_readers_see_one_moment_while_a_batch_is_written(database_url: str, year: MemoryLog) -> None:
    project(database_url, year.reader())
    with open_database(database_url) as database, open_for_reading(database_url) as reader:
        with reader.read() as connection:
            before = connection.scalar(select(func.count()).select_from(claim_lines))
            with database.write() as writing:
                writing.execute(text("DELETE FROM claim_lines"))
            assert connection.scalar(select(func.count()).select_from(claim_lines)) == before
        with reader.read() as connection:
            assert connection.scalar(select(func.count()).select_from(claim_lines)) == 0
