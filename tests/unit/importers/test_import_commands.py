"""`import-837` and `import-fhir` as they are called: what goes where, exit codes, and the decisions at the end of the pipe."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streams.cli import cli
from streams.commands import importing
from streams.publisher import PublishError
from tests import facts
from tests.unit.importers import x12_files as x12
from tests.unit.importers.test_fhir import resource

KEY = "k" * 32


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("PATHWAY_BILLING_MEMBER_KEY_FILE", str(tmp_path / "key"))

    def call(*arguments: object, text: str | None = None) -> Result:
        file = tmp_path / "claims"
        if text is not None:
            file.write_text(text)
        return CliRunner().invoke(
            cli, [str(one) for one in (*arguments, *((file,) if text is not None else ()))], standalone_mode=False
        )

    return call


def test_events_on_standard_output_can_be_decided(run: Any, tmp_path: Path) -> None:
    claim = x12.claim(references="REF*G1*O1")
    text = x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(member="pt-0001"), claim))
    imported = run("import-837", "--plan", "PPO", text=text)
    assert imported.return_value == 0
    (event,) = map(json.loads, imported.stdout.splitlines())
    others = [{**fact, "patient_id": event["patient_id"]} for fact in (facts.order(), facts.start())]
    file = tmp_path / "facts.jsonl"
    file.write_text("".join(json.dumps(fact) + "\n" for fact in (facts.agreement(), *others, event)))
    decided = run("adjudicate", file)
    assert [json.loads(line)["outcome"] for line in decided.stdout.splitlines()] == ["PAID"]
    assert "1 claim: received date taken from GS04" in imported.stderr


def test_exit_codes_and_the_report(run: Any, tmp_path: Path) -> None:
    good, bad = x12.claim("A"), x12.claim("B", charge="1")
    text = x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), good, bad))
    imported = run("import-837", "--report", tmp_path / "report.json", text=text)
    assert imported.return_value == 1
    assert len(imported.stdout.splitlines()) == 1
    assert "IK4-7  CLM at 23 (2300) CLM02: must be the sum" in imported.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["complete"], report["imported"], report["rejected_claims"]) == (True, 1, 1)
    in_json = run("import-837", "--json", text=text)
    assert json.loads(in_json.stderr) == report
    assert run("import-837", text=text[:-20]).return_value == 1, "a file that was cut off is a problem found"
    assert run("import-837", text="no X12").return_value == 2
    assert run("import-fhir", text=json.dumps(resource(), default=float)).return_value == 0
    assert run("import-fhir", text="[").return_value == 2
    other = run("import-fhir", text='{"type": "claim-received"}\n{"type": "claim-received"}\n')
    assert other.return_value == 2
    assert "must be a JSON object with a resourceType" in other.stderr
    assert "at line 1, column 8" in run("import-fhir", text='{"a": 1\n').stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--member-ids-are-tokens"], "exclude each other"),
        (["--received-date", "2024-02-30"], "is not a date of the form YYYY-MM-DD"),
        (["--cost-share", "1,2"], "must be three whole numbers"),
        (["--cost-share", "0,0,10001"], "10000 basis points (100 %) at most"),
        (["--group", "PPO"], "GROUP=PLAN"),
        (["--component-separator", "ab"], "must be one character"),
        (["--report", "/no/such/folder/report.json"], "cannot be written"),
    ],
)
def test_bad_usage_is_said(run: Any, arguments: list[str], sentence: str) -> None:
    result = run("import-837", *arguments, text=x12.one_claim())
    assert sentence in str(result.exception)
    assert result.stdout == ""


def test_without_a_key_no_member_id_leaves(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATHWAY_BILLING_MEMBER_KEY_FILE")
    result = run("import-837", text=x12.one_claim())
    assert "--member-key-file" in str(result.exception)
    assert result.stdout == ""
    assert '"patient_id": "MEM0001"' in run("import-837", "--member-ids-are-tokens", text=x12.one_claim()).stdout


def test_cost_shares_by_member(run: Any, tmp_path: Path) -> None:
    first = json.loads(run("import-837", text=x12.one_claim()).stdout)
    shares = tmp_path / "shares.jsonl"
    share = {"copay_cents": 1000, "deductible_remaining_cents": 2, "coinsurance_bp": 3}
    shares.write_text(json.dumps({"patient_id": first["patient_id"], **share}) + "\n")
    result = run("import-837", "--cost-shares", shares, text=x12.one_claim())
    assert json.loads(result.stdout)["cost_share"] == share
    assert "cost share taken" not in result.stderr
    for bad in ({"patient_id": "x"}, {"patient_id": "x", **share, "coinsurance_bp": 10_001}):
        shares.write_text(json.dumps(bad) + "\n")
        assert "line 1" in str(run("import-837", "--cost-shares", shares, text=x12.one_claim()).exception)


def test_a_bulk_export_of_several_files(run: Any, tmp_path: Path) -> None:
    member = {"system": "urn:plan:members", "value": "MEM0001"}
    patients = tmp_path / "Patient.ndjson"
    patients.write_text(json.dumps({"resourceType": "Patient", "id": "p1", "identifier": [member]}) + "\n")
    text = json.dumps(resource(patient={"reference": "Patient/p1"}), default=float)
    assert run("import-fhir", text=text).return_value == 1
    options = ("--resources", patients, "--member-id-system", "urn:plan:members")
    imported = run("import-fhir", *options, text=text)
    assert imported.return_value == 0, imported.stderr
    assert json.loads(imported.stdout)["patient_id"].startswith("m-")
    patients.write_text(json.dumps({"resourceType": "Patient"}) + "\n{\n")
    refused = run("import-fhir", *options, text=text)
    assert "Patient.ndjson: line 2: is not JSON" in str(refused.exception)
    assert refused.stdout == ""


def test_an_import_that_stops_leaves_a_report_of_what_was_done(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def __init__(self) -> None:
            self.acknowledged = Counter({"claim-received": 1})

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def publish(self, _: Any) -> None:
            raise PublishError("Kafka is gone.")

    monkeypatch.setattr(importing, "_publisher", lambda *_: Failing())
    bad, good = x12.claim("A", charge="1"), x12.claim("B")
    text = x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), bad, good))
    stopped = run("import-837", "--publish", "--report", tmp_path / "report.json", text=text)
    assert "Kafka is gone. The import stopped in" in str(stopped.exception)
    assert "run the same command again" in str(stopped.exception)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["complete"], report["published"], report["rejected_claims"]) == (False, 1, 1)


def test_nothing_is_published_before_every_file_can_be_read(run: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # else opening it to read would wait
    try:
        refused = run("import-837", pipe, text=x12.one_claim())
    finally:
        os.close(writer)
    assert "cannot be a pipe" in str(refused.exception)
    assert refused.stdout == ""
