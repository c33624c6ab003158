"""What `import-837` and `import-fhir` share: the plan's terms as options, where events and report go, and the exit code."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streams.adjudication.facts import Claim, CostShare
from streams.commands.options import Date, chosen_policy, policy_option
from streams.display import masked
from streams.events import fact_to_json
from streams.importers import report as reports
from streams.importers.member_tokens import BadKey, MemberTokens
from streams.importers.report import FileReport
from streams.importers.terms import ASSIGNED, NO_COST_SHARE, PATIENT_CONTROL_NUMBER, Terms
from streams.publisher import Publisher, PublishError
from streams.settings import (
    ENVIRONMENT_PREFIX,
    ProblemError,
    Settings,
    UsageError,
    kafka_options,
    resolve_bootstrap_servers,
)

Read = Callable[[BinaryIO, Terms, FileReport], Iterator[Claim]]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WHOLE_BP = 10_000  # of a fee: a member pays no more than all of it
_KEY_VARIABLE = f"{ENVIRONMENT_PREFIX}MEMBER_KEY_FILE"


class _CostShare(click.ParamType):
    name = "COPAY,DEDUCTIBLE,COINSURANCE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> CostShare:
        if isinstance(value, CostShare):
            return value
        parts = str(value).split(",")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
            self.fail("must be three whole numbers: cents, cents and basis points, such as 1000,0,2000", param, ctx)
        share = CostShare(*(int(part) for part in parts))
        if share.coinsurance_bp > _WHOLE_BP:
            self.fail(f"coinsurance is {_WHOLE_BP} basis points (100 %) at most", param, ctx)
        return share


class _Group(click.ParamType):
    name = "GROUP=PLAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        group, _, plan = str(value).partition("=")
        if not group or not plan:
            self.fail("must be of the form GROUP=PLAN, such as 70001=PPO", param, ctx)
        return group, plan


_OPTIONS = (
    click.argument("files", type=_FILE, nargs=-1, required=True),
    click.option(
        "--member-key-file",
        type=_FILE,
        envvar=_KEY_VARIABLE,
        show_envvar=True,
        help="Key that makes member ids opaque tokens: a file of 16 bytes or more.",
    ),
    click.option(
        "--member-ids-are-tokens", is_flag=True, help="The member ids in the files are opaque tokens already."
    ),
    click.option(
        "--received-date",
        type=Date(),
        metavar="YYYY-MM-DD",
        help="Day on which the plan received the claims.  [default: what the file says]",
    ),
    click.option(
        "--plan", "plan_id", help="Plan of all claims.  [default: by --group, else the payer's plan in the policy]"
    ),
    click.option(
        "--group", "groups", type=_Group(), multiple=True, help="Plan of a member group; may be given repeatedly."
    ),
    policy_option("that name plans and payers"),
    click.option(
        "--cost-share",
        type=_CostShare(),
        default=NO_COST_SHARE,
        show_default="0,0,0",
        help="Copay and remaining deductible in cents, coinsurance in basis points, where --cost-shares has nothing.",
    ),
    click.option(
        "--cost-shares",
        "cost_shares_file",
        type=_FILE,
        help="Cost shares by patient_id (JSONL: patient_id, copay_cents, deductible_remaining_cents, coinsurance_bp).",
    ),
    click.option(
        "--claim-number",
        type=click.Choice([ASSIGNED, PATIENT_CONTROL_NUMBER]),
        default=ASSIGNED,
        show_default=True,
        help="Where claim_id comes from: made of the claim's identity in the file, or the provider's own number.",
    ),
    click.option("--publish", is_flag=True, help="Publish the events to Kafka instead of printing them."),
    click.option(
        "--report",
        "report_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the report there, as JSON.",
    ),
    click.option("--notes", is_flag=True, help="Name what was noted and not mapped, too."),
    click.option("--json", "as_json", is_flag=True, help="The report on standard error as JSON."),
)


def import_options(command: Callable[..., Any]) -> Any:
    """Give a command the options that importers share."""
    decorated: Any = kafka_options(command)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def run(
    read: Read,
    source: str,
    *,
    files: tuple[Path, ...],
    settings: Settings,
    publish: bool,
    notes: bool,
    as_json: bool,
    report_file: Path | None,
    **given: Any,
) -> int:
    """Import files; the answer is the exit code. Raises UsageError and ProblemError."""
    terms = _terms(**given)
    for path in files:
        _check_that_it_can_be_read_twice(path)
    done: list[FileReport] = []
    _write_report(report_file, _summary(done, None, complete=False))  # whether it can be: better now than at the end
    with ExitStack() as stack:
        progress = stack.enter_context(_progress())
        publisher = stack.enter_context(_publisher(settings, source)) if publish else None
        take = publisher.publish if publisher else _print
        try:
            for path in files:
                report = FileReport(str(path))
                done.append(report)
                with path.open("rb") as file:
                    task = progress.add_task(path.name, total=path.stat().st_size, claims=0, speed=0)
                    watched = progress.wrap_file(file, task_id=task)  # goes back where the file is read again
                    for claim in _counted(read(watched, terms, report), progress, task):
                        take(claim)
            if publisher:
                publisher.flush()
        except KeyboardInterrupt:
            _write_report(report_file, _summary(done, publisher, complete=False))
            if publisher:
                acknowledged = publisher.acknowledged.total()
                click.echo(
                    f"interrupted: at least {acknowledged:,} claims were acknowledged; run the command again", err=True
                )
            raise
        except PublishError as error:
            _write_report(report_file, _summary(done, publisher, complete=False))
            raise ProblemError(
                f"{error} The import stopped in {done[-1].file}: run the same command again, it makes the same events."
            ) from error
    sys.stdout.flush()
    summary = _summary(done, publisher, complete=True)
    _write_report(report_file, summary)
    if as_json:
        click.echo(json.dumps(summary), err=True)
    else:
        for report in done:
            for line in report.in_words(notes=notes):
                click.echo(line, err=True)
        if publisher:
            click.echo(
                f"{reports.counted(publisher.acknowledged.total(), 'claim')} published and acknowledged", err=True
            )
    if any(report.unusable for report in done):
        return 2
    return 1 if any(report.found_problems for report in done) else 0


def _check_that_it_can_be_read_twice(path: Path) -> None:
    try:
        with path.open("rb") as file:
            seekable = file.seekable()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from error
    if not seekable:
        raise UsageError(f"{path} is read twice and cannot be a pipe; save it to a file first")


def _summary(done: list[FileReport], publisher: Publisher | None, *, complete: bool) -> dict[str, Any]:
    """The report of an import, or of as much of it as was done when it was interrupted."""
    published = {} if publisher is None else {"published": publisher.acknowledged.total()}
    return reports.in_json(done, {**published, "complete": complete})


def _write_report(path: Path | None, summary: dict[str, Any]) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--report: {path} cannot be written ({error.strerror}); name a file in a folder that exists"
        ) from error


def _progress() -> Progress:
    """Bars on standard error, if somebody is looking there."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[claims]:,} claims, {task.fields[speed]:,.0f}/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def _counted(claims: Iterator[Claim], progress: Progress, task: TaskID) -> Iterator[Claim]:
    """The claims, and their number and speed beside the bar."""
    began = time.monotonic()
    for number, claim in enumerate(claims, start=1):
        if number % 100 == 0:
            progress.update(task, claims=number, speed=number / max(time.monotonic() - began, 0.001))
        yield claim


def _publisher(settings: Settings, source: str) -> Publisher:
    servers = resolve_bootstrap_servers(settings)
    try:
        return Publisher(servers, source=source, timeout_seconds=settings.request_timeout_seconds)
    except PublishError as error:
        raise UsageError(str(error)) from error


def _terms(
    *,
    member_key_file: Path | None,
    member_ids_are_tokens: bool,
    received_date: int | None,
    plan_id: str | None,
    groups: tuple[tuple[str, str], ...],
    policy_file: Path | None,
    cost_share: CostShare,
    cost_shares_file: Path | None,
    claim_number: str,
) -> Terms:
    if member_key_file is None and not member_ids_are_tokens:
        raise UsageError(
            f"member ids are not published as they are: name a key file with --member-key-file ({_KEY_VARIABLE}), made once with "
            "`openssl rand -hex 32 > member.key`, or say with --member-ids-are-tokens that the files hold opaque tokens"
        )
    if member_key_file is not None and member_ids_are_tokens:
        raise UsageError("--member-key-file and --member-ids-are-tokens exclude each other")
    try:
        tokens = MemberTokens(None) if member_key_file is None else MemberTokens.from_file(member_key_file)
    except BadKey as error:
        raise UsageError(f"--member-key-file: {error}") from error
    return Terms(
        tokens=tokens,
        policy=chosen_policy(policy_file),
        plan_id=plan_id,
        plan_of_group=dict(groups),
        received_date=received_date,
        cost_share=cost_share,
        cost_share_of=_cost_shares(cost_shares_file) if cost_shares_file else {},
        claim_number=claim_number,
    )


def _cost_shares(path: Path) -> dict[str, CostShare]:
    found: dict[str, CostShare] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                patient_id = row["patient_id"]
                amounts = [row[name] for name in CostShare._fields]
            except (ValueError, KeyError, TypeError, RecursionError):
                patient_id, amounts = "", []
            if (
                not isinstance(patient_id, str)
                or not patient_id
                or not all(type(one) is int and one >= 0 for one in amounts)
                or CostShare(*amounts).coinsurance_bp > _WHOLE_BP
            ):
                raise UsageError(
                    f"--cost-shares: {path}: line {number}: must be a JSON object with patient_id and "
                    f"{', '.join(CostShare._fields)}, whole numbers from 0 upwards (coinsurance_bp: to {_WHOLE_BP})"
                )
            if found.setdefault(patient_id, CostShare(*amounts)) != CostShare(*amounts):
                raise UsageError(f"--cost-shares: {path}: line {number}: patient {masked(patient_id)} stands twice")
    return found


def _print(claim: Claim) -> None:
    sys.stdout.write(json.dumps(fact_to_json(claim), ensure_ascii=False) + "\n")
