"""Metrics of commands that run and end, as a file that node_exporter's textfile collector picks up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry, write_to_textfile

from streams.settings import UsageError, environment_option


def _in_a_folder(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Said before the work, which may take long or publish facts, and not after it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"{path}: its folder is missing. Make it, or name another file.")
    return path


textfile_option: Callable[[Callable[..., Any]], Callable[..., Any]] = environment_option(
    "TEXTFILE",
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_in_a_folder,
    help="Write the result as metrics to this file (NAME.prom), for node_exporter's textfile collector.",
)


def write_textfile(path: Path, registry: CollectorRegistry) -> None:
    """Put the file in place whole: a reader sees the one before or this one. Raises UsageError."""
    try:
        write_to_textfile(str(path), registry)
        path.chmod(0o644)  # the collector is another user
    except OSError as error:
        raise UsageError(
            f"cannot write metrics to {path} ({error.strerror}). Name a file in a folder that exists and may be written."
        ) from error
