"""`pathway-billing verify`: fold the facts again and compare everything that was committed with the outcome."""

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from streams import metrics
from streams.commands.options import chosen_policy, policy_option
from streams.commands.textfile import textfile_option, write_textfile
from streams.committed_log import CommittedLog
from streams.display import dollars, masked
from streams.settings import (
    CLIENT_SETTINGS,
    Settings,
    resolve_bootstrap_servers,
    settings_options,
)
from streams.verification.anomalies import Anomaly, Kind
from streams.verification.run import OnRecords, Report, verify


@click.command("verify")
@policy_option()
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most differences that are printed."
)
@click.option("--reveal", is_flag=True, help="Show ids and differing values in full; they are left out otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; it has the ids only with --reveal.")
@textfile_option
@settings_options(*CLIENT_SETTINGS, "app_id")
@click.pass_context
def command(
    ctx: click.Context,
    settings: Settings,
    policy_file: Path | None,
    limit: int,
    reveal: bool,
    as_json: bool,
    textfile: Path | None,
) -> None:
    """Read all facts, fold them again from nothing, and compare with what the workers have committed.

    Compared are the current decision of each line, byte for byte but for its history, under the agreements that it names; the
    chain of versions and money of each line; notices; dead letters; and the patient table. Prints OK (exit code 0), or the
    first differences (exit code 1). Workers may run meanwhile: facts that they have not decided yet are counted as waiting.

    Patients whose decisions are right, but would be others under agreements that came later, await re-adjudication: they are
    counted, and are no differences. One partition's patients are in memory at a time, about 5 KB for each claim.
    """
    policy = chosen_policy(policy_file)
    servers = resolve_bootstrap_servers(settings)
    began = time.monotonic()
    with CommittedLog(servers, settings.request_timeout_seconds) as log, _progress() as on_records:
        report = verify(log, settings.app_id, policy, keep_anomalies=limit, on_records=on_records)
    seconds = time.monotonic() - began
    if textfile is not None:
        _measure(report, seconds)
        write_textfile(textfile, metrics.VERIFY_REGISTRY)
    if as_json:
        click.echo(json.dumps(_json(report, reveal=reveal), ensure_ascii=False))
    else:
        _print(report, reveal=reveal)
    click.echo(_summary(report, seconds), err=True)
    ctx.exit(0 if report.ok else 1)


def _measure(report: Report, seconds: float) -> None:
    for kind in Kind:
        metrics.VERIFY_ANOMALIES.labels(kind.value).set(report.findings.by_kind[kind])
    metrics.VERIFY_TIMESTAMP_SECONDS.set_to_current_time()
    metrics.VERIFY_DURATION_SECONDS.set(seconds)
    metrics.VERIFY_FACTS.set(report.counts.facts)
    metrics.VERIFY_DECISIONS.set(report.counts.decisions)
    metrics.VERIFY_PAID_CENTS.set(report.counts.paid_cents)
    metrics.VERIFY_AWAITING_PATIENTS.set(report.counts.awaiting_readjudication)


def _print(report: Report, *, reveal: bool) -> None:
    if report.ok:
        click.echo("OK")
    for anomaly in report.findings.first:
        click.echo(_line(anomaly, reveal=reveal))
    if (rest := len(report.findings) - len(report.findings.first)) > 0:
        click.echo(f"and {rest:,} more; --limit shows more of them")
    if reveal:
        for patient_id in report.awaiting:
            click.echo(f"awaits re-adjudication: {patient_id}", err=True)


def _line(anomaly: Anomaly, *, reveal: bool) -> str:
    place = f"{anomaly.topic}/{anomaly.partition}"
    if anomaly.offset is not None:
        place += f"@{anomaly.offset}"
    words = [f"{anomaly.kind}: {place}: {anomaly.sentence}"]
    if anomaly.patient_id is not None:
        patient = anomaly.patient_id if reveal else masked(anomaly.patient_id)
        words.append(f"patient {patient}" + (f", {anomaly.subject}" if anomaly.subject and reveal else ""))
    if reveal and anomaly.expected is not None:
        words.append(f"expected {anomaly.expected}; found {anomaly.found}")
    return "; ".join(words)


def _json(report: Report, *, reveal: bool) -> dict[str, object]:
    counts = dataclasses.asdict(report.counts)
    return {
        "ok": report.ok,
        "anomalies": len(report.findings),
        "by_kind": {kind.value: count for kind, count in sorted(report.findings.by_kind.items())},
        "first": [_anomaly_json(anomaly, reveal=reveal) for anomaly in report.findings.first],
        "counts": counts,
        "awaiting_readjudication": report.awaiting if reveal else [masked(patient) for patient in report.awaiting],
    }


def _anomaly_json(anomaly: Anomaly, *, reveal: bool) -> dict[str, object]:
    shown: dict[str, object] = anomaly._asdict()
    shown["kind"] = anomaly.kind.value
    if not reveal:
        if anomaly.patient_id is not None:
            shown["patient_id"] = masked(anomaly.patient_id)
        for field in ("subject", "expected", "found"):
            del shown[field]
    return shown


def _summary(report: Report, took_seconds: float) -> str:
    counts = report.counts
    parts = [
        f"{counts.facts:,} facts",
        f"{counts.patients:,} patients",
        f"{counts.lines:,} lines",
        f"{counts.decisions:,} decisions",
        f"{counts.notices:,} notices",
        f"{counts.dead_letters:,} dead letters",
        f"{dollars(counts.paid_cents)} paid now, {dollars(counts.changes_cents)} by all changes",
        f"{counts.awaiting_readjudication:,} patients await re-adjudication",
        f"{counts.waiting:,} facts wait for a worker",
        f"{len(report.findings):,} differences",
    ]
    return f"{'; '.join(parts)} ({took_seconds:.1f} s)"


@contextmanager
def _progress() -> Iterator[OnRecords]:
    """A count with its rate and a bar by partitions on standard error, if somebody is looking there."""
    if not sys.stderr.isatty():
        yield lambda records, part: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    began, total = time.monotonic(), 0
    with Progress(
        TextColumn("verifying"),
        BarColumn(),
        TextColumn("{task.fields[records]:,} records, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("verifying", total=1.0, records=0, rate=0.0)

        def on_records(records: int, part: float) -> None:
            nonlocal total
            total += records
            rate = total / max(0.001, time.monotonic() - began)
            progress.update(task, completed=part, records=total, rate=rate)

        yield on_records
