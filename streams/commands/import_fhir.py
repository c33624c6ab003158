"""`pathway-billing import-fhir`: FHIR R4 Claim resources as claim-received events."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from streams.commands.importing import import_options, run
from streams.importers.fhir import read_fhir
from streams.importers.fhir_json import Unreadable, read_resources
from streams.importers.fhir_references import References, TooManyResources
from streams.settings import UsageError

SOURCE = "/pathway-billing/import-fhir"


@click.command("import-fhir")
@import_options
@click.option(
    "--resources",
    "resource_files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="More patients, coverages, organizations or practitioners that the claims refer to (a bulk export has a file of each); "
    "may be given repeatedly.",
)
@click.option(
    "--member-id-system",
    "member_systems",
    metavar="URI",
    multiple=True,
    help="System of identifiers that are member ids, beside those of type MB; may be given repeatedly.",
)
def command(resource_files: tuple[Path, ...], member_systems: tuple[str, ...], **given: Any) -> int:
    """Make claim-received events (JSONL) of the FHIR R4 Claims in FILES: single resources, Bundles, or NDJSON.

    They are printed, for `pathway-billing publish -`, or published with --publish. On standard error stands what was rejected and
    why, and which elements the event has no field for. Importing a resource again makes the same event again, which has no
    effect a second time.

    Exit codes: 0 all claims imported, 1 some rejected, 2 a file that cannot be read to its end, or bad usage.
    """
    read = partial(read_fhir, references=_references(resource_files), member_systems=frozenset(member_systems))
    return run(read, SOURCE, **given)


def _references(paths: tuple[Path, ...]) -> References:
    """What the claims may refer to. Raises UsageError."""
    references = References()
    for path in paths:
        with path.open("rb") as file:
            try:
                for line_number, resource in read_resources(file):
                    if isinstance(resource, Unreadable):
                        raise UsageError(f"--resources: {path}: line {line_number:,}: {resource}")
                    references.keep_all(resource)
            except (Unreadable, TooManyResources) as error:
                raise UsageError(f"--resources: {path}: {error}") from error
    return references
