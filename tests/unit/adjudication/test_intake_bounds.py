"""The last values that are still valid, and the first that are not, in figures of their own."""

from typing import Any

import pytest

from streams.adjudication import intake
from streams.adjudication.days import day_from_iso
from streams.adjudication.facts import Claim
from streams.adjudication.intake import InvalidFact, is_npi
from streams.events import fact_from_json
from tests.facts import Json, agreement, eligibility, order, pend_expired, readjudication, s_line, start

FIRST_DAY, LAST_DAY, LAST_RECEIVED_DAY = (day_from_iso(text) for text in ("0001-01-01", "9999-12-31", "9998-12-31"))
FIRST_MICROS = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
END_MICROS = 253_402_300_800_000_000  # 10000-01-01T00:00:00Z
CLAIM = s_line("A", "S0353", "2024-01-08")


def checked(event: Json, **values: Any) -> None:
    intake.check(fact_from_json(event)._replace(**values))


def test_the_days_that_an_iso_date_can_name() -> None:
    assert (intake.FIRST_DAY, intake.LAST_DAY, intake.LAST_RECEIVED_DAY) == (FIRST_DAY, LAST_DAY, LAST_RECEIVED_DAY)


@pytest.mark.parametrize(
    ("event", "field", "days"),
    [
        (CLAIM, "received_date", (FIRST_DAY, LAST_RECEIVED_DAY)),
        (order(), "withdrawn_from", (FIRST_DAY, LAST_DAY)),
        (order(), "effective_from", (FIRST_DAY, LAST_DAY)),
        (order(), "effective_to", (FIRST_DAY, LAST_DAY)),
        (order(effective_to=None), "effective_from", (FIRST_DAY, LAST_DAY)),  # its only date
        (start(), "onset_date", (FIRST_DAY, LAST_DAY)),
    ],
)
def test_the_first_and_the_last_day_are_valid(event: Json, field: str, days: tuple[int, int]) -> None:
    for day in days:
        checked(event, **{field: day})
    for day in (days[0] - 1, days[1] + 1):
        with pytest.raises(InvalidFact, match=field):
            checked(event, **{field: day})


@pytest.mark.parametrize("field", ["service_date", "service_date_to"])
def test_the_first_and_the_last_day_of_service_are_valid(field: str) -> None:
    claim = fact_from_json(CLAIM)
    assert isinstance(claim, Claim)
    line: Any = claim.lines[0]
    for day in (FIRST_DAY, LAST_DAY):
        intake.check(claim._replace(lines=(line._replace(**{field: day}),)))
    for day in (FIRST_DAY - 1, LAST_DAY + 1):
        with pytest.raises(InvalidFact, match=field):
            intake.check(claim._replace(lines=(line._replace(**{field: day}),)))


def test_the_first_and_the_last_day_of_a_span_are_valid() -> None:
    checked(eligibility(1, ("0001-01-01", "9999-12-31")))


@pytest.mark.parametrize(("event", "field"), [(order(), "selected_at"), (start(), "recorded_at")])
def test_the_first_and_the_last_instant_are_valid(event: Json, field: str) -> None:
    for micros in (FIRST_MICROS, END_MICROS - 1):
        checked(event, **{field: micros})
    for micros in (FIRST_MICROS - 1, END_MICROS, END_MICROS + 1):
        with pytest.raises(InvalidFact, match=field):
            checked(event, **{field: micros})


LONG_CLAIM = CLAIM | {"original_claim_id": "X", "order_id": "O1"}
BARE_CLAIM = CLAIM | {"payer_id": "", "patient_control_number": "", "form_type": ""}


@pytest.mark.parametrize(
    ("event", "field", "most"),
    [
        *(
            (event, field, 256)
            for event in (LONG_CLAIM, BARE_CLAIM)
            for field in ("event_id", "patient_id", "plan_id", "payer_id", "claim_id", "form_type")
        ),
        *(
            (event, field, 256)
            for event in (LONG_CLAIM, BARE_CLAIM)
            for field in ("original_claim_id", "patient_control_number", "order_id")
        ),
        *(
            (event, field, 256)
            for event in (order(), order(regimen_code=""))
            for field in ("event_id", "patient_id", "plan_id", "program_id", "order_id", "regimen_code")
        ),
        *((start(), field, 256) for field in ("event_id", "patient_id", "order_id")),
        *((eligibility(), field, 256) for field in ("event_id", "patient_id")),
        (agreement(), "event_id", 256),
        *((pend_expired("A"), field, 256) for field in ("event_id", "patient_id", "claim_id")),
        *((readjudication(), field, 256) for field in ("event_id", "patient_id", "requested_by")),
        (readjudication(), "reason", 1_000),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
def test_the_longest_texts(event: Json, field: str, most: int) -> None:
    checked(event, **{field: "é" * most})
    with pytest.raises(InvalidFact) as refused:
        checked(event, **{field: "x" * (most + 1)})
    assert str(refused.value) == f"{field}: must not be longer than {most:,} characters"


def test_ids_may_be_long_all_at_once() -> None:
    longest = "x" * 256
    fields = ("event_id", "patient_id", "plan_id", "payer_id", "claim_id", "original_claim_id", "order_id", "form_type")
    checked(LONG_CLAIM, **dict.fromkeys((*fields, "patient_control_number"), longest))
    checked(order(), **dict.fromkeys(("event_id", "patient_id", "plan_id", "program_id", "order_id"), longest))
    checked(start(), event_id=longest, patient_id=longest, order_id=longest)


@pytest.mark.parametrize("event", [eligibility(1, ("2024-01-01", None)), agreement()], ids=lambda event: event["type"])
def test_the_longest_plan_of_a_span(event: Json) -> None:
    fact: Any = fact_from_json(event)
    intake.check(fact._replace(spans=(fact.spans[0]._replace(plan_id="x" * 256),)))
    with pytest.raises(InvalidFact, match=r"spans\[0\]\.plan_id: must not be longer than 256 characters"):
        intake.check(fact._replace(spans=(fact.spans[0]._replace(plan_id="x" * 257),)))


def test_the_most_lines_spans_and_partitions() -> None:
    claim: Any = fact_from_json(CLAIM)
    lines = tuple(claim.lines[0]._replace(line_number=number) for number in range(1_000))
    intake.check(claim._replace(lines=lines[:999]))
    with pytest.raises(InvalidFact, match="lines: must not be more than 999"):
        intake.check(claim._replace(lines=lines))
    for event in (eligibility(1, ("2024-01-01", "2023-01-01")), agreement(effective_to="2019-01-01")):
        fact: Any = fact_from_json(event)
        intake.check(fact._replace(spans=fact.spans * 200))
        with pytest.raises(InvalidFact, match="spans: must not be more than 200"):
            intake.check(fact._replace(spans=fact.spans * 201))
    through = tuple((partition, 0) for partition in range(10_001))
    checked(readjudication(), agreements_through=through[:10_000])
    with pytest.raises(InvalidFact, match="must not name more than 10,000 partitions"):
        checked(readjudication(), agreements_through=through)


def test_partitions_and_offsets_as_kafka_counts_them() -> None:
    checked(readjudication(), agreements_through=((0, 0), (1, 0), (2**31 - 1, 2**40)))
    for through in (((2**31, 0),), ((2**31 + 1, 0),), ((-1, 0),), ((0, -1),)):
        with pytest.raises(InvalidFact, match="agreements_through"):
            checked(readjudication(), agreements_through=through)


def test_the_check_digit_doubles_a_4_to_8() -> None:
    assert [npi for digit in range(10) if is_npi(npi := f"134140004{digit}")] == ["1341400046"]


def test_nine_digits_are_no_npi_whatever_their_check_digit_says() -> None:
    assert not any(is_npi(f"12345678{digit}") for digit in range(10))
