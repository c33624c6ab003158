"""The measurements that need no peers: what they make is what the worker would make, and their JSON says what their table says."""

import json
from pathlib import Path

import pytest

from benchmarks import history_length
from benchmarks.changelog import FACTS_PER_PATIENT, Population
from benchmarks.single import PatientTable, adjudicator, as_input
from streams.adjudication.facts import Claim
from streams.agents.patient_state import StoredPatient


def test_a_patient_under_another_id_is_stored_as_the_worker_would_store_them() -> None:
    population = Population()
    for number in (0, 7, 5_000):
        table = PatientTable()
        facts = population.facts(number)
        assert len(facts) == FACTS_PER_PATIENT
        adjudicator(population.agreements, 0).process(table, [as_input(fact) for fact in facts])
        stored = dict(population.stored(number))
        assert stored.keys() == table.values.keys()
        patient_id = population.patient_id(number)
        record, made = (StoredPatient.load(patient_id, values.get).record for values in (stored, table.values))
        assert record.claims == made.claims
        assert {claim.patient_id for claim in record.claims.values()} <= {patient_id}
        assert record.positions.keys() == made.positions.keys()


def test_each_claim_of_a_long_history_settles_last() -> None:
    days = [fact.lines[0].service_date for fact in history_length._patient("pt-1", 50) if isinstance(fact, Claim)]
    assert len(days) == 50
    assert days == sorted(days)


def test_the_history_measurement_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    monkeypatch.setattr("sys.argv", ["history_length", "--sizes=2,40", "--patients=1", "--claims=3", f"--json={file}"])
    history_length.main()
    assert capsys.readouterr().out.startswith("| Claims | Fold")
    rows = json.loads(file.read_text())["rows"]
    assert [row["claims"] for row in rows] == [2, 40]
    assert all(row["fold_us"] > 0 and row["changelog_bytes"] > 0 for row in rows)
