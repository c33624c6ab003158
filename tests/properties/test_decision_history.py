"""How decisions come about: versions, ids, the order of publishing, repeats, and the short way of settling (rules.md section 5)."""

import copy
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adjudication.offline import STRETCH_FACTS, OfflineEngine
from streams.events import decision_to_json, fact_from_json, notice_to_json
from tests.core import Core, Published, without_history
from tests.facts import (
    PATIENT,
    Json,
    agreement,
    claim,
    eligibility,
    line,
    order,
    pend_expired,
    readjudication,
    s_line,
    start,
)
from tests.properties.volume import drawn, seeds
from tests.strategies import Drawn, History, histories, history, policy, seeded_history


def _lived(facts: History) -> tuple[Core, list[Published]]:
    """The facts in order of arrival, agreements among them."""
    core = Core()
    return core, [core.take(fact) for fact in facts]


def _published(steps: list[Published]) -> list[dict[str, Any]]:
    return [decision for step in steps for decision in step.decisions]


@drawn
@given(facts=histories())
def test_versions_run_from_1_without_a_gap_and_name_what_they_supersede(facts: History) -> None:
    _, steps = _lived(facts)
    newest: dict[tuple[str, str, int], dict[str, Any]] = {}
    for step in steps:
        for decision in step.decisions:
            line = (decision["patient_id"], decision["claim_id"], decision["line_number"])
            before = newest.get(line)
            assert decision["version"] == (before["version"] + 1 if before else 1)
            assert decision["supersedes"] == (before["decision_id"] if before else None)
            assert decision["paid_before_cents"] == (before["paid_cents"] if before else 0)
            assert decision["change_cents"] == decision["paid_cents"] - decision["paid_before_cents"]
            assert decision["caused_by"] == step.fact["event_id"]
            if before:
                assert without_history(decision) != without_history(before), "a new version that says nothing new"
            newest[line] = decision


@drawn
@given(facts=histories())
def test_settling_many_facts_before_their_decisions_are_issued_changes_nothing(facts: History) -> None:
    one_by_one = Core()
    expected = [(step.fact, step.decisions, step.notices, step.refused) for step in one_by_one.take_all(facts)]
    assert len(facts) <= STRETCH_FACTS, "all of them in one stretch"
    at_once = OfflineEngine(one_by_one.policy).fold_all([fact_from_json(dict(fact)) for fact in facts])
    assert [
        (
            facts[folded.number],
            [decision_to_json(decision) for decision in folded.step.decisions],
            [notice_to_json(notice) for notice in folded.step.notices],
            folded.step.refusal and folded.step.refusal.reason,
        )
        for folded in at_once
    ] == expected


@drawn
@given(facts=histories())
def test_no_two_versions_share_an_id_and_the_same_facts_give_the_same_ids(facts: History) -> None:
    decisions = _published(_lived(facts)[1])
    assert len({decision["decision_id"] for decision in decisions}) == len(decisions)
    assert _published(_lived(facts)[1]) == decisions


@drawn
@given(facts=histories())
def test_one_line_is_published_once_a_fact_and_money_is_taken_back_first(facts: History) -> None:
    for step in _lived(facts)[1]:
        signs = [(d["change_cents"] > 0) - (d["change_cents"] < 0) for d in step.decisions]
        lines = [(d["claim_id"], d["line_number"]) for d in step.decisions]
        places = list(zip(signs, lines, strict=True))
        assert places == sorted(places)
        assert len(set(lines)) == len(lines)


@drawn
@given(facts=histories(), data=st.data())
def test_repeated_facts_change_nothing(facts: History, data: st.DataObject) -> None:
    """Neither delivered again as they were nor published by another publisher, under another event id."""
    chance = Drawn(data.draw)
    again = list(facts)
    for _ in range(chance.integer(1, 4)):
        at = chance.integer(0, len(again) - 1)
        repeat = copy.deepcopy(again[at])
        if chance.percent(50) and repeat["type"] != "readjudication-requested":
            repeat["event_id"] += "-repeated"
        again.insert(chance.integer(at + 1, len(again)), repeat)
    assert _published(_lived(again)[1]) == _published(_lived(facts)[1])


@drawn
@given(facts=histories())
def test_everything_delivered_twice_changes_nothing(facts: History) -> None:
    core, _ = _lived(facts)
    for fact in facts:
        step = core.take(fact)
        assert step.decisions == []
        assert step.notices == []


def test_money_is_taken_back_then_nothing_is_moved_then_money_is_paid() -> None:
    """Whatever the claim ids say, and be it a cent."""
    core = Core()
    facts = [
        agreement(s0353_fee_cents=1, s0354_fee_cents=1),
        order(),
        start(),
        s_line("C", "S0353", "2024-01-08"),
        s_line("B", "S0354", "2024-01-20"),  # denied for C, then for A
        s_line("A", "S0353", "2024-01-25"),  # denied for C, then paid
        claim("V", [], "2024-02-01", frequency_code="8", original_claim_id="C"),
    ]
    published = core.take_all(facts)[-1].decisions
    assert [(d["claim_id"], d["change_cents"]) for d in published] == [("C", -1), ("B", 0), ("A", 1)]

    late = claim("A", [line(1, "S0353", "2024-01-20"), line(2, "S0353", "2024-01-20", units=0)])
    step = Core().take_all([*facts[:3], s_line("B", "S0354", "2024-02-07"), late])[-1]
    moved = [(d["claim_id"], d["line_number"], d["change_cents"]) for d in step.decisions]
    assert moved == [("B", 1, -1), ("A", 2, 0), ("A", 1, 1)]

    two = Core().take_all([*facts[:3], s_line("B", "S0354", "2024-02-07"), s_line("A", "S0353", "2024-01-20")])[-1]
    assert [(d["claim_id"], d["change_cents"]) for d in two.decisions] == [("B", -1), ("A", 1)]


@pytest.mark.parametrize(
    ("standing", "late"),
    [
        (order(order_version=2), order(max_months=1)),
        (start(version=2), start(onset_date="2024-01-09")),
        (eligibility(2, ("2020-01-01", None)), eligibility(1)),
    ],
)
def test_a_late_lower_version_is_no_next_fact(standing: Json, late: Json) -> None:
    """The patient is not decided again by it, though an agreement that changed waits for the next fact."""
    core = Core()
    core.take_all([agreement(), order(order_version=2), start(version=2), standing, s_line("A", "S0353", "2024-01-08")])
    core.take(agreement(version=2, s0353_fee_cents=30000))
    step = core.take(late)
    assert (step.decisions, step.notices, step.refused) == ([], [], None)
    assert core.take(late).refused is None
    assert core.take({**late, "event_id": "other", "patient_id": PATIENT}).refused is None
    (decision,) = core.take(readjudication()).decisions
    assert decision["paid_cents"] == 30000


def test_every_fact_that_is_taken_in_changes_the_record_and_no_other_does() -> None:
    """What does not say so is not written to the patient table, and would be lost with the worker."""
    taken_in = [
        s_line("A", "S0353", "2024-01-08"),  # the short way has nothing to go on yet
        s_line("B", "S0354", "2024-02-07"),
        s_line("C", "S0354", "2024-02-07", frequency_code="7"),
        order(order_version=2),
        order(),
        start(version=2),
        start(),
        eligibility(2, ("2020-01-01", None)),
        eligibility(1),
        pend_expired("A"),
        pend_expired("UNKNOWN"),
        readjudication(),
    ]
    refused = [
        s_line("D", "S0353", "2024-01-08", payer_id="HP009"),
        s_line("A", "S0353", "2024-01-09"),
        order(max_months=1),
        start(onset_date="2024-01-09"),
        eligibility(1, ("2020-01-01", None)),
        {**readjudication(), "reason": "another"},
    ]
    core = Core()
    core.take(agreement())
    assert [core.take(fact).changed for fact in taken_in] == [True] * len(taken_in)
    assert [core.take(fact).changed for fact in taken_in] == [False] * len(taken_in)
    assert [core.take(fact).changed for fact in refused] == [False] * len(refused)


def test_a_conflict_with_a_late_lower_version_is_noticed() -> None:
    core = Core()
    core.take_all([order(order_version=2), order(max_months=1)])
    assert core.take(order(max_months=2)).refused == "CONFLICT"


def test_a_claim_that_settles_last_goes_the_short_way() -> None:
    """It is what keeps the cost of a claim from growing with its patient's history, so it must really be taken."""
    core = Core()
    core.take_all([agreement(), order(), start(), s_line("A", "S0353", "2024-01-08")])
    record = core.records[PATIENT]

    def took_the_short_way(fact: Json) -> bool:
        before = record.settlement
        core.take(fact)
        return record.settlement is before

    assert took_the_short_way(s_line("B", "S0354", "2024-02-07"))
    assert took_the_short_way(s_line("C", "S0354", "2024-02-08"))
    assert took_the_short_way(s_line("D", "S0353", "2024-02-09"))  # denied: not counted
    assert took_the_short_way(s_line("E", "S0354", "2024-03-08", received_date="2024-03-09"))
    assert not took_the_short_way(s_line("AA", "S0354", "2024-03-08", received_date="2024-03-09"))  # settles before E
    assert not took_the_short_way(s_line("F", "S0354", "2024-03-10", frequency_code="7", original_claim_id="G"))
    assert not took_the_short_way(s_line("G", "S0354", "2024-03-11"))  # named by F
    core.take(agreement(version=2))
    assert not took_the_short_way(s_line("H", "S0354", "2024-04-10"))  # an agreement that was used has changed
    assert took_the_short_way(s_line("I", "S0354", "2024-05-10", original_claim_id="J"))  # an original names none
    assert took_the_short_way(s_line("J", "S0354", "2024-05-11"))


def test_a_counted_s0353_settles_anew_only_the_s0354_that_it_may_be_too_near_to() -> None:
    def rulings(*lines: Json, **of_the_order: Any) -> tuple[bool, list[str]]:
        """Whether the last line went the short way, and how all lines are decided then."""
        core = Core()
        core.take_all([agreement(), order(**of_the_order), start(), *lines[:-1]])
        before = core.records[PATIENT].settlement
        core.take(lines[-1])
        short = core.records[PATIENT].settlement is before
        return short, [decision["reason"] for _, decision in sorted(core.current.items())]

    s0353, near = s_line("Z", "S0353", "2024-01-20", received_date="2024-02-06"), s_line("A", "S0354", "2024-02-05")
    assert rulings(near, s0353) == (False, ["WITHIN_30_OF_S0353", "PAID"])
    assert rulings(near, s0353, max_months=0) == (False, ["WITHIN_30_OF_S0353", "PAID"])  # was denied as MAX_MONTHS
    assert rulings(s_line("A", "S0354", "2024-01-07"), s0353) == (True, ["BEFORE_ONSET", "PAID"])
    assert rulings(s_line("A", "S0353", "2024-01-07"), s0353) == (True, ["BEFORE_ONSET", "PAID"])


def test_the_short_way_of_settling_publishes_the_same_as_settling_anew() -> None:
    """Decision by decision, ids too; with agreements that arrive and change in between."""
    for seed in seeds(0.5):
        facts = seeded_history(seed)
        short, anew = Core(), Core(incremental=False)
        for fact in facts:
            assert short.take(fact).decisions == anew.take(fact).decisions, f"seed {seed}, fact {fact['event_id']}"


@drawn
@given(data=st.data())
def test_the_short_way_of_settling_publishes_the_same_under_any_policy(data: st.DataObject) -> None:
    chance = Drawn(data.draw)
    profiles = policy(chance)
    facts = history(chance, most_claims=6, plans=tuple(profiles[0]["plans"]))
    short, anew = Core(profiles), Core(profiles, incremental=False)
    for fact in facts:
        assert short.take(fact).decisions == anew.take(fact).decisions


@drawn
@given(facts=histories())
def test_every_order_version_that_stands_has_one_notice(facts: History) -> None:
    standing: dict[tuple[str, str], int] = defaultdict(int)
    for step in _lived(facts)[1]:
        fact = step.fact
        noticed = [(n["patient_id"], n["order_id"], n["order_version"]) for n in step.notices]
        if (
            fact["type"] == "pathway-selected"
            and fact["order_version"] > standing[fact["patient_id"], fact["order_id"]]
        ):
            standing[fact["patient_id"], fact["order_id"]] = fact["order_version"]
            assert noticed == [(fact["patient_id"], fact["order_id"], fact["order_version"])]
        else:
            assert noticed == []
