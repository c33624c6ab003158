"""The last values that are still valid, and the first that are not, in figures of their own."""

from typing import Any

import pytest

from streams.adjudication import intake
from streams.adjudication.days import day_from_iso
from streams.adjudication.facts import Claim
from streams.adjudication.intake import InvalidFact, is_npi
from streams.events import fact_from_json
from tests.facts import Json, eligibility, order, readjudication, s_line, start

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


def test_partitions_and_offsets_as_kafka_counts_them() -> None:
    checked(readjudication(), agreements_through=((0, 0), (1, 0), (2**31 - 1, 2**40)))
    for through in (((2**31, 0),), ((2**31 + 1, 0),), ((-1, 0),), ((0, -1),)):
        with pytest.raises(InvalidFact, match="agreements_through"):
            checked(readjudication(), agreements_through=through)


def test_the_check_digit_doubles_a_4_to_8() -> None:
    assert [npi for digit in range(10) if is_npi(npi := f"134140004{digit}")] == ["1341400046"]


def test_nine_digits_are_no_npi_whatever_their_check_digit_says() -> None:
    assert not any(is_npi(f"12345678{digit}") for digit in range(10))
