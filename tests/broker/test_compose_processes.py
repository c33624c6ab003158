"""What docker-compose.yml starts, without Docker: the same commands, environment, order and health checks, as plain processes.

Kafka, PostgreSQL and the schema registry are the tests' own. Host names and ports become loopback's, and volumes temporary folders.
"""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from deploy.broker import EmbeddedBroker, free_port
from projections.ledger.database import open_for_reading
from projections.ledger.tables import claim_lines
from tests.broker.harness import wait_until
from tests.broker.registry import running_registry
from tests.postgres import Postgres

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
PROGRAM = Path(sys.executable).parent / "pathway-billing"
TOKEN = "0123456789abcdef"
SECONDS = 60


class Composed:
    """The services of our own image, started as Compose would."""

    def __init__(self, places: dict[str, str], folder: Path) -> None:
        self._folder = folder
        self._places = {**places, "0.0.0.0": "127.0.0.1"}
        text = COMPOSE.read_text()
        text = re.sub(r"\$\{\w*CONSOLE_TOKENS:\?[^}]*\}", f"tester:{TOKEN}", text)
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        self.services: dict[str, Any] = yaml.safe_load(text)["services"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def here(self, text: str) -> str:
        """A text of the file with what it names on this machine instead."""
        for named, found in self._places.items():
            text = text.replace(named, found)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """What the image and the service set, and nothing of ours."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PATHWAY_BILLING_")}
        given = {key: self.here(str(value)) for key, value in self.services[name].get("environment", {}).items()}
        path = f"{PROGRAM.parent}:{os.environ['PATH']}"
        compiled = {"PATHWAY_BILLING_COMPILED": os.environ["PATHWAY_BILLING_COMPILED"]}
        return {**kept, **compiled, "PATH": path, "PATHWAY_BILLING_DATA": str(self.data(name)), **given}

    def data(self, name: str) -> Path:
        """The folder that the service sees as /data."""
        mounted = [volume.split(":")[0] for volume in self.services[name].get("volumes", ()) if ":/data" in volume]
        folder = self._folder / (mounted[0] if mounted else f"{name}-own")
        folder.mkdir(exist_ok=True)
        return folder

    def run(self, name: str, *arguments: str, stdin: str | None = None) -> str:
        """`docker compose run --rm NAME ARGUMENTS`: its output."""
        done = subprocess.run(
            (PROGRAM, *arguments),
            env=self.environment(name),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self, name: str) -> None:
        """Start a service after what it depends on, in the state that it asks for."""
        if name in self.processes or not self.services[name]["image"].startswith("pathway-billing"):
            return
        for needed, state in self.services[name].get("depends_on", {}).items():
            self.up(needed)
            if needed in self.processes:
                self._wait(needed, state["condition"])
        service = self.services[name]
        words = [self.here(word).replace("/data/", f"{self.data(name)}/") for word in service["command"]]
        entrypoint = service.get("entrypoint", [str(PROGRAM)])
        with self._log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                (*entrypoint, *words), env=self.environment(name), stdout=log, stderr=log, start_new_session=True
            )

    def wait_healthy(self, name: str) -> None:
        self._wait(name, "service_healthy")

    def down(self) -> dict[str, int]:
        """SIGTERM to everything that still runs; the exit codes."""
        running = {name: process for name, process in self.processes.items() if process.poll() is None}
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(SECONDS) for name, process in running.items()}

    def end(self) -> None:
        """Make sure that nothing is left, children of a shell among them."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)

    def _wait(self, name: str, condition: str) -> None:
        process = self.processes[name]
        if condition == "service_completed_successfully":
            assert process.wait(SECONDS) == 0, self._log(name).read_text()
        else:
            assert condition == "service_healthy", condition
            check = [self.here(word) for word in self.services[name]["healthcheck"]["test"][1:]]
            check[0] = sys.executable if check[0] == "python" else check[0]

            def healthy() -> bool:
                assert process.poll() is None, self._log(name).read_text()
                return subprocess.run(check, capture_output=True, timeout=SECONDS, check=False).returncode == 0

            wait_until(healthy, SECONDS, f"{name} is healthy")

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


@pytest.fixture
def composed(tmp_path: Path, postgres: Postgres) -> Iterator[Composed]:
    """Everything but our own services runs."""
    ledger = urllib.parse.urlsplit(postgres.new_database("billing"))
    postgres.new_database("registry")  # as deploy/postgres/registry.sql does
    places = {"postgres:5432": f"127.0.0.1:{ledger.port}"}
    for port in ("9102", "9103", "8090"):
        places[port] = str(free_port())
    registry_configuration = {
        key: value.replace("postgres:5432", places["postgres:5432"])
        for key, value in Composed({}, tmp_path).services["registry"]["environment"].items()
    }
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(tmp_path / "broker", heap_mb=256))
        registry = stack.enter_context(running_registry(tmp_path, registry_configuration))
        places["kafka:9092"] = broker.bootstrap_servers
        places["registry:8080"] = urllib.parse.urlsplit(registry.url).netloc
        composed = Composed(places, tmp_path)
        check = composed.services["registry"]["healthcheck"]["test"][1:]
        address, port = places["registry:8080"].split(":")
        check = [word.replace("127.0.0.1/8080", f"{address}/{port}") for word in check]
        assert subprocess.run(check, capture_output=True, timeout=10, check=False).returncode == 0
        stack.callback(composed.end)
        yield composed


def test_facts_become_decisions_in_the_ledger_and_on_the_console(composed: Composed) -> None:
    for name in composed.services:
        composed.up(name)
    for name in ("worker", "projector", "console"):
        composed.wait_healthy(name)
    composed.run("worker", "publish", "-", stdin=composed.run("worker", "generate", "--patients", "8", "--seed", "1"))

    def decided() -> set[str]:
        lines = composed.run("worker", "decisions", "--current", "--json").splitlines()
        return {json.loads(line)["decision_id"] for line in lines}

    def in_ledger() -> set[str]:
        url = composed.environment("projector")["PATHWAY_BILLING_DATABASE"]
        with open_for_reading(url) as ledger, ledger.read() as connection:
            return set(connection.scalars(select(claim_lines.c.decision_id)))

    wait_until(lambda: len(decided()) > 10 and decided() == in_ledger(), SECONDS, "the ledger has all decisions")
    assert composed.run("worker", "verify").split()[0] == "OK"
    decision_id = sorted(in_ledger())[0]
    page = f"http://127.0.0.1:{composed.here('8090')}/decisions/{decision_id}"
    asked = urllib.request.Request(page, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
        assert answer.status == 200
        assert decision_id in answer.read().decode()

    for name, file in (("sweep", "sweep.prom"), ("verifier", "verify.prom"), ("verifier", "dead-letters.prom")):
        written = composed.data(name) / file
        wait_until(written.exists, SECONDS, f"{name} has written {file}")
        assert "pathway_billing" in written.read_text()

    codes = composed.down()
    assert {"worker", "projector", "console", "sweep", "verifier"} == set(codes), "all of them still ran"
    assert {name: codes[name] for name in ("worker", "projector", "sweep")} == {
        "worker": 0,
        "projector": 0,
        "sweep": 0,
    }, codes
