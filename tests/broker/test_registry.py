"""A real schema registry, by TLS: our schemas in it, strangers who write and read by it, and what happens while it is away."""

import copy
import io
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas import catalog
from streams.topics import BILLING_DECISIONS, CLAIM_RECEIVED, DEAD_LETTERS, partition_for
from tests import facts
from tests.broker import command_line
from tests.broker.billing_system import PARTITIONS, BillingSystem, billing_system
from tests.broker.harness import wait_until
from tests.broker.registry import Registry, running_registry
from tests.certificates import Certificates

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry"), certificates=certificates) as running:
        yield running


@pytest.fixture(scope="module")
def system(registry: Registry, certificates: Certificates) -> Iterator[BillingSystem]:
    with billing_system() as running:
        running._environment |= {
            "PATHWAY_BILLING_SCHEMA_REGISTRY": registry.url,
            "PATHWAY_BILLING_SCHEMA_REGISTRY_CA_FILE": str(certificates.ca_file),
        }
        yield running


def patients_by_partition() -> dict[int, str]:
    names = (f"pt-{number:04}" for number in range(1000))
    return {partition_for(name.encode(), PARTITIONS): name for name in names}


def wait_for_decision(system: BillingSystem, claim_id: str) -> dict[str, Any]:
    def decided() -> dict[str, Any] | None:
        return next((d for d in system.decisions() if d["claim_id"] == claim_id), None)

    found: dict[str, Any] = wait_until(decided, 60, f"a decision of {claim_id}")
    return found


def committed(system: BillingSystem, topic: str) -> list[Any]:
    consumer = Consumer(
        {
            "bootstrap.servers": system.broker.bootstrap_servers,
            "group.id": f"reader-of-{topic}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    records, ended = [], 0
    while ended < PARTITIONS:
        message = consumer.poll(30)
        assert message is not None
        if message.error():
            ended += 1
        else:
            records.append(message)
    consumer.close()
    return records


def test_a_registry_beside_the_whole_system(
    system: BillingSystem, registry: Registry, certificates: Certificates, tmp_path: Path
) -> None:
    # without a timeout this client waits for ever when one answer is lost, which Apicurio did once; with it, it asks again
    client = SchemaRegistryClient({"url": registry.url, "ssl.ca.location": str(certificates.ca_file), "timeout": 20})
    with ExitStack() as stack:
        a_registry_that_is_not_believed_is_asked_nothing(system, Certificates(tmp_path))
        our_schemas_are_registered_by_command(system, client)
        worker = stack.enter_context(start_worker(system))
        a_stranger_writes_claims_and_reads_decisions(system, client)
        what_is_cached_goes_on_while_the_registry_is_silent(system, registry, client, worker)
        assert committed(system, DEAD_LETTERS) == []
        checked = system.run("verify", "--json")
        assert checked.returncode == 0, checked.stdout


def a_registry_that_is_not_believed_is_asked_nothing(system: BillingSystem, others: Certificates) -> None:
    """Whatever needs the registry, all by the same client, ends before it does anything."""
    facts_file = system.home / "facts.jsonl"
    facts_file.write_text(json.dumps(facts.order()) + "\n")
    for ca_file in (str(others.ca_file), ""):  # another authority, and those that the system trusts
        for command in (("worker",), ("publish", str(facts_file)), ("schemas", "register"), ("schemas", "check")):
            done = command_line.run(
                *command,
                home=system.home,
                **(system._environment | {"PATHWAY_BILLING_SCHEMA_REGISTRY_CA_FILE": ca_file}),
            )
            assert done.returncode in (1, 2)
            assert "the certificate of the schema registry on https://127.0.0.1" in done.stderr
            assert "PATHWAY_BILLING_SCHEMA_REGISTRY_CA_FILE" in done.stderr
            assert "Traceback" not in done.stderr


def our_schemas_are_registered_by_command(system: BillingSystem, client: SchemaRegistryClient) -> None:
    unregistered = system.run("worker")
    assert unregistered.returncode == 2
    assert "register it with `pathway-billing schemas register`" in unregistered.stderr
    before = system.run("schemas", "check")
    assert before.returncode == 1
    assert "billing-decisions-value: v1 is not registered" in before.stdout
    first = system.run("schemas", "register", "--json")
    assert first.returncode == 0, first.stderr
    ids = {row["subject"]: row["registry_id"] for row in map(json.loads, first.stdout.splitlines())}
    assert system.run("schemas", "register", "--json").stdout == first.stdout
    checked = system.run("schemas", "check")
    assert (checked.returncode, checked.stdout.startswith(f"{len(catalog.VERSIONS)} schemas are registered")) == (
        0,
        True,
    ), checked.stdout
    listed = [json.loads(row) for row in system.run("schemas", "list", "--json").stdout.splitlines()]
    assert {row["subject"]: row["registry_id"] for row in listed} == ids
    assert client.get_latest_version("claim-received-value").schema_id == ids["claim-received-value"]
    broken = json.loads(catalog.text("claim-received.avsc"))
    broken["fields"].append({"name": "tax_id", "type": "string"})
    assert not client.test_compatibility("claim-received-value", Schema(json.dumps(broken), "AVRO"))


def start_worker(system: BillingSystem) -> Any:
    return system.start("worker", "--store", "memory", "--instance-id", "one", "--log-level", "warning")


def stranger_schema(name: str) -> dict[str, Any]:
    """A claim as another team evolves it: types that our codec does not know, another order of fields."""
    schema = copy.deepcopy(json.loads(catalog.text("claim-received.avsc")))
    schema["fields"].reverse()
    schema["fields"].insert(
        3,
        {"name": f"{name}_tags", "type": {"type": "map", "values": "double"}, "default": {}},
    )
    color = {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE"]}
    schema["fields"].insert(5, {"name": f"{name}_color", "type": ["null", color], "default": None})
    return schema


def a_claim(claim_id: str, patient: str) -> dict[str, Any]:
    """As a Python program outside would hold it: dates are dates."""
    import datetime as dt

    claim = {**facts.s_line(claim_id, "S0353", "2024-01-08"), "patient_id": patient}
    claim = {name: value for name, value in claim.items() if name != "type"}
    claim["received_date"] = dt.date.fromisoformat(claim["received_date"])
    for line in claim["lines"]:
        for name in ("service_date", "service_date_to"):
            line[name] = dt.date.fromisoformat(line[name])
    return claim


def produce(system: BillingSystem, patient: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": system.broker.bootstrap_servers, "partitioner": "murmur2_random"})
    producer.produce(CLAIM_RECEIVED, key=patient.encode(), value=value)
    assert producer.flush(30) == 0


def serialized(client: SchemaRegistryClient, schema: dict[str, Any], claim: dict[str, Any]) -> bytes:
    value = AvroSerializer(client, json.dumps(schema))(claim, SerializationContext(CLAIM_RECEIVED, MessageField.VALUE))
    assert isinstance(value, bytes)
    return value


def a_stranger_writes_claims_and_reads_decisions(system: BillingSystem, client: SchemaRegistryClient) -> None:
    patient = patients_by_partition()[0]
    claim = {**a_claim("STRANGE", patient), "a_tags": {"x": 1.5}, "a_color": "RED"}
    produce(system, patient, serialized(client, stranger_schema("a"), claim))
    wait_for_decision(system, "STRANGE")
    deserialize = AvroDeserializer(client)
    record = next(message for message in committed(system, BILLING_DECISIONS))
    decision = deserialize(record.value(), SerializationContext(BILLING_DECISIONS, MessageField.VALUE))
    assert (decision["claim_id"], decision["charge_cents"]) == ("STRANGE", claim["lines"][0]["charge_cents"])
    schema_id = int.from_bytes(record.value()[1:5], "big")
    assert schema_id == client.get_latest_version("billing-decisions-value").schema_id


def what_is_cached_goes_on_while_the_registry_is_silent(
    system: BillingSystem, registry: Registry, client: SchemaRegistryClient, worker: "subprocess.Popen[str]"
) -> None:
    unknown = serialized(client, stranger_schema("b"), a_claim("WAITS", patients_by_partition()[0]))
    known = serialized(client, stranger_schema("a"), a_claim("GOES-ON", patients_by_partition()[1]))
    # whoever starts now need not wait long for an answer; a registry that speaks gets its time, as it is new and slow
    with registry.silent(), pytest.MonkeyPatch.context() as impatient:
        impatient.setitem(system._environment, "PATHWAY_BILLING_SCHEMA_REGISTRY_TIMEOUT", "0.5")
        produce(system, patients_by_partition()[0], unknown)
        assert worker.stderr is not None
        waits = next(line for line in iter(worker.stderr.readline, "") if "waits: " in line)
        assert "partition 0 waits: for schema id" in waits
        produce(system, patients_by_partition()[1], known)
        wait_for_decision(system, "GOES-ON")
        facts_file = system.home / "order.jsonl"
        facts_file.write_text(json.dumps({**facts.order(), "patient_id": patients_by_partition()[2]}) + "\n")
        # this process has written orders never before: its id is not cached
        publish = system.run("publish", str(facts_file))
        assert publish.returncode == 2
        assert "no schema registry answers on https://127.0.0.1" in publish.stderr
        assert "WAITS" not in {decision["claim_id"] for decision in system.decisions()}
        worker.kill()
        worker.wait()
        with start_worker(system) as second:  # the registry is down at its start: its ids are on disk
            assert second.stdout is not None
            assert second.stdout.readline().startswith("ready:")
            produce(system, patients_by_partition()[1], serialized_again(known, "GOES-ON-2"))
            wait_for_decision(system, "GOES-ON-2")
    with start_worker(system) as third:
        assert third.stdout is not None
        assert third.stdout.readline().startswith("ready:")
        wait_for_decision(system, "WAITS")
        assert system.run("publish", str(facts_file)).returncode == 0


def serialized_again(value: bytes, claim_id: str) -> bytes:
    """The same schema id, without a registry: as a producer that has it cached."""
    schema = fastavro.parse_schema(stranger_schema("a"))
    claim = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, {**claim, "claim_id": claim_id, "event_id": claim_id})
    return value[:5] + body.getvalue()
