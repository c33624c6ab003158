"""A patient's record as values of the table: what is written is what is read, and no value outgrows a Kafka record."""

from datetime import date, timedelta
from inspect import isdatadescriptor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adjudication.intake import MAX_ID_CHARACTERS, MAX_LINES, MAX_SPANS
from streams.adjudication.record import PatientRecord
from streams.agents.patient_state import (
    FORMAT_VERSION,
    SEGMENT_CLAIMS,
    StoredPatient,
    UnknownStateFormat,
    is_patient_key,
)
from streams.agents.stored_values import Head, Segment
from streams.events import decision_from_avro
from streams.topics import BILLING_DECISIONS, DEAD_LETTERS, FOUR_MEBIBYTES
from tests import facts
from tests.strategies import histories
from tests.unit.agents.records import Lane, Table, records

KAFKA_RECORD_LIMIT = 1_048_588


def known(record: PatientRecord) -> list[object]:
    """Everything of a record but what a settling left behind."""
    fields = [
        name for name, value in vars(PatientRecord).items() if isdatadescriptor(value)
    ]  # also where it is compiled
    assert "claims" in fields, "the record's fields were not found"
    return [getattr(record, name) for name in fields if name != "settlement"]


@given(histories(), st.integers(1, 4))
def test_a_stored_patient_is_read_as_it_was_written(history: list[facts.Json], batch_size: int) -> None:
    lane = Lane()
    batches = records(history)
    for begin in range(0, len(batches), batch_size):
        lane.feed(batches[begin : begin + batch_size])
    for patient_id in {fact["patient_id"] for fact in history if "patient_id" in fact}:
        cached = lane.adjudicator._cache.get(patient_id)
        if cached is not None:
            stored = StoredPatient.load(patient_id, lane.table.get).record
            assert known(stored) == known(cached.record)


@given(histories())
def test_a_patient_that_is_read_anew_for_every_batch_is_decided_alike(history: list[facts.Json]) -> None:
    warm, cold = Lane(), Lane(cache_claims=0)
    for batch in records(history):
        decided = warm.feed([batch])
        cold.adjudicator._cache._patients.clear()
        assert cold.feed([batch]) == decided
    assert cold.table.values == warm.table.values


@given(histories())
def test_a_value_is_what_the_library_writes(history: list[facts.Json]) -> None:
    """Values are joined from the bytes of their parts; read and encoded as a whole they have the same bytes."""
    lane = Lane()
    lane.feed(records(history))
    for key, value in lane.table.values.items():
        kind = Head if is_patient_key(key) else Segment
        assert msgspec.msgpack.encode(msgspec.msgpack.decode(value[1:], type=kind)) == value[1:]


def many_claims(count: int) -> list[facts.Json]:
    """A long history of claims, one every 30 days in turn with one too soon."""
    claims = []
    for number in range(count):
        day = (date(1990, 1, 1) + timedelta(days=number * 15)).isoformat()
        claims.append(facts.s_line(f"C{number:06d}", "S0354", day))
    return claims


def test_long_arrays_are_joined_as_the_library_writes_them() -> None:
    lane = Lane()
    claim = facts.claim("BIG", [facts.line(n, "S0354", "2024-02-01", units=0) for n in range(1, 200)])
    orders = [facts.order(order_id=f"O{n}", event_id=f"e-{n}") for n in range(70)]
    lane.feed(records([facts.agreement(), *orders, claim]))
    value = lane.table.values[facts.PATIENT.encode()]
    head = msgspec.msgpack.decode(value[1:], type=Head)
    assert (len(head.orders), len(head.first.positions)) == (70, 199)
    assert msgspec.msgpack.encode(head) == value[1:]


def test_a_patient_of_5000_claims_stays_below_kafkas_record_limit() -> None:
    lane = Lane(cache_claims=10_000)
    order = facts.order(effective_from="1990-01-01", effective_to=None, max_months=100_000)
    span = facts.agreement(effective_from="1980-01-01")
    lane.feed(records([span, order, facts.start(onset_date="1990-01-01")]))
    decided = 0
    for begin in range(0, 5_000, 500):
        outputs = lane.feed(records(many_claims(5_000)[begin : begin + 500]))
        decided += sum(output.topic == BILLING_DECISIONS for output in outputs)
    assert decided == 5_000
    assert max(len(value) for value in lane.table.values.values()) < KAFKA_RECORD_LIMIT // 8
    last = lane.feed(records([facts.s_line("Z", "S0354", "2200-01-01")]))
    assert decision_from_avro(last[0].value).outcome == "PAID"
    assert sum(map(len, lane.table.written.values())) < 16_384, "one more claim writes its segment, not the history"
    assert len(StoredPatient.load(facts.PATIENT, lane.table.get).record.claims) == 5_001


def test_a_void_writes_the_segments_that_it_touches() -> None:
    lane = Lane()
    lane.feed(records([facts.agreement(), facts.order(), facts.start()]))
    lane.feed(
        records(
            facts.s_line(f"C{n:03d}", "S0353", "2024-01-08", received_date="2024-02-01")
            for n in range(3 * SEGMENT_CLAIMS)
        )
    )
    lane.feed(records([facts.s_line("V", "S0353", "2024-01-08", frequency_code="8", original_claim_id="C000")]))
    written = {key for key in lane.table.written if not is_patient_key(key)}
    assert facts.PATIENT.encode() in lane.table.written, "the voided claim lies in the first segment"
    assert written, "the void lies in the last one"


def test_every_value_carries_the_formats_version() -> None:
    lane = Lane()
    lane.feed(records([facts.agreement(), facts.order(), facts.start(), *many_claims(40)]))
    assert len(lane.table.values) > 1
    assert {value[0] for value in lane.table.values.values()} == {FORMAT_VERSION}


def test_a_value_of_a_format_to_come_is_not_read() -> None:
    table = Table()
    table.values[b"pt-0001"] = bytes([FORMAT_VERSION + 1])
    with pytest.raises(UnknownStateFormat, match="Run the version that wrote it"):
        StoredPatient.load("pt-0001", table.get)


def large(claim_id: str) -> facts.Json:
    """A claim of some 400 KB."""
    one = facts.line(1, "S0354", "2024-02-01", units=0, diagnosis_codes=["C50911"] * 45)
    return facts.claim(claim_id, [one | {"line_number": number} for number in range(1, 1_000)])


def test_a_large_claim_closes_its_segment() -> None:
    lane = Lane()
    lane.feed(records([facts.agreement(), large("BIG"), facts.s_line("NEXT", "S0354", "2024-03-01")]))
    assert len(lane.table.written) == 2
    lane.feed(records([facts.s_line("AFTER", "S0354", "2024-03-02")]))
    assert len(lane.table.written) == 1, "the new claim lies in the second segment"


def test_large_claims_of_one_batch_do_not_share_a_segment() -> None:
    """Together they would be more than Kafka takes as one record, and the batch would stop its partition for good."""
    lane = Lane()
    lane.feed(records([facts.agreement(), *(large(f"C{number}") for number in range(6))]))
    assert max(len(value) for value in lane.table.values.values()) < KAFKA_RECORD_LIMIT
    assert len(StoredPatient.load(facts.PATIENT, lane.table.get).record.claims) == 6


def test_facts_at_every_limit_lead_to_what_kafka_takes() -> None:
    def longest(name: str) -> str:
        return name + "\U0001f4a0" * (MAX_ID_CHARACTERS - len(name))  # four bytes each

    plan, order_id = "PPO", longest("order")
    order = facts.order(order_id=order_id, event_id=longest("e-1"), ordering_npi=facts.OTHER_NPI, plan_id=plan)
    days = [(date(2024, 1, 8) + timedelta(days=number)).isoformat() for number in range(MAX_LINES)]
    lines = [facts.line(number, "S0354", day) for number, day in enumerate(days, start=1)]
    claim = facts.claim(longest("claim"), lines, event_id=longest("e-2"), order_id=order_id, received_date="2030-01-01")
    claim["patient_control_number"] = longest("PCN")
    spans = [facts.agreement_span(filing_limit_days=10_000)]
    history = [facts.agreement(spans=spans), facts.agreement(facts.OTHER_NPI, spans=spans), order, claim]
    history.append(facts.start(order_id=order_id, event_id=longest("e-3")))
    history += [
        facts.eligibility(version, *[("2020-01-01", None)] * MAX_SPANS, plan_id=longest("plan"))
        | {"event_id": longest(f"e-4-{version}")}
        for version in range(3)
    ]
    lane = Lane()
    outputs = lane.feed(
        records([fact | {"patient_id": longest("pt")} if "patient_id" in fact else fact for fact in history])
    )
    assert not [output for output in outputs if output.topic == DEAD_LETTERS]
    assert len(outputs) > 2 * MAX_LINES
    assert max(len(output.value or b"") for output in outputs) < KAFKA_RECORD_LIMIT // 16
    assert max(len(value) for value in lane.table.values.values()) < FOUR_MEBIBYTES // 2
