"""`pathway-billing generate`: a year of facts from a seed, as JSONL."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from streams.adjudication.facts import Fact
from streams.events import fact_to_json
from streams.generator import history
from streams.long_lived import long_lived
from streams.settings import UsageError

_write_json = msgspec.json.Encoder().encode


@click.command("generate")
@click.option("--patients", "-n", type=click.IntRange(min=1), default=200, show_default=True, help="How many patients.")
@click.option(
    "--seed", "-s", type=click.IntRange(min=0), default=1, show_default=True, help="Another seed, another year."
)
@click.option("--output", "-o", type=click.Path(dir_okay=False), default="-", help="A file instead of standard output.")
def command(patients: int, seed: int, output: str) -> None:
    """Make up a year of facts: orders, treatment starts, claims, and all that goes wrong with them.

    Prints JSONL in the order in which the facts arrive, provider agreements first. The same number of patients and the same
    seed give the same bytes everywhere. With 200 patients or more, every outcome and every reason of the rules is in it.

    \b
    pathway-billing generate --patients 200 --seed 7 --output facts.jsonl
    pathway-billing adjudicate facts.jsonl --current
    """
    began = time.perf_counter()
    try:
        with _opened(output) as file, long_lived():
            facts = _write(history(patients, seed), file)
            file.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        raise
    except OSError as error:
        where = "standard output" if output == "-" else output
        raise UsageError(f"cannot write {where}: {error.strerror}. Choose another file with --output.") from error
    if sys.stderr.isatty():
        took = time.perf_counter() - began
        click.echo(f"{facts:,} facts of {patients:,} patients (seed {seed}) in {took:.1f} s", err=True)


def _write(facts: Iterator[Fact], file: BinaryIO) -> int:
    count = 0
    for fact in facts:
        file.write(_write_json(fact_to_json(fact)) + b"\n")
        count += 1
    return count


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    """Where the facts go. A file gets its name when it is whole: a part of a year looks like a year."""
    path = Path(output)
    if output == "-":
        yield sys.stdout.buffer
    elif path.exists() and not path.is_file():  # a pipe or a device
        with path.open("wb") as file:
            yield file
    else:
        path = path.resolve()  # what a link leads to is written, not the link
        partial = path.with_name(path.name + ".partial")
        try:
            with partial.open("wb") as file:
                yield file
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
