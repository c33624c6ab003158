"""The JSON form: dates, instants and numbers exactly as the contract writes them, and an error that names the field."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import json_form
from schemas.json_form import FieldError
from tests import facts
from tests.unit import any_event

parse_order = json_form.parser("pathway-selected", {})
parse_claim = json_form.parser("claim-received", {})
parse_request = json_form.parser("readjudication-requested", {})


def error_of(parse: Any, event: Any) -> tuple[str, str]:
    with pytest.raises(FieldError) as error:
        parse(event)
    return error.value.path, error.value.sentence


class TestDates:
    @given(st.dates())
    def test_every_date(self, day: date) -> None:
        number = json_form.day_from_iso(day.isoformat())
        assert date(1970, 1, 1) + timedelta(days=number) == day
        assert json_form.iso_from_day(number) == day.isoformat()

    @pytest.mark.parametrize(
        "written",
        [
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "24-01-01",
            "20240101",
            "2024-1-1",
            "2024-W01-1",
            "2024-01-01T00:00:00Z",
            " 2024-01-01",
            "2024-01-01\n",
            "٢٠٢٤-٠١-٠١",
            "",
            None,
            19000,
            True,
            ["2024-01-01"],
        ],
    )
    def test_what_is_no_date(self, written: Any) -> None:
        path, sentence = error_of(parse_order, facts.order(effective_from=written))
        assert path == "effective_from"
        assert "date" in sentence


class TestInstants:
    @given(any_event.instants)
    def test_every_instant(self, micros: int) -> None:
        assert json_form.micros_from_rfc3339(json_form.rfc3339_from_micros(micros)) == micros

    @pytest.mark.parametrize(
        ("written", "micros", "again"),
        [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00.000001Z", 1, "1970-01-01T00:00:00.000001Z"),
            ("1970-01-01T00:00:01.5+00:00", 1_500_000, "1970-01-01T00:00:01.500000Z"),
            ("1969-12-31T23:59:59.999999-00:00", -1, "1969-12-31T23:59:59.999999Z"),
            ("2024-01-02T15:00:00.000Z", 1_704_207_600_000_000, "2024-01-02T15:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ],
    )
    def test_as_written(self, written: str, micros: int, again: str) -> None:
        assert json_form.micros_from_rfc3339(written) == micros
        assert json_form.rfc3339_from_micros(micros) == again

    @pytest.mark.parametrize(
        "written",
        [
            "2024-01-02T15:00:00",
            "2024-01-02T15:00:00+01:00",
            "2024-01-02 15:00:00Z",
            "2024-01-02",
            "2024-01-02T15:00Z",
            "2024-01-02T25:00:00Z",
            "2024-01-02T15:00:60Z",
            "2024-02-30T15:00:00Z",
            "2024-01-02T15:00:00.Z",
            "2024-01-02T15:00:00.1234567Z",
            1704207600,
            None,
            True,
        ],
    )
    def test_what_is_no_instant(self, written: Any) -> None:
        path, sentence = error_of(parse_order, facts.order(selected_at=written))
        assert path == "selected_at"
        assert "instant" in sentence


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("order_version", True, "must be a whole number"),
        ("order_version", 1.0, "must be a whole number"),
        ("order_version", "1", "must be a whole number"),
        ("order_version", None, "must be a whole number"),
        ("order_version", 2**63, "must be a whole number that fits in 64 bits"),
        ("order_version", -(10**100), "must be a whole number that fits in 64 bits"),
        ("on_pathway", 1, "must be true or false"),
        ("on_pathway", "true", "must be true or false"),
        ("on_pathway", None, "must be true or false"),
        ("plan_id", None, "must be a string"),
        ("plan_id", 1, "must be a string"),
        ("plan_id", "\ud800", "must be text"),
        ("withdrawn_from", "", "must be an ISO local date"),
    ],
)
def test_a_value_of_another_type(field: str, value: Any, sentence: str) -> None:
    path, found = error_of(parse_order, facts.order(**{field: value}))
    assert path == field
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"cost_share": None}, "cost_share"),
        ({"cost_share": []}, "cost_share"),
        ({"cost_share": {"copay_cents": 0, "coinsurance_bp": 0}}, "cost_share.deductible_remaining_cents"),
        ({"lines": {}}, "lines"),
        ({"lines": [1]}, "lines[0]"),
        (
            {"lines": [facts.line(1, "S0353", "2024-01-08"), facts.line(2, "S0353", "2024-01-08", units="1")]},
            "lines[1].units",
        ),
        ({"lines": [facts.line(1, "S0353", "2024-01-08", modifiers=["GT", None])]}, "lines[0].modifiers[1]"),
        ({"billing_npi": 1234567893}, "billing_npi"),
    ],
)
def test_the_path_leads_to_the_value(change: dict[str, Any], path: str) -> None:
    found, _ = error_of(parse_claim, facts.s_line("A", "S0353", "2024-01-08") | change)
    assert found == path


def test_every_required_field_is_missed() -> None:
    order = facts.order()
    for field in order.keys() - {"type", "withdrawn_from", "effective_to"}:
        without = {name: value for name, value in order.items() if name != field}
        assert error_of(parse_order, without) == (field, "is missing; it has to be there")


def test_an_optional_field_may_be_absent_and_an_unknown_one_is_ignored() -> None:
    order = facts.order(effective_to=None)
    fuller = order | {"tumor_board": {"lone": "\ud800"}}
    assert parse_order({name: value for name, value in fuller.items() if value is not None}) == parse_order(order)


@pytest.mark.parametrize("event", [None, [], "x", 1, True])
def test_what_is_no_object(event: Any) -> None:
    assert error_of(parse_order, event) == ("", "must be a JSON object")


class TestAgreementOffsets:
    @pytest.mark.parametrize(
        ("written", "offsets"),
        [(None, None), ({}, ()), ({"0": 41}, ((0, 41),)), ({"11": 7, "2": 9}, ((2, 9), (11, 7)))],
    )
    def test_are_one_object(self, written: Any, offsets: Any) -> None:
        record = parse_request(facts.readjudication() | {"agreements_through": written})
        assert record[-1] == offsets
        assert json_form.printer("readjudication-requested")(record)["agreements_through"] == written

    @pytest.mark.parametrize(
        "written",
        [[], "0", {"x": 1}, {"00": 1}, {"-1": 1}, {"0": "1"}, {"0": None}, {"0": 2**63}, {"9999999999": 1}, {"²": 1}],
    )
    def test_are_partitions_to_offsets(self, written: Any) -> None:
        path, _ = error_of(parse_request, facts.readjudication() | {"agreements_through": written})
        assert path.startswith("agreements_through")


def test_no_error_holds_the_value_that_it_is_about() -> None:
    for value in ("SECRET", 987654321.5, ["SECRET"], {"SECRET": 1}):
        for field in ("order_version", "on_pathway", "effective_from", "selected_at"):
            _, sentence = error_of(parse_order, facts.order() | {field: value})
            assert "SECRET" not in sentence
            assert "987654321" not in sentence
