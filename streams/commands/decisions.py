"""`pathway-billing decisions`: what was decided, as it stands on Kafka."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

import click
from rich.console import Console

from projections.current_decisions import CurrentDecisions, InconsistentLogError
from projections.decision_log import DecisionLog
from projections.topic_reader import LogUnavailableError, NoSuchTopicError
from streams.adjudication.decisions import Decision
from streams.commands.options import stop_on_signals
from streams.display import decision_table, masked, plain_row, summary
from streams.events import DECISIONS_TOPIC, decision_to_json
from streams.settings import ProblemError, Settings, UsageError, kafka_options, resolve_bootstrap_servers


@click.command("decisions")
@click.option("--current", is_flag=True, help="The newest version of each line only, sorted by claim and line.")
@click.option("--patient", metavar="ID", help="Of this patient only; reads that patient's partition alone.")
@click.option("--follow", is_flag=True, help="Go on with what is decided from now on, until Ctrl-C.")
@click.option("--reveal", is_flag=True, help="Show patient ids in full; a table masks them otherwise.")
@click.option("--json", "as_json", is_flag=True, help="JSONL, with all fields and ids.")
@kafka_options
def command(current: bool, patient: str | None, follow: bool, reveal: bool, as_json: bool, settings: Settings) -> None:
    """Print the decisions: every version in the order of its publication, or the current one of each line.

    Only committed records are read. The table shows what each version changed; with --current, what is paid now.
    """
    if patient == "":
        raise UsageError("--patient names nobody: give a patient's id, or leave it out.")
    servers = resolve_bootstrap_servers(settings)
    form = Form(as_json, None if patient else str if reveal else masked)
    try:
        with DecisionLog(servers, patient_id=patient, timeout_seconds=settings.request_timeout_seconds) as log:
            if current:
                newest = CurrentDecisions()
                for decision in log.read_to_end():
                    newest.add(decision)
                shown = _print(newest, form, history=False)
                if shown and not as_json:
                    on_terminal = sys.stdout.isatty()
                    click.echo("\n" * on_terminal + summary(newest), err=not on_terminal)
            else:
                shown = _print(log.read_to_end(), form, history=True)
            if not shown:
                whom = "of this patient " if patient else ""
                click.echo(f"there are no decisions {whom}in {DECISIONS_TOPIC} yet", err=True)
            if follow:
                sys.stdout.flush()
                for decision in log.follow(stop_on_signals().is_set):
                    sys.stdout.write(_line(decision, form, history=True) + "\n")
                    sys.stdout.flush()
    except NoSuchTopicError as error:
        raise UsageError(str(error)) from error
    except LogUnavailableError as error:
        raise ProblemError(str(error)) from error
    except InconsistentLogError as error:
        raise ProblemError(f"{error}. Pay nothing from {DECISIONS_TOPIC} until it is clear who wrote them.") from error


class Form(NamedTuple):
    """How decisions are to be printed."""

    as_json: bool
    patient: Callable[[str], str] | None  # how a patient's id is shown; None: not at all, for all are about one


def _print(decisions: Iterable[Decision], form: Form, *, history: bool) -> int:
    """Print decisions, as a table on a terminal, and say how many."""
    if sys.stdout.isatty() and not form.as_json:
        console = Console(highlight=False)
        table = decision_table(decisions, columns=console.width, history=history, patient=form.patient)
        if table.row_count:
            console.print(table)
        return table.row_count
    count = 0
    for decision in decisions:
        count += 1
        sys.stdout.write(_line(decision, form, history=history) + "\n")
    return count


def _line(decision: Decision, form: Form, *, history: bool) -> str:
    if form.as_json:
        return json.dumps(decision_to_json(decision), ensure_ascii=False)
    return plain_row(decision, history=history, patient=form.patient)
