"""The settings of the command line and of the worker: each a flag, and an environment variable `PATHWAY_BILLING_<NAME>`.

A command takes the settings that it needs with `@settings_options(...)` and gets them as one `Settings` value.
"""

import functools
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import click
from click.core import ParameterSource

from deploy.broker import answers, find_running
from streams.security import LoginError, Security, SecuritySettingsError, log_in, security_from_environment

ENVIRONMENT_PREFIX = "PATHWAY_BILLING_"

ROCKSDB = "rocksdb"
MEMORY = "memory"

P = ParamSpec("P")
R = TypeVar("R")


class ProblemError(click.ClickException):
    """The command did its work and found problems, or could not finish it: `error: ...` on standard error, exit code 1."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class UsageError(ProblemError):
    """The command was called wrongly or got input that it cannot use: `error: ...` on standard error, exit code 2."""

    exit_code = 2


def default_data_dir() -> Path:
    """`pathway-billing` in the person's data folder, by the XDG convention."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "pathway-billing"


@dataclass(frozen=True)
class Settings:
    """What a command or a worker needs to know of where it runs."""

    bootstrap_servers: str | None = None  # host:port,...; None: the broker that runs on the data folder
    data_dir: Path = field(default_factory=default_data_dir)
    app_id: str = "pathway-billing"  # the Faust app: names the consumer group, the changelog and the transactional ids
    partitions: int = 12  # of every topic, for life
    replication_factor: int = 1
    store: str = ROCKSDB  # ROCKSDB or MEMORY: where a worker keeps the patient table
    state_dir: Path | None = None  # of the RocksDB store; None: `state` in the data folder
    database: str | None = None  # URL of the ledger; None: an SQLite file in the data folder
    schema_registry: str | None = None  # its address; None: the bundled schemas with their fixed ids
    request_timeout_seconds: float = 30.0
    session_timeout_seconds: float = 10.0

    @property
    def broker_dir(self) -> Path:
        """The embedded broker's part of the data folder."""
        return self.data_dir / "broker"

    @property
    def worker_state_dir(self) -> Path:
        return self.state_dir or self.data_dir / "state"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data_dir.absolute() / 'ledger.sqlite'}"

    @property
    def min_insync_replicas(self) -> int:
        """One replica may be away without stopping the writers: 2 of 3; with one or two copies it takes one."""
        return max(1, self.replication_factor - 1)


class _Servers(click.ParamType):
    """host:port,host:port"""

    name = "host:port,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        servers = [server.strip() for server in str(value).split(",")]
        for server in servers:
            host, _, port = server.rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
                self.fail(f"{server!r} is not of the form host:port, such as 127.0.0.1:9092.", param, ctx)
        return ",".join(servers)


class PlainName(click.ParamType):
    """A name that Kafka takes as part of topic names and transactional ids."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", str(value)):
            self.fail(f"{value!r} may only have letters, digits, '.', '_' and '-', 100 at most.", param, ctx)
        return str(value)


class _DatabaseUrl(click.ParamType):
    """URL of a database; with its password from the environment alone, because everybody on a machine sees command lines."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        typed = ctx and param and param.name and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        if typed and re.match(r"[^/]*//[^/@]*:[^/]*@", str(value)):
            self.fail(
                "a password does not belong on a command line. Leave it out and let PGPASSFILE name a file that has it, or set "
                f"{ENVIRONMENT_PREFIX}DATABASE.",
                param,
                ctx,
            )
        return str(value)


_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_OPTIONS: Mapping[str, tuple[str, click.ParamType, str]] = {
    "bootstrap_servers": (
        "--bootstrap-servers",
        _Servers(),
        "Kafka brokers.  [default: the embedded broker that runs on the data folder; demo starts one of its own]",
    ),
    "data_dir": ("--data", _DIRECTORY, "Data folder: of the embedded broker, and of a worker's local state."),
    "app_id": ("--app-id", PlainName(), "Names the worker's consumer group, changelog and transactions."),
    "partitions": ("--partitions", click.IntRange(1, 10_000), "Partitions of every topic; for the life of the topics."),
    "replication_factor": ("--replication-factor", click.IntRange(1, 100), "Copies of every topic."),
    "store": ("--store", click.Choice([ROCKSDB, MEMORY]), "Where a worker keeps the patient table."),
    "state_dir": ("--state", _DIRECTORY, "Folder of the RocksDB store.  [default: state in the data folder]"),
    "database": (
        "--database",
        _DatabaseUrl(),
        "Database of the ledger: sqlite:///FILE or postgresql://USER@HOST/NAME; a password by PGPASSFILE, or in the variable.  "
        "[default: ledger.sqlite in the data folder]",
    ),
    "schema_registry": (
        "--schema-registry",
        click.STRING,
        "Address of a Confluent-compatible schema registry (docs/registry.md).  [default: the bundled schemas]",
    ),
    "request_timeout_seconds": (
        "--request-timeout",
        click.FloatRange(0.1, 3600),
        "Seconds that Kafka may take to answer a request.",
    ),
    "session_timeout_seconds": (
        "--session-timeout",
        click.FloatRange(6, 1800),
        "Seconds of silence after which a worker's partitions go to another.",
    ),
}

CLIENT_SETTINGS = ("bootstrap_servers", "data_dir", "schema_registry", "request_timeout_seconds")
TOPIC_SETTINGS = (*CLIENT_SETTINGS, "app_id", "partitions", "replication_factor")
LEDGER_SETTINGS = (*CLIENT_SETTINGS, "database")
WORKER_SETTINGS = (*TOPIC_SETTINGS, "store", "state_dir", "session_timeout_seconds")


def environment_option(variable: str, *flags: str, **attributes: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """An option that is an environment variable, too, and says so in `--help`; `variable` is its name without our prefix."""
    return click.option(*flags, envvar=ENVIRONMENT_PREFIX + variable, show_envvar=True, **attributes)


def settings_options(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Give a command the options of these settings; it gets them as its keyword argument `settings`."""

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(command)
        def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
            given = {name: kwargs.pop(name) for name in names}
            kwargs["settings"] = settings = Settings(**given)  # type: ignore[arg-type]
            if not settings.schema_registry:
                return command(*args, **kwargs)
            return _with_registry(settings, functools.partial(command, *args, **kwargs))

        decorated: Callable[P, R] = with_settings
        for name in reversed(names):
            decorated = _option(name)(decorated)
        return decorated

    return decorate


def _with_registry(settings: Settings, command: Callable[[], R]) -> R:
    """Run a command whose records bear the registry's schema ids."""
    from schemas import wire

    use_schema_registry(settings)
    try:
        return command()
    except wire.SchemasUnavailable as error:
        raise UsageError(f"{error}.") from error
    finally:
        wire.use(None)


def use_schema_registry(settings: Settings) -> None:
    """Take schema ids from the registry of these settings, in this process, where they name one.

    Raises UsageError for a setting that cannot be used. Asks the registry nothing yet.
    """
    if not settings.schema_registry:
        return
    from schemas import wire
    from schemas.registry import RegistryClient, RegistrySchemas, RegistrySettingsError, access_to

    cache = os.environ.get(ENVIRONMENT_PREFIX + "SCHEMA_REGISTRY_CACHE")
    try:
        client = RegistryClient(access_to(settings.schema_registry, os.environ))
    except RegistrySettingsError as error:
        raise UsageError(f"{error}.") from None
    wire.use(RegistrySchemas(client, Path(cache) if cache else settings.data_dir / "schemas"))


kafka_options = settings_options(*CLIENT_SETTINGS)
topic_options = settings_options(*TOPIC_SETTINGS)
ledger_options = settings_options(*LEDGER_SETTINGS)
worker_options = settings_options(*WORKER_SETTINGS)


def environment_variable(name: str) -> str:
    """The environment variable of a setting: its flag in capitals."""
    return ENVIRONMENT_PREFIX + _OPTIONS[name][0].removeprefix("--").replace("-", "_").upper()


def resolve_bootstrap_servers(settings: Settings, wait_seconds: float = 0) -> str:
    """The Kafka to talk to, which answers: the given one, else the embedded broker that runs on the data folder.

    Waits up to `wait_seconds` for it. Raises UsageError that says how to start one.
    """
    deadline = time.monotonic() + wait_seconds
    while not (found := _answering_servers(settings)):
        if time.monotonic() >= deadline:
            raise UsageError(_no_broker(settings, wait_seconds))
        time.sleep(0.1)
    return found


def check_embedded_broker(security: Security) -> None:
    """Raises UsageError where the security settings are for another Kafka than the embedded broker."""
    if security.protocol != "PLAINTEXT":
        raise UsageError(
            f"{ENVIRONMENT_PREFIX}SECURITY_PROTOCOL is {security.protocol}, and the embedded broker speaks PLAINTEXT only. Name "
            f"the Kafka with --bootstrap-servers, or remove that variable."
        )


def _answering_servers(settings: Settings) -> str | None:
    try:
        security = security_from_environment()
        if settings.bootstrap_servers and security.protocol != "PLAINTEXT":
            let_in = log_in(settings.bootstrap_servers, security, settings.request_timeout_seconds)
            return settings.bootstrap_servers if let_in else None
    except (SecuritySettingsError, LoginError) as error:
        raise UsageError(str(error)) from None
    if settings.bootstrap_servers:
        return settings.bootstrap_servers if answers(settings.bootstrap_servers) else None
    check_embedded_broker(security)
    broker = find_running(settings.broker_dir)
    return broker.bootstrap_servers if broker else None


def _no_broker(settings: Settings, wait_seconds: float) -> str:
    waited = f" within {wait_seconds:g} seconds" if wait_seconds else ""
    if settings.bootstrap_servers:
        return (
            f"no Kafka answers on {settings.bootstrap_servers}{waited}. Start it, or correct --bootstrap-servers "
            f"({environment_variable('bootstrap_servers')}). One that wants TLS or a login does not answer without "
            f"{ENVIRONMENT_PREFIX}SECURITY_PROTOCOL (docs/security.md)."
        )
    data = "" if settings.data_dir == default_data_dir() else f" --data {settings.data_dir}"
    return (
        f"no broker runs on the data folder {settings.data_dir}{waited}. Start one in another terminal with "
        f"`pathway-billing broker{data}`, or name a Kafka with --bootstrap-servers."
    )


def _option(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    flag, kind, text = _OPTIONS[name]
    default = getattr(Settings(), name)
    shown: str | bool = default is not None
    if name == "data_dir":
        default, shown = default_data_dir, "~/.local/share/pathway-billing"
    variable = environment_variable(name).removeprefix(ENVIRONMENT_PREFIX)
    return environment_option(variable, flag, name, type=kind, default=default, show_default=shown, help=text)
