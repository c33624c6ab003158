"""A real Prometheus beside a real worker and projector: every panel, rule and alert asks for something that is there, and what
has to wake somebody does."""

import json
import math
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from kafka import KafkaProducer

from deploy.broker import EmbeddedBroker, free_port
from tests import facts
from tests.broker import command_line
from tests.broker.harness import wait_until
from tests.monitoring.test_declarations import ALERTS, MARKS, PANELS, RECORDED
from tests.monitoring.tools import PROMETHEUS, program, selectors

pytestmark = pytest.mark.broker

SECONDS = 60

EMPTY: dict[str, str] = {}
"""Questions that may have no answer in a healthy system, and why. There is none: what did not happen is a 0."""


class Monitored(NamedTuple):
    """What the tests ask, and what they may do to it."""

    url: str
    broker: EmbeddedBroker
    workers: list[subprocess.Popen[str]]  # the last one runs
    start_worker: Callable[[], subprocess.Popen[str]]

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as response:
            return json.load(response)["data"]

    def ask(self, expr: str) -> list[float]:
        """The values of an answer, without those that are no number (nothing was divided by nothing)."""
        values = [float(found["value"][1]) for found in self.get("query", query=expr)["result"]]
        return [value for value in values if not math.isnan(value)]

    def firing(self) -> set[str]:
        alerts = self.get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Facts go in, among them a repeat, a conflict, a wrong payer and a void; a worker is killed and another goes on."""
    home = tmp_path_factory.mktemp("monitored")
    textfiles = home / "textfiles"
    textfiles.mkdir()
    worker_port, projector_port, exporter_port, prometheus_port = (free_port() for _ in range(4))
    workers: list[subprocess.Popen[str]] = []
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
            workers.append(worker)
            return worker

        def publish(name: str, events: list[dict[str, Any]]) -> None:
            (home / name).write_text("".join(json.dumps(event) + "\n" for event in events))
            run("publish", str(home / name))

        def all_decided() -> bool:
            found = command_line.run("verify", "--json", home=home, **settings)
            return bool(json.loads(found.stdout)["counts"]["waiting"] == 0)

        run("topics")
        worker = start_worker()
        stack.enter_context(
            command_line.start("project", "--follow", "--metrics-port", str(projector_port), home=home, **settings)
        )
        start_process(
            stack,
            home / "exporter.log",
            program("prometheus-node-exporter"),
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={textfiles}",
            f"--web.listen-address=127.0.0.1:{exporter_port}",
        )
        ports = {"worker:9102": worker_port, "projector:9103": projector_port, "node-exporter:9100": exporter_port}
        config = write_config(home, ports)
        start_process(
            stack,
            home / "prometheus.log",
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
            "--log.level=warn",
        )
        asked = Monitored(f"http://127.0.0.1:{prometheus_port}", broker, workers, start_worker)

        def up() -> bool:
            try:
                return asked.ask("sum(up)") == [3]
            except OSError:
                return False

        wait_until(up, SECONDS, "all targets are scraped")
        run("generate", "--patients", "40", "--seed", "5", "--output", str(home / "year.jsonl"))
        run("publish", str(home / "year.jsonl"))
        # Its repeats, too, are in the first worker's counters then, so the second's count what is published below; and no fact
        # waits from the one's death to the other's start, which would be a slow decision
        year = (home / "year.jsonl").read_text().splitlines()
        counted = "sum(pathway_billing_records_total)"
        wait_until(lambda: asked.ask(counted) == [len(year)], SECONDS, "all of the year is scraped")
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
        wait_until(all_decided, SECONDS, "all is decided, the pended claim, too")
        wait_until(lambda: asked.ask("sum(pathway_billing_taken_back_cents_total) > 0"), SECONDS, "the void is scraped")
        run("sweep", "--as-of", "2024-01-20", "--textfile", str(textfiles / "sweep.prom"))
        run("verify", "--textfile", str(textfiles / "verify.prom"))
        run("dead-letters", "count", "--textfile", str(textfiles / "dead-letters.prom"))
        last = "pathway_billing_dead_letters_timestamp_seconds"
        wait_until(lambda: asked.ask(last), SECONDS, "what the commands left is scraped")
        yield asked


def start_process(stack: ExitStack, log: Path, *command: str) -> None:
    """A process that ends with the tests."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    stack.callback(process.wait, 60)
    stack.callback(process.terminate)


def write_config(home: Path, ports: dict[str, int]) -> Path:
    """The configuration that is shipped, with other addresses; all its waits are a sixtieth, so that a minute is a second."""
    text = (PROMETHEUS / "prometheus.yml").read_text().replace("10s", "1s")
    for target, port in ports.items():
        assert target in text
        text = text.replace(target, f"127.0.0.1:{port}")
    config = yaml.safe_load(text)
    assert config["rule_files"] == ["rules.yml"]
    rules = (PROMETHEUS / "rules.yml").read_text()
    rules = re.sub(
        r"^( +for: )(\d+)([mh])$", lambda found: found[1] + found[2] + {"m": "s", "h": "m"}[found[3]], rules, flags=re.M
    )
    looked_back = 'avg_over_time(up{job=~"pathway-billing-.*"}[5m])'
    assert looked_back in rules
    rules = rules.replace(looked_back, looked_back.replace("5m", "5s"))
    (home / "rules.yml").write_text(rules)
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
    wait_until(lambda: prometheus.firing() == {"DeadLettersArrive"}, SECONDS, "the alert for the dead letters, alone")


def test_the_figures_are_right(prometheus: Monitored) -> None:
    """The worker's counters after its restart, and the files that the commands left."""
    assert prometheus.ask('sum(pathway_billing_dead_letters_total{reason="WRONG_PAYER"}) >= 1')
    assert prometheus.ask('sum(pathway_billing_dead_letters_total{reason="CONFLICT"}) >= 1')
    assert prometheus.ask('sum(pathway_billing_repeated_facts_total{topic="pathway-selected"})') == [1]
    assert prometheus.ask('sum(pathway_billing_taken_back_cents_total{outcome="VOIDED"}) > 0')
    assert prometheus.ask('pathway_billing_pended_claims{age_days="7-13"}')[0] >= 1
    assert prometheus.ask("sum(pathway_billing_verify_anomalies)") == [0]
    assert prometheus.ask('changes(process_start_time_seconds{job="pathway-billing-worker"}[10m])') == [1]
    assert prometheus.ask('sum(pathway_billing_dead_letters_now{state="OPEN",reason="CONFLICT"})')[0] >= 1
    wait_until(
        lambda: prometheus.ask("sum(pathway_billing_projector_lag_records)") == [0], SECONDS, "the ledger has all"
    )
    assert prometheus.ask('pathway_billing_projector_records_total{topic="claim-received"}')[0] > 40


def test_a_transaction_that_stays_open_is_told_and_resolved(prometheus: Monitored) -> None:
    """What stands behind it is no lag, because nobody can read it: without an alert of its own a partition would wait unnoticed."""
    producer = KafkaProducer(bootstrap_servers=prometheus.broker.bootstrap_servers, transactional_id="somebody")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send("claim-received", key=b"x", value=b"x", partition=1).get(timeout=30)
    try:
        wait_until(lambda: "InputIsHeld" in prometheus.firing(), SECONDS, "the alert")
        held = 'pathway_billing_input_held_records{topic="claim-received",partition="1"}'
        assert prometheus.ask(held) == [1]
        wait_until(lambda: prometheus.ask("sum(pathway_billing:lag_records)") == [0], SECONDS, "no lag")
    finally:
        producer.abort_transaction()
        producer.close()
    wait_until(lambda: "InputIsHeld" not in prometheus.firing(), SECONDS, "the end of the alert")


def test_a_killed_worker_is_told_and_resolved(prometheus: Monitored) -> None:
    """With the marks that its death and its start leave in every picture."""
    prometheus.workers[-1].kill()
    prometheus.workers[-1].wait(10)
    wait_until(lambda: {"NoWorkerServes", "TargetIsDown"} <= prometheus.firing(), SECONDS, "the alerts")
    wait_until(lambda: prometheus.ask(MARKS["Alerts"]), SECONDS, "the mark of the alerts")
    prometheus.start_worker()
    wait_until(lambda: prometheus.ask(MARKS["Worker starts"]), SECONDS, "the mark")
    wait_until(lambda: not prometheus.firing() & {"NoWorkerServes", "TargetIsDown"}, SECONDS, "the end of the alerts")
