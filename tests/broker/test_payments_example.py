"""The payments consumer of docs/examples, killed again and again while decisions and corrections flow: what it paid is right."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.adjudication.facts import ProviderAgreement
from streams.generator import history
from tests.broker.billing_system import BillingSystem, billing_system
from tests.broker.harness import ROOT, wait_until

pytestmark = pytest.mark.broker

KILLS = 12
IDLE_SECONDS = "10"  # so long that no first fetch of a slow broker is taken for the end
FACTS = list(history(150, 23))


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    with billing_system() as running:
        running.start_worker()
        yield running


def payments(system: BillingSystem, database: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        (
            *(sys.executable, "docs/examples/payments.py", "--database", str(database)),
            *("--bootstrap-servers", system.broker.bootstrap_servers, *arguments),
        ),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def moved(database: Path) -> int:
    """How many offsets the consumer has behind it."""
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as reader:
            return int(reader.execute("SELECT coalesce(sum(next_offset), 0) FROM positions").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are not there yet
        return 0


def test_killed_at_any_moment_it_pays_everything_once(system: BillingSystem, tmp_path: Path) -> None:
    seed = int(os.environ.get("PAYMENTS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"repeat with PAYMENTS_SEED={seed}")
    chance = random.Random(seed)
    agreements = [fact for fact in FACTS if isinstance(fact, ProviderAgreement)]
    rest = [fact for fact in FACTS if not isinstance(fact, ProviderAgreement)]
    chance.shuffle(rest)  # late facts: decisions are corrected
    system.publish(agreements)
    database = tmp_path / "payments.db"
    share = -(-len(rest) // KILLS)
    killed_after_paying = 0
    for kill in range(KILLS):
        before = moved(database)
        process = payments(system, database)
        try:
            system.publish(rest[kill * share : (kill + 1) * share])
            if kill % 5:  # else it may be killed before it has done anything
                wait_until(lambda before=before: moved(database) > before, 60, "the consumer at work")
            time.sleep(chance.random() * 0.05)  # any moment, in or between its transactions
            assert process.poll() is None, process.communicate()
        finally:
            process.kill()
            process.communicate()
        killed_after_paying += moved(database) > before
    assert killed_after_paying >= KILLS // 2, "it was killed at work, not at rest"

    assert system.wait_decided().ok
    last = payments(system, database, "--until-idle", IDLE_SECONDS)
    told, errors = last.communicate(timeout=60)
    assert last.returncode == 0, errors
    newest = {}
    for decision in system.decisions():
        newest[decision["patient_id"], decision["claim_id"], decision["line_number"]] = decision
    with sqlite3.connect(database) as reader:
        lines = {tuple(row[:3]): row[3:] for row in reader.execute("SELECT * FROM lines")}
        by_line = {
            tuple(row[:3]): row[3]
            for row in reader.execute(
                "SELECT patient_id, claim_id, line_number, sum(cents) FROM moves GROUP BY patient_id, claim_id, line_number"
            )
        }
        backwards = reader.execute("SELECT count(*) FROM moves WHERE cents < 0").fetchone()[0]
    assert backwards > 0, "corrections took money back"
    assert lines == {line: (decision["version"], decision["paid_cents"]) for line, decision in newest.items()}
    assert {line: cents for line, cents in by_line.items() if cents} == {
        line: decision["paid_cents"] for line, decision in newest.items() if decision["paid_cents"]
    }
    assert json.loads(told)["paid_cents"] == sum(decision["paid_cents"] for decision in newest.values())


def test_a_replay_from_the_beginning_moves_nothing(system: BillingSystem, tmp_path: Path) -> None:
    system.publish([fact for fact in FACTS if isinstance(fact, ProviderAgreement)])
    system.publish(FACTS[:100])
    assert system.wait_decided().ok
    database = tmp_path / "payments.db"
    paid = []
    for _ in range(2):
        done, errors = (process := payments(system, database, "--until-idle", IDLE_SECONDS)).communicate(timeout=60)
        assert process.returncode == 0, errors
        with sqlite3.connect(database) as writer:
            paid.append((json.loads(done)["paid_cents"], writer.execute("SELECT count(*) FROM moves").fetchone()))
            writer.execute("DELETE FROM positions")
    assert paid[0] == paid[1]
    assert paid[0][0] > 0


def test_two_on_one_database_are_noticed(system: BillingSystem, tmp_path: Path) -> None:
    database = tmp_path / "payments.db"
    first, second = payments(system, database), payments(system, database)
    try:
        facts = history(200, 99)

        def one_gave_up() -> bool:
            system.publish([next(facts) for _ in range(10)])
            return first.poll() is not None or second.poll() is not None

        wait_until(one_gave_up, 60, "one of two to give up")
        ended = first if first.poll() is not None else second
        assert "another payments process uses this database" in ended.communicate()[1]
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
