"""`pathway-billing publish`: facts from a JSONL file to Kafka."""

import gc
import hashlib
import itertools
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streams.commands.bad_lines import BadLines
from streams.commands.publish_progress import PublishProgress
from streams.events import BadLine, lines_of, read_jsonl
from streams.publisher import FactRecord, Publisher, PublishError, TopicsMissingError, UnreachableError
from streams.settings import ProblemError, Settings, UsageError, kafka_options, resolve_bootstrap_servers

MOST_FACTS_IN_MEMORY = 250_000
SOURCE = "/pathway-billing/publish"
STANDARD_INPUT = "-"
_URI_REFERENCE = re.compile(r"(?:[\w.~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", re.ASCII)


def _uri_reference(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    """What CloudEvents demands; the facts bear it for ever."""
    if not _URI_REFERENCE.fullmatch(given):
        raise click.BadParameter("must be a URI reference without spaces, such as /portal/7.")
    return given


@click.command("publish")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--source",
    default=SOURCE,
    show_default=True,
    callback=_uri_reference,
    help="Who publishes, as a URI reference (ce_source).",
)
@click.option(
    "--progress",
    "progress_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep here how far FILE is published, and begin there next time.",
)
@kafka_options
def command(file: str, as_json: bool, source: str, progress_file: Path | None, settings: Settings) -> None:
    """Publish the facts of FILE (JSONL; - is standard input) and wait until Kafka has acknowledged them all.

    All lines of a file are checked first: if one is malformed or invalid, each such line is named, nothing is published, and
    the exit code is 2. The first 250,000 facts wait in memory meanwhile, about 1 KB each; what is behind them is read once
    more. Standard input is published as it comes, up to its first bad line.

    Publishing the same facts again does no harm: the worker knows a repeat when it sees one. A large file need not be sent
    again from its beginning: with --progress, the same command goes on behind what Kafka has acknowledged, after an error, an
    interruption or a kill.
    """
    if progress_file and file == STANDARD_INPUT:
        raise UsageError("--progress needs a file: standard input cannot be read again.")
    resumable: PublishProgress | None = None
    skipped = 0
    with _progress() as progress:
        if file == STANDARD_INPUT:
            servers = resolve_bootstrap_servers(settings)
            records: Iterable[FactRecord] = _as_they_come(sys.stdin.buffer, source)
            task = progress.add_task("publishing", total=None)
        else:
            checked = _checked(Path(file), source, progress)
            gc.freeze()  # they stay until the end: spare the collector from looking through them again and again
            if progress_file:
                resumable = PublishProgress.of(progress_file, Path(file), checked.sha256, checked.facts)
                skipped = resumable.acknowledged
            servers = resolve_bootstrap_servers(settings)
            records = itertools.islice(_records(checked, source), skipped, None)
            task = progress.add_task("publishing", total=checked.facts, completed=skipped)

        def on_acknowledged(count: int) -> None:
            progress.update(task, advance=count)
            if resumable:
                resumable.add(count)

        began = time.perf_counter()
        acknowledged: Counter[str] = Counter()
        try:
            with Publisher(
                servers,
                source=source,
                timeout_seconds=settings.request_timeout_seconds,
                on_acknowledged=on_acknowledged,
            ) as publisher:
                acknowledged = publisher.acknowledged
                _send(records, publisher)
        except (UnreachableError, TopicsMissingError) as error:
            raise UsageError(str(error)) from error
        except PublishError as error:
            raise ProblemError(f"{error}{_how_to_resume(resumable)}") from error
        except KeyboardInterrupt:
            click.echo(
                f"interrupted: {acknowledged.total():,} facts were acknowledged.{_how_to_resume(resumable)}", err=True
            )
            raise
    _report(acknowledged, time.perf_counter() - began, skipped, as_json)


def _how_to_resume(resumable: PublishProgress | None) -> str:
    if resumable is None:
        return ""
    return f" The same command goes on behind the first {resumable.acknowledged:,} ({resumable.path})."


class _Checked(NamedTuple):
    """A file all of whose lines are good."""

    path: Path
    facts: int
    first: list[FactRecord]  # ready to be sent
    behind_first: int  # the byte at which the others begin
    state: tuple[int, int, int]  # see _state
    sha256: str  # of what was checked: the file may be another one since


def _checked(path: Path, source: str, progress: Progress) -> _Checked:
    """Check all facts of a file; ends the command where a line is bad."""
    bad = BadLines(path)
    first: list[FactRecord] = []
    facts, behind_first = 0, 0
    with path.open("rb") as file:
        state = _state(file)
        lines = _Tracked(file, state[0], progress)
        for _, fact in read_jsonl(lines, on_bad_line=bad.add):
            record = FactRecord.of(fact, source)
            facts += 1
            if len(first) < MOST_FACTS_IN_MEMORY:
                first.append(record)
                behind_first = lines.bytes_read
    if bad.count:
        raise UsageError("nothing was published: correct these lines and run the command again")
    return _Checked(path, facts, first, behind_first, state, lines.sha256.hexdigest())


class _FileChangedError(Exception):
    """A file is not what was checked any more."""


def _records(checked: _Checked, source: str) -> Iterator[FactRecord]:
    """All records of a checked file. Raises _FileChangedError."""
    yield from checked.first
    if checked.facts == len(checked.first):
        return
    with checked.path.open("rb") as file:
        file.seek(checked.behind_first)
        try:
            for number, fact in read_jsonl(lines_of(file)):
                if number % 1_000 == 1 and _state(file) != checked.state:
                    raise _FileChangedError
                yield FactRecord.of(fact, source)
        except BadLine:
            raise _FileChangedError from None


def _state(file: BinaryIO) -> tuple[int, int, int]:
    """What tells that a file is as it was: its size, when it was changed, and that it is the same file."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ino


def _as_they_come(lines: BinaryIO, source: str) -> Iterator[FactRecord]:
    """The facts of standard input. Raises BadLine."""
    return (FactRecord.of(fact, source) for _, fact in read_jsonl(lines_of(lines)))


def _send(records: Iterable[FactRecord], publisher: Publisher) -> None:
    try:
        for record in records:
            publisher.send(record)
    except _FileChangedError as error:
        publisher.flush()
        raise UsageError(
            f"the file was changed while it was published. {publisher.acknowledged.total():,} facts of what it was are published. "
            "Publish the whole file again when nobody writes to it any more: what is there already has no effect a second time."
        ) from error
    except BadLine as error:
        publisher.flush()
        raise UsageError(
            f"standard input: {error}. The {publisher.acknowledged.total():,} facts before it are published; "
            "correct the line, then publish the rest, or all of it again."
        ) from error


def _progress() -> Progress:
    """Bars on standard error, if somebody is looking there."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


class _Tracked:
    """The lines of a file, hashed as they come; a bar follows the bytes."""

    def __init__(self, file: BinaryIO, size_bytes: int, progress: Progress) -> None:
        self.bytes_read = 0
        self.sha256 = hashlib.sha256()
        self._file = file
        self._progress = progress
        self._task = progress.add_task("checking", total=size_bytes)

    def __iter__(self) -> Iterator[bytes]:
        for number, line in enumerate(lines_of(self._file)):
            self.bytes_read += len(line)
            self.sha256.update(line)
            if number % 1_000 == 0:  # an update costs as much as reading the fact
                self._progress.update(self._task, completed=self.bytes_read)
            yield line
        self._progress.remove_task(self._task)


def _report(acknowledged: Counter[str], took_seconds: float, skipped: int, as_json: bool) -> None:
    published = acknowledged.total()
    facts_per_second = published / took_seconds
    if as_json:
        report = {
            "published": published,
            "published_before": skipped,
            "topics": dict(sorted(acknowledged.items())),
            "seconds": round(took_seconds, 3),
            "facts_per_second": round(facts_per_second),
        }
        click.echo(json.dumps(report))
        return
    for topic, count in sorted(acknowledged.items()):
        click.echo(f"{count:>10,}  {topic}")
    if skipped:
        click.echo(f"{skipped:>10,}  facts were published before")
    click.echo(
        f"{published:>10,}  facts published and acknowledged in {took_seconds:.1f} s ({facts_per_second:,.0f}/s)"
    )
