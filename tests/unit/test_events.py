"""Every event survives both outside forms, and what is no event is named with its line and field."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import catalog
from streams import events
from streams.adjudication.days import day_from_iso
from streams.adjudication.decisions import Decision
from streams.adjudication.facts import Claim, Fact
from streams.events import BadEvent, BadLine, fact_from_json, fact_to_json, read_jsonl
from tests import facts
from tests.unit import any_event

CASES = Path(__file__).parents[1] / "acceptance" / "cases.jsonl"
DECISION_OF_THE_CONTRACT = {
    "type": "billing-decision",
    "decision_id": "5ce5f79f9d7d6fb9a8a4f4e01e0cd9a0",
    "patient_id": "pt-0001",
    "claim_id": "B",
    "line_number": 1,
    "version": 2,
    "supersedes": "0f343b0931126a20f133d67c2b018a3b",
    "outcome": "DENIED",
    "reason": "WITHIN_30_OF_S0353",
    "procedure_code": "S0354",
    "service_date": "2024-02-06",
    "billing_npi": "1234567893",
    "order_id": "O1",
    "charge_cents": 35000,
    "allowed_cents": 0,
    "paid_cents": 0,
    "paid_before_cents": 35000,
    "change_cents": -35000,
    "member_owes_cents": 0,
    "adjustments": ["CO-149/N117/N472:35000", "PR-26:0"],
    "next_payable_date": "2024-02-07",
    "explanation": "S0354 on 2024-02-06 is 29 days after S0353 on 2024-01-08; payable from 2024-02-07.",
    "evidence": [{"kind": "claim-line", "ref": "A/1", "says": "S0353 on 2024-01-08, paid"}],
    "policy": {"id": "P0", "version": 1},
    "agreements": [{"npi": "1234567893", "version": 1}],
    "caused_by": "e-9",
}
NOTICE_OF_THE_CONTRACT = {
    "type": "eligibility-notice",
    "patient_id": "pt-0001",
    "order_id": "O1",
    "order_version": 1,
    "eligible": True,
    "reason": "ELIGIBLE",
    "explanation": "S0353 once, S0354 for up to 6 months.",
    "procedure_codes": ["S0353", "S0354"],
    "effective_from": "2024-01-02",
    "effective_to": "2024-12-31",
    "max_months": 6,
    "s0353_fee_cents": 35000,
    "s0354_fee_cents": 35000,
    "policy": {"id": "P0", "version": 1},
    "caused_by": "e-1",
}


class TestFacts:
    @given(any_event.any_fact)
    def test_any_fact_survives_both_forms(self, fact: Fact) -> None:
        in_json = json.loads(json.dumps(fact_to_json(fact)))
        from_json = fact_from_json(in_json)
        topic, key, value = events.fact_to_avro(from_json)
        from_avro = events.fact_from_avro(topic, value)
        assert from_json == from_avro == fact
        assert fact_to_json(from_avro) == in_json
        assert topic == events.topic_of(fact) == in_json["type"]
        assert key == events.key_of(fact).encode() == (in_json.get("patient_id") or in_json["npi"]).encode()

    @given(any_event.any_fact)
    def test_values_are_of_the_classes_of_the_core(self, fact: Fact) -> None:
        topic, _, value = events.fact_to_avro(fact)
        assert _classes(events.fact_from_avro(topic, value)) == _classes(fact)
        assert _classes(fact_from_json(fact_to_json(fact))) == _classes(fact)

    def test_the_worked_cases_facts_come_back_as_they_are_written(self) -> None:
        count = 0
        for case in CASES.read_text("utf-8").splitlines():
            for written in json.loads(case)["facts"]:
                topic, _, value = events.fact_to_avro(fact_from_json(written))
                again = fact_to_json(events.fact_from_avro(topic, value))
                assert {name: again[name] for name in written} == written
                assert not any(again[name] for name in again.keys() - written.keys())  # optional, and not given
                count += 1
        assert count > 100

    def test_the_type_comes_first(self) -> None:
        assert next(iter(fact_to_json(fact_from_json(facts.order())))) == "type"

    @pytest.mark.parametrize(
        "event", [None, [], "claim-received", 1, {}, {"type": None}, {"type": ["x"]}, {"type": "billing-decision"}]
    )
    def test_what_is_no_fact(self, event: Any) -> None:
        with pytest.raises(BadEvent) as bad:
            fact_from_json(event)
        assert bad.value.field == ("type" if isinstance(event, dict) else "")

    def test_a_malformed_field_is_named_with_its_path(self) -> None:
        claim = _claim()
        claim["lines"][0]["service_date"] = "2023-02-29"
        with pytest.raises(BadEvent) as bad:
            fact_from_json(claim)
        assert str(bad.value) == "lines[0].service_date: must be a date that exists; the calendar has no such day"

    def test_an_invalid_value_is_named_with_its_field(self) -> None:
        with pytest.raises(BadEvent, match="billing_npi: must be an NPI; this one fails its check digit"):
            fact_from_json(_claim(billing_npi="1234567890"))


class TestDecisionsAndNotices:
    @given(any_event.any_decision)
    def test_any_decision_survives_both_forms(self, decision: Decision) -> None:
        in_json = json.loads(json.dumps(events.decision_to_json(decision)))
        assert (
            events.decision_from_json(in_json)
            == events.decision_from_avro(events.decision_to_avro(decision))
            == decision
        )
        assert _classes(events.decision_from_json(in_json)) == _classes(decision)
        assert _classes(events.decision_from_avro(events.decision_to_avro(decision))) == _classes(decision)

    @given(any_event.any_notice)
    def test_any_notice_survives_both_forms(self, notice: Any) -> None:
        in_json = json.loads(json.dumps(events.notice_to_json(notice)))
        assert events.notice_from_json(in_json) == events.notice_from_avro(events.notice_to_avro(notice)) == notice
        assert _classes(events.notice_from_avro(events.notice_to_avro(notice))) == _classes(notice)

    def test_a_decision_reads_as_the_contract_has_it(self) -> None:
        decision = events.decision_from_json(DECISION_OF_THE_CONTRACT)
        assert json.dumps(events.decision_to_json(decision)) == json.dumps(DECISION_OF_THE_CONTRACT)  # order included
        assert decision.adjustments[0].rarcs == ("N117", "N472")
        assert [str(adjustment) for adjustment in decision.adjustments] == DECISION_OF_THE_CONTRACT["adjustments"]
        assert decision.service_date == day_from_iso("2024-02-06")

    def test_a_notice_reads_as_the_contract_has_it(self) -> None:
        notice = events.notice_from_json(NOTICE_OF_THE_CONTRACT)
        assert json.dumps(events.notice_to_json(notice)) == json.dumps(NOTICE_OF_THE_CONTRACT)  # order included

    @pytest.mark.parametrize(
        "written", ["CO-45", "CO45:1", "co-45:1", "CO-45:1.5", "CO-45/:1", "CO-45:99999999999999999999", 45]
    )
    def test_what_is_no_adjustment(self, written: Any) -> None:
        with pytest.raises(BadEvent) as bad:
            events.decision_from_json(DECISION_OF_THE_CONTRACT | {"adjustments": ["CO-45:1", written]})
        assert bad.value.field == "adjustments[1]"


class TestHeaders:
    def test_of_a_fact(self) -> None:
        order = fact_from_json(facts.order(event_id="e-1", selected_at="2024-01-02T15:00:00Z"))
        assert events.fact_headers(order, "portal") == (
            ("ce_id", b"e-1"),
            ("ce_type", b"pathway-selected"),
            ("ce_source", b"portal"),
            ("ce_specversion", b"1.0"),
            ("content-type", b"application/avro"),
            ("ce_time", b"2024-01-02T15:00:00Z"),
        )

    def test_a_fact_without_an_instant_has_the_time_that_the_publisher_gives(self) -> None:
        claim = fact_from_json(_claim())
        assert "ce_time" not in dict(events.fact_headers(claim, "intake"))
        assert dict(events.fact_headers(claim, "intake", time=1))["ce_time"] == b"1970-01-01T00:00:00.000001Z"

    def test_the_time_of_a_start_is_when_it_was_recorded(self) -> None:
        start = fact_from_json(facts.start(recorded_at="2024-01-08T20:00:00Z"))
        assert dict(events.fact_headers(start, "portal"))["ce_time"] == b"2024-01-08T20:00:00Z"

    def test_of_a_decision(self) -> None:
        decision = events.decision_from_json(DECISION_OF_THE_CONTRACT)
        headers = dict(events.decision_headers(decision, traceparent=b"00-1-2-01"))
        assert headers["ce_id"] == decision.decision_id.encode()
        assert headers["ce_type"] == b"billing-decision"
        assert headers["traceparent"] == b"00-1-2-01"
        assert "ce_time" not in headers  # a decision holds no clock reading
        assert "traceparent" not in dict(events.decision_headers(decision))

    def test_of_a_notice(self) -> None:
        notice = events.notice_from_json(NOTICE_OF_THE_CONTRACT)
        headers = dict(events.notice_headers(notice, traceparent=b"00-1-2-01"))
        assert headers["ce_id"] == b"pt-0001/O1/1"
        assert headers["ce_type"] == b"eligibility-notice"
        assert headers["traceparent"] == b"00-1-2-01"
        assert "ce_time" not in headers


class TestJsonLines:
    def read(self, text: bytes) -> tuple[list[tuple[int, Fact]], list[BadLine]]:
        bad: list[BadLine] = []
        return list(read_jsonl(BytesIO(text), bad.append)), bad

    def test_facts_come_with_their_line_numbers(self) -> None:
        text = b"\xef\xbb\xbf" + _line(facts.order()) + b"\n  \r\n" + _line(_claim())
        good, bad = self.read(text)
        assert [number for number, _ in good] == [1, 4]
        assert isinstance(good[1][1], Claim)
        assert bad == []

    def test_a_bad_line_does_not_hide_the_next(self) -> None:
        good, bad = self.read(b"{\n" + _line(facts.order()) + _line(_claim(lines=1)) + b"[]\n")
        assert [number for number, _ in good] == [2]
        assert [(error.line_number, error.field) for error in bad] == [(1, ""), (3, "lines"), (4, "")]

    def test_without_a_taker_the_first_bad_line_is_raised(self) -> None:
        with pytest.raises(BadLine, match=r"^line 2: type: is missing"):
            list(read_jsonl(["\n", "{}\n"]))

    @pytest.mark.parametrize(
        ("line", "field", "sentence"),
        [
            (b"not json", "", "is not JSON: Expecting value at column 1"),
            (b'{"type": "pend-expired"', "", "is not JSON"),
            (b'{"a": 1\n', "", "is not JSON: Expecting ',' delimiter at column 8"),
            (b'{"a": 1\r\n', "", "is not JSON: Expecting ',' delimiter at column 8"),
            (b'{"a": "b\n', "", "is not JSON: Unterminated string starting at column 7"),
            (b'{"type": "pend-expired"} {}', "", "is not JSON"),
            (b'{"a": NaN}', "", "is not JSON: NaN"),
            (b'{"a": -Infinity}', "", "is not JSON: NaN"),
            (b'{"a": 1, "b": {"c": 1, "c": 1}}', "c", "stands twice in one object"),
            (b'{"a": "\xff"}', "", "is not UTF-8"),
            (b'{"a": ' + b"9" * 5000 + b"}", "", "holds a number with too many digits"),
            (b"[" * 100_000, "", "is nested too deeply"),
            (b'{"a": ' * 100_000, "", "is nested too deeply"),
            (b'{"type": "\\ud800"}', "type", "is unknown"),
            (b'{"type": "pend-expired", "event_id": "\\ud800"}', "event_id", "must be text"),
        ],
    )
    def test_what_is_no_line(self, line: bytes, field: str, sentence: str) -> None:
        for form in (line, line.decode(errors="surrogateescape")):
            with pytest.raises(BadLine) as bad:
                list(read_jsonl([form]))
            if isinstance(form, str) and "UTF-8" in sentence:
                continue  # as text it is a fact without a type
            assert bad.value.field == field
            assert bad.value.sentence.startswith(sentence)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_any_json_is_a_fact_or_a_bad_line(self, event: Any) -> None:
        for wrapped in (
            event,
            {"type": "claim-received", "lines": event},
            _claim(lines=[event]),
            _claim(cost_share=event),
        ):
            with pytest.raises(BadLine):
                list(read_jsonl([json.dumps(wrapped)]))

    @given(any_event.any_fact, st.data())
    def test_any_field_replaced_by_anything_is_a_fact_or_a_bad_line_that_names_it(
        self, fact: Fact, data: st.DataObject
    ) -> None:
        event = fact_to_json(fact)
        field = data.draw(st.sampled_from([name for name in event if name != "type"]))
        event[field] = data.draw(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
        )
        _, bad = self.read(json.dumps(event).encode())
        assert all(error.field in (field, "") or error.field.startswith((f"{field}.", f"{field}[")) for error in bad)


def test_the_schemas_fields_are_those_of_the_core() -> None:
    for event in catalog.NEWEST:
        for record in _records(catalog.newest_schema(event)):
            name = record["name"].rpartition(".")[2]
            if name != "AgreementOffset":  # a pair
                assert [field["name"] for field in record["fields"]] == list(
                    getattr(events.MAKERS[name], "_fields", ())
                ), name


def _records(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [record for branch in schema for record in _records(branch)]
    if not isinstance(schema, dict):
        return []
    inside = _records(schema.get("items")) + [
        record for field in schema.get("fields", ()) for record in _records(field["type"])
    ]
    return ([schema] if schema["type"] == "record" else []) + inside


def _classes(value: Any) -> Any:
    return (type(value), [_classes(item) for item in value]) if isinstance(value, tuple) else type(value)


def _claim(**fields: Any) -> dict[str, Any]:
    return facts.s_line("A", "S0353", "2024-01-08") | fields


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"
