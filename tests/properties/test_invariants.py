"""What must always hold, for every patient, whatever the order of arrival: rules.md section 6, one test each."""

import json
from collections import defaultdict
from datetime import date, datetime, timedelta
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.core import Core, row, without_history
from tests.facts import readjudication
from tests.oracle.oracle import P0, Json, admitted, day, half_up, span_of, standing, standing_agreements
from tests.properties.volume import drawn
from tests.strategies import Drawn, History, histories, history


@drawn
@given(facts=histories(conflicts=False), data=st.data())
def test_1_the_same_facts_in_any_order_end_in_the_same_current_decisions(facts: History, data: st.DataObject) -> None:
    other_order = data.draw(st.permutations(facts))
    assert _decided(facts).current_decisions(history=False) == _decided(other_order).current_decisions(history=False)


@drawn
@given(facts=histories())
def test_2_s0353_once_gaps_kept_months_kept(facts: History) -> None:
    counted: dict[str, list[Json]] = defaultdict(list)
    for decision in _decided(facts).current_decisions():
        if decision["outcome"] == "PAID":
            counted[decision["patient_id"]].append(decision)
    on_record, _ = admitted(facts, (P0,))
    for patient_id, paid in counted.items():
        assert sum(decision["procedure_code"] == "S0353" for decision in paid) <= 1
        for one, other in combinations(paid, 2):
            assert abs((day(one["service_date"]) - day(other["service_date"])).days) >= 30
        orders = standing(fact for fact in on_record if fact.get("patient_id") == patient_id).orders
        for order_id, order in orders.items():
            months = sum(d["procedure_code"] == "S0354" and d["order_id"] == order_id for d in paid)
            assert months <= order["max_months"]


@drawn
@given(facts=histories())
def test_3_amounts_are_in_bounds_and_add_up(facts: History) -> None:
    on_record, _ = admitted(facts, (P0,))
    agreements = standing_agreements(fact for fact in on_record if fact["type"] == "provider-agreement")
    claims = {(f["patient_id"], f["claim_id"]): f for f in on_record if f["type"] == "claim-received"}
    for decision in _decided(facts).current_decisions():
        allowed, paid = decision["allowed_cents"], decision["paid_cents"]
        adjusted = sum(int(adjustment.rpartition(":")[2]) for adjustment in decision["adjustments"])
        claim = claims[decision["patient_id"], decision["claim_id"]]
        line = next(line for line in claim["lines"] if line["line_number"] == decision["line_number"])
        assert decision["charge_cents"] == line["charge_cents"]
        if decision["outcome"] == "PAID":
            span = span_of(claim["billing_npi"], claim["plan_id"], day(line["service_date"]), agreements)
            assert span is not None
            unit_charge = half_up(line["charge_cents"], line["units"])
            assert 0 <= paid <= allowed <= min(unit_charge, span[f"{line['procedure_code'].lower()}_fee_cents"])
        else:
            assert paid == allowed == 0
        if decision["outcome"] in ("PAID", "DENIED", "BUNDLED"):
            assert line["charge_cents"] == paid + adjusted
        else:
            assert decision["adjustments"] == []
            assert decision["member_owes_cents"] == 0


@drawn
@given(facts=histories())
def test_4_the_published_changes_sum_up_to_what_is_currently_paid(facts: History) -> None:
    core = Core()
    changes = 0
    for fact in facts:
        changes += sum(decision["change_cents"] for decision in core.take(fact).decisions)
        assert changes == sum(decision["paid_cents"] for decision in core.current_decisions())


@drawn
@given(data=st.data())
def test_5_a_claim_and_its_void_leave_the_other_lines_as_if_it_had_never_been_there(data: st.DataObject) -> None:
    chance = Drawn(data.draw)
    facts = history(chance, most_claims=4)
    claims = [fact for fact in facts if fact["type"] == "claim-received"]
    # A replacement takes another claim out for good, so "as if it had never been there" can only be said of an original.
    claim = {**chance.pick(claims), "claim_id": "NEW", "event_id": "new", "frequency_code": "1"}
    claim["lines"] = claim["lines"] or [line for other in claims for line in other["lines"]][:1]
    void = {**claim, "claim_id": "NEW-VOID", "event_id": "new-void", "frequency_code": "8", "original_claim_id": "NEW"}
    if not claim["lines"]:
        return
    with_both = list(facts)
    at = chance.integer(0, len(facts))
    with_both.insert(at, claim)
    with_both.insert(chance.integer(at + 1, len(with_both)), void)
    left = [d for d in _decided(with_both).current_decisions(history=False) if d["claim_id"] != "NEW"]
    assert left == _decided(facts).current_decisions(history=False)


@drawn
@given(facts=histories(most_patients=3))
def test_6_facts_of_one_patient_never_change_anothers_decisions(facts: History) -> None:
    together = _decided(facts)
    for patient_id in together.records:
        alone = _decided([fact for fact in facts if fact.get("patient_id", patient_id) == patient_id])
        assert alone.current_decisions() == [d for d in together.current_decisions() if d["patient_id"] == patient_id]


@drawn
@given(facts=histories())
def test_7_shifting_every_date_by_7_days_changes_no_outcome(facts: History) -> None:
    as_it_is = _decided(facts).current_decisions()
    shifted = _decided([_shifted(fact) for fact in facts]).current_decisions()
    assert [row(decision) for decision in shifted] == [row(decision) for decision in as_it_is]
    assert [d["next_payable_date"] for d in shifted] == [_shifted(d["next_payable_date"]) for d in as_it_is]


@drawn
@given(facts=histories(), data=st.data())
def test_8_a_replay_ends_in_the_same_current_decisions_byte_for_byte(facts: History, data: st.DataObject) -> None:
    lived = Core()
    for fact in facts:  # agreements arrive among the other facts
        lived.take(fact)
    for patient_id in list(lived.records):  # patients decided under the newest agreements
        lived.take(readjudication(f"readjudicated-{patient_id}", patient_id))
    replayed = _decided(_interleaved_anew(facts, data))
    assert _bytes(lived) == _bytes(replayed)


def _decided(facts: History) -> Core:
    core = Core()
    core.take_all(facts)
    return core


def _interleaved_anew(facts: History, data: st.DataObject) -> History:
    """The facts in another order that keeps the order inside each topic."""
    topics: dict[str, History] = defaultdict(list)
    for fact in facts:
        topics[fact["type"]].append(fact)
    turns = data.draw(st.permutations([fact["type"] for fact in facts]))
    return [topics[topic].pop(0) for topic in turns]


def _bytes(core: Core) -> bytes:
    return b"\n".join(json.dumps(without_history(decision)).encode() for decision in core.current_decisions())


def _shifted(value: Any) -> Any:
    """The same with every date and instant in it a week later."""
    if isinstance(value, dict):
        return {key: _shifted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shifted(item) for item in value]
    if isinstance(value, str) and len(value) >= 10 and value[4:8:3] == "--":
        if len(value) == 10:
            return (date.fromisoformat(value) + timedelta(days=7)).isoformat()
        return (datetime.fromisoformat(value) + timedelta(days=7)).isoformat()
    return value
