"""`pathway-billing adjudicate`: what is printed where, and that bad input decides nothing."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.commands.adjudicate import command
from tests import facts

PAYABLE = [facts.agreement(), facts.order(), facts.start()]
GOOD = facts.s_line("A", "S0353", "2024-01-08")


def adjudicate(lines: list[facts.Json | str], *options: str) -> Result:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return CliRunner().invoke(command, ["-", *options], input=text)


def test_every_version_is_printed_in_the_order_of_publication() -> None:
    later = facts.s_line("B", "S0354", "2024-02-07", received_date="2024-02-08")
    first = facts.s_line("C", "S0353", "2024-01-20", received_date="2024-02-09")
    printed = [json.loads(line) for line in adjudicate([*PAYABLE, later, first]).stdout.splitlines()]
    assert [(d["claim_id"], d["version"], d["outcome"]) for d in printed] == [
        ("B", 1, "PAID"),
        ("B", 2, "DENIED"),
        ("C", 1, "PAID"),
    ]


def test_current_is_sorted_by_claim_and_line_over_all_patients() -> None:
    other = [{**fact, "patient_id": "pt-0000"} for fact in (facts.order(), facts.start(), {**GOOD, "claim_id": "Z"})]
    printed = [json.loads(line) for line in adjudicate([*PAYABLE, *other, GOOD], "--current").stdout.splitlines()]
    assert [(d["patient_id"], d["claim_id"]) for d in printed] == [("pt-0001", "A"), ("pt-0000", "Z")]


def test_agreements_are_read_first_wherever_they_stand() -> None:
    (line,) = adjudicate([facts.order(), facts.start(), GOOD, facts.agreement()]).stdout.splitlines()
    assert json.loads(line)["outcome"] == "PAID"


def test_notices_are_printed_when_asked_for() -> None:
    printed = [json.loads(line) for line in adjudicate(PAYABLE, "--notices").stdout.splitlines()]
    assert [(notice["type"], notice["eligible"]) for notice in printed] == [("eligibility-notice", True)]


def test_refused_facts_are_named_on_standard_error_and_the_rest_is_decided() -> None:
    wrong_payer = {**GOOD, "claim_id": "B", "payer_id": "AIM"}
    conflict = {**GOOD, "event_id": "again", "form_type": "UB-04"}
    result = adjudicate([*PAYABLE, GOOD, wrong_payer, conflict])
    refused = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["refused"], line["line"], line["event_id"]) for line in refused] == [
        ("WRONG_PAYER", 5, "claim-A"),
        ("CONFLICT", 6, "again"),
    ]
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ("not json", "is not JSON"),
        ({"type": "claim-denied"}, "type: is unknown"),
        ({key: value for key, value in GOOD.items() if key != "received_date"}, "received_date: is missing"),
        ({**GOOD, "claim_id": 7}, "claim_id: must be a string"),
        ({**GOOD, "received_date": "2024-02-30"}, "received_date: must be a date that exists"),
        ({**GOOD, "billing_npi": "1234567890"}, "billing_npi: must be an NPI; this one fails its check digit"),
    ],
)
def test_bad_input_is_named_by_line_and_field_and_nothing_is_decided(bad: facts.Json | str, named: str) -> None:
    result = adjudicate([*PAYABLE, GOOD, bad])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"line 5: {named}" in result.stderr
    assert "pt-0001" not in result.stderr


def test_all_bad_lines_are_named_however_many() -> None:
    result = adjudicate(["?"] * 100)
    assert result.exit_code == 2
    named = [f"error: <stdin>: line {number}: is not JSON" for number in range(1, 101)]
    assert [line.partition(": Expecting")[0] for line in result.stderr.splitlines()[:-1]] == named
    assert "nothing was decided" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[[profile]]\nid = 'P9'\n", "version is missing"), (b"\xff\xfe[", "is not UTF-8")],
)
def test_a_policy_that_cannot_be_used_is_bad_usage(tmp_path: Path, content: bytes, said: str) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_bytes(content)
    result = adjudicate(PAYABLE, "--policy", str(policy))
    assert result.exit_code == 2
    assert said in result.stderr
