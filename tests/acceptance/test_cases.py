"""The worked cases of rules.md section 8, through the core, through the oracle and through the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streams.commands.adjudicate import command as adjudicate
from tests.core import Core, row
from tests.oracle.oracle import answer

CASES = [json.loads(text) for text in Path(__file__).with_name("cases.jsonl").read_text("utf-8").splitlines()]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']}: {case['title']}")


@every_case
def test_core(case: dict[str, Any]) -> None:
    core = Core()
    core.take_all(case["facts"])
    assert [row(decision) for decision in core.current_decisions()] == case["current"]


@every_case
def test_core_settling_anew_for_every_fact(case: dict[str, Any]) -> None:
    core = Core(incremental=False)
    core.take_all(case["facts"])
    assert [row(decision) for decision in core.current_decisions()] == case["current"]


@every_case
def test_core_in_reverse_order_of_arrival(case: dict[str, Any]) -> None:
    core = Core()
    core.take_all(reversed(case["facts"]))
    assert [row(decision) for decision in core.current_decisions()] == case["current"]


@every_case
def test_oracle(case: dict[str, Any]) -> None:
    assert [decision.row for decision in answer(case["facts"]).current] == case["current"]


@every_case
def test_command_line(case: dict[str, Any]) -> None:
    facts = "".join(json.dumps(fact) + "\n" for fact in case["facts"])
    result = CliRunner().invoke(adjudicate, ["-", "--current"], input=facts)
    assert result.exit_code == 0, result.output
    assert [row(json.loads(line)) for line in result.stdout.splitlines()] == case["current"]
