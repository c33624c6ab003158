"""`pathway-billing topics`: make the topics that are missing, check those that exist."""

import json
import sys
from typing import Any

import click

from streams.settings import Settings, resolve_bootstrap_servers, topic_options
from streams.topics import TopicsReport, TopicState, alter_topics, ensure_topics

_COLUMNS = ("topic", "state", "partitions", "copies", "kept")


@click.command(name="topics")
@topic_options
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Seconds to wait for Kafka.",
)
@click.option("--alter", is_flag=True, help="Set differing settings of existing topics to what is declared.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, settings: Settings, wait_seconds: float, alter: bool, as_json: bool) -> None:
    """Make the topics that are missing and check those that exist.

    A topic that differs from what is declared is reported and left as it is; partitions and copies are for life, other
    settings are corrected with --alter. Exit code 0: all as declared; 1: something differs; 2: no Kafka answers.
    """
    report = ensure_topics(resolve_bootstrap_servers(settings, wait_seconds), settings)
    if alter and not report.ok:
        report = alter_topics(report, settings)
    if as_json:
        click.echo(json.dumps(_json(report), indent=1))
    else:
        _print_table(report)
    for problem in report.problems():
        click.echo(f"error: {problem}", err=True)
    ctx.exit(0 if report.ok else 1)


def _json(report: TopicsReport) -> dict[str, Any]:
    return {
        "bootstrap_servers": report.bootstrap_servers,
        "ok": report.ok,
        "topics": [
            {
                "name": state.topic.name,
                "state": _word(state),
                "topic_id": state.topic_id,
                "partitions": state.partitions,
                "replication_factor": state.replication_factor,
                "compacted": state.topic.compacted,
                "key": state.topic.key,
                "written_by": state.topic.written_by,
                "content": state.topic.content,
                "mismatches": [mismatch._asdict() for mismatch in state.mismatches],
            }
            for state in report.topics
        ],
    }


def _word(state: TopicState) -> str:
    if state.mismatches:
        return "differs"
    return "created" if state.created else "ok"


def _row(state: TopicState) -> tuple[str, ...]:
    return (state.topic.name, _word(state), str(state.partitions), str(state.replication_factor), state.topic.kept)


def _print_table(report: TopicsReport) -> None:
    rows = [_row(state) for state in report.topics]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*_COLUMNS, box=None, pad_edge=False, padding=(0, 2, 0, 0))  # fits 80 columns
        for row, state in zip(rows, report.topics, strict=True):
            table.add_row(*row, style="red" if state.mismatches else None)
        Console(highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
