"""`pathway-billing schemas`: the contract's schemas and a schema registry."""

import json
import os

import click

from schemas import catalog
from schemas.registry import FULL_TRANSITIVE, RegistryClient, RegistrySettingsError, access_to, registered_form
from schemas.wire import SchemasUnavailable
from streams.settings import ProblemError, Settings, UsageError, environment_variable, settings_options

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


@click.group("schemas")
def command() -> None:
    """The schemas of the events: list them, register them with a schema registry, or check what it has.

    The registry is named with --schema-registry (PATHWAY_BILLING_SCHEMA_REGISTRY); who we are there, and its TLS files, with the
    variables of docs/registry.md.
    """


@command.command("list")
@_JSON
@settings_options("schema_registry")
def list_command(settings: Settings, as_json: bool) -> None:
    """Every released schema: its subject, its version, its fixed id, and the registry's id where one is named."""
    client = _client(settings) if settings.schema_registry else None
    for version in catalog.VERSIONS:
        subject = catalog.subject(version.event)
        found = client.registered(subject, registered_form(version)) if client else None
        row = {"subject": subject, "version": version.version, "id": version.id, "event": version.event}
        if client:
            row["registry_id"] = found.id if found else None
        if as_json:
            click.echo(json.dumps(row))
        else:
            there = "" if not client else f"  registry id {found.id}" if found else "  not registered"
            click.echo(f"{subject:<34} v{version.version}  id {version.id}{there}")


@command.command("register")
@_JSON
@settings_options("schema_registry")
def register_command(settings: Settings, as_json: bool) -> None:
    """Register every released schema, oldest first, and set each subject to FULL_TRANSITIVE. Repeating it changes nothing."""
    client = _client(settings)
    try:
        for event in catalog.EVENTS:
            client.set_level(catalog.subject(event), FULL_TRANSITIVE)
        for version in catalog.VERSIONS:
            subject = catalog.subject(version.event)
            schema_id = client.register(subject, registered_form(version))
            if as_json:
                click.echo(json.dumps({"subject": subject, "version": version.version, "registry_id": schema_id}))
            else:
                click.echo(f"{subject:<34} v{version.version}  registry id {schema_id}")
    except SchemasUnavailable as error:
        raise ProblemError(f"{error}. What is printed above is registered; run it again.") from error


@command.command("check")
@settings_options("schema_registry")
def check_command(settings: Settings) -> None:
    """Whether the registry has our schemas and guards them: exit code 1, and a line for each problem, where not."""
    client = _client(settings)
    problems = [problem for version in catalog.VERSIONS for problem in _problems(client, version)]
    for problem in problems:
        click.echo(problem)
    if problems:
        raise ProblemError(f"{len(problems)} problems. `pathway-billing schemas register` registers what is missing.")
    click.echo(f"{len(catalog.VERSIONS)} schemas are registered, each subject is {FULL_TRANSITIVE}")


def _problems(client: RegistryClient, version: catalog.SchemaVersion) -> list[str]:
    subject, schema = catalog.subject(version.event), registered_form(version)
    found = []
    if client.registered(subject, schema) is None:
        found.append(f"{subject}: v{version.version} is not registered")
        compatible, messages = client.compatible(subject, schema)
        if not compatible:
            found.append(f"{subject}: v{version.version} would be refused: {'; '.join(messages)[:500]}")
    if (level := client.level(subject)) != FULL_TRANSITIVE:
        found.append(f"{subject}: the compatibility level is {level}, not {FULL_TRANSITIVE}")
    return found


def _client(settings: Settings) -> RegistryClient:
    if not settings.schema_registry:
        raise UsageError(f"name the registry with --schema-registry ({environment_variable('schema_registry')}).")
    try:
        return RegistryClient(access_to(settings.schema_registry, os.environ))
    except RegistrySettingsError as error:
        raise UsageError(f"{error}.") from None
