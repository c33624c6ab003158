"""How a demonstration looks: one live view on a terminal, plain lines without one."""

import time
from collections.abc import Iterator
from textwrap import wrap
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.adjudication.decisions import OUTCOMES, PAID
from streams.display import STYLES, amount, claim_line, dollars, masked

from .scoreboard import Scoreboard

_TOP_REASONS = 5
_PLAIN_SECONDS = 2.0  # between lines
_LAST_PLAIN_DECISIONS = 8
# what the live view needs besides the sentences of the latest decisions
_OTHER_ROWS = 16
_OTHER_COLUMNS = 28


class Screen(Protocol):
    """Where a demonstration is watched."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, board: Scoreboard) -> None:
        """Something may have changed."""
        ...


class LiveScreen:
    """A view that is drawn over and over; its last state stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, board: Scoreboard) -> None:
        self._live.update(view(board, self._console.width, self._console.height), refresh=True)


class PlainScreen:
    """A line now and then, and the tables once, at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._board: Scoreboard | None = None
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None and kind is None:
            for line in plain_report(self._board):
                self._print(line)

    def show(self, board: Scoreboard) -> None:
        self._board = board
        now = time.monotonic()
        if now - self._printed >= _PLAIN_SECONDS:
            self._printed = now
            self._print(f"{now - self._began:5.0f} s  {plain_line(board)}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def view(board: Scoreboard, columns: int, rows: int) -> RenderableType:
    """The whole view, no higher than the terminal."""
    tables = Table.grid(padding=(0, 4))
    tables.add_row(_outcomes(board), _reasons(board))
    return Group(
        _progress(board), Text(), _rates(board), Text(), tables, Text(), _latest(board, rows - _OTHER_ROWS, columns)
    )


def plain_line(board: Scoreboard) -> str:
    """The state of things in one line."""
    return (
        f"{board.published:,} of {board.facts:,} facts published ({board.publishing.per_second:,.0f}/s), "
        f"{board.decisions:,} decisions ({board.deciding.per_second:,.0f}/s), "
        f"{board.refused.total():,} refused, paid now {dollars(board.current.paid_cents)}"
    )


def plain_report(board: Scoreboard) -> Iterator[str]:
    """The tables of the view, as lines."""
    yield ""
    for name, lines, charged, paid in _outcome_rows(board):
        yield f"{name:<8} {lines:>7} {charged:>16} {paid:>16}".rstrip()
    yield ""
    for reason, count in _top_reasons(board):
        yield f"{reason:<26} {count:>7}"
    for reason, count in sorted(board.refused_by_reason().items()):
        yield f"{'refused: ' + reason:<26} {count:>7}"
    yield ""
    yield "latest decisions"
    for decision in list(board.recent)[:_LAST_PLAIN_DECISIONS]:
        yield f"{decision.outcome:<7}  {claim_line(decision)}  {decision.explanation}"
    yield ""


def _progress(board: Scoreboard) -> RenderableType:
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True, justify="right")
    done = board.published == board.facts
    left_seconds = (board.facts - board.published) / (board.publishing.per_second or 1)
    row.add_row(
        Text("published" if done else "publishing", "bold"),
        ProgressBar(total=board.facts, completed=board.published),
        f"{board.published:,} of {board.facts:,} facts" + ("" if done else f", {left_seconds:.0f} s left"),
    )
    return row


def _rates(board: Scoreboard) -> RenderableType:
    figures = Text()
    figures.append(f"{board.publishing.per_second:>6,.0f}", "bold").append(" facts/s")
    figures.append(f"{board.deciding.per_second:>9,.0f}", "bold").append(" decisions/s")
    figures.append(f"{board.decisions:>9,}", "bold").append(" decisions")
    figures.append(f"{board.refused.total():>9,}", "bold").append(" facts refused")
    return figures


def _outcomes(board: Scoreboard) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("outcome")
    for name in ("lines", "charged", "paid"):
        table.add_column(name, justify="right")
    for name, lines, charged, paid in list(_outcome_rows(board))[1:]:
        table.add_row(Text(name, STYLES.get(name, "bold")), lines, charged, paid)
    return table


def _outcome_rows(board: Scoreboard) -> Iterator[tuple[str, str, str, str]]:
    """The table of outcomes, as texts: a heading, a row each, the total."""
    lines, charged = board.current.lines_by_outcome(), board.current.charged_cents_by_outcome()
    paid = board.current.paid_cents
    yield ("outcome", "lines", "charged", "paid")
    for outcome in OUTCOMES:
        yield (outcome, f"{lines[outcome]:,}", dollars(charged[outcome]), dollars(paid) if outcome == PAID else "")
    yield ("total", f"{lines.total():,}", dollars(charged.total()), dollars(paid))


def _reasons(board: Scoreboard) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("top reasons, not paid")
    table.add_column("lines", justify="right")
    for reason, count in _top_reasons(board):
        table.add_row(reason, f"{count:,}")
    for reason, count in sorted(board.refused_by_reason().items()):
        table.add_row(f"refused: {reason}", f"{count:,}")
    return table


def _top_reasons(board: Scoreboard) -> list[tuple[str, int]]:
    reasons = board.current.lines_by_reason()
    del reasons[PAID]
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_TOP_REASONS]


def _latest(board: Scoreboard, rows: int, columns: int) -> Table:
    """The newest decisions, as many as fit with their whole sentences."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("patient", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("change", justify="right", no_wrap=True, min_width=8)
    table.add_column("latest decisions", ratio=1)
    for decision in board.recent:
        sentence = wrap(decision.explanation, max(20, columns - _OTHER_COLUMNS))
        rows -= len(sentence)
        if rows < 0:
            break
        table.add_row(
            masked(decision.patient_id),
            Text(decision.outcome, STYLES[decision.outcome]),
            amount(decision, history=True),
            "\n".join(sentence),
        )
    return table
