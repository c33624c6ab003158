"""Each value of each switch of rules.md section 7 decides as the page says, in the core and in the oracle alike."""

from typing import Any

import pytest

from tests.core import Core, row
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
    s_line,
    start,
)
from tests.oracle.oracle import P0, answer

STANDING = [agreement(), order(), start()]


def _decided(facts: list[Json], *profiles: Json) -> dict[str, str]:
    """Reason (and adjustments, where denied or bundled) of each line, by claim/line, after core and oracle agreed."""
    core = Core(profiles)
    core.take_all(facts)
    current = core.current_decisions()
    assert [row(decision) for decision in current] == [decision.row for decision in answer(facts, profiles).current]
    return {f"{d['claim_id']}/{d['line_number']}": " ".join([d["reason"], *d["adjustments"]]) for d in current}


def _p0(**switches: Any) -> Json:
    return {**P0, **switches}


@pytest.mark.parametrize(
    ("gap_days", "served", "reason"),
    [
        (30, "2024-02-06", "WITHIN_30_OF_S0353 CO-272/N357:35000"),
        (30, "2024-02-07", "PAID"),
        (31, "2024-02-07", "WITHIN_30_OF_S0353 CO-272/N357:35000"),
        (31, "2024-02-08", "PAID"),
        (0, "2024-01-08", "PAID"),
        (1, "2024-01-08", "WITHIN_30_OF_S0353 CO-272/N357:35000"),
    ],
)
def test_gap_after_s0353(gap_days: int, served: str, reason: str) -> None:
    facts = [*STANDING, s_line("A", "S0353", "2024-01-08"), s_line("B", "S0354", served)]
    assert _decided(facts, _p0(gap_after_s0353_days=gap_days))["B/1"] == reason


@pytest.mark.parametrize(
    ("gap_days", "served", "reason"),
    [
        (30, "2024-02-06", "WITHIN_30_OF_S0354 CO-119/M86:35000"),
        (30, "2024-02-07", "PAID"),
        (30, "2024-02-08", "PAID"),
        (28, "2024-02-04", "WITHIN_30_OF_S0354 CO-119/M86:35000"),
        (28, "2024-02-05", "PAID"),
    ],
)
def test_gap_between_s0354(gap_days: int, served: str, reason: str) -> None:
    facts = [*STANDING, s_line("A", "S0354", "2024-01-08"), s_line("B", "S0354", served)]
    assert _decided(facts, _p0(gap_between_s0354_days=gap_days))["B/1"] == reason


@pytest.mark.parametrize(
    ("scope", "under_another_order", "under_the_same_order"),
    [
        ("patient", "S0353_ONCE CO-149/N117:35000", "S0353_ONCE CO-149/N117:35000"),
        ("order", "PAID", "S0353_ONCE CO-149/N117:35000"),
    ],
)
def test_s0353_scope(scope: str, under_another_order: str, under_the_same_order: str) -> None:
    facts = [
        *STANDING,
        s_line("A", "S0353", "2024-01-08"),
        order("O2", effective_from="2024-05-01"),
        start("O2", onset_date="2024-05-02"),
        s_line("B", "S0353", "2024-05-02"),
        s_line("C", "S0353", "2024-05-03"),
        s_line("D", "S0354", "2024-05-20"),
    ]
    decided = _decided(facts, _p0(s0353_scope=scope))
    assert decided["A/1"] == "PAID"
    assert decided["B/1"] == under_another_order
    assert decided["C/1"] == under_the_same_order
    # edit 12 is unchanged: it looks at every counted S0353 of the patient
    assert decided["D/1"] == ("PAID" if scope == "patient" else "WITHIN_30_OF_S0353 CO-272/N357:35000")


def test_s0353_scope_of_an_order_does_not_look_at_a_later_order() -> None:
    facts = [
        *STANDING,
        order("O2", effective_from="2024-02-01"),
        start("O2", onset_date="2024-02-01"),
        s_line("A", "S0353", "2024-02-01", received_date="2024-02-02"),
        s_line("B", "S0353", "2024-01-08", received_date="2024-02-03"),
    ]
    assert _decided(facts, _p0(s0353_scope="order")) == {"A/1": "PAID", "B/1": "PAID"}


@pytest.mark.parametrize(("cap", "reason"), [(False, "PAID"), (True, "CALENDAR_MONTH CO-119/M86:35000")])
def test_calendar_month_cap(cap: bool, reason: str) -> None:
    facts = [
        *STANDING,
        s_line("A", "S0354", "2024-03-01"),
        s_line("B", "S0354", "2024-03-31"),
        s_line("C", "S0354", "2024-05-01"),
        s_line("D", "S0354", "2024-05-30"),
    ]
    decided = _decided(facts, _p0(calendar_month_cap=cap))
    assert decided["B/1"] == reason
    assert decided["C/1"] == "PAID"
    assert decided["D/1"] == "WITHIN_30_OF_S0354 CO-119/M86:35000"  # edit 13 comes first


@pytest.mark.parametrize(
    ("uses", "reason"), [(False, "PAID"), (True, "MAX_MONTHS CO-198/N640:35000")], ids=["no", "yes"]
)
def test_s0353_uses_up_a_month(uses: bool, reason: str) -> None:
    facts = [
        agreement(),
        order(max_months=1),
        start(),
        s_line("A", "S0353", "2024-01-08"),
        s_line("B", "S0354", "2024-02-07"),
    ]
    assert _decided(facts, _p0(s0353_uses_month=uses)) == {"A/1": "PAID", "B/1": reason}


@pytest.mark.parametrize(("unknown", "reason"), [("eligible", "PAID"), ("deny", "NOT_ELIGIBLE PR-31:35000")])
def test_unknown_eligibility(unknown: str, reason: str) -> None:
    facts = [*STANDING, s_line("A", "S0353", "2024-01-08")]
    assert _decided(facts, _p0(unknown_eligibility=unknown)) == {"A/1": reason}
    # the switch says nothing of a member on record
    on_record = [*facts, eligibility(1, ("2020-01-01", None))]
    assert _decided(on_record, _p0(unknown_eligibility=unknown)) == {"A/1": "PAID"}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("DENIED", "NO_PATHWAY_AT_DOS CO-197:35000"), ("BUNDLED", "NO_PATHWAY_AT_DOS CO-234/N390:35000")],
)
def test_no_order_on_file(outcome: str, reason: str) -> None:
    facts = [
        agreement(),
        s_line("A", "S0353", "2024-01-08"),
        s_line("B", "S0353", "2024-01-09", order_id="O9"),
    ]
    core = Core([_p0(no_order=outcome)])
    core.take_all(facts)
    assert [decision["outcome"] for decision in core.current_decisions()] == [outcome, "DENIED"]
    assert _decided(facts, _p0(no_order=outcome)) == {"A/1": reason, "B/1": "AUTH_MISMATCH CO-284:35000"}


@pytest.mark.parametrize(
    ("tested", "reason"), [(True, "ORDERING_NOT_IN_NETWORK CO-243:35000"), (False, "PAID")], ids=["yes", "no"]
)
def test_ordering_provider_tested(tested: bool, reason: str) -> None:
    facts = [agreement(NPI), order(ordering_npi=OTHER_NPI), start(), s_line("A", "S0353", "2024-01-08")]
    assert _decided(facts, _p0(ordering_provider_tested=tested)) == {"A/1": reason}


@pytest.mark.parametrize(
    ("limit_days", "received", "reason"),
    [
        (90, "2024-04-07", "NOT_IN_NETWORK PI-242:35000"),
        (90, "2024-04-08", "UNTIMELY CO-29:35000"),
        (30, "2024-02-07", "NOT_IN_NETWORK PI-242:35000"),
        (30, "2024-02-08", "UNTIMELY CO-29:35000"),
    ],
)
def test_filing_limit_without_an_agreement(limit_days: int, received: str, reason: str) -> None:
    facts = [order(), start(), s_line("A", "S0353", "2024-01-08", received_date=received)]
    assert _decided(facts, _p0(default_filing_limit_days=limit_days)) == {"A/1": reason}


def test_plans_with_their_payer_ids() -> None:
    facts = [
        agreement(spans=[agreement_span(), agreement_span(plan_id="HMO", s0353_fee_cents=20000)]),
        order(),
        start(),
        s_line("A", "S0353", "2024-01-08", plan_id="HMO", payer_id="HP002"),
        s_line("B", "S0354", "2024-02-07", plan_id="HMO", payer_id="HP001"),
    ]
    assert _decided(facts, _p0()) == {}
    two_plans = _p0(plans={"PPO": "HP001", "HMO": "HP002"})
    assert _decided(facts, two_plans) == {"A/1": "PAID CO-45:15000"}  # an order made under another plan counts too


def test_the_profile_in_effect_on_the_claims_received_date_applies() -> None:
    facts = [
        *STANDING,
        s_line("A", "S0353", "2024-01-08"),
        s_line("B", "S0354", "2024-01-29", received_date="2024-02-29"),
        s_line("C", "S0354", "2024-01-29", received_date="2024-03-01"),
    ]
    later = _p0(gap_after_s0353_days=21, effective_from="2024-03-01")
    assert _decided(facts, _p0(), later) == {
        "A/1": "PAID",
        "B/1": "WITHIN_30_OF_S0353 CO-272/N357:35000",
        "C/1": "DUPLICATE OA-18:35000",
    }
    apart = [*facts[:-1], claim("C", [line(1, "S0354", "2024-01-29", charge_cents=35001)], "2024-03-01")]
    assert _decided(apart, _p0(), later)["C/1"] == "PAID CO-45:1"
