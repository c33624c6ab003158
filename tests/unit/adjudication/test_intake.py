"""What is invalid, one value at a time; and what is not, because the rules themselves deny it."""

from typing import Any, cast

import pytest

from streams.adjudication import intake
from streams.adjudication.days import iso
from streams.adjudication.intake import InvalidFact, is_npi
from streams.events import fact_from_json
from tests import facts
from tests.core import Core, row

Json = dict[str, Any]

CLAIM = facts.s_line("A", "S0353", "2024-01-08")
LINE = facts.line(1, "S0353", "2024-01-08")
SPAN = facts.agreement_span()


def invalid(event: Json, **values: Any) -> InvalidFact:
    """What `check` says of the fact with these values set, as a record could hold them that did not come in as JSON."""
    with pytest.raises(InvalidFact) as refused:
        intake.check(fact_from_json(event)._replace(**values))
    assert str(refused.value) == f"{refused.value.field}: {refused.value.sentence}"
    return refused.value


def valid(event: Json) -> None:
    intake.check(fact_from_json(event))


EVERY_FACT = [
    CLAIM,
    facts.order(),
    facts.start(),
    facts.eligibility(1, ("2024-01-01", None)),
    facts.agreement(),
    facts.pend_expired("A"),
    facts.readjudication() | {"requested_by": "ops", "reason": "r", "agreements_through": {"0": 41}},
]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (event, field)
        for event in EVERY_FACT
        for field in ("event_id", "patient_id", "claim_id", "order_id", "plan_id", "program_id")
        if event.get(field)
    ],
    ids=lambda value: value if isinstance(value, str) else value["type"],
)
def test_an_identity_is_not_empty(event: Json, field: str) -> None:
    refused = invalid(event, **{field: ""})
    assert (refused.field, refused.sentence) == (field, "must not be empty")


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (event, field)
        for event in [CLAIM | {"original_claim_id": "X", "order_id": "O1"}, *EVERY_FACT[1:]]
        for field in ("patient_id", "claim_id", "order_id", "original_claim_id", "plan_id")
        if event.get(field)
    ],
    ids=lambda value: value if isinstance(value, str) else value["type"],
)
def test_an_id_holds_no_zero_byte(event: Json, field: str) -> None:
    assert invalid(event, **{field: "a\0b"}).field == field


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (CLAIM, "billing_npi"),
        (CLAIM, "rendering_npi"),
        (CLAIM, "ordering_npi"),
        (facts.order(), "ordering_npi"),
        (facts.agreement(), "npi"),
    ],
)
@pytest.mark.parametrize(
    ("npi", "expected"),
    [
        ("1234567890", "this one fails its check digit"),
        ("", "10 digits"),
        ("123456789", "10 digits"),
        ("12345678930", "10 digits"),
        ("3234567893", "the first 1 or 2"),
        ("123456789X", "10 digits"),
        ("١٢٣٤٥٦٧٨٩٣", "10 digits"),
    ],
)
def test_an_npi_has_ten_digits_and_a_check_digit(event: Json, field: str, npi: str, expected: str) -> None:
    refused = invalid(event, **{field: npi})
    assert refused.field == field
    assert expected in refused.sentence
    assert not npi or npi not in refused.sentence


def test_the_check_digit_is_luhns_over_80840_and_the_npi() -> None:
    # the example of the Centers for Medicare & Medicaid Services, and the other ten of its first nine digits
    assert [npi for digit in range(10) if is_npi(npi := f"123456789{digit}")] == ["1234567893"]
    assert all(is_npi(npi) for npi in ("1098765435", "1999999984", "1003000126", "2000000002"))


def test_neighbouring_digits_in_the_wrong_order_fail_the_check_digit() -> None:
    assert not is_npi("2134567893")
    assert not is_npi("1234576893")


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        (CLAIM, "frequency_code", "2"),
        (CLAIM, "frequency_code", ""),
        (CLAIM, "lines", ()),
        (CLAIM | {"frequency_code": "7", "original_claim_id": "X"}, "lines", ()),
        (facts.order(), "status", "selected"),
        (facts.order(), "status", "WITHDRAWN"),
        (facts.order(), "max_months", -1),
        (facts.order(), "order_version", -1),
        (facts.start(), "status", "SELECTED"),
        (facts.start(), "version", -1),
        (facts.eligibility(), "version", -1),
        (facts.agreement(), "version", -1),
    ],
)
def test_a_value_that_the_rules_cannot_work_with(event: Json, field: str, value: Any) -> None:
    assert invalid(event, **{field: value}).field == ("withdrawn_from" if value == "WITHDRAWN" else field)


def test_two_lines_with_one_number() -> None:
    claim = fact_from_json(CLAIM)
    refused = invalid(CLAIM, lines=claim.lines * 2)  # type: ignore[union-attr]
    assert (refused.field, refused.sentence) == ("lines", "must not have two lines with one line_number")


@pytest.mark.parametrize("day", [intake.FIRST_DAY - 1, intake.LAST_DAY + 1, -(2**31), 2**31 - 1])
@pytest.mark.parametrize(
    ("event", "field"),
    [
        (CLAIM, "received_date"),
        (facts.order(), "withdrawn_from"),
        (facts.order(), "effective_from"),
        (facts.order(), "effective_to"),
        (facts.start(), "onset_date"),
    ],
)
def test_a_date_that_iso_cannot_write(event: Json, field: str, day: int) -> None:
    assert invalid(event, **{field: day}).field == field


def test_a_receipt_in_the_last_year_that_iso_can_write() -> None:
    assert invalid(CLAIM, received_date=intake.LAST_RECEIVED_DAY + 1).field == "received_date"


def test_a_next_payable_date_can_always_be_written() -> None:
    core = Core()
    last = iso(intake.LAST_RECEIVED_DAY)
    core.take_all(
        [
            facts.agreement(),
            facts.order(effective_to="9999-12-31"),
            facts.start(),
            facts.s_line("A", "S0353", last),
            facts.s_line("B", "S0354", last),
            facts.s_line("C", "S0354", "9999-12-31", received_date=last),
        ]
    )
    assert [row(decision)[2:4] for decision in core.current_decisions()] == [
        ["PAID", "PAID"],
        ["DENIED", "WITHIN_30_OF_S0353"],
        ["DENIED", "DOS_AFTER_RECEIPT"],
    ]


@pytest.mark.parametrize("day", [intake.FIRST_DAY - 1, intake.LAST_DAY + 1])
@pytest.mark.parametrize(
    ("event", "items", "field"),
    [
        (facts.claim("A", [LINE, LINE | {"line_number": 2}]), "lines", "service_date"),
        (facts.claim("A", [LINE, LINE | {"line_number": 2}]), "lines", "service_date_to"),
        (facts.eligibility(1, ("2020-01-01", "2020-12-31"), ("2022-01-01", None)), "spans", "effective_from"),
        (facts.agreement(spans=[SPAN, SPAN | {"plan_id": "HMO"}]), "spans", "effective_to"),
    ],
)
def test_a_date_within_a_list_that_iso_cannot_write(event: Json, items: str, field: str, day: int) -> None:
    first, second = cast(tuple[Any, Any], getattr(fact_from_json(event), items))
    assert invalid(event, **{items: (first, second._replace(**{field: day}))}).field == f"{items}[1].{field}"


@pytest.mark.parametrize(
    "micros", [-(2**63), intake.FIRST_DAY * 86_400_000_000 - 1, (intake.LAST_DAY + 1) * 86_400_000_000]
)
@pytest.mark.parametrize(("event", "field"), [(facts.order(), "selected_at"), (facts.start(), "recorded_at")])
def test_an_instant_that_rfc_3339_cannot_write(event: Json, field: str, micros: int) -> None:
    assert invalid(event, **{field: micros}).field == field


@pytest.mark.parametrize("field", ["filing_limit_days", "s0353_fee_cents", "s0354_fee_cents"])
def test_an_agreement_span_with_a_negative_value(field: str) -> None:
    span: Any = fact_from_json(facts.agreement()).spans[0]  # type: ignore[union-attr]
    assert invalid(facts.agreement(), spans=(span._replace(**{field: -1}),)).field == f"spans[0].{field}"
    assert invalid(facts.agreement(), spans=(span._replace(plan_id=""),)).field == "spans[0].plan_id"


class TestAgreementSpans:
    def spans(self, *spans: tuple[str, str, str | None]) -> Json:
        return facts.agreement(
            spans=[
                SPAN | {"plan_id": plan, "effective_from": begins, "effective_to": ends} for plan, begins, ends in spans
            ]
        )

    @pytest.mark.parametrize(
        "spans",
        [
            [("PPO", "2024-01-01", "2024-06-30"), ("PPO", "2024-06-30", None)],  # the last day is inclusive
            [("PPO", "2024-07-01", None), ("PPO", "2024-01-01", None)],
            [("PPO", "2024-01-01", None), ("HMO", "2024-01-01", None), ("PPO", "9999-12-31", "9999-12-31")],
            [("PPO", "2024-01-01", "2024-12-31"), ("PPO", "2024-03-01", "2024-03-01")],
        ],
    )
    def test_of_one_plan_may_not_overlap(self, spans: list[tuple[str, str, str | None]]) -> None:
        with pytest.raises(Exception, match="spans: must not overlap within one plan"):
            fact_from_json(self.spans(*spans))

    @pytest.mark.parametrize(
        "spans",
        [
            [],
            [("PPO", "2024-07-01", None), ("PPO", "2024-01-01", "2024-06-30")],
            [("PPO", "2024-01-01", None), ("HMO", "2024-01-01", None)],
            [("PPO", "2024-01-01", None), ("PPO", "2024-06-30", "2024-06-29")],  # covers no day
        ],
    )
    def test_that_may_stand_side_by_side(self, spans: list[tuple[str, str, str | None]]) -> None:
        valid(self.spans(*spans))


@pytest.mark.parametrize("through", [((-1, 0),), ((0, -1),), ((2**31, 0),), ((1, 0), (0, 0)), ((0, 1), (0, 2))])
def test_agreement_offsets_are_ascending_and_not_negative(through: tuple[tuple[int, int], ...]) -> None:
    assert invalid(EVERY_FACT[-1], agreements_through=through).field == "agreements_through"


@pytest.mark.parametrize(
    "event",
    [
        *EVERY_FACT,
        *(
            facts.claim("A", [LINE | denied], received_date="2024-01-12")
            for denied in (
                {"units": 0},
                {"units": -3},
                {"charge_cents": 0},
                {"charge_cents": -1},
                {"service_date_to": "2024-01-09"},
                {"service_date": "2024-02-01"},
                {"procedure_code": ""},
            )
        ),
        CLAIM | {"frequency_code": "7"},  # without a reference
        CLAIM | {"frequency_code": "7", "original_claim_id": ""},
        CLAIM | {"frequency_code": "8", "original_claim_id": "A", "lines": []},  # a void of itself, without lines
        CLAIM | {"order_id": "unknown"},
        CLAIM | {"payer_id": "another", "plan_id": "unknown"},  # refused as WRONG_PAYER, by the fold
        CLAIM | {"cost_share": {"copay_cents": -1, "deductible_remaining_cents": -1, "coinsurance_bp": 20_000}},
        facts.order(max_months=0, effective_to="2023-01-01"),
        facts.order(order_version=0),
        facts.order(withdrawn_from="2024-02-01"),
        facts.order(status="WITHDRAWN", withdrawn_from="2023-01-01"),
        facts.eligibility(1),
        facts.eligibility(1, ("2024-01-01", None), ("2024-02-01", "2024-01-01"), ("2024-01-01", None)),
        facts.agreement(filing_limit_days=0, s0353_fee_cents=0, s0354_fee_cents=0),
        EVERY_FACT[-1] | {"agreements_through": {}},
    ],
)
def test_what_the_rules_deny_or_refuse_is_valid(event: Json) -> None:
    valid(event)
