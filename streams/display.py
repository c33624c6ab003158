"""How decisions look to a person: dollars, masked patients, one colour for each outcome, and a table that fits the terminal."""

from collections.abc import Callable, Iterable

from rich.table import Table
from rich.text import Text

from projections.current_decisions import CurrentDecisions
from streams.adjudication.decisions import BUNDLED, DENIED, OUTCOMES, PAID, PENDED, VOIDED, Decision
from streams.adjudication.facts import Cents

STYLES = {PAID: "green", DENIED: "red", BUNDLED: "yellow", PENDED: "cyan", VOIDED: "dim"}

_WIDE_COLUMNS = 110  # from here on a reason has a column of its own


def dollars(cents: Cents) -> str:
    """An amount in cents as dollars, such as $1,234.50 or -$350.00."""
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def masked(patient_id: str) -> str:
    """Enough of a patient's token to see that two lines are about the same one, and no more."""
    return f"…{patient_id[-4:]}" if len(patient_id) > 8 else "…"


def decision_table(
    decisions: Iterable[Decision], *, columns: int, history: bool, patient: Callable[[str], str] | None
) -> Table:
    """Decisions for a terminal that many columns wide.

    With `history`, the version and what it changed are shown, else what is paid. `patient` says how a patient's id is
    shown; None leaves it out, where all are about one.
    """
    wide = columns >= _WIDE_COLUMNS
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    if patient:
        table.add_column("patient", no_wrap=True)
    table.add_column("claim line", no_wrap=True)
    if history:
        table.add_column("v", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    if wide:
        table.add_column("reason", no_wrap=True)
    table.add_column("change" if history else "paid", justify="right", no_wrap=True)
    table.add_column("why", ratio=1, min_width=24)
    for decision in decisions:
        table.add_row(
            *((patient(decision.patient_id),) if patient else ()),
            claim_line(decision),
            *((str(decision.version),) if history else ()),
            Text(decision.outcome, STYLES[decision.outcome]),
            *((decision.reason,) if wide else ()),
            amount(decision, history=history),
            decision.explanation,
        )
    return table


def plain_row(decision: Decision, *, history: bool, patient: Callable[[str], str] | None) -> str:
    """The same as a line of text, its columns under those of other lines."""
    cells = (
        *((f"{patient(decision.patient_id):<5}",) if patient else ()),
        f"{claim_line(decision):<17}",
        *((f"v{decision.version:<2}",) if history else ()),
        f"{decision.outcome:<7}",
        f"{decision.reason:<26}",
        f"{amount(decision, history=history):>10}",
        decision.explanation,
    )
    return "  ".join(cells)


def summary(current: CurrentDecisions) -> str:
    """How many lines have which outcome, and what is paid, in a sentence."""
    lines = current.lines_by_outcome()
    counts = ", ".join(f"{lines[outcome]:,} {outcome.lower()}" for outcome in OUTCOMES if lines[outcome])
    return f"{len(current):,} claim lines: {counts}. Paid now: {dollars(current.paid_cents)}."


def claim_line(decision: Decision) -> str:
    """A claim line as decisions refer to it: A/1."""
    return f"{decision.claim_id}/{decision.line_number}"


def amount(decision: Decision, *, history: bool) -> str:
    """What this version moves, or what is paid now; nothing where that is nothing."""
    cents = decision.change_cents if history else decision.paid_cents
    return dollars(cents) if cents else ""
