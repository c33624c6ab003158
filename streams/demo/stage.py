"""The broker, the worker, the projector and the console of a demonstration: started, watched, and stopped whatever happens."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.broker import BrokerError, EmbeddedBroker, free_port
from streams.security import is_security_variable, security_from_environment
from streams.settings import (
    ENVIRONMENT_PREFIX,
    ProblemError,
    Settings,
    check_embedded_broker,
    resolve_bootstrap_servers,
)
from streams.topics import ensure_topics

_READY_SECONDS = 60
_STOP_SECONDS = 20
_ORPHAN_STOP_SECONDS = 5
_LOG_TAIL_LINES = 12

_WATCH = """
read -r _
kill -TERM "$1"
waits=0
while kill -0 "$1" && [ "$waits" -lt "$2" ]; do sleep 1; waits=$((waits + 1)); done
kill -KILL "$1"
rm -rf "$3"
"""


class Stage:
    """A Kafka with all topics, a worker and a projector, in a temporary folder that goes with them.

    Leaving the `with` block stops whatever was started. Should this process be killed, its children end as well.
    """

    def __init__(self, settings: Settings, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._given = settings
        self._broker: EmbeddedBroker | None = None
        self._worker: _Child | None = None
        self._projector: _Child | None = None
        self._console: _Child | None = None
        self.metrics_url = ""
        self.projector_metrics_url = ""
        self.console_url = ""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="pathway-billing-demo-"))
        self.settings = dataclasses.replace(self._given, data_dir=self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop_worker()
        finally:
            if self._broker:
                self._broker.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def bootstrap_servers(self) -> str:
        assert self.settings.bootstrap_servers, "the stage has a Kafka once it was opened"
        return self.settings.bootstrap_servers

    def open_kafka(self) -> None:
        """Start the embedded broker, unless a Kafka was given, and make the topics. Raises ProblemError or UsageError."""
        if self._given.bootstrap_servers:
            servers = resolve_bootstrap_servers(self._given)
        else:
            check_embedded_broker(security_from_environment())
            self._broker = EmbeddedBroker(self.settings.broker_dir, announce=self._announce)
            try:
                self._broker.start()
            except BrokerError as error:
                raise ProblemError(str(error)) from error
            servers = self._broker.bootstrap_servers
        self.settings = dataclasses.replace(self.settings, bootstrap_servers=servers)
        report = ensure_topics(servers, self.settings)
        if not report.ok:
            raise ProblemError("\n  ".join(["the topics of this Kafka are not as declared:", *report.problems()]))

    def start_worker(self) -> None:
        """Start a worker of our own in a process of its own; returns when it is ready. Raises ProblemError."""
        port = free_port()
        self.metrics_url = f"http://127.0.0.1:{port}/metrics"
        command = (
            *(sys.executable, "-m", "streams.cli", "worker"),
            *("--bootstrap-servers", self.bootstrap_servers),
            *("--data", str(self.folder)),
            *("--app-id", self.settings.app_id),
            *("--partitions", str(self.settings.partitions)),
            *("--replication-factor", str(self.settings.replication_factor)),
            *("--metrics-port", str(port)),
        )
        self._worker = self._start("worker", command)

    def start_projector(self) -> None:
        """Start a projector that writes the ledger of the folder; returns when it follows. Raises ProblemError."""
        port = free_port()
        self.projector_metrics_url = f"http://127.0.0.1:{port}/metrics"
        command = (
            *(sys.executable, "-m", "streams.cli", "project", "--follow"),
            *("--bootstrap-servers", self.bootstrap_servers),
            *("--data", str(self.folder)),
            *("--metrics-port", str(port)),
        )
        self._projector = self._start("projector", command)

    def start_console(self) -> None:
        """Start the console over the ledger, on loopback; returns when it is about to listen. Raises ProblemError."""
        port = free_port()
        self.console_url = f"http://127.0.0.1:{port}/"
        command = (
            *(sys.executable, "-m", "streams.cli", "console", "--port", str(port)),
            *("--bootstrap-servers", self.bootstrap_servers),
            *("--data", str(self.folder)),
        )
        self._console = self._start("console", command, sign="console:")

    def check_alive(self) -> None:
        """Raises ProblemError when the broker or one of ours has ended, with the reason as far as it is known."""
        if self._broker and self._broker.poll() is not None:
            raise ProblemError(str(self._broker.death_notice()))
        for child in (self._worker, self._projector, self._console):
            if child:
                child.check_alive()

    def stop_worker(self) -> None:
        """Stop the worker and what reads its decisions, and wait for their ends. Does nothing when none is running."""
        for child in (self._console, self._projector, self._worker):
            if child:
                child.stop()
        self._console = self._projector = self._worker = None

    def worker_words(self) -> str:
        """The last lines of the worker's log, for a person to read."""
        return _last_lines(self.folder / "worker.log")

    def _start(self, name: str, command: tuple[str, ...], sign: str = "ready:") -> "_Child":
        child = _Child(name, command, self.folder)
        try:
            child.wait_ready(self.check_alive, sign)
        except BaseException:
            child.stop()
            raise
        return child


class _Child:
    """This program again, in a process of its own that ends when we do."""

    def __init__(self, name: str, command: tuple[str, ...], folder: Path) -> None:
        self._name = name
        self._output = folder / f"{name}.out"
        self._log = folder / f"{name}.log"
        with self._output.open("wb") as output, self._log.open("wb") as log:
            # a session of its own: Ctrl-C in the terminal is for us, and we stop the child in its turn
            self._process = subprocess.Popen(  # noqa: S603 - this program again
                command, env=_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=log, start_new_session=True
            )
        # `read` ends when this process does, however it ends, because only then is the pipe closed. The broker goes in the
        # same way and at the same time, so a worker that finishes its batch may wait for it in vain.
        self._watcher = subprocess.Popen(  # noqa: S603 - a constant and a process id
            (
                "/bin/sh",
                "-c",
                _WATCH,
                f"{name}-watcher",
                str(self._process.pid),
                str(_ORPHAN_STOP_SECONDS),
                str(folder),
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_ready(self, check_alive: Callable[[], None], sign: str) -> None:
        """Wait until it prints the sign that it is ready. Raises ProblemError."""
        deadline = time.monotonic() + _READY_SECONDS
        while sign not in self._output.read_text():
            self.check_alive()
            check_alive()
            if time.monotonic() > deadline:
                words = _last_lines(self._log)
                raise ProblemError(f"the {self._name} was not ready in {_READY_SECONDS} seconds. {words}")
            time.sleep(0.05)

    def check_alive(self) -> None:
        """Raises ProblemError when it has ended."""
        if self._process.poll() is not None:
            words = _last_lines(self._log)
            raise ProblemError(f"the {self._name} ended with exit code {self._process.poll()}. {words}")

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._watcher.kill()  # before its pipe closes: it must not signal a process id that is free again
        self._watcher.communicate()


def _last_lines(log: Path) -> str:
    tail = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "\n".join(("The last lines of its log:", *tail)) if tail else "It logged nothing."


def _environment() -> dict[str, str]:
    """The environment without settings of ours: the processes of a demonstration take them from its command line alone,
    but for those of TLS and logins, which have no flags."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ENVIRONMENT_PREFIX) or is_security_variable(name)
    }
