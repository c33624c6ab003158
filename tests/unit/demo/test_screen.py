"""The live view fits every terminal that it is shown on."""

from collections import Counter

import pytest
from rich.console import Console

from streams.adjudication.offline import OfflineEngine
from streams.commands import demo
from streams.demo.check import expect
from streams.demo.scoreboard import Rate, Scoreboard
from streams.demo.screen import plain_line, plain_report, view
from streams.generator import history
from streams.policy_files import load_policy


@pytest.fixture(scope="module")
def board() -> Scoreboard:
    facts = list(history(60, 5))
    board = Scoreboard(len(facts), expect(facts, load_policy()))
    board.published = len(facts)
    board.refused = board.expected.refused.copy()
    for folded in OfflineEngine(load_policy()).fold_all(facts):
        for decision in folded.step.decisions:
            board.decided(decision)
    board.tick(1.0)
    board.tick(2.0)
    return board


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (120, 40), (200, 60)])
def test_the_view_is_no_larger_than_the_terminal_and_cuts_nothing_off(
    board: Scoreboard, columns: int, rows: int
) -> None:
    console = Console(width=columns, height=rows, force_terminal=False)
    with console.capture() as captured:
        console.print(view(board, columns, rows))
    lines = captured.get().splitlines()
    assert len(lines) < rows
    assert all(len(line) <= columns for line in lines)
    text = captured.get()
    assert text.count("…") <= text.count("\n"), "masked patients only"
    assert "refused: WRONG_PAYER" in text
    assert board.recent[0].outcome in text.partition("latest decisions")[2]


def test_plain_lines_say_the_same(board: Scoreboard) -> None:
    assert plain_line(board).startswith(f"{board.facts:,} of {board.facts:,} facts published")
    report = "\n".join(plain_report(board))
    assert "refused: WRONG_PAYER" in report
    assert board.recent[0].explanation in report


def test_a_rate_is_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.per_second == 0
    for second in range(10):
        rate.note(float(second), second * 100)
    assert rate.per_second == 100
    rate.note(10.0, 900)
    rate.note(13.0, 900)
    assert rate.per_second == 0


@pytest.mark.parametrize(("refused", "told"), [(1, "the 1 refused fact is in"), (2, "the 2 refused facts are in")])
def test_the_verdict_counts_as_people_do(
    board: Scoreboard, monkeypatch: pytest.MonkeyPatch, refused: int, told: str
) -> None:
    monkeypatch.setattr(board, "refused", Counter([(None, "INVALID")] * refused))
    assert told in demo._verdict(board)
