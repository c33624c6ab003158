"""A lane's processor: what each record comes to, and that a bad one keeps nobody waiting."""

from typing import Any

import pytest

from streams.adjudication.record import PatientRecord
from streams.agents.adjudicator import PatientCache
from streams.agents.patient_state import StoredPatient
from streams.events import decision_from_avro, notice_from_avro
from streams.runtime.dead_letters import Reason, reasons_of
from streams.runtime.processor import InputRecord, OutputRecord
from streams.topics import BILLING_DECISIONS, CLAIM_RECEIVED, DEAD_LETTERS, ELIGIBILITY_NOTICES, partition_for
from tests import facts
from tests.unit.agents.records import Lane, record, records

PAYABLE = [facts.agreement(), facts.order(), facts.start()]
GOOD = facts.s_line("A", "S0353", "2024-01-08")


def dead(outputs: list[OutputRecord]) -> list[str]:
    return [(dict(output.headers)["dlq_reason"] or b"").decode() for output in outputs if output.topic == DEAD_LETTERS]


def decided(outputs: list[OutputRecord]) -> list[tuple[str, str]]:
    decisions = [decision_from_avro(output.value) for output in outputs if output.topic == BILLING_DECISIONS]
    return [(decision.claim_id, decision.reason) for decision in decisions]


POISON: dict[str, InputRecord] = {
    "UNREADABLE": record(GOOD, value=b"\x00\x00\x00\x00\x63nothing of ours"),
    "INVALID": record(facts.s_line("B", "S0353", "2024-01-08"))._replace(
        value=record(facts.s_line("B", "S0353", "2024-01-08", billing_npi=facts.NPI)).value.replace(
            b"1234567893", b"1234567890"
        )
    ),
    "KEY_MISMATCH": record(facts.s_line("B", "S0353", "2024-01-08"), key=b"pt-9999"),
    "WRONG_PAYER": record(facts.s_line("B", "S0353", "2024-01-08", payer_id="AIM")),
    "CONFLICT": record(facts.s_line("A", "S0353", "2024-01-09")),
    "TOO_LARGE": record(GOOD, value=b"\x00" * (512 * 1024 + 1)),
}


@pytest.mark.parametrize("reason", POISON)
def test_a_bad_record_goes_to_the_dead_letters_and_the_good_ones_around_it_are_decided(reason: str) -> None:
    lane = Lane()
    lane.feed(records(PAYABLE))
    after = facts.s_line("C", "S0354", "2024-02-10")
    outputs = lane.feed([record(GOOD, 0), POISON[reason]._replace(offset=1), record(after, 2)])
    assert dead(outputs) == [reason]
    assert decided(outputs) == [("A", "PAID"), ("C", "PAID")]


@pytest.mark.parametrize("reason", POISON)
def test_a_dead_letter_is_the_record_untouched_and_says_where_it_stands(reason: str) -> None:
    lane = Lane()
    lane.feed(records([*PAYABLE, GOOD]))
    poison = POISON[reason]._replace(offset=77, headers=(("traceparent", b"00-1"), ("x", b"\xff")))
    (output,) = lane.feed([poison])
    assert (output.key, output.value) == (poison.key, poison.value)
    assert output.headers[:2] == poison.headers
    said = dict(output.headers)
    assert (said["dlq_topic"], said["dlq_partition"], said["dlq_offset"]) == (CLAIM_RECEIVED.encode(), b"0", b"77")
    assert said["dlq_sentence"]
    assert b"pt-" not in (said["dlq_sentence"] or b"pt-"), "no patient in a sentence that ends up in logs"


def test_a_record_without_key_or_value_is_a_dead_letter() -> None:
    lane = Lane()
    assert dead(lane.feed([record(GOOD, key=None)])) == ["KEY_MISMATCH"]
    assert dead(lane.feed([record(GOOD, value=None)])) == ["UNREADABLE"]


@pytest.mark.parametrize("fact", [facts.agreement(), GOOD], ids=["agreement", "claim"])
def test_a_record_in_another_partition_than_its_keys_is_a_dead_letter(fact: dict[str, Any]) -> None:
    """As librdkafka's own partitioner would bring it: another worker has the rest of the patient."""
    at_home = record(fact)
    assert at_home.key is not None
    home = partition_for(at_home.key, 12)
    at_home = at_home._replace(partition=home)
    lane = Lane(partitions=12)
    astray = at_home._replace(partition=(home + 1) % 12, offset=1)
    (letter,) = lane.feed([at_home, astray])[-1:]
    assert dead([letter]) == ["KEY_MISMATCH"]
    said = (dict(letter.headers)["dlq_sentence"] or b"").decode()
    assert f"in partition {astray.partition}, but its key belongs in partition {home}" in said
    assert not dead(lane.feed([at_home]))


def test_a_bad_agreement_is_a_dead_letter_of_its_lane() -> None:
    lane = Lane()
    again = facts.agreement(s0353_fee_cents=1)
    overlapping = facts.agreement(facts.OTHER_NPI)
    broken = record(overlapping, 2, key=b"1234567893")
    outputs = lane.feed([record(facts.agreement(), 0), record(again, 1), broken])
    assert dead(outputs) == ["CONFLICT", "KEY_MISMATCH"]


def test_the_trace_of_a_fact_goes_on_in_what_it_causes() -> None:
    lane = Lane()
    trace = (("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)
    lane.feed(records([facts.agreement(), facts.start()]))
    (notice,) = lane.feed([record(facts.order(), headers=trace)])
    (decision,) = lane.feed([record(GOOD, headers=trace)])
    assert (notice.topic, decision.topic) == (ELIGIBILITY_NOTICES, BILLING_DECISIONS)
    for output in (notice, decision):
        assert trace[0] in output.headers
    assert notice_from_avro(notice.value).eligible


@pytest.mark.parametrize(
    "value",
    [
        b"0" * 2_000_000,
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 and more",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
        b"",
    ],
)
def test_what_is_no_trace_does_not_go_on(value: bytes) -> None:
    """A header may be as large as a record, and there is a copy in every decision."""
    lane = Lane()
    lane.feed(records([facts.agreement(), facts.start()]))
    outputs = lane.feed([record(fact, headers=(("traceparent", value),)) for fact in (facts.order(), GOOD)])
    assert [output.topic for output in outputs] == [ELIGIBILITY_NOTICES, BILLING_DECISIONS]
    assert not any("traceparent" in dict(output.headers) for output in outputs)


def test_a_header_may_have_no_value() -> None:
    """As Kafka allows it. Compiled, a loop over the headers takes nothing else than their type says."""
    lane = Lane()
    lane.feed(records(PAYABLE))
    empty = (("traceparent", None), ("note", None))
    decision, letter = lane.feed([record(GOOD, headers=empty), record(GOOD, 1, value=b"", headers=empty)])
    assert "traceparent" not in dict(decision.headers)
    assert letter.headers[:2] == empty
    assert reasons_of([letter], topic=DEAD_LETTERS) == {(CLAIM_RECEIVED, 1): Reason.UNREADABLE}


def test_a_repeat_publishes_nothing_and_writes_nothing() -> None:
    lane = Lane()
    lane.feed(records([*PAYABLE, GOOD]))
    assert lane.feed(records([*PAYABLE, {**GOOD, "event_id": "another publisher's"}])) == []
    assert lane.table.written == {}


def test_a_request_waits_for_the_agreements_that_it_is_about() -> None:
    lane = Lane()
    request = {**facts.readjudication(), "agreements_through": {"3": 41, "0": 7}}
    lane.feed([record(facts.agreement(), 5), record(request)])
    assert lane.follower.wanted == [{0: 7, 3: 41}]


def test_a_request_decides_under_the_agreements_of_now() -> None:
    lane = Lane()
    lane.feed(records([*PAYABLE, GOOD]))
    assert lane.feed([record(facts.agreement(version=2, s0353_fee_cents=30000), 9)]) == []
    outputs = lane.feed([record(facts.readjudication())])
    decision = decision_from_avro(outputs[0].value)
    assert (decision.paid_cents, decision.change_cents, decision.agreements[0].version) == (30000, -5000, 2)


def test_a_batch_is_decided_in_order_whatever_is_cached() -> None:
    history = [*PAYABLE, GOOD, facts.s_line("B", "S0354", "2024-02-06"), facts.s_line("C", "S0354", "2024-02-07")]
    whole, single = Lane(), Lane(cache_claims=0)
    one = whole.feed(records(history))
    other = [output for batch in records(history) for output in single.feed([batch])]
    assert one == other
    assert decided(one) == [("A", "PAID"), ("B", "WITHIN_30_OF_S0353"), ("C", "PAID")]


def test_the_cache_drops_the_least_recently_used_and_never_outgrows_its_bound() -> None:
    cache = PatientCache(max_claims=3)
    for name in "abc":
        cache.put(StoredPatient(PatientRecord(name)))
    assert cache.get("a") is not None
    cache.put(StoredPatient(PatientRecord("d")))
    cache.trim()
    assert cache.get("b") is None
    assert all(cache.get(name) is not None for name in "acd")
