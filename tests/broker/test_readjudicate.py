"""`pathway-billing readjudicate` with a real worker: an agreement changes, and decisions follow when they are told to."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from streams.readjudication import Request, agreements_through
from tests import facts
from tests.broker.billing_system import BillingSystem, billing_system

pytestmark = pytest.mark.broker

THEIR_NPI = "1098765435"  # of a provider whose agreement stays as it is
OTHER_NPI = "1679576722"


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    """A worker, and a patient of a provider whose agreement stays as it is."""
    with billing_system() as running:
        running.start_worker()
        running.publish([facts.agreement(THEIR_NPI), *story("pt-their", THEIR_NPI)])
        yield running


def story(patient_id: str, npi: str) -> list[dict[str, Any]]:
    claim = facts.s_line(f"A-{patient_id}", "S0353", "2024-01-08", billing_npi=npi)
    return [{**fact, "patient_id": patient_id} for fact in (facts.order(ordering_npi=npi), facts.start(), claim)]


def treat_and_lower_the_fee(system: BillingSystem, npi: str, *patients: str) -> None:
    """Patients of a provider, decided; then the provider's fee goes down."""
    system.publish([facts.agreement(npi)])
    system.publish(fact for patient_id in patients for fact in story(patient_id, npi))
    system.wait_decided()
    system.publish([facts.agreement(npi, version=2, s0353_fee_cents=30000)])


def paid_cents(system: BillingSystem, *patients: str) -> list[int]:
    done = [system.run("decisions", "--current", "--json", "--patient", patient_id) for patient_id in patients]
    return [json.loads(one.stdout)["paid_cents"] for one in done]


def test_a_providers_patients_are_decided_again(system: BillingSystem) -> None:
    patients = ["pt-0001", "pt-0002"]
    treat_and_lower_the_fee(system, facts.NPI, *patients)
    report = system.wait_decided()
    assert not report.findings.first
    assert sorted(report.awaiting) == patients
    assert paid_cents(system, *patients) == [35000] * 2

    done = system.run("readjudicate", "--provider", facts.NPI)
    assert done.returncode == 2
    assert "2 patients to be decided again" in done.stderr
    assert "--yes" in done.stderr

    # one patient
    done = system.run("readjudicate", "--patient", "pt-0001", "--yes")
    assert done.returncode == 0, done.stderr
    assert "pt-0001" not in done.stdout + done.stderr
    assert system.wait_decided().awaiting == ["pt-0002"]

    # all of the provider's
    done = system.run("readjudicate", "--provider", facts.NPI, "--yes", "--json", "--reason", "fees of 2024")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"] == 2
    report = system.wait_decided()
    assert not report.findings.first
    assert report.awaiting == []
    assert paid_cents(system, *patients, "pt-their") == [30000, 30000, 35000]


def test_a_request_that_was_broken_off_is_resumed(system: BillingSystem) -> None:
    patients = [f"pt-1{number:03}" for number in range(5)]
    treat_and_lower_the_fee(system, OTHER_NPI, *patients)
    with system.log() as log:
        begun = Request("of-before", "ops", "fees of 2024", agreements_through(log))
    system.publish(begun.fact(patient_id) for patient_id in patients[:2])
    system.publish([facts.agreement(OTHER_NPI, version=3, s0353_fee_cents=29000)])  # the topic moves on

    resume = ("readjudicate", "--provider", OTHER_NPI, "--request-id", "of-before", "--yes")
    done = system.run(*resume, "--reason", "another")
    assert done.returncode == 0, done.stderr
    assert "5 patients to be decided again, 2 of them requested before" in done.stderr
    assert done.stdout == "3 requests published and acknowledged\n"
    done = system.run(*resume)
    assert (done.returncode, done.stdout) == (0, "0 requests published and acknowledged\n")

    # published twice all the same, as by two people at once: no conflict, no effect
    system.publish(begun.fact(patient_id) for patient_id in patients)
    report = system.wait_decided()
    assert not report.findings.first
    assert report.counts.dead_letters == 0


def test_all_patients(system: BillingSystem) -> None:
    done = system.run("readjudicate", "--all", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert (
        json.loads(done.stdout)["published"] == json.loads(done.stdout)["patients"] == system.verify().counts.patients
    )
    report = system.wait_decided()
    assert not report.findings.first
    assert report.awaiting == []


def test_bad_usage(system: BillingSystem) -> None:
    for arguments, said in (
        ((), "choose one of"),
        (("--all", "--patient", "pt-0001"), "choose one of"),
        (("--patient", "pt-9999"), "check the id"),
        (("--provider", "1234567890"), "check digit"),
        (("--provider", "1245319599"), "check the number"),
        (("--all", "--request-id", "a:b"), "may only have"),
    ):
        done = system.run("readjudicate", *arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr
