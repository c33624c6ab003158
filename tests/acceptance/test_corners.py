"""Worked cases of our own, for sentences of rules.md that the cases of its section 8 do not touch.

Each is checked in the core and in the oracle, in the order written and in reverse.
"""

from typing import Any

import pytest

from tests.core import Core
from tests.facts import (
    NPI,
    OTHER_NPI,
    Json,
    agreement,
    agreement_span,
    claim,
    eligibility,
    line,
    order,
    pend_expired,
    s_line,
    start,
)
from tests.oracle.oracle import answer

STANDING = [agreement(), agreement(OTHER_NPI), order(), start()]
ONSET = "2024-01-08"
COMPARED = (
    "outcome",
    "reason",
    "allowed_cents",
    "paid_cents",
    "adjustments",
    "order_id",
    "next_payable_date",
    "member_owes_cents",
)


def decided(*facts: Json) -> dict[str, dict[str, Any]]:
    """The current decisions by claim/line, after core and oracle agreed in both orders of arrival."""
    for arrival in (facts, facts[::-1]):
        core = Core()
        core.take_all(arrival)
        current = {f"{d['claim_id']}/{d['line_number']}": d for d in core.current_decisions()}
        for said in answer(arrival).current:
            decision = current[f"{said.claim_id}/{said.line_number}"]
            for field in COMPARED:
                assert decision[field] == getattr(said, field), f"{field} of {said.claim_id}/{said.line_number}"
    return current


def reasons(*facts: Json) -> dict[str, str]:
    return {where: decision["reason"] for where, decision in decided(*facts).items()}


def replacement(claim_id: str, named: str | None, received_date: str, **fields: Any) -> Json:
    """A replacement with one S0353 on the onset."""
    fields = {"frequency_code": "7", "original_claim_id": named, **fields}
    return s_line(claim_id, "S0353", ONSET, received_date=received_date, **fields)


def void(claim_id: str, named: str | None, received_date: str = "2024-02-01", **fields: Any) -> Json:
    return claim(claim_id, [], received_date, frequency_code="8", original_claim_id=named, **fields)


# Section 2: live claims


def test_of_several_replacements_the_last_stands() -> None:
    rivals = [replacement("R1", "A", "2024-01-20"), replacement("R2", "A", "2024-01-20")]
    assert reasons(*STANDING, s_line("A", "S0353", ONSET), *rivals) == {
        "A/1": "VOIDED",
        "R1/1": "VOIDED",
        "R2/1": "PAID",
    }


def test_voiding_the_last_replacement_revives_none() -> None:
    rivals = [replacement("R1", "A", "2024-01-20"), replacement("R2", "A", "2024-01-21"), void("V", "R2")]
    assert set(reasons(*STANDING, s_line("A", "S0353", ONSET), *rivals).values()) == {"VOIDED"}


def test_a_replacement_of_a_claim_that_is_out_is_live_and_ties_settle_by_the_own_claim_id() -> None:
    family = [
        replacement("R1", "A", "2024-01-20"),
        replacement("R3", "A", "2024-01-21"),
        replacement("R2", "R1", "2024-01-22"),
    ]
    came_to = reasons(*STANDING, s_line("A", "S0353", ONSET), *family)
    assert came_to == {"A/1": "VOIDED", "R1/1": "VOIDED", "R2/1": "PAID", "R3/1": "DUPLICATE"}


def test_a_void_takes_out_the_claim_that_it_names_and_no_other() -> None:
    facts = [s_line("A", "S0353", ONSET), replacement("R", "A", "2024-01-20"), void("V", "A"), void("W", "V")]
    assert reasons(*STANDING, *facts) == {"A/1": "VOIDED", "R/1": "PAID"}


def test_a_ring_is_out_and_a_chain_into_it_stands_in_the_place_that_it_reaches_first() -> None:
    ring = [
        replacement("X", "Y", "2024-01-20"),
        replacement("Y", "X", "2024-01-21"),
        replacement("Z", "X", "2024-01-30"),
    ]
    rival = s_line("B", "S0353", ONSET, received_date="2024-01-25")
    came_to = reasons(*STANDING, *ring, rival)
    assert came_to == {"X/1": "VOIDED", "Y/1": "VOIDED", "Z/1": "PAID", "B/1": "DUPLICATE"}


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (None, "INVALID_ORIGINAL_REFERENCE"),
        ("R", "INVALID_ORIGINAL_REFERENCE"),
        ("V", "INVALID_ORIGINAL_REFERENCE"),
        ("OTHER-NPI", "INVALID_ORIGINAL_REFERENCE"),
        ("UNKNOWN", "PAID"),
        ("OTHER-PATIENT", "PAID"),
        ("WRONG-PAYER", "PAID"),
    ],
)
def test_references(named: str | None, reason: str) -> None:
    facts = [
        void("V", "UNKNOWN"),
        claim("OTHER-NPI", [line(1, "J9271", ONSET)], billing_npi=OTHER_NPI),
        claim("OTHER-PATIENT", [line(1, "J9271", ONSET)], patient_id="pt-0002"),
        claim("WRONG-PAYER", [line(1, "J9271", ONSET)], payer_id="HP009"),
        replacement("R", named, "2024-01-20"),
    ]
    assert reasons(*STANDING, *facts) == {"R/1": reason}


def test_a_void_with_a_bad_reference_has_no_effect() -> None:
    voids = [void("V", "A", billing_npi=OTHER_NPI), void("W", None), void("U", "U")]
    assert reasons(*STANDING, s_line("A", "S0353", ONSET), *voids) == {"A/1": "PAID"}


def test_several_replacements_of_one_unknown_claim_are_adjudicated_as_they_stand() -> None:
    rivals = [replacement("R1", "UNKNOWN", "2024-01-21"), replacement("R2", "UNKNOWN", "2024-01-20")]
    assert reasons(*STANDING, *rivals) == {"R1/1": "DUPLICATE", "R2/1": "PAID"}


def test_on_an_original_the_reference_is_ignored() -> None:
    facts = [s_line("A", "S0353", ONSET), s_line("B", "S0354", "2024-02-07", original_claim_id="A")]
    assert reasons(*STANDING, *facts) == {"A/1": "PAID", "B/1": "PAID"}


# Section 2: settling order


def test_lines_settle_by_receipt_then_claim_then_line() -> None:
    first = claim("A", [line(1, "J9271", "2024-02-07"), line(2, "S0354", "2024-02-08")], "2024-02-20")
    second = claim("B", [line(1, "S0354", "2024-02-09")], "2024-02-20")
    assert reasons(*STANDING, first, second) == {"A/2": "PAID", "B/1": "WITHIN_30_OF_S0354"}
    earlier = {**second, "received_date": "2024-02-19"}
    assert reasons(*STANDING, first, earlier) == {"A/2": "WITHIN_30_OF_S0354", "B/1": "PAID"}


def test_lines_settle_by_their_numbers_in_whatever_order_a_claim_lists_them() -> None:
    lines = [line(2, "S0354", "2024-02-08"), line(1, "S0354", "2024-02-07")]
    assert reasons(*STANDING, claim("A", lines)) == {"A/1": "PAID", "A/2": "WITHIN_30_OF_S0354"}


def test_a_replacement_settles_in_the_place_of_the_first_claim_of_its_chain() -> None:
    chain = [
        s_line("Z", "S0354", "2024-02-08", received_date="2024-02-10"),
        s_line("Y", "S0354", "2024-02-08", received_date="2024-03-10", frequency_code="7", original_claim_id="Z"),
        s_line("X", "S0354", "2024-02-08", received_date="2024-03-20", frequency_code="7", original_claim_id="Y"),
    ]
    rival = s_line("B", "S0354", "2024-02-20", received_date="2024-02-21")
    came_to = reasons(*STANDING, *chain, rival)
    assert came_to == {"Z/1": "VOIDED", "Y/1": "VOIDED", "X/1": "PAID", "B/1": "WITHIN_30_OF_S0354"}


def test_edits_1_and_4_look_at_a_replacements_own_received_date() -> None:
    original = s_line("A", "S0353", ONSET, received_date="2024-01-10")
    assert reasons(*STANDING, original, replacement("R", "A", "2024-04-07"))["R/1"] == "PAID"
    assert reasons(*STANDING, original, replacement("R", "A", "2024-04-08"))["R/1"] == "UNTIMELY"
    assert reasons(*STANDING, original, replacement("R", "A", "2024-01-07"))["R/1"] == "DOS_AFTER_RECEIPT"


# Section 3: edits


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({}, "DUPLICATE"),
        ({"diagnosis_codes": ["C61"], "place_of_service": "22"}, "DUPLICATE"),
        ({"modifiers": ["25", "GT"]}, "S0353_ONCE"),
        ({"modifiers": ["GT"]}, "S0353_ONCE"),
        ({"units": 3}, "S0353_ONCE"),
        ({"charge_cents": 35001}, "S0353_ONCE"),
        ({"service_date": "2024-01-09", "service_date_to": "2024-01-09"}, "S0353_ONCE"),
        ({"procedure_code": "S0354"}, "WITHIN_30_OF_S0353"),
    ],
)
def test_what_makes_a_duplicate(other: Json, reason: str) -> None:
    billed = line(1, "S0353", ONSET, modifiers=["GT", "25"], units=2)
    again = claim("B", [{**billed, **other}], "2024-01-20")
    assert reasons(*STANDING, claim("A", [billed]), again) == {"A/1": "PAID", "B/1": reason}


def test_another_billing_provider_makes_no_duplicate() -> None:
    again = s_line("B", "S0353", ONSET, received_date="2024-01-20", billing_npi=OTHER_NPI)
    assert reasons(*STANDING, s_line("A", "S0353", ONSET), again) == {"A/1": "PAID", "B/1": "S0353_ONCE"}


def test_a_line_that_edits_11_to_14_denied_makes_a_duplicate_and_one_denied_before_does_not() -> None:
    again = [s_line(each, "S0353", "2024-01-10", received_date=f"2024-01-2{day}") for day, each in enumerate("BCD")]
    came_to = reasons(*STANDING, s_line("A", "S0353", ONSET), *again)
    assert came_to == {"A/1": "PAID", "B/1": "S0353_ONCE", "C/1": "DUPLICATE", "D/1": "DUPLICATE"}
    early = [s_line(each, "S0353", "2024-01-07", received_date=f"2024-01-2{day}") for day, each in enumerate("BC")]
    assert reasons(*STANDING, *early) == {"B/1": "BEFORE_ONSET", "C/1": "BEFORE_ONSET"}


@pytest.mark.parametrize(
    ("spans", "adjustment"),
    [
        ([("2024-01-09", None)], "PR-26:35000"),
        ([], "PR-26:35000"),
        ([("2020-01-01", "2024-01-07")], "PR-27:35000"),
        ([("2024-01-09", None), ("2020-01-01", "2024-01-07")], "PR-200:35000"),
        ([("2024-01-08", "2024-01-08")], None),
    ],
)
def test_eligibility(spans: list[tuple[str, str | None]], adjustment: str | None) -> None:
    decision = decided(*STANDING, eligibility(2, *spans), eligibility(1), s_line("A", "S0353", ONSET))["A/1"]
    assert decision["adjustments"] == ([adjustment] if adjustment else [])
    assert decision["member_owes_cents"] == (35000 if adjustment else 0)


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"effective_from": "2024-01-08"}, "PAID"),
        ({"effective_from": "2024-01-09"}, "NOT_IN_NETWORK"),
        ({"effective_to": "2024-01-08"}, "PAID"),
        ({"effective_to": "2024-01-07"}, "NOT_IN_NETWORK"),
        ({"plan_id": "HMO"}, "NOT_IN_NETWORK"),
    ],
)
def test_agreement_spans(span: Json, reason: str) -> None:
    provider = agreement(spans=[agreement_span(**span)])
    assert reasons(provider, order(), start(), s_line("A", "S0353", ONSET)) == {"A/1": reason}


def test_a_cited_order_must_exist_and_does_not_select() -> None:
    orders = [order("O2", on_pathway=False), start("O2", onset_date="2024-01-07")]
    facts = [s_line("A", "S0353", ONSET, order_id="O2"), s_line("B", "S0354", "2024-02-07", order_id="O3")]
    came_to = decided(*STANDING, *orders, *facts)
    assert (came_to["A/1"]["reason"], came_to["A/1"]["order_id"]) == ("PAID", "O1")
    assert came_to["B/1"]["reason"] == "AUTH_MISMATCH"


@pytest.mark.parametrize(("withdrawn", "reason"), [("2024-01-08", "NO_PATHWAY_AT_DOS"), ("2024-01-09", "PAID")])
def test_an_order_withdrawn(withdrawn: str, reason: str) -> None:
    gone = order(order_version=2, status="WITHDRAWN", withdrawn_from=withdrawn)
    assert reasons(*STANDING, gone, s_line("A", "S0353", ONSET)) == {"A/1": reason}


def test_a_withdrawal_taken_back() -> None:
    gone = order(order_version=2, status="WITHDRAWN", withdrawn_from="2024-01-03")
    back = order(order_version=3, withdrawn_from="2024-01-03")  # the date says nothing where the status is SELECTED
    assert reasons(*STANDING, gone, back, s_line("A", "S0353", ONSET)) == {"A/1": "PAID"}


def test_a_pend_expires_and_a_late_start_still_pays() -> None:
    waiting = [agreement(), order(), s_line("A", "S0353", ONSET)]
    assert reasons(*waiting) == {"A/1": "AWAIT_TREATMENT_START"}
    assert reasons(*waiting, pend_expired("A")) == {"A/1": "NO_TREATMENT_START"}
    assert reasons(*waiting, pend_expired("A"), start()) == {"A/1": "PAID"}
    cancelled = start(version=2, status="CANCELLED")
    assert reasons(*waiting, start(), cancelled) == {"A/1": "AWAIT_TREATMENT_START"}


def test_a_pended_line_makes_an_equal_later_one_a_duplicate() -> None:
    again = s_line("B", "S0353", ONSET, received_date="2024-01-20")
    waiting = [agreement(), order(), s_line("A", "S0353", ONSET), again]
    assert reasons(*waiting) == {"A/1": "AWAIT_TREATMENT_START", "B/1": "DUPLICATE"}
    assert reasons(*waiting, pend_expired("A")) == {"A/1": "NO_TREATMENT_START", "B/1": "AWAIT_TREATMENT_START"}


def test_before_the_onset_the_earliest_onset_is_the_next_payable_date() -> None:
    orders = [order("O1"), order("O2"), start("O1", onset_date="2024-01-20"), start("O2", onset_date="2024-01-15")]
    decision = decided(agreement(), *orders, s_line("A", "S0353", ONSET))["A/1"]
    assert (decision["reason"], decision["next_payable_date"]) == ("BEFORE_ONSET", "2024-01-15")


def test_the_governing_order_has_the_latest_onset_then_effect_then_id() -> None:
    late_onset = [order("O0", effective_from="2023-12-01", ordering_npi=NPI), start("O0", onset_date="2024-01-09")]
    late_effect = [order("O2", effective_from="2024-01-03"), start("O2")]
    same = [order("O3", effective_from="2024-01-03"), start("O3")]
    line_of = s_line("A", "S0353", "2024-01-10")
    assert decided(*STANDING, *late_onset, *late_effect, line_of)["A/1"]["order_id"] == "O0"
    assert decided(*STANDING, *late_effect, line_of)["A/1"]["order_id"] == "O2"
    assert decided(*STANDING, *late_effect, *same, line_of)["A/1"]["order_id"] == "O3"


@pytest.mark.parametrize(("ended", "reason"), [("2024-01-08", "PAID"), ("2024-01-07", "AFTER_SPAN")])
def test_the_last_day_of_an_order(ended: str, reason: str) -> None:
    assert reasons(agreement(), order(effective_to=ended), start(), s_line("A", "S0353", ONSET)) == {"A/1": reason}


def test_max_months_0_pays_no_month() -> None:
    assert reasons(agreement(), order(max_months=0), start(), s_line("A", "S0354", ONSET)) == {"A/1": "MAX_MONTHS"}


def test_the_next_payable_date_passes_over_a_date_that_is_blocked_too() -> None:
    counted = [
        s_line("A", "S0354", "2024-02-01", received_date="2024-05-01"),
        s_line("B", "S0354", "2024-03-10", received_date="2024-05-01"),
    ]
    blocked = s_line("C", "S0354", "2024-01-20", received_date="2024-05-02")
    decision = decided(agreement(spans=[agreement_span(filing_limit_days=365)]), order(), start(), *counted, blocked)[
        "C/1"
    ]
    # 2024-02-01 + 30 days = 2024-03-02 is 8 days before 2024-03-10
    assert (decision["reason"], decision["next_payable_date"]) == ("WITHIN_30_OF_S0354", "2024-04-09")


# Section 4: price


@pytest.mark.parametrize(
    ("units", "charge_cents", "adjustments"),
    [
        (3, 10001, ["CO-119/N362:6667"]),  # 3333.67 -> 3334
        (2, 10001, ["CO-119/N362:5000"]),  # 5000.50 -> 5001
        (4, 10001, ["CO-119/N362:7501"]),  # 2500.25 -> 2500
        (2, 1, []),  # 0.50 -> 1: nothing is cut
        (3, 1, ["CO-119/N362:1"]),  # 0.33 -> 0: counted, and paid 0
    ],
)
def test_the_unit_charge_is_rounded_half_up(units: int, charge_cents: int, adjustments: list[str]) -> None:
    billed = claim("A", [line(1, "S0353", ONSET, units=units, charge_cents=charge_cents)])
    decision = decided(*STANDING, billed)["A/1"]
    assert decision["reason"] == "PAID"
    assert decision["adjustments"] == adjustments


def test_copay_then_deductible_then_coinsurance() -> None:
    share = {"copay_cents": 2501, "deductible_remaining_cents": 10000, "coinsurance_bp": 3333}
    decision = decided(*STANDING, s_line("A", "S0353", ONSET, cost_share=share))["A/1"]
    # 35000 - 2501 - 10000 = 22499, of which 33.33 % = 7498.92
    assert decision["adjustments"] == ["PR-1:10000", "PR-2:7499", "PR-3:2501"]
    assert (decision["paid_cents"], decision["member_owes_cents"]) == (15000, 20000)


def test_the_deductible_is_used_up_in_line_number_order_and_the_copay_applies_per_line() -> None:
    share = {"copay_cents": 1000, "deductible_remaining_cents": 40000, "coinsurance_bp": 0}
    lines = [line(1, "S0354", "2024-02-07"), line(2, "J9271", "2024-02-07"), line(3, "S0353", ONSET)]
    came_to = decided(*STANDING, claim("A", lines, cost_share=share))
    assert came_to["A/1"]["adjustments"] == ["PR-1:34000", "PR-3:1000"]
    assert came_to["A/3"]["adjustments"] == ["PR-1:6000", "PR-3:1000"]


def test_cost_share_below_zero_is_none() -> None:
    share = {"copay_cents": -1000, "deductible_remaining_cents": -1, "coinsurance_bp": -2000}
    assert decided(*STANDING, s_line("A", "S0353", ONSET, cost_share=share))["A/1"]["paid_cents"] == 35000


def test_a_late_s0353_is_too_near_to_an_s0354_that_was_denied_for_another_reason() -> None:
    core = Core()
    core.take_all([agreement(), order(max_months=0), start(), s_line("A", "S0354", "2024-02-05")])
    core.take(s_line("Z", "S0353", "2024-01-20", received_date="2024-02-06"))
    reasons = [decision["reason"] for _, decision in sorted(core.current.items())]
    assert reasons == ["WITHIN_30_OF_S0353", "PAID"]
