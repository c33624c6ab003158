"""`pathway-billing import-fhir`: FHIR R4 Claim resources as claim-received events."""

from typing import Any

import click

from streams.commands.importing import import_options, run
from streams.importers.fhir import read_fhir

SOURCE = "/pathway-billing/import-fhir"


@click.command("import-fhir")
@import_options
def command(**given: Any) -> int:
    """Make claim-received events (JSONL) of the FHIR R4 Claims in FILES: single resources, Bundles, or NDJSON.

    They are printed, for `pathway-billing publish -`, or published with --publish. On standard error stands what was rejected and
    why, and which elements the event has no field for. Importing a resource again makes the same event again, which has no
    effect a second time.

    Exit codes: 0 all claims imported, 1 some rejected, 2 a file that cannot be read to its end, or bad usage.
    """
    return run(read_fhir, SOURCE, **given)
