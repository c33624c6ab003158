"""`pathway-billing sweep` with a real worker: pends expire once, whoever sweeps however often."""

import json
import signal
from collections.abc import Iterator

import pytest

from streams.topics import PEND_EXPIRED
from tests import facts
from tests.broker.billing_system import PARTITIONS, BillingSystem, billing_system

pytestmark = pytest.mark.broker

# received on 2024-02-01: the limit of 20 days is over on 2024-02-22
LAST_DAY, FIRST_DAY_OVER = "2024-02-21", "2024-02-22"


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    """Every test leaves a worker behind, and no pended claim."""
    with billing_system() as running:
        running.publish([facts.agreement()])
        yield running


def pend(system: BillingSystem, patient_id: str) -> None:
    """A claim of two lines that waits for its treatment's start, decided by a running worker."""
    if not system.workers or system.workers[-1].poll() is not None:
        system.start_worker()
    lines = [facts.line(1, "S0353", "2024-01-10"), facts.line(2, "S0354", "2024-01-10")]
    claim = facts.claim(f"A{patient_id[-2:]}", lines, received_date="2024-02-01")
    system.publish({**fact, "patient_id": patient_id} for fact in (facts.order(), claim))
    system.wait_decided()


def expired_facts(system: BillingSystem) -> int:
    with system.log() as log:
        return sum(1 for partition in range(PARTITIONS) for _ in log.read_all(PEND_EXPIRED, partition))


def current(system: BillingSystem, patient_id: str) -> list[tuple[int, int, str]]:
    done = system.run("decisions", "--current", "--patient", patient_id, "--json")
    decisions = [json.loads(line) for line in done.stdout.splitlines()]
    return [(decision["line_number"], decision["version"], decision["reason"]) for decision in decisions]


def test_a_pend_expires_when_its_limit_is_over_and_once(system: BillingSystem) -> None:
    pend(system, "pt-0001")
    ((_, version, _), _) = current(system, "pt-0001")
    before = expired_facts(system)
    done = system.run("sweep", "--as-of", LAST_DAY)
    assert done.stdout == "0 pends expired as of 2024-02-21; 1 claim was pended\n", done.stderr
    done = system.run("sweep", "--as-of", FIRST_DAY_OVER, "--dry-run")
    assert "received 2024-02-01, 21 days ago; the limit is 20" in done.stdout
    assert "pt-0001" not in done.stdout
    assert "pt-0001" in system.run("sweep", "--as-of", FIRST_DAY_OVER, "--dry-run", "--reveal").stdout
    assert expired_facts(system) == before

    # two at once
    with (
        system.start("sweep", "--as-of", FIRST_DAY_OVER, "--json") as one,
        system.start("sweep", "--as-of", FIRST_DAY_OVER, "--json") as other,
    ):
        reports = [json.loads(sweep.communicate(timeout=60)[0]) for sweep in (one, other)]
    assert max(report["published"] for report in reports) == 1
    assert not system.wait_decided().findings.first
    reason = "NO_TREATMENT_START"
    assert current(system, "pt-0001") == [(1, version + 1, reason), (2, version + 1, reason)]

    # and again
    published = expired_facts(system)
    assert system.run("sweep").stdout.startswith("0 pends expired as of ")
    assert expired_facts(system) == published

    # a start that arrives later still pays the line
    system.publish([facts.start()])
    assert not system.wait_decided().findings.first
    assert current(system, "pt-0001")[0] == (1, version + 2, "PAID")


def test_sweeping_again_and_again_until_stopped(system: BillingSystem) -> None:
    pend(system, "pt-0002")
    before = expired_facts(system)
    with system.start("sweep", "--every", "1s") as sweeping:
        assert sweeping.stdout is not None
        assert sweeping.stdout.readline().startswith("1 pend expired as of ")  # today: long over
        assert not system.wait_decided().findings.first
        later = [sweeping.stdout.readline() for _ in range(2)]
        assert all(line.startswith("0 pends expired") for line in later)
        sweeping.send_signal(signal.SIGTERM)
        assert sweeping.wait(timeout=60) == 0
    assert expired_facts(system) == before + 1


def test_a_pend_that_expired_and_is_not_decided_yet_is_not_expired_again(system: BillingSystem) -> None:
    pend(system, "pt-0003")
    before = expired_facts(system)
    system.workers[-1].send_signal(signal.SIGTERM)
    assert system.workers[-1].wait(timeout=30) == 0
    assert system.run("sweep", "--as-of", FIRST_DAY_OVER).stdout.startswith("1 pend expired")
    done = system.run("sweep", "--as-of", FIRST_DAY_OVER)
    assert done.stdout == (
        "0 pends expired as of 2024-02-22; 1 claim was pended, 1 of them expired before and not decided yet\n"
    )
    assert expired_facts(system) == before + 1
    system.start_worker()
    assert not system.wait_decided().findings.first
    assert "0 claims were pended" in system.run("sweep").stdout


def test_bad_usage(system: BillingSystem) -> None:
    assert system.run("sweep", "--as-of", "2024-02-30").returncode == 2
    assert system.run("sweep", "--every", "soon").returncode == 2
    done = system.run("sweep", "--bootstrap-servers", "127.0.0.1:1")
    assert done.returncode == 2
    assert "no Kafka answers" in done.stderr
