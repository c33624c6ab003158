"""The demonstration's check finds what it is there to find."""

import pytest

from projections.current_decisions import CurrentDecisions
from streams.adjudication.decisions import Decision
from streams.adjudication.offline import OfflineEngine
from streams.demo.check import Expectation, RefusedFact, differences, expect
from streams.demo.scoreboard import Scoreboard
from streams.generator import history
from streams.policy_files import load_policy

FACTS = list(history(60, 5))


@pytest.fixture(scope="module")
def expected() -> Expectation:
    return expect(FACTS, load_policy())


@pytest.fixture
def published() -> list[Decision]:
    return [d for folded in OfflineEngine(load_policy()).fold_all(FACTS) for d in folded.step.decisions]


def check(expected: Expectation, published: list[Decision]) -> list[str]:
    current = CurrentDecisions()
    for decision in published:
        current.add(decision)
    change_cents = sum(decision.change_cents for decision in published)
    return list(differences(expected, current, change_cents, expected.refused))


def test_the_same_decisions_are_no_difference(expected: Expectation, published: list[Decision]) -> None:
    assert check(expected, published) == []


def test_history_may_differ(expected: Expectation, published: list[Decision]) -> None:
    only = max(published, key=lambda decision: (decision.version, decision.paid_cents))
    line = (only.patient_id, only.claim_id, only.line_number)
    others = [d for d in published if (d.patient_id, d.claim_id, d.line_number) != line]
    at_once = only._replace(version=1, supersedes=None, paid_before_cents=0, change_cents=only.paid_cents)
    assert check(expected, [*others, at_once]) == []


def test_a_lost_decision_is_found(expected: Expectation, published: list[Decision]) -> None:
    assert published[0].version == 1
    line = published[0][1:4]
    lost = [decision for decision in published if decision[1:4] != line]
    assert [difference.endswith("in the offline fold only") for difference in check(expected, lost)] == [True]


def test_other_words_are_found(expected: Expectation, published: list[Decision]) -> None:
    changed = [decision._replace(explanation="because") for decision in published]
    found = check(expected, changed)
    assert len(found) == len(expected.current)
    assert "they differ in explanation" in found[0]


def test_a_change_that_was_published_twice_is_found(expected: Expectation, published: list[Decision]) -> None:
    paid = next(decision for decision in published if decision.change_cents)
    assert any("published changes add up to" in difference for difference in check(expected, [*published, paid]))


def test_missing_and_needless_dead_letters_are_found(expected: Expectation) -> None:
    current = CurrentDecisions()
    needless = RefusedFact("claim-received", "e-1", "INVALID")
    refused = expected.refused.copy()
    missing = refused.popitem()[0]
    refused[needless] += 1
    found = list(differences(expected._replace(current={}), current, 0, refused))
    assert found == [
        f"{missing.topic} {missing.event_id}: should be in the dead letters as {missing.reason}, and is not",
        "claim-received e-1: is in the dead letters as INVALID, and should not be",
    ]


def test_a_scoreboard_is_complete_when_all_that_is_expected_is_there(
    expected: Expectation, published: list[Decision]
) -> None:
    board = Scoreboard(len(FACTS), expected)
    board.published = len(FACTS)
    board.refused = expected.refused.copy()
    for decision in published[:-1]:
        board.decided(decision)
    assert not board.complete
    board.decided(published[-1])
    assert board.complete
    board.decided(published[0]._replace(patient_id="pt-somebody-else"))
    assert board.decisions == len(published)
    board.refused.popitem()
    assert not board.complete
