"""`pathway-billing import-837`: X12 837P files as claim-received events."""

from functools import partial
from typing import Any

import click

from streams.commands.importing import import_options, run
from streams.importers.x837p import read_837p

SOURCE = "/pathway-billing/import-837"


def _one_character(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    if given is not None and (len(given) != 1 or not given.isascii() or given.isalnum() or given.isspace()):
        raise click.BadParameter("must be one character, no letter, digit or space")
    return given


@click.command("import-837")
@import_options
@click.option("--accept-tests", is_flag=True, help="Publish interchanges that are marked as tests (ISA15), too.")
@click.option(
    "--accept-wrong-counts", is_flag=True, help="Note wrong counts in SE01, GE01 and IEA01 instead of rejecting."
)
@click.option(
    "--component-separator",
    metavar="CHARACTER",
    callback=_one_character,
    help="What parts the components of an element, where a sender's ISA16 is wrong.  [default: what ISA16 says]",
)
def command(accept_tests: bool, accept_wrong_counts: bool, component_separator: str | None, **given: Any) -> int:
    """Make claim-received events (JSONL) of the claims in X12 837P FILES (005010X222A1).

    They are printed, for `pathway-billing publish -`, or published with --publish. What was rejected, and where and why, is said
    on standard error in the codes of a 999: one bad claim does not lose the good ones. Importing a file again makes the same
    events again, which have no effect a second time.

    Exit codes: 0 all claims imported, 1 some rejected, 2 a file that cannot be read to its end, or bad usage.
    """
    read = partial(
        read_837p,
        refuse_tests=given["publish"] and not accept_tests,
        accept_wrong_counts=accept_wrong_counts,
        component_separator=component_separator,
    )
    return run(read, SOURCE, **given)
