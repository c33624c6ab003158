"""From when an S-code can be billed, and what stands in the way: one case for each thing that a person is told."""

from typing import Any

import pytest

from streams.adjudication.days import day_from_iso, iso
from streams.adjudication.intake import FIRST_DAY
from streams.adjudication.next_billable import NextBillable, next_billable
from streams.adjudication.record import PatientRecord
from tests.core import Core
from tests.facts import NPI, OTHER_NPI, PATIENT, agreement, claim, eligibility, line, order, s_line, start
from tests.oracle.oracle import P0


def asked(
    *facts: Any,
    on: str = "2024-02-01",
    code: str = "S0354",
    npi: str = NPI,
    plan: str = "PPO",
    then: dict[str, Any] | None = None,
    **switches: Any,
) -> NextBillable:
    """The answer under one profile, or under two: `then` is what the second one has otherwise."""
    core = Core([{**P0, **switches}, *([] if then is None else [{**P0, **then}])])
    core.take_all(facts)
    record = core.records.get(PATIENT) or PatientRecord(PATIENT)
    return next_billable(record, code, npi, plan, day_from_iso(on), core.agreements, core.policy)


def payable(answer: NextBillable) -> str | None:
    return None if answer.payable_from is None else iso(answer.payable_from)


def reasons(answer: NextBillable) -> list[tuple[str, str, str | None]]:
    return [(o.reason, iso(o.from_date), None if o.to_date is None else iso(o.to_date)) for o in answer.obstacles]


STARTED = (agreement(), order(), start())


def test_thirty_days_after_s0353() -> None:
    answer = asked(*STARTED, s_line("A", "S0353", "2024-01-08"))
    assert payable(answer) == "2024-02-07"
    assert reasons(answer) == [("WITHIN_30_OF_S0353", "2024-02-01", "2024-02-06")]
    assert (
        answer.obstacles[0].explanation
        == "S0354 on 2024-02-01 is 24 days after S0353 on 2024-01-08; payable from 2024-02-07."
    )
    assert (answer.order_id, answer.months_left, answer.fee_cents, answer.missing) == ("O1", 6, 35000, ())


def test_payable_on_the_asked_day_there_is_no_obstacle() -> None:
    answer = asked(*STARTED)
    assert (payable(answer), answer.obstacles) == ("2024-02-01", ())


def test_the_months_of_the_order() -> None:
    facts = (agreement(), order(max_months=1), start(), s_line("A", "S0354", "2024-01-10"))
    answer = asked(*facts)
    assert payable(answer) is None
    assert reasons(answer) == [
        ("WITHIN_30_OF_S0354", "2024-02-01", "2024-02-08"),
        ("MAX_MONTHS", "2024-02-09", "2024-12-31"),
        ("AFTER_SPAN", "2025-01-01", None),
    ]
    assert answer.months_left == 0
    assert answer.missing == ("a month left under the order", "a started order whose span covers the day")
    assert answer.fee_cents is None


def test_s0353_that_is_used_up_a_month_leaves_one_less() -> None:
    billed = s_line("A", "S0353", "2024-01-08")
    assert asked(*STARTED, billed, s0353_uses_month=True).months_left == 5


def test_before_the_onset_and_before_the_order() -> None:
    answer = asked(*STARTED, on="2023-12-01")
    assert payable(answer) == "2024-01-08"
    assert [reason for reason, _, _ in reasons(answer)] == ["NO_PATHWAY_AT_DOS", "BEFORE_ONSET"]
    assert answer.missing == ()


def test_no_order_no_start_no_agreement_no_coverage() -> None:
    assert asked(agreement()).missing == ("a pathway order in effect",)
    assert asked(agreement(), order()).missing == ("the treatment start of the order",)
    assert asked(order(), start()).missing == ("an agreement of the billing provider with the plan",)
    ended = asked(*STARTED, eligibility(1, ("2020-01-01", "2024-01-31")))
    assert ended.missing == ("eligibility of the member under the plan",)
    assert ended.months_left is None, "no order was looked at"
    begins = asked(*STARTED, eligibility(1, ("2024-03-01", None)))
    assert payable(begins) == "2024-03-01"


def test_another_provider_of_the_order_and_of_the_claim() -> None:
    facts = (agreement(), order(ordering_npi=OTHER_NPI), start())
    assert asked(*facts, on="2024-06-01").missing[0] == "a started order whose span covers the day"
    assert [reason for reason, _, _ in reasons(asked(*facts))] == ["ORDERING_NOT_IN_NETWORK", "AFTER_SPAN"]
    joins = agreement(OTHER_NPI, effective_from="2024-03-15")
    assert payable(asked(*facts, joins)) == "2024-03-15"
    assert payable(asked(*STARTED, joins, npi=OTHER_NPI)) == "2024-03-15"


def test_a_withdrawn_order() -> None:
    withdrawn = order(order_version=2, status="WITHDRAWN", withdrawn_from="2024-02-01")
    assert asked(*STARTED, withdrawn).missing == ("a pathway order in effect",)


def test_s0353_is_paid_once_and_an_off_pathway_order_never() -> None:
    once = asked(*STARTED, s_line("A", "S0353", "2024-01-08"), code="S0353")
    assert once.missing[0] == "nothing can be done: S0353 is paid once"
    bundled = asked(agreement(), order(on_pathway=False), start())
    assert bundled.obstacles[0].outcome == "BUNDLED"
    assert bundled.missing[0] == "a started order for a regimen on the pathway"


def test_an_s0353_names_the_s0354_that_it_would_come_too_near_to() -> None:
    answer = asked(*STARTED, s_line("A", "S0354", "2024-01-20"), code="S0353")
    assert (payable(answer), answer.denies) == ("2024-02-01", ("A/1",))


def test_one_a_calendar_month() -> None:
    facts = (*STARTED, s_line("A", "S0354", "2024-01-08"))
    assert payable(asked(*facts, on="2024-01-20", gap_between_s0354_days=5, calendar_month_cap=True)) == "2024-02-01"


def test_the_filing_limit_counts_from_the_newest_claim_on_record() -> None:
    old = s_line("A", "S0354", "2024-08-01", received_date="2024-08-20")
    answer = asked(*STARTED, old, on="2024-04-01")
    assert payable(answer) == "2024-05-22"
    assert reasons(answer) == [("UNTIMELY", "2024-04-01", "2024-05-21")]
    assert payable(asked(agreement(filing_limit_days=60), order(), start(), old, on="2024-04-01")) == "2024-06-21"


def test_a_fee_of_nothing_is_charged_a_cent() -> None:
    assert asked(agreement(s0354_fee_cents=0), order(), start()).fee_cents == 0


def test_a_plan_that_the_policy_does_not_know_would_be_refused() -> None:
    answer = asked(*STARTED, plan="OTHER")
    assert (answer.obstacles[0].outcome, answer.obstacles[0].reason) == ("REFUSED", "WRONG_PAYER")
    assert answer.missing == ("a plan that the policy knows",)


def test_an_onset_at_the_end_of_the_calendar_is_no_missing_one() -> None:
    answer = asked(agreement(), order(effective_to=None), start(onset_date="9999-06-01"))
    assert (payable(answer), reasons(answer)[0][0], answer.missing) == (None, "BEFORE_ONSET", ())


@pytest.mark.parametrize("bad", [{"code": "S0355"}, {"on": "9999-01-01"}])
def test_questions_that_have_no_answer(bad: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        asked(**bad)


def test_an_exact_duplicate_stands_in_the_way_for_a_day() -> None:
    served = s_line("A", "S0354", "2024-01-20", received_date="2024-01-25")
    answer = asked(agreement(s0353_fee_cents=40_000), order(), start(), served, on="2024-01-10")
    assert reasons(answer) == [
        ("WITHIN_30_OF_S0354", "2024-01-10", "2024-01-19"),
        ("DUPLICATE", "2024-01-20", "2024-01-20"),
        ("WITHIN_30_OF_S0354", "2024-01-21", "2024-02-18"),
    ]
    assert payable(answer) == "2024-02-19"


def test_what_is_tried_is_charged_at_the_fee_of_its_code() -> None:
    served = claim("A", [line(1, "S0353", "2024-01-20", charge_cents=40_000)])
    answer = asked(agreement(s0353_fee_cents=40_000), order(), start(), served, on="2024-01-20", code="S0353")
    assert reasons(answer)[:2] == [
        ("DUPLICATE", "2024-01-20", "2024-01-20"),
        ("S0353_ONCE", "2024-01-21", "2024-12-31"),
    ]
    a_cent = claim("A", [line(1, "S0354", "2024-01-20", charge_cents=1)])
    answer = asked(agreement(s0354_fee_cents=0), order(), start(), a_cent, on="2024-01-20")
    assert answer.obstacles[0].reason == "DUPLICATE"


def test_the_gap_before_an_s0353_hides_the_gap_after_an_s0354() -> None:
    later = s_line("B", "S0353", "2024-02-19")
    assert reasons(asked(*STARTED, s_line("A", "S0354", "2024-01-10"), later, on="2024-01-12")) == [
        ("WITHIN_30_OF_S0354", "2024-01-12", "2024-01-20"),
        ("WITHIN_30_OF_S0353", "2024-01-21", "2024-03-19"),
    ]


def test_the_months_the_calendar_month_and_the_gap_one_behind_the_other() -> None:
    facts = (agreement(), order(max_months=1), start(), s_line("A", "S0354", "2024-03-20", billing_npi=NPI))
    answer = asked(
        *facts, eligibility(1, ("2024-01-01", "2024-06-30")), gap_between_s0354_days=5, calendar_month_cap=True
    )
    assert reasons(answer) == [
        ("MAX_MONTHS", "2024-02-01", "2024-02-29"),
        ("CALENDAR_MONTH", "2024-03-01", "2024-03-15"),
        ("WITHIN_30_OF_S0354", "2024-03-16", "2024-03-19"),
        ("DUPLICATE", "2024-03-20", "2024-03-20"),
        ("WITHIN_30_OF_S0354", "2024-03-21", "2024-03-24"),
        ("CALENDAR_MONTH", "2024-03-25", "2024-03-31"),
        ("MAX_MONTHS", "2024-04-01", "2024-06-30"),
        ("NOT_ELIGIBLE", "2024-07-01", None),
    ]


def test_a_later_profile_with_a_shorter_gap() -> None:
    shorter = {"effective_from": "2024-02-20", "gap_between_s0354_days": 10}
    assert payable(asked(*STARTED, s_line("A", "S0354", "2024-02-05"), on="2024-02-06", then=shorter)) == "2024-02-20"


def test_without_an_agreement_the_filing_limit_is_the_profiles() -> None:
    others = s_line("A", "S0354", "2024-06-29", billing_npi=OTHER_NPI)
    answer = asked(order(), start(), others)
    assert reasons(answer) == [
        ("UNTIMELY", "2024-02-01", "2024-03-30"),
        ("NOT_IN_NETWORK", "2024-03-31", None),
    ]


def test_the_ends_of_a_wait_an_agreement_and_a_withdrawn_order() -> None:
    ends = agreement(effective_to="2024-03-31")
    withdrawn = order(order_version=2, status="WITHDRAWN", withdrawn_from="2024-03-01")
    assert reasons(asked(ends, order(), withdrawn)) == [
        ("AWAIT_TREATMENT_START", "2024-02-01", "2024-02-29"),
        ("NO_PATHWAY_AT_DOS", "2024-03-01", "2024-03-31"),
        ("NOT_IN_NETWORK", "2024-04-01", None),
    ]


def test_what_time_ends_is_not_missing_where_something_else_lasts() -> None:
    answer = asked(agreement(), order(on_pathway=False), start(), on="2023-12-01")
    assert [reason for reason, _, _ in reasons(answer)] == ["NO_PATHWAY_AT_DOS", "OFF_PATHWAY", "AFTER_SPAN"]
    assert answer.missing == (
        "a started order for a regimen on the pathway",
        "a started order whose span covers the day",
    )


def test_months_that_are_more_than_used_up_leave_none() -> None:
    facts = (agreement(), order(max_months=0), start(), s_line("A", "S0353", "2024-01-08"))
    assert asked(*facts, s0353_uses_month=True).months_left == 0


def test_only_an_s0353_that_is_payable_denies_others() -> None:
    answer = asked(*STARTED, s_line("A", "S0354", "2024-01-20"), gap_between_s0354_days=5)
    assert (payable(answer), answer.denies) == ("2024-02-01", ())
    open_end = (agreement(), order(effective_to=None), start(), s_line("A", "S0353", "2024-01-08"))
    never = asked(*open_end, s_line("B", "S0354", "9998-12-15"), on="9998-12-20", code="S0353")
    assert (payable(never), never.denies) == (None, ())


def test_the_first_and_the_last_day_that_can_be_asked_about() -> None:
    assert asked(on="0001-01-01").payable_from is None
    with pytest.raises(AssertionError):
        next_billable(PatientRecord(PATIENT), "S0354", NPI, "PPO", FIRST_DAY - 1, Core().agreements, Core().policy)
    begins = (agreement(), order(effective_to=None), start(onset_date="9998-12-31"))
    assert payable(asked(*begins)) == payable(asked(*begins, on="9998-12-31")) == "9998-12-31"
