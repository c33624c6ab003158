"""A whole installation of its own: broker, topics, workers as processes, and the command line as a person runs it.

Topics have fixed names, so an installation cannot share its broker with another.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deploy.broker import EmbeddedBroker
from streams.adjudication.facts import Fact
from streams.committed_log import CommittedLog
from streams.events import fact_from_json
from streams.policy_files import load_policy
from streams.publisher import Publisher
from streams.verification.run import Report, verify
from tests.broker import command_line
from tests.broker.harness import wait_until

APP_ID = "pathway-billing"
PARTITIONS = 3


class BillingSystem:
    """A running broker with its topics."""

    def __init__(self, broker: EmbeddedBroker, home: Path, stack: ExitStack) -> None:
        self.broker = broker
        self.home = home
        self.workers: list[subprocess.Popen[str]] = []
        self._stack = stack
        self._environment = {
            "PATHWAY_BILLING_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "PATHWAY_BILLING_PARTITIONS": str(PARTITIONS),
        }

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        return command_line.run(*arguments, home=self.home, timeout=timeout, **self._environment)

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs beside the test."""
        with command_line.start(*arguments, home=self.home, **self._environment) as process:
            yield process

    def start_worker(self) -> subprocess.Popen[str]:
        """A worker, until the end of the test; returns when all its partitions are open. The one after it takes over at once."""
        arguments = ("worker", "--store", "memory", "--instance-id", "the-one", "--log-level", "error")
        process = self._stack.enter_context(self.start(*arguments))
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready:")
        self.workers.append(process)
        return process

    def publish(self, facts: Iterable[dict[str, Any] | Fact]) -> None:
        """Facts, in order, acknowledged."""
        values = [fact_from_json(fact) if isinstance(fact, dict) else fact for fact in facts]
        with Publisher(self.broker.bootstrap_servers, source="/tests") as publisher:
            publisher.publish_all(values)

    def log(self, stall_seconds: float = 30) -> CommittedLog:
        return CommittedLog(self.broker.bootstrap_servers, stall_seconds=stall_seconds)

    def verify(self, stall_seconds: float = 30) -> Report:
        with self.log(stall_seconds) as log:
            return verify(log, APP_ID, load_policy())

    def wait_decided(self) -> Report:
        """Wait until no fact waits for a worker; what verification says then."""

        def decided() -> Report | None:
            report = self.verify()
            return report if report.counts.waiting == 0 else None

        report: Report = wait_until(decided, 60, "all facts decided")
        return report

    def decisions(self) -> list[dict[str, Any]]:
        """Every version, in the order of each patient's publication."""
        return [json.loads(line) for line in self.run("decisions", "--json").stdout.splitlines()]


@contextmanager
def billing_system() -> Iterator[BillingSystem]:
    """Starts in some four seconds; workers that the test started end with it."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(Path(folder) / "broker", heap_mb=256))
        system = BillingSystem(broker, Path(folder), stack)
        made = system.run("topics")
        assert made.returncode == 0, made.stderr
        yield system
