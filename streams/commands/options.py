"""What several commands have, each said once: options and their types, what stands in for one that is not given, how they stop."""

import getpass
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from streams.adjudication.days import day_from_iso
from streams.adjudication.policy import Policy
from streams.settings import UsageError, environment_option

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Date(click.ParamType):
    """An ISO local date as a Day."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return day_from_iso(value)
        except ValueError:
            self.fail(f"{value!r} is not a date of the form YYYY-MM-DD.", param, ctx)


def policy_option(what_for: str = "that the workers decide under") -> Decorator:
    """`--policy FILE`, which the command gets as `policy_file`: see `chosen_policy`."""
    return environment_option(
        "POLICY",
        "--policy",
        "policy_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"Policy profiles (TOML) {what_for}, instead of P0.",
    )


def chosen_policy(policy_file: Path | None) -> Policy:
    """The policy of `--policy`, P0 without one. Raises UsageError that says what is wrong with the file."""
    from streams.policy_files import BadPolicy, load_policy

    try:
        return load_policy(policy_file)
    except BadPolicy as error:
        raise UsageError(f"{policy_file}: {error}") from None


def user_name() -> str:
    """Who runs the command, for the record, where no option says it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user has no name, as in some containers
        return "operator"


def metrics_options(served: str) -> Decorator:
    """`--metrics-port` and `--metrics-host`; nothing is served on port 0, the default."""
    port = environment_option(
        "METRICS_PORT",
        "--metrics-port",
        type=click.IntRange(0, 65535),
        default=0,
        help=f"Port of {served}.  [default: none is served]",
    )
    host = environment_option(
        "METRICS_HOST",
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        help="Address to serve them on.",
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        return port(host(command))

    return decorate


def listen(host: str, port: int, what: str, flags: str) -> socket.socket:
    """A socket that listens there. Raises UsageError: `what`, such as that metrics cannot be served, and which flags to change."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]  # what follows is the address, which is named anyway
        raise UsageError(
            f"{what} on {host}:{port} ({why}). Choose another {flags}, or end what has this one."
        ) from error


def stop_on_signals() -> threading.Event:
    """Set by Ctrl-C and SIGTERM from now on: what goes on ends after what it has in hand."""
    stop = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return stop
