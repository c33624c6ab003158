"""`pathway-billing adjudicate`: the rules on a file of facts, without Kafka."""

import json
import sys
from pathlib import Path
from typing import BinaryIO

import click

from streams.adjudication.decisions import Decision
from streams.adjudication.facts import Fact
from streams.adjudication.offline import Folded, OfflineEngine
from streams.commands.bad_lines import BadLines
from streams.commands.options import chosen_policy, policy_option
from streams.events import decision_to_json, lines_of, notice_to_json, read_jsonl, topic_of
from streams.long_lived import long_lived


@click.command(name="adjudicate")
@click.argument("file", type=click.File("rb"))
@click.option("--current", is_flag=True, help="Print the current decision of each line only, sorted by claim and line.")
@click.option("--notices", is_flag=True, help="Print the eligibility notices, too, where they are published.")
@policy_option("to decide under")
def command(file: BinaryIO, current: bool, notices: bool, policy_file: Path | None) -> None:
    """Decide the facts of FILE (JSONL; - is standard input) without Kafka.

    All provider agreements of the file are read first, the highest version stands; then the facts are folded in file order.
    Every decision published is printed as a JSON line. Facts of a wrong payer and facts that conflict with an earlier one are
    named on standard error as JSON lines. If any line is malformed or invalid, nothing is decided: each such line is named, and
    the exit code is 2.
    """
    engine = OfflineEngine(chosen_policy(policy_file))
    line_numbers, facts = read_facts(file)
    newest: dict[tuple[str, int, str], Decision] = {}
    with long_lived():
        for folded in engine.fold_all(facts):
            if folded.step.refusal is not None:
                click.echo(json.dumps(_refused(folded, line_numbers[folded.number])), err=True)
            for decision in folded.step.decisions:
                if current:
                    newest[decision.claim_id, decision.line_number, decision.patient_id] = decision
                else:
                    _print(decision_to_json(decision))
            if notices:
                for notice in folded.step.notices:
                    _print(notice_to_json(notice))
    for _, decision in sorted(newest.items()):
        _print(decision_to_json(decision))


def read_facts(file: BinaryIO) -> tuple[list[int], list[Fact]]:
    """All facts with their line numbers; ends the command where a line is bad."""
    bad = BadLines(click.format_filename(getattr(file, "name", "<stdin>")))
    numbered = list(read_jsonl(lines_of(file), on_bad_line=bad.add))
    if bad.count:
        click.echo("error: nothing was decided: correct these lines and run the command again", err=True)
        sys.exit(2)
    return [number for number, _ in numbered], [fact for _, fact in numbered]


def _refused(folded: Folded, line_number: int) -> dict[str, object]:
    assert folded.step.refusal is not None, "only a refused fact is reported"
    return {
        "refused": folded.step.refusal.reason,
        "sentence": folded.step.refusal.sentence,
        "line": line_number,
        "type": topic_of(folded.fact),
        "event_id": folded.fact.event_id,
    }


def _print(event: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
