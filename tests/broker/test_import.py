"""`import-837 --publish` and `import-fhir --publish`: from a provider's file to decisions, again, and again after a failure."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from streams.importers.member_tokens import MemberTokens
from streams.topics import CLAIM_RECEIVED
from tests import facts
from tests.broker.billing_system import PARTITIONS, BillingSystem, billing_system
from tests.broker.harness import wait_until
from tests.unit.importers import x12_files as x12
from tests.unit.importers.test_fhir import resource

pytestmark = pytest.mark.broker

KEY = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    with billing_system() as running:
        yield running


def test_from_files_to_decisions_and_no_change_by_a_second_import(system: BillingSystem, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    claims = tmp_path / "claims.837"
    good = x12.claim("A", references="REF*G1*O1")
    bad = x12.claim("B", charge="1")
    claims.write_text(x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), good, bad)))
    fhir = tmp_path / "claims.json"
    item = {
        **resource()["item"][0],
        "productOrService": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/HCPCS", "code": "S0354"}]},
    }
    fhir.write_text(
        json.dumps(resource(created="2024-02-10", item=[{**item, "servicedDate": "2024-02-07"}]), default=float)
    )
    member = MemberTokens(KEY.encode()).subscriber("HP001", "MEM0001")
    system.publish([facts.agreement(), *({**fact, "patient_id": member} for fact in (facts.order(), facts.start()))])
    with_key = ("--member-key-file", str(key), "--publish")

    refused = system.run(
        "import-837",
        "--member-key-file",
        str(key),
        "--publish",
        "--request-timeout",
        "1",
        "--bootstrap-servers",
        "127.0.0.1:9",
        str(claims),
    )
    assert refused.returncode == 2
    assert "no Kafka answers" in refused.stderr

    system.start_worker()
    for _ in range(2):
        imported = system.run("import-837", *with_key, str(claims))
        assert imported.returncode == 1, imported.stderr
        assert imported.stdout == ""
        assert "CLM02: must be the sum of the lines' charges" in imported.stderr
        assert "1 claim published and acknowledged" in imported.stderr
        assert system.run("import-fhir", *with_key, str(fhir)).returncode == 0
    system.wait_decided()
    decisions = system.decisions()
    assert sorted((d["procedure_code"], d["outcome"], d["version"]) for d in decisions) == [
        ("S0353", "PAID", 1),
        ("S0354", "PAID", 1),
    ]
    assert {d["patient_id"] for d in decisions} == {member}


CLAIMS = 2_000


def test_an_import_killed_half_way_and_run_again_loses_nothing_and_decides_nothing_twice(
    system: BillingSystem, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    tokens = MemberTokens(KEY.encode())
    members = [f"KILLED{number:05}" for number in range(CLAIMS)]
    body = x12.billing()
    for hl, member in enumerate(members, start=2):
        body += [*x12.subscriber(hl, member=member), *x12.claim(member)]
    file = tmp_path / "large.837"
    file.write_text(x12.interchange(x12.transaction_set(body)))
    patients = [tokens.subscriber("HP001", member) for member in members]
    system.publish(
        {**fact, "patient_id": patient, "event_id": f"{patient}-{number}"}
        for patient in patients
        for number, fact in enumerate((facts.order(), facts.start()))
    )
    system.publish([facts.agreement()])
    if not system.workers:
        system.start_worker()
    with KafkaConsumer(bootstrap_servers=system.broker.bootstrap_servers, group_id=None) as consumer:
        partitions = [TopicPartition(CLAIM_RECEIVED, number) for number in range(PARTITIONS)]

        def received() -> int:
            return sum(consumer.end_offsets(partitions).values())

        command = ("import-837", "--member-key-file", str(key), "--publish", str(file))
        for _ in range(5):  # on a busy machine an import may be through before this process sees its first claim
            before = received()
            with system.start(*command) as importing:
                wait_until(lambda before=before: received() > before, 60, "a claim is published")
                importing.kill()
                importing.wait()
            half_way = received() - before
            if half_way < CLAIMS:
                break
        assert 0 < half_way < CLAIMS, "the kill was to come in between"

        again = system.run(*command)
        assert again.returncode == 0, again.stderr
        assert f"{CLAIMS:,} claims published and acknowledged" in again.stderr
        # What the killed one had sent may have been stored a moment after it was gone
        assert half_way + CLAIMS <= received() - before <= 2 * CLAIMS, "what was there came a second time"
    system.wait_decided()
    decisions = [decision for decision in system.decisions() if decision["patient_id"] in set(patients)]
    assert Counter((d["outcome"], d["version"], d["change_cents"]) for d in decisions) == {("PAID", 1, 35000): CLAIMS}
    assert {decision["patient_id"] for decision in decisions} == set(patients)
