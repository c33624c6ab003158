"""The facts of a re-adjudication request."""

import pytest
from click.testing import CliRunner

from streams.commands.readjudicate import command
from streams.readjudication import Request

REQUEST = Request("r-1", "ops", "fees of 2024", ((0, 41), (2, 7)))


def test_a_request_says_the_same_of_a_patient_each_time() -> None:
    assert REQUEST.fact("pt-0001") == REQUEST.fact("pt-0001")
    assert REQUEST.fact("pt-0001").event_id != REQUEST.fact("pt-0002").event_id
    assert REQUEST.fact("pt-0001").event_id != REQUEST._replace(request_id="r-2").fact("pt-0001").event_id


def test_a_fact_is_found_by_its_requests_id_and_names_no_patient_in_it() -> None:
    fact = REQUEST.fact("pt-0001")
    assert fact.event_id.startswith("r-1:")
    assert "pt-0001" not in fact.event_id
    assert fact[1:] == ("pt-0001", "ops", "fees of 2024", ((0, 41), (2, 7)))


@pytest.mark.parametrize(("option", "most"), [("--reason", "1,000"), ("--requested-by", "256")])
def test_a_text_that_no_fact_takes_is_bad_usage(option: str, most: str) -> None:
    done = CliRunner().invoke(command, ["--all", option, "x" * 1_001])
    assert done.exit_code == 2
    assert f"it may have {most} characters at most" in done.output
