"""Which claims a sweep finds overdue."""

from collections.abc import Sequence
from typing import Any

import pytest

from streams.adjudication.days import day_from_iso
from streams.adjudication.facts import PendExpired
from streams.commands.sweep import _print
from streams.policy_files import load_policy
from streams.runtime.processor import InputRecord
from streams.sweep import Pend, Sweep, age_group, expired_claims, pended_claims, waiting_claims
from streams.topics import BILLING_DECISIONS, CLAIM_RECEIVED, PEND_EXPIRED
from tests import facts
from tests.unit.verification.system import System

KEY = ("pt-0001", "A")


def overdue(claims: Sequence[InputRecord], as_of: str) -> list[Pend]:
    return [pend for pend in waiting_claims({KEY}, claims, 1, load_policy(), day_from_iso(as_of)) if pend.is_over]


def claims(*events: dict[str, Any]) -> list[InputRecord]:
    system = System()
    system.publish(events)
    return system.topics[CLAIM_RECEIVED]


def received(day: str, **fields: Any) -> dict[str, Any]:
    return facts.s_line("A", "S0353", "2024-01-10", received_date=day, **fields)


@pytest.mark.parametrize(("as_of", "count"), [("2024-02-20", 0), ("2024-02-21", 0), ("2024-02-22", 1)])
def test_the_limit_itself_is_not_over_it(as_of: str, count: int) -> None:
    assert len(overdue(claims(received("2024-02-01")), as_of)) == count


def test_the_claim_that_was_taken_in_counts() -> None:
    """Not one of a wrong payer before it, nor one with other content after it."""
    told = claims(received("2023-12-01", payer_id="HP999"), received("2024-02-01"), received("2023-11-01"))
    (found,) = overdue(told, "2024-03-01")
    assert (found.received_date, found.waited_days, found.limit_days) == (day_from_iso("2024-02-01"), 29, 20)


def test_each_pend_is_in_the_age_group_of_its_days() -> None:
    assert [age_group(days) for days in (0, 6, 7, 20, 21, 30, 31)] == [
        "0-6",
        "0-6",
        "7-13",
        "14-20",
        "21-30",
        "21-30",
        "over 30",
    ]


def test_every_sweep_says_the_same_in_the_same_words() -> None:
    (one,) = overdue(claims(received("2024-02-01")), "2024-03-01")
    (other,) = overdue(claims(received("2024-02-01")), "2024-05-01")
    assert one.fact == other.fact
    assert isinstance(one.fact, PendExpired)
    assert "pt-0001" not in one.fact.event_id
    assert one.fact.event_id != one._replace(claim_id="B").fact.event_id


def test_a_claim_is_pended_while_a_line_of_it_is() -> None:
    system = System()
    system.play(facts.agreement(), facts.order())
    system.play(facts.claim("A", [facts.line(1, "S0353", "2024-01-10"), facts.line(2, "S0354", "2024-01-10")]))
    assert pended_claims(system.topics[BILLING_DECISIONS]) == {KEY}
    assert not expired_claims(system.topics[PEND_EXPIRED], 1)
    system.play(facts.pend_expired("A"))
    assert not pended_claims(system.topics[BILLING_DECISIONS])
    assert expired_claims(system.topics[PEND_EXPIRED], 1) == {KEY}


def test_one_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    pends = overdue(claims(received("2024-02-01")), "2024-03-01")
    for found in (Sweep(pends, 1, 0, {}), Sweep([], 2, 0, {})):
        _print(found, day_from_iso("2024-03-01"), dry_run=False, reveal=False)
    assert capsys.readouterr().out.splitlines() == [
        "1 pend expired as of 2024-03-01; 1 claim was pended",
        "0 pends expired as of 2024-03-01; 2 claims were pended",
    ]
