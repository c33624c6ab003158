"""`pathway-billing acls`: what each role must be allowed on a Kafka that asks."""

import json
import re
from ipaddress import ip_address

import click

from streams.acls import PAYMENTS, PROJECTIONS, PUBLISHER, ROLES, Access, accesses, commands, grant
from streams.settings import (
    CLIENT_SETTINGS,
    ProblemError,
    Settings,
    UsageError,
    resolve_bootstrap_servers,
    settings_options,
)
from streams.topics import INPUT_TOPICS, admin_client


def _principal(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    if given is not None and not re.fullmatch(r"[A-Za-z]+:.+", given):
        raise click.BadParameter("must be of the form TYPE:NAME, such as User:intake.")
    return given


def _host(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    """Kafka compares it with the address of a connection: a name would never be one."""
    try:
        if given != "*":
            ip_address(given)
    except ValueError:
        raise click.BadParameter("must be an IP address, or * for any.") from None
    return given


@click.command("acls")
@click.option(
    "--role",
    "roles",
    type=click.Choice(list(ROLES)),
    multiple=True,
    help="Whose; may be given several times.  [default: all]",
)
@click.option(
    "--principal",
    metavar="TYPE:NAME",
    callback=_principal,
    help="Who has the one role that is named.  [default: User: and the role's name]",
)
@click.option(
    "--host", default="*", show_default=True, callback=_host, help="From where: one IP address, or * for any."
)
@click.option(
    "--topic",
    "topics",
    type=click.Choice(INPUT_TOPICS),
    multiple=True,
    help="The facts that a publisher publishes; may be given several times.  [default: all]",
)
@click.option("--group", help="The consumer group of payments or projections, where one is used.  [default: none]")
@click.option("--apply", "applied", is_flag=True, help="Create them, with rights of an administrator of the Kafka.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@settings_options(*CLIENT_SETTINGS, "app_id")
def command(
    roles: tuple[str, ...],
    principal: str | None,
    host: str,
    topics: tuple[str, ...],
    group: str | None,
    applied: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Print the least that each role must be allowed, as commands for Kafka's kafka-acls.sh; or create it with --apply.

    \b
    publisher    publishes facts; --topic for one that publishes some of them
    worker       reads facts, writes decisions, notices, dead letters and its changelog
    payments     reads decisions
    projections  reads facts, decisions, notices and dead letters
    operator     makes topics, sweeps, re-adjudicates, verifies, sends dead letters again

    Printing needs no Kafka. ACLs that exist already are left as they are; nothing is ever taken away.
    """
    if principal and len(roles) != 1:
        raise UsageError("--principal says who has one role: name it with --role, once.")
    if topics and PUBLISHER not in (roles or ROLES):
        raise UsageError("--topic is for the role publisher.")
    if group and not {PAYMENTS, PROJECTIONS} & set(roles or ROLES):
        raise UsageError("--group is for the roles payments and projections.")
    wanted = {
        role: accesses(role, settings.app_id, topics=topics or INPUT_TOPICS, group=group) for role in roles or ROLES
    }
    whose = {role: principal or f"User:{role}" for role in wanted}
    if applied:
        _apply(wanted, whose, host, settings)
    if as_json:
        click.echo(json.dumps({role: _json(found, whose[role], host) for role, found in wanted.items()}, indent=1))
    elif not applied:
        for role, found in wanted.items():
            click.echo(f"# {role}: {ROLES[role]}")
            for line in commands(found, whose[role], host, settings.bootstrap_servers or "$BOOTSTRAP_SERVERS"):
                click.echo(line)


def _apply(wanted: dict[str, tuple[Access, ...]], whose: dict[str, str], host: str, settings: Settings) -> None:
    from kafka.errors import SecurityDisabledError

    servers = resolve_bootstrap_servers(settings)
    with admin_client(servers, settings, doing="creating ACLs") as admin:
        for role, found in wanted.items():
            try:
                count = grant(admin, found, whose[role], host)
            except SecurityDisabledError as error:
                raise ProblemError(
                    f"Kafka on {servers} has no authorizer, so everybody may do everything there. Set its "
                    "authorizer.class.name first (docs/security.md)."
                ) from error
            click.echo(f"{role}: {whose[role]} is allowed {count} operations", err=True)


def _json(found: tuple[Access, ...], principal: str, host: str) -> dict[str, object]:
    return {"principal": principal, "host": host, "accesses": [access._asdict() for access in found]}
