"""`pathway-billing readjudicate`: have patients decided again, after agreements or policy changed."""

import json
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import click

from streams.adjudication.intake import MAX_ID_CHARACTERS, MAX_REASON_CHARACTERS, is_npi
from streams.commands.options import user_name
from streams.committed_log import CommittedLog, LogStuckError
from streams.publisher import Publisher, PublishError, TopicsMissingError, UnreachableError
from streams.readjudication import (
    Request,
    agreements_through,
    all_patients,
    is_known,
    patients_of_provider,
    published,
)
from streams.settings import PlainName, ProblemError, Settings, UsageError, kafka_options, resolve_bootstrap_servers

SOURCE = "/pathway-billing/readjudicate"


class _Npi(click.ParamType):
    """A National Provider Identifier."""

    name = "npi"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_npi(str(value)):
            self.fail(f"{value!r} is not an NPI: 10 digits, the last a check digit.", param, ctx)
        return str(value)


def _at_most(characters: int) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """A text of an option that a fact takes."""

    def checked(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
        if text is not None and len(text) > characters:
            raise click.BadParameter(f"it may have {characters:,} characters at most.")
        return text

    return checked


@click.command("readjudicate")
@click.option("--patient", "patient_id", metavar="ID", help="This patient.")
@click.option(
    "--provider", "npi", type=_Npi(), help="Patients with a claim billed by this provider, or an order by it."
)
@click.option("--all", "everybody", is_flag=True, help="All patients with a claim.")
@click.option(
    "--reason",
    metavar="TEXT",
    callback=_at_most(MAX_REASON_CHARACTERS),
    help="Why, for the record.  [default: what was asked for]",
)
@click.option(
    "--requested-by",
    metavar="NAME",
    callback=_at_most(MAX_ID_CHARACTERS),
    help="Who asks, for the record.  [default: the user's name]",
)
@click.option("--request-id", type=PlainName(), metavar="ID", help="Of a request to resume.  [default: a new one]")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@kafka_options
def command(
    settings: Settings,
    patient_id: str | None,
    npi: str | None,
    everybody: bool,
    reason: str | None,
    requested_by: str | None,
    request_id: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Ask the workers to decide patients again, under the agreements that are in their topic now and the policy of now.

    Says how many patients first and asks for confirmation. It may be interrupted: the same command with the --request-id that it
    printed publishes the rest, and does no harm where all is published.
    """
    if (patient_id is not None) + (npi is not None) + everybody != 1:
        raise click.UsageError("choose one of --patient, --provider and --all")
    servers = resolve_bootstrap_servers(settings)
    try:
        with CommittedLog(servers, settings.request_timeout_seconds) as log:
            patients = _patients(log, patient_id, npi)
            before = published(log, request_id) if request_id is not None else None
            request = before.request if before is not None else None
            if request is None:
                request = Request(
                    request_id or str(uuid.uuid4()),
                    requested_by or user_name(),
                    reason or _asked_for(patient_id, npi),
                    agreements_through(log),
                )
    except LogStuckError as error:
        raise ProblemError(f"{error}. Look after the broker, then ask again.") from error
    left = sorted(patients - before.patients) if before is not None else sorted(patients)
    done = len(patients) - len(left)
    click.echo(
        f"request {request.request_id}: {_patients_word(len(patients))} to be decided again"
        + (f", {done:,} of them requested before" if done else ""),
        err=True,
    )
    if left and not yes:
        _confirm(len(left))
    acknowledged = _publish(servers, settings, request, left) if left else 0
    if as_json:
        report = {
            "request_id": request.request_id,
            "patients": len(patients),
            "published": acknowledged,
            "before": done,
        }
        click.echo(json.dumps(report))
    else:
        click.echo(f"{acknowledged:,} requests published and acknowledged")


def _patients(log: CommittedLog, patient_id: str | None, npi: str | None) -> set[str]:
    if patient_id is not None:
        if not is_known(log, patient_id):
            raise UsageError("no claim and no order names this patient: check the id.")
        return {patient_id}
    if npi is not None:
        found = patients_of_provider(log, npi)
        if not found:
            raise UsageError(f"no claim is billed by {npi} and no order is by it: check the number.")
        return found
    return all_patients(log)


def _asked_for(patient_id: str | None, npi: str | None) -> str:
    """A reason without a patient's id in it: it is copied into every request."""
    if patient_id is not None:
        return "re-adjudication of a patient"
    return f"re-adjudication of provider {npi}" if npi is not None else "re-adjudication of all patients"


def _patients_word(count: int) -> str:
    return "1 patient" if count == 1 else f"{count:,} patients"


def _confirm(count: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"this would have {_patients_word(count)} decided again: repeat the command with --yes.")
    click.confirm(f"Have {_patients_word(count)} decided again?", abort=True, err=True)


def _publish(servers: str, settings: Settings, request: Request, patients: list[str]) -> int:
    """Publish the requests; the answer is how many were acknowledged."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    acknowledged: Counter[str] = Counter()
    resume = f"Resume with the same options and --request-id {request.request_id}."
    try:
        with (
            click.progressbar(
                length=len(patients), label="requesting", file=sys.stderr, hidden=not sys.stderr.isatty(), show_pos=True
            ) as bar,
            Publisher(
                servers,
                source=SOURCE,
                timeout_seconds=settings.request_timeout_seconds,
                on_acknowledged=bar.update,
            ) as publisher,
        ):
            acknowledged = publisher.acknowledged
            for number, patient_id in enumerate(patients, start=1):
                publisher.publish(request.fact(patient_id))
                if number % _FLUSH_EVERY == 0:
                    publisher.flush()
    except (UnreachableError, TopicsMissingError) as error:
        raise UsageError(str(error)) from error
    except PublishError as error:
        raise ProblemError(f"{error} {resume}") from error
    except KeyboardInterrupt:
        click.echo(
            f"interrupted: {acknowledged.total():,} of {len(patients):,} requests were acknowledged. {resume}", err=True
        )
        raise
    return acknowledged.total()


# so that the bar moves, and an interruption leaves little in doubt
_FLUSH_EVERY = 1_000
