"""The ledger of a running installation: killed while it follows, written by two at once, rebuilt, on both databases."""

import functools
import json
import os
import random
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from deploy.broker import free_port
from projections.ledger.checksum import checksums
from projections.ledger.database import open_for_reading
from projections.ledger.tables import claim_lines, decision_versions, facts, provider_months
from streams.adjudication.facts import Fact, ProviderAgreement
from streams.generator import history
from tests.broker import command_line
from tests.broker.billing_system import BillingSystem, billing_system
from tests.broker.harness import wait_until
from tests.postgres import Postgres

pytestmark = pytest.mark.broker

PATIENTS = 120
SEED = int(os.environ.get("PATHWAY_BILLING_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    with billing_system() as running:
        yield running


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


def rows(url: str) -> dict[str, str]:
    with open_for_reading(url) as database, database.read() as connection:
        return checksums(connection)


def count(url: str) -> int:
    with open_for_reading(url) as database, database.read() as connection:
        return connection.scalar(select(func.count()).select_from(facts)) or 0


def grown(url: str, before: int) -> bool:
    return count(url) > before


def project(system: BillingSystem, url: str, *arguments: str) -> str:
    done = system.run("project", "--database", url, *arguments, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kills_and_rivals_change_nothing_and_a_rebuild_says_so(
    system: BillingSystem, sqlite_url: str, postgres: Postgres
) -> None:
    print(f"repeat it with PATHWAY_BILLING_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    year: list[Fact] = list(history(PATIENTS, 4))
    system.publish(fact for fact in year if isinstance(fact, ProviderAgreement))
    rest = [fact for fact in year if not isinstance(fact, ProviderAgreement)]
    system.start_worker()
    postgres_url = postgres.new_database().replace(":not-asked", "")  # no password on a command line
    for url in (sqlite_url, postgres_url):
        project(system, url)

    parts = 3
    for part in range(parts):
        with ExitStack() as stack:
            running = [
                stack.enter_context(system.start("project", "--follow", "--database", url))
                for url in (sqlite_url, sqlite_url, postgres_url, postgres_url)
            ]
            for process in running:
                assert process.stdout is not None
                lines = iter(process.stdout.readline, "")
                assert any(line.startswith("ready:") for line in lines), process.stderr and process.stderr.read()
            standing = {url: count(url) for url in (sqlite_url, postgres_url)}
            system.publish(rest[part * len(rest) // parts : (part + 1) * len(rest) // parts])
            for url in (sqlite_url, postgres_url):
                wait_until(functools.partial(grown, url, standing[url]), 60, "new rows")
            time.sleep(chance.uniform(0, 0.3))  # anywhere in their transactions
            for process in running:
                process.kill()
    system.wait_decided()

    for url in (sqlite_url, postgres_url):
        project(system, url)
    assert rows(sqlite_url) == rows(postgres_url)
    current = [json.loads(line) for line in system.run("decisions", "--current", "--json").stdout.splitlines()]
    with open_for_reading(sqlite_url) as database, database.read() as connection:
        lines_there = connection.execute(
            select(claim_lines.c.claim_id, claim_lines.c.line_number, claim_lines.c.decision_id)
        )
        assert {tuple(row) for row in lines_there} == {
            (d["claim_id"], d["line_number"], d["decision_id"]) for d in current
        }
        assert connection.scalar(select(func.count()).select_from(decision_versions)) == len(system.decisions())
        paid = connection.scalar(select(func.sum(provider_months.c.paid_cents - provider_months.c.taken_back_cents)))
        assert paid == sum(decision["paid_cents"] for decision in current) > 0

    for url in (sqlite_url, postgres_url):
        before = rows(url)
        said = json.loads(project(system, url, "--rebuild", "--json").splitlines()[0])
        assert said["before"] == said["rebuilt"] == before == rows(url)


def test_the_projector_says_how_far_behind_it_is(system: BillingSystem, sqlite_url: str) -> None:
    port = free_port()
    with system.start("project", "--follow", "--database", sqlite_url, "--metrics-port", str(port)) as process:
        assert process.stdout is not None
        assert any(line.startswith("ready:") for line in iter(process.stdout.readline, ""))

        def metrics() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())

        name = 'pathway_billing_projector_lag_records{partition="0",topic="billing-decisions"} 0.0'
        wait_until(lambda: name in metrics(), 30, "the lag is told")
        assert "pathway_billing_projector_ready 1.0" in metrics()
        process.terminate()
        assert process.wait(60) == 0


def test_what_is_wrong_is_told_with_what_to_do(system: BillingSystem, tmp_path: Path) -> None:
    down = command_line.run(
        "project",
        home=system.home,
        PATHWAY_BILLING_BOOTSTRAP_SERVERS=system.broker.bootstrap_servers,
        PATHWAY_BILLING_DATABASE="postgresql://billing:secret@127.0.0.1:1/billing",
    )
    assert down.returncode == 2
    assert "does not answer" in down.stderr
    assert "secret" not in down.stderr
    (tmp_path / "text").write_text("no database" * 100)
    foreign = system.run("project", "--database", f"sqlite:///{tmp_path / 'text'}")
    assert foreign.returncode == 2
    assert "is not an SQLite database" in foreign.stderr
    no_kafka = system.run("project", "--bootstrap-servers", "127.0.0.1:1")
    assert no_kafka.returncode == 2
    assert "no Kafka answers" in no_kafka.stderr


def test_next_billable_is_the_same_from_kafka_and_from_the_ledger(system: BillingSystem, sqlite_url: str) -> None:
    if not system.workers:
        system.start_worker()
    system.publish(history(PATIENTS, 4))  # those that are there already have no effect a second time
    system.wait_decided()
    project(system, sqlite_url)
    with open_for_reading(sqlite_url) as database, database.read() as connection:
        line = connection.execute(select(claim_lines).where(claim_lines.c.outcome == "PAID").limit(1)).one()
    asked = (
        "next-billable",
        "--patient",
        line.patient_id,
        "--npi",
        line.billing_npi,
        "--from",
        str(line.service_date),
        "--json",
    )
    from_kafka, from_ledger = system.run(*asked), system.run(*asked, "--ledger", "--database", sqlite_url)
    assert from_kafka.returncode == from_ledger.returncode == 0, from_kafka.stderr + from_ledger.stderr
    assert json.loads(from_kafka.stdout) == json.loads(from_ledger.stdout)
    assert json.loads(from_kafka.stdout)["obstacles"]
