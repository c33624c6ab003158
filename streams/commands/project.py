"""`pathway-billing project`: write the ledger."""

import json
import time
from collections import Counter
from pathlib import Path

import click
from prometheus_client import start_http_server
from sqlalchemy import make_url

from projections.current_decisions import InconsistentLogError
from projections.ledger.database import Database, LedgerError, LedgerUnavailableError, open_database
from projections.ledger.log import LedgerLog
from projections.ledger.projector import Projector
from projections.ledger.rebuild import rebuild
from projections.topic_reader import LogUnavailableError, NoSuchTopicError
from streams.commands.options import metrics_options, stop_on_signals
from streams.metrics import PROJECTOR_REGISTRY
from streams.settings import (
    ProblemError,
    Settings,
    UsageError,
    ledger_options,
    resolve_bootstrap_servers,
)
from streams.topics import BILLING_DECISIONS


@click.command("project")
@click.option(
    "--follow/--once",
    default=False,
    help="Go on with what is committed from now on, or end at the end.  [default: --once]",
)
@click.option(
    "--rebuild", "again", is_flag=True, help="Make the ledger again beside the live one, compare, and switch."
)
@metrics_options("/metrics")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was done.")
@ledger_options
def command(follow: bool, again: bool, metrics_port: int, metrics_host: str, as_json: bool, settings: Settings) -> None:
    """Write what is committed on Kafka into the ledger: SQL tables of lines, decisions, money, facts, pends and dead letters.

    Rows and position are one database transaction: stop it, kill it, or run two at once, and the rows are the same. The tables
    are made, and brought up to this version, when it starts. With --rebuild the exit code is 1 where the new rows are others
    than the ones before; the new ones stand either way.
    """
    began = time.monotonic()
    servers = resolve_bootstrap_servers(settings)
    with (
        ledger_problems(),
        open_ledger(settings) as database,
        LedgerLog(servers, timeout_seconds=settings.request_timeout_seconds) as log,
    ):
        differing: list[str] = []
        if again:
            differing = _rebuild(database, log, as_json=as_json)
        if metrics_port:
            _serve_metrics(metrics_host, metrics_port)
        projector = Projector(database, log)
        stop = stop_on_signals() if follow else None
        projector.project_to_end()
        _say(database, projector.records, time.monotonic() - began, as_json=as_json)
        if stop:
            if not as_json:
                click.echo("ready: following until Ctrl-C")
            projector.follow(stop.is_set)
    if differing:
        raise ProblemError(
            f"the rows of {', '.join(differing)} were others than the log gives. The ledger has the log's rows now; find out what "
            "had changed the former ones (another version of this program, or a hand)."
        )


def _rebuild(database: Database, log: LedgerLog, *, as_json: bool) -> list[str]:
    """The names of the tables that came out otherwise."""
    rebuilt = rebuild(database, log)
    if as_json:
        click.echo(json.dumps({"records": rebuilt.records, "before": rebuilt.live, "rebuilt": rebuilt.new}))
    else:
        for table, checksum in rebuilt.new.items():
            rows, _, digest = checksum.partition(":")
            same = (
                "the same"
                if rebuilt.live.get(table) == checksum
                else f"before: {rebuilt.live.get(table, 'no such table')}"
            )
            click.echo(f"  {table:<20} {int(rows):>12,} rows  {digest}  {same}")
        click.echo(f"rebuilt from {rebuilt.records:,} records and switched")
    return rebuilt.differing


def open_ledger(settings: Settings) -> Database:
    """The ledger of these settings, for writing; the folder of the default one is made."""
    if settings.database is None:
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    return open_database(settings.database_url)


class ledger_problems:  # noqa: N801 - reads as a statement: with ledger_problems()
    """What can go wrong with a ledger, as errors of the command line."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LedgerUnavailableError | NoSuchTopicError):
            raise UsageError(str(error)) from error
        if isinstance(error, LedgerError | LogUnavailableError):
            raise ProblemError(str(error)) from error
        if isinstance(error, InconsistentLogError):
            raise ProblemError(
                f"{error}. Nothing of that batch was written. Pay nothing from {BILLING_DECISIONS} until it is clear who wrote it."
            ) from error


def _serve_metrics(host: str, port: int) -> None:
    try:
        start_http_server(port, host, registry=PROJECTOR_REGISTRY)
    except OSError as error:
        raise UsageError(
            f"cannot serve metrics on {host}:{port} ({error.strerror}). Choose another --metrics-host or --metrics-port."
        ) from error


def _say(database: Database, records: Counter[str], seconds: float, *, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                {"database": database.name, "records": dict(sorted(records.items())), "seconds": round(seconds, 3)}
            )
        )
        return
    where = make_url(database.url).database if database.kind == "sqlite" else database.name
    click.echo(
        f"ledger {where}: {records.total():,} records written, {records[BILLING_DECISIONS]:,} of them decisions, "
        f"in {seconds:.1f} s"
    )
