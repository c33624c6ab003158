"""A Java team beside the system: Apache's Kafka client and Avro library, our schema files and their ids, nothing else of ours."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import catalog
from streams.topics import partition_for
from tests.broker.billing_system import PARTITIONS, BillingSystem, billing_system
from tests.broker.harness import ROOT
from tests.broker.java_client import compiled

pytestmark = pytest.mark.broker

PATIENTS = [f"pt-java-{number}" for number in range(20)] + ["pt-Zoë-21", "pt-22", "p"]


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    with billing_system() as running:
        running.start_worker()
        yield running


def test_java_publishes_claims_and_reads_decisions(system: BillingSystem, tmp_path: Path) -> None:
    listed = [json.loads(line) for line in system.run("schemas", "list", "--json").stdout.splitlines()]
    listed.sort(key=lambda schema: schema["event"] != "claim-received")
    files = {s["id"]: ROOT / "schemas" / "released" / s["subject"] / f"v{s['version']}.avsc" for s in listed}
    assert len(files) == len(catalog.VERSIONS)
    done = subprocess.run(
        (
            *compiled("Stranger", tmp_path),
            *(system.broker.bootstrap_servers, ",".join(PATIENTS)),
            *(f"{schema_id}={file}" for schema_id, file in files.items()),
        ),
        env=os.environ | {"LC_ALL": "C.UTF-8"},  # Java reads its arguments and prints in the locale's encoding
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split(" ") for line in done.stdout.splitlines()]
    partitions = {patient: int(partition) for what, patient, partition, *_ in told if what == "published"}
    assert partitions == {patient: partition_for(patient.encode(), PARTITIONS) for patient in PATIENTS}
    read = {tuple(words[1:]) for words in told if words[0] == "decided"}
    assert read == {
        tuple(
            str(decision[name])
            for name in ("patient_id", "claim_id", "version", "outcome", "paid_cents", "service_date")
        )
        for decision in system.decisions()
    }
    assert {words[1] for words in told if words[0] == "decided"} == set(PATIENTS)
    assert system.wait_decided().ok
