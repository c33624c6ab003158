"""The core's own values: days, agreements, policies, and the money guard of decisions."""

from typing import Any

import pytest

from streams.adjudication.agreements import Agreements, span_on
from streams.adjudication.days import day_from_iso, iso, same_calendar_month
from streams.adjudication.decisions import Adjustment, Decision, PolicyRef
from streams.adjudication.facts import PathwaySelection, ProviderAgreement
from streams.adjudication.fold import check_money, fold
from streams.adjudication.identity import decision_id
from streams.adjudication.policy import Policy
from streams.adjudication.record import PatientRecord
from streams.events import fact_from_json
from tests.core import core_policy
from tests.facts import NPI, agreement, agreement_span, order
from tests.oracle.oracle import P0

# Days


def test_a_day_is_counted_from_1970() -> None:
    assert [day_from_iso(text) for text in ("1970-01-01", "1969-12-31", "2024-02-29")] == [0, -1, 19782]
    assert iso(19782) == "2024-02-29"


@pytest.mark.parametrize(
    "text", ["2024-1-08", "2024/01/08", "20240108", "2024-01-08T", "2024-W02-1", "2023-02-29", "", "2024-01x08"]
)
def test_what_is_not_an_iso_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ISO|iso|day|month"):
        day_from_iso(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2024-03-01", "2024-03-31", True),
        ("2024-03-31", "2024-04-01", False),
        ("2023-03-15", "2024-03-15", False),
        ("2024-04-01", "2024-03-31", False),
        ("2024-03-15", "2023-03-15", False),
    ],
)
def test_same_calendar_month(one: str, other: str, same: bool) -> None:
    assert same_calendar_month(day_from_iso(one), day_from_iso(other)) is same


# Agreements


def _agreement(version: int, **fields: Any) -> ProviderAgreement:
    fact = fact_from_json(agreement(version=version, **fields))
    assert isinstance(fact, ProviderAgreement)
    return fact


def test_of_an_agreement_the_highest_version_stands_and_every_version_is_kept() -> None:
    agreements = Agreements()
    one, two, three = (_agreement(version) for version in (1, 2, 3))
    assert [agreements.admit(each) for each in (two, one, three, two, _agreement(3))] == [None] * 5
    assert agreements.standing(NPI) is three
    assert agreements.version(NPI, 1) is one
    assert agreements.version(NPI, 4) is None
    assert (agreements.standing("1999999984"), agreements.version("1999999984", 1)) == (None, None)
    assert len(agreements) == 1


def test_of_conflicting_contents_of_an_agreement_the_first_stands() -> None:
    agreements = Agreements()
    first, other = _agreement(1), _agreement(1, s0353_fee_cents=1)
    assert agreements.admit(first) is None
    refusal = agreements.admit(other)
    assert refusal is not None
    assert refusal.reason == "CONFLICT"
    assert agreements.standing(NPI) is first


def test_the_span_of_the_plan_that_covers_the_day() -> None:
    spans = [
        agreement_span(plan_id="HMO"),
        agreement_span(effective_from="2024-01-01", effective_to="2024-01-31", s0353_fee_cents=1),
        agreement_span(effective_from="2024-02-02", s0353_fee_cents=2),
    ]
    provider = _agreement(1, spans=spans)
    fees = {}
    for text in ("2023-12-31", "2024-01-01", "2024-01-31", "2024-02-01", "2024-02-02", "2034-01-01"):
        span = span_on(provider, "PPO", day_from_iso(text))
        fees[text] = None if span is None else span.s0353_fee_cents
    assert list(fees.values()) == [None, 1, 1, None, 2, 2]
    assert span_on(None, "PPO", 0) is None


# Policies


def test_the_profile_of_the_received_date_decides() -> None:
    policy = core_policy([P0, {**P0, "effective_from": "2024-03-01"}, {**P0, "effective_from": "2024-03-02"}])
    received = ("2024-02-29", "2024-03-01", "2024-03-02", "2025-01-01")
    assert [policy.on(day_from_iso(text)).ref.version for text in received] == [1, 2, 3, 3]
    assert policy.profiles[0].ref == PolicyRef("TEST", 1)


@pytest.mark.parametrize(
    "profiles",
    [
        [],
        [{**P0, "effective_from": "2024-03-01"}],
        [P0, P0],
        [P0, {**P0, "effective_from": "2024-03-01"}, {**P0, "effective_from": "2024-03-01"}],
        [P0, {**P0, "effective_from": "2024-03-02"}, {**P0, "effective_from": "2024-03-01"}],
        [{**P0, "s0353_scope": "claim"}],
        [{**P0, "no_order": "PAID"}],
        [P0, {**P0, "effective_from": "2024-03-01", "s0353_scope": "claim"}],
    ],
)
def test_a_policy_that_cannot_decide_is_refused(profiles: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"profile"):
        core_policy(profiles)


def test_a_policy_of_no_profiles_is_refused() -> None:
    with pytest.raises(ValueError, match="first profile"):
        Policy(())


# Decisions


def _decision(**fields: Any) -> Decision:
    paid = Decision(
        decision_id="",
        patient_id="pt-0001",
        claim_id="A",
        line_number=1,
        version=1,
        supersedes=None,
        outcome="PAID",
        reason="PAID",
        procedure_code="S0353",
        service_date=19730,
        billing_npi=NPI,
        order_id="O1",
        charge_cents=40000,
        allowed_cents=35000,
        paid_cents=35000,
        paid_before_cents=0,
        change_cents=35000,
        member_owes_cents=0,
        adjustments=(Adjustment("CO", "45", (), 5000),),
        next_payable_date=None,
        explanation="",
        evidence=(),
        policy=PolicyRef("P0", 1),
        agreements=(),
        caused_by="e-1",
    )
    return paid._replace(**fields)


WHOLE = (Adjustment("CO", "29", (), 40000),)
NOTHING_PAID = {"allowed_cents": 0, "paid_cents": 0, "change_cents": 0, "adjustments": WHOLE}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"paid_cents": 0, "change_cents": 0, "allowed_cents": 0, "adjustments": WHOLE},
        {"paid_before_cents": 40000, "change_cents": -5000},
        {"outcome": "DENIED", **NOTHING_PAID},
        {"outcome": "BUNDLED", **NOTHING_PAID},
        {"outcome": "PENDED", **NOTHING_PAID, "adjustments": ()},
        {"outcome": "VOIDED", **NOTHING_PAID, "adjustments": (), "paid_before_cents": 7, "change_cents": -7},
    ],
)
def test_money_that_adds_up_passes_the_guard(fields: dict[str, Any]) -> None:
    check_money(_decision(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"change_cents": 34999},
        {"change_cents": 35001},
        {"paid_before_cents": 1},
        {"paid_cents": -1, "change_cents": -1, "adjustments": (Adjustment("CO", "45", (), 40001),)},
        {"allowed_cents": 34999},
        {"allowed_cents": 40001},
        {"charge_cents": 39999},
        {"adjustments": ()},
        {"outcome": "DENIED"},
        {"outcome": "DENIED", **NOTHING_PAID, "allowed_cents": 1},
        {"outcome": "VOIDED", **NOTHING_PAID, "adjustments": (), "paid_cents": 1, "change_cents": 1},
        {"outcome": "VOIDED", **NOTHING_PAID, "adjustments": (), "paid_cents": -1, "change_cents": -1},
        {"outcome": "VOIDED", "adjustments": (), "allowed_cents": -1, "paid_cents": -1, "change_cents": -1},
        {"outcome": "DENIED", **NOTHING_PAID, "adjustments": ()},
        {"outcome": "BUNDLED", **NOTHING_PAID, "charge_cents": 1},
        {"outcome": "PENDED", **NOTHING_PAID},
        {"outcome": "VOIDED", "adjustments": ()},
    ],
)
def test_money_that_does_not_add_up_is_stopped_by_the_guard(fields: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check_money(_decision(**fields))


def _order(**fields: Any) -> PathwaySelection:
    fact = fact_from_json(order(**fields))
    assert isinstance(fact, PathwaySelection)
    return fact


@pytest.mark.parametrize("patient_id", ["pt-0000", "pt-0002"])
def test_a_fact_of_another_patient_is_not_folded(patient_id: str) -> None:
    with pytest.raises(AssertionError):
        fold(PatientRecord("pt-0001"), _order(patient_id=patient_id), Agreements(), core_policy([P0]))


def test_a_conflict_names_the_fields_that_differ_and_no_values() -> None:
    record, policy = PatientRecord("pt-0001"), core_policy([P0])
    fold(record, _order(), Agreements(), policy)
    refusal = fold(record, _order(max_months=7, regimen_code="R999"), Agreements(), policy).refusal
    assert refusal is not None
    assert refusal.sentence.endswith("(regimen_code, max_months)")


def test_the_id_is_made_of_all_that_is_decided_and_not_of_the_cause() -> None:
    other_values: dict[str, Any] = {
        "adjustments": (),
        "agreements": ((NPI, 1),),
        "evidence": (("order", "O1", "says"),),
        "policy": PolicyRef("P0", 2),
        "order_id": None,
        "next_payable_date": 19740,
    }
    paid = _decision()
    ids = {decision_id(paid)}
    for field in paid._fields:
        if field not in ("decision_id", "caused_by"):
            value = getattr(paid, field)
            changed = (
                other_values[field]
                if field in other_values
                else f"{value}x"
                if isinstance(value, str | None)
                else value + 1
            )
            ids.add(decision_id(_decision(**{field: changed})))
    assert len(ids) == len(paid._fields) - 1
    assert decision_id(paid._replace(caused_by="e-2", decision_id="x")) == decision_id(paid)
