"""The highest version of each line counts: in any order, however often, and never with money that does not add up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.current_decisions import CurrentDecisions, InconsistentLogError
from streams.adjudication.decisions import PAID, Decision
from streams.adjudication.offline import OfflineEngine
from streams.generator import history
from streams.policy_files import load_policy


@pytest.fixture(scope="module")
def published() -> list[Decision]:
    """Every decision of a small year, in the order of publication."""
    return [
        decision
        for folded in OfflineEngine(load_policy()).fold_all(history(60, 5))
        for decision in folded.step.decisions
    ]


def current_of(decisions: list[Decision]) -> CurrentDecisions:
    current = CurrentDecisions()
    for decision in decisions:
        current.add(decision)
    return current


def test_the_newest_version_of_every_line_is_current(published: list[Decision]) -> None:
    newest = {(decision.claim_id, decision.line_number): decision for decision in published}
    assert len(newest) < len(published), "some lines were decided anew"
    assert list(current_of(published)) == [newest[line] for line in sorted(newest)]


@given(st.randoms(use_true_random=False))
def test_order_and_repetition_of_delivery_change_nothing(published: list[Decision], chance: random.Random) -> None:
    delivered = [*published, *chance.sample(published, k=len(published) // 2)]
    chance.shuffle(delivered)
    shuffled, in_order = current_of(delivered), current_of(published)
    assert list(shuffled) == list(in_order)
    assert shuffled.paid_cents == in_order.paid_cents
    assert shuffled.lines_by_outcome() == in_order.lines_by_outcome()


def test_totals_are_those_of_the_current_versions(published: list[Decision]) -> None:
    current = current_of(published)
    assert current.paid_cents == sum(decision.paid_cents for decision in current)
    assert current.paid_cents == sum(decision.change_cents for decision in published)
    assert current.lines_by_outcome()[PAID] == sum(decision.outcome == PAID for decision in current)
    assert current.lines_by_outcome().total() == current.lines_by_reason().total() == len(current)
    assert current.charged_cents_by_outcome().total() == sum(decision.charge_cents for decision in current)


def test_adding_says_whether_the_decision_is_current_now(published: list[Decision]) -> None:
    second = next(decision for decision in published if decision.version == 2)
    first = next(decision for decision in published if decision.decision_id == second.supersedes)
    current = CurrentDecisions()
    assert current.add(first)
    assert not current.add(first), "a repeat is no news"
    assert current.add(second)
    assert not current.add(first), "an older version is none either"
    assert list(current) == [second]


def test_two_contents_of_one_version_are_an_alarm(published: list[Decision]) -> None:
    decision = published[0]
    current = current_of([decision])
    with pytest.raises(InconsistentLogError, match="two decisions are version 1 of one claim line"):
        current.add(decision._replace(decision_id="0" * 32))


def test_a_version_that_does_not_continue_the_one_before_is_an_alarm(published: list[Decision]) -> None:
    second = next(decision for decision in published if decision.version == 2)
    first = next(decision for decision in published if decision.decision_id == second.supersedes)
    current = current_of([first])
    with pytest.raises(InconsistentLogError, match="does not continue the one before"):
        current.add(second._replace(supersedes="0" * 32))


def test_money_that_does_not_add_up_is_not_taken_in(published: list[Decision]) -> None:
    paid = next(decision for decision in published if decision.outcome == PAID)
    with pytest.raises(AssertionError):
        CurrentDecisions().add(paid._replace(paid_cents=paid.paid_cents + 1))
