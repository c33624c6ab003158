"""The trace tells the same story as the decision, for every line of a made-up year."""

from typing import Any

import pytest

from streams.adjudication.decisions import VOIDED
from streams.adjudication.edits import EDITS
from streams.adjudication.offline import OfflineEngine
from streams.adjudication.trace import DECIDED, NOT_ASKED, NOT_REACHED, Trace, trace
from streams.generator import history
from streams.policy_files import load_policy
from tests.core import Core
from tests.facts import PATIENT, agreement, agreement_span, claim, eligibility, line, order, s_line, start
from tests.oracle.oracle import P0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_decisive_edit_is_the_decisions_reason(seed: int) -> None:
    engine = OfflineEngine(load_policy())
    for _ in engine.fold_all(history(120, seed)):
        pass
    reasons = set()
    for record in engine.records.values():
        # a year ends with agreements newer than some decisions: decide again under the newest
        record.settlement = None
        for key, position in record.positions.items():
            traced = trace(record, engine.agreements, engine.policy, key)
            if position.ruling.outcome == VOIDED:
                assert traced is None
                continue
            assert traced is not None
            if all(
                engine.agreements.standing(ref.npi).version == ref.version  # type: ignore[union-attr]
                for other in record.positions.values()
                for ref in other.ruling.agreements
            ):
                assert (traced.outcome, traced.reason) == (position.ruling.outcome, position.ruling.reason)
            reasons.add(traced.reason)
            results = [edit.result for edit in traced.edits]
            assert len(results) == len(EDITS) + 1
            assert results.count(DECIDED) == 1
            after = results[results.index(DECIDED) + 1 :]
            assert set(after) <= {NOT_REACHED}
            assert all(edit.saw for edit in traced.edits if edit.result not in (NOT_REACHED,))
    assert len(reasons) > 8


def test_a_trace_says_what_each_edit_saw() -> None:
    core = Core()
    core.take_all(
        [agreement(), order(), start(), s_line("A", "S0353", "2024-01-08"), s_line("B", "S0354", "2024-02-06")]
    )
    record = core.records["pt-0001"]
    traced = trace(record, core.agreements, core.policy, ("B", 1))
    assert traced is not None
    decisive = next(edit for edit in traced.edits if edit.result == DECIDED)
    assert (decisive.number, decisive.saw) == ("12", "S0353 paid for 2024-01-08 on A/1")
    assert (
        next(edit.saw for edit in traced.edits if edit.number == "4")
        == "received 0 days after the service; the limit is 90 days"
    )
    assert trace(record, core.agreements, core.policy, ("nobody's", 1)) is None


STARTED = (agreement(), order(), start())


def traced(facts: Any, at: tuple[str, int], **switches: Any) -> Trace:
    core = Core([{**P0, **switches}])
    core.take_all(facts)
    found = trace(core.records[PATIENT], core.agreements, core.policy, at)
    assert found is not None
    return found


def saw(facts: Any, at: tuple[str, int] = ("B", 1), **switches: Any) -> dict[str, str]:
    """What each edit saw, by its question."""
    return {edit.title: edit.saw for edit in traced(facts, at, **switches).edits if edit.result != NOT_REACHED}


def test_the_whole_story_of_an_s0354_that_is_paid() -> None:
    facts = (*STARTED, s_line("A", "S0353", "2024-01-08"), s_line("B", "S0354", "2024-02-07"))
    found = traced(facts, ("B", 1))
    assert (found.outcome, found.reason) == ("PAID", "PAID")
    assert [(edit.number, edit.saw) for edit in found.edits] == [
        ("1", "1 unit"),
        ("1", "$350.00"),
        ("1", "2024-02-07 to 2024-02-07"),
        ("1", "received 2024-02-07"),
        ("1", "the claim replaces no other"),
        ("2", "compared with 1 line settled before"),
        ("3", "no eligibility on record"),
        ("4", "received 0 days after the service; the limit is 90 days"),
        ("5", "agreement with plan PPO from 2020-01-01 to open"),
        ("6", "the claim cites no order"),
        ("6, 7", "in effect: order O1 (treatment since 2024-01-08)"),
        ("8", "order O1 runs 2024-01-02 to 2024-12-31"),
        ("9", "regimen R001 is on the pathway"),
        ("10", "ordering provider 1234567893"),
        ("11", "only for S0353"),
        ("12", "no paid S0353 fewer than 30 days away"),
        ("13", "no paid S0354 fewer than 30 days away"),
        ("13", "switched off by the policy"),
        ("14", "0 of 6 months of order O1 used before"),
        ("15", "no edit stood in the way; agreed fee $350.00"),
    ]
    assert [edit.title for edit in found.edits if edit.result == NOT_ASKED] == [
        "S0353 is paid once",
        "One in a calendar month",
    ]
    assert found.edits[-1].result == DECIDED


def test_an_s0353_is_not_asked_what_is_about_s0354() -> None:
    found = traced((*STARTED, s_line("A", "S0353", "2024-01-08")), ("A", 1), calendar_month_cap=True)
    assert [edit.title for edit in found.edits if edit.result == NOT_ASKED] == [
        "Far enough from the paid S0353",
        "Far enough from every paid S0354",
        "One in a calendar month",
        "Months of the order are left",
    ]
    seen = {edit.title: edit.saw for edit in found.edits}
    assert seen["S0353 is paid once"] == "no S0353 paid before"
    assert seen["Far enough from the paid S0353"] == seen["Months of the order are left"] == "only for S0354"


def test_each_line_of_a_claim_has_its_own_story() -> None:
    lines = [line(1, "S0354", "2024-02-07"), line(2, "S0353", "2024-01-08"), line(3, "S0354", "2024-03-08")]
    facts = (*STARTED, claim("B", lines), s_line("C", "S0353", "2024-01-09", received_date="2024-03-09"))
    settled = {at: saw(facts, at)["Not billed before"].split()[2] for at in (("B", 1), ("B", 2), ("B", 3), ("C", 1))}
    assert settled == {("B", 2): "0", ("C", 1): "1", ("B", 1): "2", ("B", 3): "3"}
    assert saw(facts, ("C", 1))["S0353 is paid once"] == "S0353 paid for 2024-01-08 on B/2"
    assert saw(facts, ("B", 3))["Months of the order are left"] == "1 of 6 months of order O1 used before"
    assert saw(facts, ("B", 3), s0353_uses_month=True)["Months of the order are left"].startswith("2 of 6 months")


def test_what_a_replacement_saw() -> None:
    first, second = s_line("A", "S0353", "2024-01-08"), s_line("B", "S0353", "2024-01-08", frequency_code="7")
    title = "A sound reference"
    assert saw((*STARTED, first, {**second, "original_claim_id": "A"}))[title] == "the claim that it replaces is sound"
    assert saw((*STARTED, first, second))[title] == "the replacement names no claim"


def test_what_was_seen_of_the_coverage() -> None:
    billed, title = s_line("B", "S0353", "2024-01-08"), "The member is eligible"
    spans = (("2020-01-01", "2022-12-31"), ("2024-01-01", None))
    assert (
        saw((*STARTED, eligibility(1, *spans), billed))[title]
        == "covered by plan PPO: 2020-01-01 to 2022-12-31, 2024-01-01 to open"
    )
    for plan_id in ("HMO", "PPX"):  # before and after PPO
        assert (
            saw((*STARTED, eligibility(1, *spans, plan_id=plan_id), billed))[title] == "no span of plan PPO on record"
        )


def test_what_was_seen_of_the_agreements() -> None:
    billed = s_line("B", "S0353", "2024-01-08", received_date="2024-01-09")
    joined = (agreement(effective_to="2024-06-30", filing_limit_days=1), order(), start(), billed)
    assert saw(joined)["Filed in time"] == "received 1 day after the service; the limit is 1 day"
    assert saw(joined)["The billing provider is in network"] == "agreement with plan PPO from 2020-01-01 to 2024-06-30"
    old = s_line("B", "S0353", "1969-12-31", received_date="1970-01-01")
    assert saw((*STARTED, old))["Filed in time"].startswith("received 1 day after")
    left = (agreement(spans=[agreement_span(effective_to="2024-01-07")]), order(), start(), billed)
    assert saw(left)["Filed in time"].endswith("the limit is 90 days")
    assert saw(left)["The billing provider is in network"] == "no agreement with plan PPO covers 2024-01-08"


def test_what_was_seen_of_the_orders() -> None:
    billed = s_line("B", "S0353", "2024-01-08", order_id="O1")
    assert saw((*STARTED, billed))["The cited order is on record"] == "the claim cites order O1"
    title = "A pathway order is in effect, and treatment has begun"
    others = (order("O2"), order("O3"), start("O3", status="CANCELLED"), order("O0", effective_from="2024-02-01"))
    assert saw((*STARTED, *others, billed))[title] == (
        "in effect: order O1 (treatment since 2024-01-08), order O2 (no start on record), order O3 (start cancelled)"
    )
    ended = order(order_version=2, status="WITHDRAWN", withdrawn_from="2024-01-08")
    assert saw((*STARTED, ended, billed))[title] == "none of 1 order is in effect on 2024-01-08"
    off = saw((agreement(), order(on_pathway=False, effective_to=None), start(), billed))
    assert off["Inside the order's dates"] == "order O1 runs 2024-01-02 to open"
    assert off["The regimen is on the pathway"] == "regimen R001 is off the pathway"


def test_an_ordering_provider_that_no_switch_tests_is_not_asked_for() -> None:
    found = traced((*STARTED, s_line("B", "S0353", "2024-01-08")), ("B", 1), ordering_provider_tested=False)
    assert [edit.number for edit in found.edits if edit.result == NOT_ASKED] == ["10", "12", "13", "13", "14"]


def test_what_was_seen_of_a_calendar_month() -> None:
    title, capped = "One in a calendar month", {"calendar_month_cap": True, "gap_between_s0354_days": 5}
    facts = (*STARTED, s_line("A", "S0354", "2024-01-31"))
    assert saw((*facts, s_line("B", "S0354", "2024-03-01")), **capped)[title] == "no S0354 paid in that month"
    assert saw((*facts, s_line("B", "S0354", "2024-01-10")), ("A", 1), **capped)[title] == "S0354 paid for 2024-01-10"
    near = saw((*facts, s_line("B", "S0354", "2024-02-04")), gap_between_s0354_days=5)
    assert near["Far enough from every paid S0354"] == "S0354 paid for 2024-01-31 on A/1"
