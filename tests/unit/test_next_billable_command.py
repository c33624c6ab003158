"""`next-billable` as a person calls it, on a file of facts."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.commands.next_billable import command
from tests.facts import NPI, PATIENT, agreement, order, s_line, start


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.jsonl"
    history = (agreement(), order(), start(), s_line("A", "S0353", "2024-01-08"))
    path.write_text("".join(json.dumps(fact) + "\n" for fact in history))
    return path


def ask(facts: Path, *arguments: str, npi: str = NPI) -> Result:
    return CliRunner().invoke(command, ["--patient", PATIENT, "--npi", npi, *arguments, str(facts)])


def test_the_answer_in_words(facts: Path) -> None:
    said = ask(facts, "--from", "2024-02-01")
    assert said.exit_code == 0
    assert said.stdout.splitlines() == [
        "S0354 is payable from 2024-02-07 under order O1; agreed fee $350.00.",
        "Months left of order O1: 6.",
        "  from 2024-02-01 to 2024-02-06  DENIED   WITHIN_30_OF_S0353        "
        "S0354 on 2024-02-01 is 24 days after S0353 on 2024-01-08; payable from 2024-02-07.",
    ]


def test_the_answer_as_json(facts: Path) -> None:
    answer = json.loads(ask(facts, "--from", "2025-01-01", "--json").stdout)
    assert (answer["from"], answer["payable_from"], answer["months_left"]) == ("2025-01-01", None, 6)
    assert answer["missing"] == ["a started order whose span covers the day"]
    assert [obstacle["reason"] for obstacle in answer["obstacles"]] == ["AFTER_SPAN"]
    assert answer["policy"] == {"id": "P0", "version": 1}


def test_never_is_an_answer_too(facts: Path) -> None:
    said = ask(facts, "--from", "2024-02-01", "--code", "S0353")
    assert said.exit_code == 0
    assert said.stdout.startswith("S0353 is not payable on any day from 2024-02-01 on")
    assert "Missing: nothing can be done: S0353 is paid once." in said.stdout


@pytest.mark.parametrize(
    ("arguments", "npi", "said"),
    [
        (("--from", "2024-02-01"), "1234567890", "right check digit"),
        (("--from", "9999-02-01"), NPI, "must lie between"),
        (("--from", "soon"), NPI, "not a date"),
        (("--from", "2024-02-01", "--ledger"), NPI, "not both"),
    ],
)
def test_questions_without_an_answer(facts: Path, arguments: tuple[str, ...], npi: str, said: str) -> None:
    result = ask(facts, *arguments, npi=npi)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_token_with_a_slip_in_it_is_told_and_not_repeated(facts: Path) -> None:
    arguments = ["--patient", PATIENT + "x", "--npi", NPI, "--from", "2024-02-01", str(facts)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "nothing is on record of this patient: check the token" in result.stderr
    assert PATIENT not in result.output
