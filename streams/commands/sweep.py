"""`pathway-billing sweep`: expire what has been pended for too long."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import click

from streams import metrics
from streams.adjudication.days import day_from_iso, iso
from streams.adjudication.policy import Policy
from streams.commands.options import Date, chosen_policy, policy_option, stop_on_signals
from streams.commands.textfile import textfile_option, write_textfile
from streams.committed_log import CommittedLog, LogStuckError
from streams.display import masked
from streams.publisher import Publisher, PublishError, TopicsMissingError, UnreachableError
from streams.settings import (
    ProblemError,
    Settings,
    UsageError,
    kafka_options,
    resolve_bootstrap_servers,
)
from streams.sweep import Pend, Sweep, sweep

SOURCE = "/pathway-billing/sweep"

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Interval(click.ParamType):
    """A time between sweeps, in seconds."""

    name = "interval"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a time such as 30s, 15m, 1h or 1d.", param, ctx)
        return float(int(match[1]) * _UNIT_SECONDS[match[2]])


@click.command("sweep")
@click.option("--as-of", "as_of", type=Date(), help="Day to count to (YYYY-MM-DD).  [default: today, local date]")
@click.option(
    "--every", "every_seconds", type=_Interval(), help="Sweep again after this time (30s, 15m, 1h, 1d) until stopped."
)
@click.option("--dry-run", is_flag=True, help="List what would be expired; publish nothing.")
@policy_option()
@click.option("--reveal", is_flag=True, help="Show patient ids in full; they are masked otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a sweep.")
@textfile_option
@kafka_options
def command(
    settings: Settings,
    as_of: int | None,
    every_seconds: float | None,
    dry_run: bool,
    policy_file: Path | None,
    reveal: bool,
    as_json: bool,
    textfile: Path | None,
) -> None:
    """Find the pended claims that waited longer than their profile allows, and publish a pend-expired fact for each.

    A claim waits from its own received date. Sweeping twice, or two sweeps at once, changes nothing: the facts are the same,
    and the worker knows a repeat when it sees one.
    """
    policy = chosen_policy(policy_file)

    def once() -> None:
        # the clock is read here and nowhere below
        day = day_from_iso(date.today().isoformat()) if as_of is None else as_of  # noqa: DTZ011 - the local date it is
        found = _sweep(settings, policy, day, publish=not dry_run)
        if textfile is not None:
            _measure(found, published=not dry_run)
            write_textfile(textfile, metrics.SWEEP_REGISTRY)
        if as_json:
            click.echo(json.dumps(_json(found, day, published=not dry_run, reveal=reveal), ensure_ascii=False))
        else:
            _print(found, day, dry_run=dry_run, reveal=reveal)

    once()
    if every_seconds is not None:
        _repeat(once, every_seconds)


def _sweep(settings: Settings, policy: Policy, as_of: int, *, publish: bool) -> Sweep:
    servers = resolve_bootstrap_servers(settings)
    timeout_seconds = settings.request_timeout_seconds
    try:
        with CommittedLog(servers, timeout_seconds) as log:
            found = sweep(log, policy, as_of)
        if found.overdue and publish:
            with Publisher(servers, source=SOURCE, timeout_seconds=timeout_seconds) as publisher:
                publisher.publish_all(overdue.fact for overdue in found.overdue)
    except (UnreachableError, TopicsMissingError) as error:
        raise UsageError(str(error)) from error
    except PublishError as error:
        raise ProblemError(str(error)) from error
    except LogStuckError as error:
        raise ProblemError(f"{error}. Look after the broker, then sweep again.") from error
    return found


def _measure(found: Sweep, *, published: bool) -> None:
    for age, claims in found.by_age.items():
        metrics.PENDED_CLAIMS.labels(age).set(claims)
    metrics.SWEEP_EXPIRED_CLAIMS.set(len(found.overdue) if published else 0)
    metrics.SWEEP_AWAITED_CLAIMS.set(found.awaited)
    metrics.SWEEP_TIMESTAMP_SECONDS.set_to_current_time()


def _repeat(once: Any, every_seconds: float) -> None:
    """Sweep again and again until SIGTERM or SIGINT. A sweep that fails is told, and tried again at the next time."""
    stop = stop_on_signals()
    while not stop.wait(every_seconds):
        try:
            once()
        except ProblemError as error:
            click.echo(f"error: {error.format_message()} The next sweep comes in {every_seconds:g} s.", err=True)


def _print(found: Sweep, as_of: int, *, dry_run: bool, reveal: bool) -> None:
    if dry_run:
        for overdue in found.overdue:
            patient = overdue.patient_id if reveal else masked(overdue.patient_id)
            click.echo(
                f"{patient:<8}  {overdue.claim_id:<16}  received {iso(overdue.received_date)}, "
                f"{overdue.waited_days} days ago; the limit is {overdue.limit_days}"
            )
    what = "would be expired" if dry_run else "expired"
    awaited = f", {found.awaited:,} of them expired before and not decided yet" if found.awaited else ""
    pends = f"{len(found.overdue):,} pend{'' if len(found.overdue) == 1 else 's'}"
    claims = f"{found.pended:,} {'claim was' if found.pended == 1 else 'claims were'} pended"
    click.echo(f"{pends} {what} as of {iso(as_of)}; {claims}{awaited}")


def _json(found: Sweep, as_of: int, *, published: bool, reveal: bool) -> dict[str, object]:
    return {
        "as_of": iso(as_of),
        "published": len(found.overdue) if published else 0,
        "pended": found.pended,
        "pended_by_age_days": found.by_age,
        "awaited": found.awaited,
        "overdue": [_overdue_json(overdue, reveal=reveal) for overdue in found.overdue],
    }


def _overdue_json(overdue: Pend, *, reveal: bool) -> dict[str, object]:
    return {
        **overdue._asdict(),
        "patient_id": overdue.patient_id if reveal else masked(overdue.patient_id),
        "received_date": iso(overdue.received_date),
    }
