"""`pathway-billing worker`: run a Faust worker until stopped."""

import asyncio
import dataclasses
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from schemas.wire import learn_ids
from streams import compiled
from streams.commands.options import chosen_policy, listen, metrics_options, policy_option
from streams.security import security_from_environment
from streams.settings import (
    ROCKSDB,
    Settings,
    UsageError,
    environment_option,
    resolve_bootstrap_servers,
    worker_options,
)
from streams.topics import ensure_topics

_LOG_LEVELS = ("debug", "info", "warning", "error")
_LAST_PORT = 65535
_STOP_MARGIN_SECONDS = 5.0


@click.command(name="worker")
@worker_options
@policy_option("to decide under")
@environment_option(
    "INSTANCE_ID",
    "--instance-id",
    help="A name of this worker's own that outlives it: restarted within the session timeout, it gets its partitions back "
    "at once and the others are not disturbed.",
)
@environment_option(
    "PROCESSES",
    "--processes",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Workers on this machine, as one command: one for each core that Kafka leaves free. Process i, from 0, has the state "
    "folder process-i in that of --state, --instance-id with -i behind it, --metrics-port + i, and a cache of its own.",
)
@environment_option(
    "MAX_BATCH",
    "--max-batch",
    "max_batch",
    type=click.IntRange(1, 100_000),
    default=2_000,
    show_default=True,
    help="Most records of one transaction.",
)
@environment_option(
    "CACHE_CLAIMS",
    "--cache-claims",
    type=click.IntRange(min=0),
    default=120_000,
    show_default=True,
    help="Claims of decoded patients that the worker keeps in memory, 3 to 5 KB each.",
)
@metrics_options("/metrics, /health/live and /health/ready")
@environment_option(
    "ALLOW_DEAD_LETTER_FLOOD",
    "--allow-dead-letter-flood",
    is_flag=True,
    help="Go on when most records cannot be used, instead of stopping.",
)
@environment_option(
    "LOG_LEVEL",
    "--log-level",
    type=click.Choice(_LOG_LEVELS),
    default="info",
    show_default=True,
    help="How much to log, on standard error.",
)
def command(
    settings: Settings,
    policy_file: Path | None,
    instance_id: str | None,
    processes: int,
    max_batch: int,
    cache_claims: int,
    metrics_port: int,
    metrics_host: str,
    allow_dead_letter_flood: bool,
    log_level: str,
) -> None:
    """Run a worker until stopped (Ctrl-C or SIGTERM). Start as many as there are partitions; they share the work.

    It prints `ready: ...` when all its partitions are open. Exit code 0: stopped; 1: something was in doubt, and the line
    `worker stops: ...` of the log says what and what to do (nothing uncommitted is visible: restart it); 2: no Kafka answers,
    or bad usage. With --processes, when one ends the others are stopped too, and its exit code is returned: whoever restarts
    workers restarts all.
    """
    policy = chosen_policy(policy_file)
    _check_places(settings, metrics_host, metrics_port)
    learn_ids(("billing-decision", "eligibility-notice"))  # before there is anything to decide
    servers = resolve_bootstrap_servers(settings)
    report = ensure_topics(servers, settings)
    if not report.ok:
        raise UsageError(
            "\n  ".join(
                ["the topics are not as declared; `pathway-billing topics` shows them all:", *report.problems()]
            )
        )

    if security_from_environment().authenticated:
        _check_group(servers, settings)

    if processes > 1:
        _supervise(processes, settings, instance_id, metrics_port)

    # Faust takes most of a second to import: only for a worker that starts.
    from streams import metrics
    from streams.app import create_billing_app, lane_settings
    from streams.runtime.health import HealthServer
    from streams.runtime.settings import BatchLimits
    from streams.runtime.worker import configure_logging, run_worker

    configure_logging(log_level)
    logging.getLogger(__name__).info("rules and codec: %s", compiled.mode())
    topic_ids = {state.topic.name: state.topic_id for state in report.topics}
    lanes = dataclasses.replace(
        lane_settings(settings, servers, topic_ids),
        instance_id=instance_id,
        batch=BatchLimits(records=max_batch),
        dead_letter_flood_limit=not allow_dead_letter_flood,
    )
    app = create_billing_app(lanes, policy, cache_claims=cache_claims)
    metrics.violation_log.remember_in(lanes.state_folder)
    app.lanes.on_first_ready = lambda partitions: click.echo(_ready_line(settings, servers, partitions))
    services = [HealthServer(app.lanes, metrics_host, metrics_port)] if metrics_port else []
    run_worker(app, *services)


def _supervise(processes: int, settings: Settings, instance_id: str | None, metrics_port: int) -> NoReturn:
    """Run this very command line in so many processes, with what must be its own behind it: a flag's last value counts."""
    from streams.runtime.settings import LaneSettings
    from streams.supervisor import supervise

    if metrics_port + processes - 1 > _LAST_PORT:
        raise UsageError(f"--metrics-port {metrics_port} with {processes} processes goes beyond port {_LAST_PORT}.")
    commands = []
    for number in range(processes):
        own = ["--processes", "1", "--state", str(settings.worker_state_dir / f"process-{number}")]
        if instance_id:
            own += ["--instance-id", f"{instance_id}-{number}"]
        if metrics_port:
            own += ["--metrics-port", str(metrics_port + number)]
        commands.append([sys.executable, "-m", "streams.cli", *sys.argv[1:], *own])
    # A worker ends itself when its stop takes too long; the rest is for its last breath.
    sys.exit(asyncio.run(supervise(commands, LaneSettings.stop_timeout_seconds + _STOP_MARGIN_SECONDS)))


def _check_places(settings: Settings, metrics_host: str, metrics_port: int) -> None:
    """A worker that runs finds nothing wrong with these but what is in doubt; here they are usage. Raises UsageError."""
    if metrics_port:
        listen(metrics_host, metrics_port, "metrics cannot be served", "--metrics-host or --metrics-port").close()
    if settings.store != ROCKSDB:
        return
    folder = settings.worker_state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"the state folder {folder} cannot be written ({error.strerror}). Name another one with --state."
        ) from error


def _check_group(servers: str, settings: Settings) -> None:
    """Where this user may not join the group, aiokafka would ask again and again, and the worker never be ready. Raises
    ProblemError."""
    from streams.committed_log import CommittedLog

    with CommittedLog(servers, settings.request_timeout_seconds) as log:
        log.group_offsets(settings.app_id)


def _ready_line(settings: Settings, servers: str, partitions: Sequence[int]) -> str:
    numbers = ",".join(map(str, partitions)) or "none"
    return f"ready: {settings.app_id} on {servers}, {len(partitions)} of {settings.partitions} partitions: {numbers}"
