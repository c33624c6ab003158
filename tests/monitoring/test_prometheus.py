"""A real Prometheus beside a real worker: every panel, rule and alert asks for something that is there."""

import json
import math
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from deploy.broker import EmbeddedBroker
from tests import facts
from tests.broker import command_line
from tests.broker.harness import wait_until
from tests.broker.test_worker_command import free_port
from tests.monitoring.test_declarations import ALERTS, PANELS, RECORDED
from tests.monitoring.tools import PROMETHEUS, program, selectors

pytestmark = pytest.mark.broker

SECONDS = 60

EMPTY: dict[str, str] = {}
"""Questions that may have no answer in a healthy system, and why. There is none: what did not happen is a 0."""


class Monitored(NamedTuple):
    """What the tests ask."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as response:
            return json.load(response)["data"]

    def ask(self, expr: str) -> list[float]:
        """The values of an answer, without those that are no number (nothing was divided by nothing)."""
        values = [float(found["value"][1]) for found in self.get("query", query=expr)["result"]]
        return [value for value in values if not math.isnan(value)]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Facts go in, among them a repeat, a conflict, a wrong payer and a void; a worker is killed and another goes on."""
    home = tmp_path_factory.mktemp("monitored")
    textfiles = home / "textfiles"
    textfiles.mkdir()
    worker_port, exporter_port, prometheus_port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(home / "broker", heap_mb=256))
        settings = {
            "PATHWAY_BILLING_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "PATHWAY_BILLING_PARTITIONS": "3",
        }

        def run(*arguments: str, expected: int = 0) -> None:
            done = command_line.run(*arguments, home=home, **settings)
            assert done.returncode == expected, done.stdout + done.stderr

        def start_worker() -> subprocess.Popen[str]:
            worker = stack.enter_context(
                command_line.start(
                    *("worker", "--instance-id", "one", "--log-level", "error", "--metrics-port", str(worker_port)),
                    home=home,
                    **settings,
                )
            )
            assert worker.stdout is not None
            assert worker.stdout.readline().startswith("ready:")
            return worker

        def publish(name: str, events: list[dict[str, Any]]) -> None:
            (home / name).write_text("".join(json.dumps(event) + "\n" for event in events))
            run("publish", str(home / name))

        run("topics")
        worker = start_worker()
        start_process(
            stack,
            home / "exporter.log",
            program("prometheus-node-exporter"),
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={textfiles}",
            f"--web.listen-address=127.0.0.1:{exporter_port}",
        )
        config = write_config(home, {"worker:9102": worker_port, "node-exporter:9100": exporter_port})
        start_process(
            stack,
            home / "prometheus.log",
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
            "--log.level=warn",
        )
        asked = Monitored(f"http://127.0.0.1:{prometheus_port}")

        def up() -> bool:
            try:
                return asked.ask("sum(up)") == [2]
            except OSError:
                return False

        wait_until(up, SECONDS, "both targets are scraped")
        run("generate", "--patients", "40", "--seed", "5", "--output", str(home / "year.jsonl"))
        run("publish", str(home / "year.jsonl"))
        wait_until(lambda: asked.ask("sum(pathway_billing_decisions_total) > 0"), SECONDS, "decisions are scraped")
        worker.kill()
        worker.wait(10)
        start_worker()
        line = facts.s_line("A", "S0353", "2024-01-08")
        waiting = facts.s_line("W", "S0353", "2024-01-08", patient_id="pt-0002")
        publish("paid.jsonl", [facts.agreement(version=99), facts.order(), facts.start(), line])
        publish("repeat.jsonl", [facts.order(), facts.s_line("A", "S0353", "2024-01-09")])
        publish("refused.jsonl", [facts.s_line("B", "S0353", "2024-01-08", payer_id="AIM")])
        publish("pended.jsonl", [{**facts.order("O9"), "patient_id": "pt-0002"}, waiting])
        publish("void.jsonl", [facts.claim("V", [], "2024-02-01", frequency_code="8", original_claim_id="A")])
        wait_until(lambda: asked.ask("sum(pathway_billing_taken_back_cents_total) > 0"), SECONDS, "the void is scraped")
        run("sweep", "--as-of", "2024-01-20", "--textfile", str(textfiles / "sweep.prom"))
        run("verify", "--textfile", str(textfiles / "verify.prom"))
        yield asked


def start_process(stack: ExitStack, log: Path, *command: str) -> None:
    """A process that ends with the tests."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)


def write_config(home: Path, ports: dict[str, int]) -> Path:
    """The configuration that is shipped, with other addresses and a shorter interval."""
    text = (PROMETHEUS / "prometheus.yml").read_text().replace("10s", "1s")
    for target, port in ports.items():
        assert target in text
        text = text.replace(target, f"127.0.0.1:{port}")
    config = yaml.safe_load(text)
    config["scrape_configs"] = [job for job in config["scrape_configs"] if "projector" not in job["job_name"]]
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    return home / "prometheus.yml"


def unanswered(prometheus: Monitored, exprs: list[str]) -> list[str]:
    """What has no answer, after some time for rates to have two samples."""
    left = [expr for expr in exprs if expr not in EMPTY]

    def answered() -> bool:
        left[:] = [expr for expr in left if not prometheus.ask(expr)]
        return not left

    try:
        wait_until(answered, SECONDS, "answers")
    except AssertionError:
        return left
    return []


def test_every_panel_shows_something(prometheus: Monitored) -> None:
    exprs = sorted({expr for queries in PANELS.values() for expr in queries})
    assert not unanswered(prometheus, exprs)


def test_every_recorded_rule_has_a_value(prometheus: Monitored) -> None:
    assert not unanswered(prometheus, list(RECORDED))


def test_every_alert_is_about_something_that_is_there(prometheus: Monitored) -> None:
    """An alert's whole question has no answer while all is well, so each thing that it asks for is asked for alone.

    Those that are fired in the unit tests of the rules may match labels that a healthy system does not show.
    """
    exprs = sorted({selector for rule in ALERTS.values() for selector in selectors(rule["expr"])})
    assert not unanswered(prometheus, exprs)


def test_no_rule_fails_and_the_right_alerts_fire(prometheus: Monitored) -> None:
    found = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(found) == len(RECORDED) + len(ALERTS)
    assert not [rule["name"] for rule in found if rule["health"] == "err"], found

    def firing() -> set[str]:
        alerts = prometheus.get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    wait_until(lambda: "DeadLettersWait" in firing(), SECONDS, "the alert for the dead letters")
    assert firing() == {"DeadLettersWait"}


def test_the_figures_are_right(prometheus: Monitored) -> None:
    """The worker's counters after its restart, and the files that the commands left."""
    assert prometheus.ask('sum(pathway_billing_dead_letters_total{reason="WRONG_PAYER"}) >= 1')
    assert prometheus.ask('sum(pathway_billing_dead_letters_total{reason="CONFLICT"}) >= 1')
    assert prometheus.ask('sum(pathway_billing_repeated_facts_total{topic="pathway-selected"})') == [1]
    assert prometheus.ask('sum(pathway_billing_taken_back_cents_total{outcome="VOIDED"}) > 0')
    assert prometheus.ask('pathway_billing_pended_claims{age_days="7-13"}')[0] >= 1
    assert prometheus.ask("sum(pathway_billing_verify_anomalies)") == [0]
    assert prometheus.ask('changes(process_start_time_seconds{job="pathway-billing-worker"}[10m])') == [1]
