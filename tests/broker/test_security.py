"""A Kafka that asks who is there: every client by every mechanism, each role with its ACLs alone, and clear refusals."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner
from kafka import KafkaProducer

from projections.console.lag import LagMeter
from streams.acls import ROLES, WORKER, Access, accesses, grant
from streams.cli import cli
from streams.events import fact_to_json
from streams.generator import history
from streams.publisher import Publisher, UnreachableError
from streams.security import PLAINTEXT, security_from_environment
from streams.settings import Settings
from streams.topics import BILLING_DECISIONS, admin_client
from tests.broker import command_line
from tests.broker.harness import wait_until
from tests.broker.secured_system import PASSWORD, SecuredBroker, secured_broker
from tests.certificates import Certificates

pytestmark = pytest.mark.broker

PARTITIONS = 2
APP_ID = "pathway-billing"
FACTS = [fact_to_json(fact) for fact in history(25, 11)]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker with the roles' ACLs and all topics, made by an operator."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as running:
        granted = run(running, "acls", "--apply", PATHWAY_BILLING_BOOTSTRAP_SERVERS=plain(running))
        assert granted.returncode == 0, granted.stderr
        made = run(running, "topics", **running.sasl("operator"))
        assert made.returncode == 0, made.stderr
        yield running


def plain(secured: SecuredBroker) -> str:
    """The listener that asks nobody, where an administrator comes in."""
    return secured.broker.bootstrap_servers


def run(secured: SecuredBroker, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = command_line.run(
        *arguments, home=secured.folder / "home", **{"PATHWAY_BILLING_PARTITIONS": str(PARTITIONS), **environment}
    )
    assert PASSWORD not in done.stdout + done.stderr
    return done


def worker(secured: SecuredBroker, environment: Mapping[str, str], log: IO[str] | None = None):  # type: ignore[no-untyped-def]
    """With a log, everything that it has to say goes there."""
    return command_line.start(
        *("worker", "--store", "memory", "--session-timeout", "6", "--log-level", "debug" if log else "info"),
        home=secured.folder / "home",
        log=log,
        **{"PATHWAY_BILLING_PARTITIONS": str(PARTITIONS), **environment},
    )


def publish(
    secured: SecuredBroker, folder: Path, facts: list[dict[str, object]], environment: Mapping[str, str]
) -> None:
    file = folder / "facts.jsonl"
    file.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    done = run(secured, "publish", str(file), **environment)
    assert done.returncode == 0, done.stderr


def test_every_role_does_its_work_by_every_mechanism(secured: SecuredBroker, tmp_path: Path) -> None:
    operator = secured.sasl("operator")
    by_turns = {
        "PLAIN": secured.sasl("worker"),
        "SCRAM-SHA-256": secured.sasl("worker", "SCRAM-SHA-256"),
        "SCRAM-SHA-512": secured.sasl("worker", "SCRAM-SHA-512"),
        "OAUTHBEARER": secured.oauth("worker"),
        "mutual TLS": secured.mutual("worker"),
        "TLS alone": secured.encrypted(),
        "a login without TLS": secured.sasl("worker", "SCRAM-SHA-512", encrypted=False),
    }
    publishers = (
        secured.sasl("publisher"),
        secured.sasl("publisher", "SCRAM-SHA-256"),
        secured.sasl("publisher", "SCRAM-SHA-512"),
        secured.oauth("publisher"),
        secured.mutual("publisher"),
        secured.encrypted(),
        secured.sasl("publisher", encrypted=False),
    )
    share = -(-len(FACTS) // len(by_turns))
    for turn, (mechanism, environment) in enumerate(by_turns.items()):
        publish(secured, tmp_path, FACTS[turn * share : (turn + 1) * share], publishers[turn])
        with (tmp_path / "worker.log").open("w+") as log, worker(secured, environment, log) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready:"), f"{mechanism}: {log.name}"

            def all_decided() -> bool:
                found = json.loads(run(secured, "verify", "--json", **operator).stdout)
                assert found["ok"], found
                return bool(found["counts"]["waiting"] == 0)

            wait_until(all_decided, 60, f"all facts decided by {mechanism}")
            process.terminate()
            assert process.wait(30) == 0, log.name
            log.seek(0)
            written = log.read()
        assert "DEBUG" in written
        assert PASSWORD not in written
        assert not [fact for fact in FACTS if str(fact.get("patient_id", PASSWORD)) in written]

    read = [
        run(secured, "decisions", "--json", **environment)
        for environment in (secured.mutual("payments"), secured.oauth("projections"), secured.sasl("payments"))
    ]
    assert all(done.returncode == 0 for done in read), [done.stderr for done in read]
    assert len({tuple(sorted(done.stdout.splitlines())) for done in read}) == 1
    assert len(read[0].stdout.splitlines()) > 10
    projected = run(secured, "project", "--json", **secured.oauth("projections"))
    assert projected.returncode == 0, projected.stderr
    swept = run(secured, "sweep", "--as-of", "2030-01-01", **operator)
    assert swept.returncode == 0, swept.stderr
    again = run(secured, "readjudicate", "--all", "--yes", **operator)
    assert again.returncode == 0, again.stderr


WAYS: dict[str, Callable[[SecuredBroker], dict[str, str]]] = {
    "PLAIN": lambda secured: secured.sasl("operator"),
    "SCRAM-SHA-256": lambda secured: secured.sasl("operator", "SCRAM-SHA-256"),
    "SCRAM-SHA-512": lambda secured: secured.sasl("operator", "SCRAM-SHA-512"),
    "OAUTHBEARER": lambda secured: secured.oauth("operator"),
    "OAUTHBEARER from a file": lambda secured: secured.token_file("operator"),
    "mutual TLS": lambda secured: secured.mutual("operator"),
    "mutual TLS with an encrypted key": lambda secured: secured.mutual("operator", locked=True),
    "TLS alone": lambda secured: secured.encrypted(),
    "PLAIN without TLS": lambda secured: secured.sasl("operator", encrypted=False),
    "SCRAM-SHA-256 without TLS": lambda secured: secured.sasl("operator", "SCRAM-SHA-256", encrypted=False),
    "SCRAM-SHA-512 without TLS": lambda secured: secured.sasl("operator", "SCRAM-SHA-512", encrypted=False),
    "OAUTHBEARER without TLS": lambda secured: secured.oauth("operator", encrypted=False),
}


@pytest.fixture(scope="module")
def refused(secured: SecuredBroker) -> Iterator[str]:
    """The names of dead letters, of which each way has two."""
    wanted = 2 * len(WAYS)
    operator = secured.sasl("operator")

    def found() -> list[str]:
        listed = run(secured, "dead-letters", "list", "--json", "--topic", "treatment-started", **operator)
        return [json.loads(line)["letter"] for line in listed.stdout.splitlines()]

    with KafkaProducer(bootstrap_servers=plain(secured)) as producer:
        for number in range(wanted):
            producer.send("treatment-started", b"junk", f"pt-{number}".encode())
    with worker(secured, secured.sasl("worker")):
        letters = wait_until(lambda: len(letters := found()) >= wanted and letters, 60, "the dead letters")
    return iter(letters)


@pytest.mark.parametrize("way", WAYS)
def test_every_client_connects_by_every_way(
    secured: SecuredBroker, refused: Iterator[str], tmp_path: Path, way: str
) -> None:
    """All that the commands have of Kafka's clients, in this process: it is the connection that each way is about."""
    facts = tmp_path / "facts.jsonl"
    patient = next(fact["patient_id"] for fact in FACTS if fact["type"] == "claim-received")
    facts.write_text("".join(json.dumps(fact) + "\n" for fact in FACTS if fact.get("patient_id") == patient))
    because = ("--because", "a test", "--by", "ann")
    commands = (
        ("topics",),
        ("publish", str(facts)),
        ("decisions",),
        ("verify", "--json"),
        ("sweep", "--as-of", "2030-01-01"),
        ("readjudicate", "--patient", patient, "--yes"),
        ("dead-letters", "count"),
        ("dead-letters", "redrive", next(refused), *because),
        ("dead-letters", "discard", next(refused), *because),
        ("next-billable", "--patient", patient, "--npi", "1234567893", "--from", "2024-03-01"),
        ("project", "--database", f"sqlite:///{tmp_path}/ledger.sqlite"),
    )
    settings = command_line.environment(tmp_path, PATHWAY_BILLING_PARTITIONS=str(PARTITIONS), **WAYS[way](secured))
    others = dict.fromkeys(name for name in os.environ if name.startswith("PATHWAY_BILLING_"))
    for command in commands:
        done = CliRunner(env={**others, **settings}).invoke(cli, command)
        assert done.exit_code == 0, (command, done.output, done.exception)
        assert PASSWORD not in done.output
    behind = LagMeter(Settings(bootstrap_servers=settings["PATHWAY_BILLING_BOOTSTRAP_SERVERS"]))
    with pytest.MonkeyPatch.context() as patch:
        for name in others:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        for limit in ("_PATIENCE_SECONDS", "_TIMEOUT_SECONDS"):  # a page gives up; here a slow login is no refusal
            patch.setattr(f"projections.console.lag.{limit}", 60.0)
        assert not behind({(BILLING_DECISIONS, 0): 0}).startswith("Not known")


@pytest.mark.parametrize(
    ("user", "command", "named"),
    [
        ("payments", ("publish", "FILE"), "publishing facts (topic "),
        ("nobody", ("publish", "FILE"), "publishing facts (topic "),
        ("publisher", ("decisions",), BILLING_DECISIONS),
        ("nobody", ("topics",), "looking at the topics, or changing them (topic "),
        ("payments", ("verify",), "has no topic"),
        ("payments", ("dead-letters", "list"), "has no topic"),
        ("payments", ("worker",), "looking at the topics, or changing them (topic "),
        ("operator", ("acls", "--apply"), "creating ACLs (cluster)"),
    ],
)
def test_what_a_role_is_not_allowed_is_named(
    secured: SecuredBroker, tmp_path: Path, user: str, command: tuple[str, ...], named: str
) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text(json.dumps(FACTS[0]) + "\n")
    done = run(secured, *(str(file) if word == "FILE" else word for word in command), **secured.sasl(user))
    assert done.returncode in (1, 2)
    assert named in done.stderr
    assert "`pathway-billing acls`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_publisher_of_claims_alone_publishes_claims_alone(secured: SecuredBroker, tmp_path: Path) -> None:
    granted = run(
        secured,
        *("acls", "--apply", "--role", "publisher", "--principal", "User:intake", "--topic", "claim-received"),
        PATHWAY_BILLING_BOOTSTRAP_SERVERS=plain(secured),
    )
    assert granted.returncode == 0, granted.stderr
    claims = [fact for fact in FACTS if fact["type"] == "claim-received"]
    publish(secured, tmp_path, claims[:3], secured.oauth("intake"))
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(next(fact for fact in FACTS if fact["type"] == "pathway-selected")) + "\n")
    done = run(secured, "publish", str(other), **secured.oauth("intake"))
    assert done.returncode == 1
    assert "(topic pathway-selected)" in done.stderr


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("claim-received", "(topic claim-received)"),
        (f"{APP_ID}-", "(transactional id"),
        (APP_ID, "(group"),
    ],
)
def test_a_worker_that_lacks_one_permission_stops_and_names_it(
    secured: SecuredBroker, tmp_path: Path, missing: str, named: str
) -> None:
    user = f"half-{len(missing)}"
    some = [access for access in accesses(WORKER, APP_ID) if access.name != missing]
    if missing == "claim-received":  # it sees the topic, and may not read it
        some += [
            access._replace(operations=("Describe", "DescribeConfigs"))
            for access in accesses(WORKER, APP_ID)
            if access.name == missing
        ]
    with admin_client(plain(secured), Settings(), doing="granting") as admin:
        grant(admin, some, f"User:{user}", "*")
    claims = [fact for fact in FACTS if fact["type"] == "claim-received"]
    fresh = [
        fact | {"event_id": f"{user}-{fact['event_id']}", "claim_id": f"{user}-{fact['claim_id']}"} for fact in claims
    ]
    publish(secured, tmp_path, fresh[:5], secured.sasl("publisher"))
    with worker(secured, secured.oauth(user)) as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == 1, log
    stops = [line for line in log.splitlines() if "worker stops:" in line or line.startswith("error: ")]
    assert len(stops) == 1, log
    assert named in stops[0]
    assert "`pathway-billing acls`" in stops[0]


def test_a_worker_that_may_not_write_decisions_stops_and_publishes_none(secured: SecuredBroker, tmp_path: Path) -> None:
    some = [access for access in accesses(WORKER, APP_ID) if access.name != BILLING_DECISIONS]
    some += [Access("topic", BILLING_DECISIONS, ("Describe", "DescribeConfigs"))]
    with admin_client(plain(secured), Settings(), doing="granting") as admin:
        grant(admin, some, "User:mute", "*")
    before = run(secured, "decisions", "--json", **secured.sasl("payments")).stdout
    claims = [fact for fact in FACTS if fact["type"] == "claim-received"]
    fresh = [fact | {"event_id": f"mute-{fact['event_id']}", "claim_id": f"mute-{fact['claim_id']}"} for fact in claims]
    publish(secured, tmp_path, fresh[:5], secured.sasl("publisher"))
    with worker(secured, secured.oauth("mute")) as process:
        _, log = process.communicate(timeout=60)
    assert process.returncode == 1, log
    # Its line names the topic, unless the refusal came between the sends of a transaction: then it names the send after it.
    assert len([line for line in log.splitlines() if "worker stops:" in line]) == 1, log
    assert run(secured, "decisions", "--json", **secured.sasl("payments")).stdout == before


def without(environment: dict[str, str], *parts: str) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not any(part in name for part in parts)}


def test_who_is_not_let_in_is_told_why(secured: SecuredBroker, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    sasl = secured.sasl("payments")
    refused = {
        "the user is unknown to it, or the password or token is wrong": {
            **sasl,
            "PATHWAY_BILLING_SASL_PASSWORD_FILE": str(wrong),
        },
        "its certificate is not believed": without(sasl, "CA_FILE"),
        "a certificate of ours": without(secured.mutual("payments"), "CERTIFICATE"),
        "One that wants TLS or a login": without(sasl, "SASL", "SSL", "PROTOCOL"),
        "It may want another PATHWAY_BILLING_SECURITY_PROTOCOL": {
            **sasl,
            "PATHWAY_BILLING_BOOTSTRAP_SERVERS": plain(secured),
        },
        "SASL_PASSWORD or PATHWAY_BILLING_SASL_PASSWORD_FILE must be set": without(sasl, "PASSWORD"),
        "the embedded broker speaks PLAINTEXT only": without(sasl, "SERVERS"),
        "no Kafka answers on 127.0.0.1:1": {**sasl, "PATHWAY_BILLING_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
    }
    for sentence, environment in refused.items():
        done = run(secured, "decisions", **environment)
        assert done.returncode == 2, (sentence, done.stderr)
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    demo = run(secured, "demo", **without(sasl, "SERVERS"))
    assert demo.returncode == 2
    assert "the embedded broker speaks PLAINTEXT only" in demo.stderr


def test_who_is_not_let_in_is_told_why_from_python(secured: SecuredBroker, tmp_path: Path) -> None:
    by_password = security_from_environment(secured.sasl("publisher"))
    by_certificate = security_from_environment(secured.mutual("publisher"))
    stranger = Certificates(tmp_path).client_file("publisher")
    for listener, security, sentence in (
        ("SECURED", replace(by_password, password="x"), "the user is unknown to it, or the password or token is wrong"),
        ("SECURED", replace(by_password, ca_file=None), "its certificate is not believed"),
        ("SECURED", PLAINTEXT, "It may want another PATHWAY_BILLING_SECURITY_PROTOCOL than PLAINTEXT"),
        ("MUTUAL", replace(by_certificate, certificate_file=None), "a certificate of ours"),
        ("MUTUAL", replace(by_certificate, certificate_file=stranger), "a certificate of ours"),
    ):
        servers = secured.broker.secured_servers(listener)
        with pytest.raises(UnreachableError, match=sentence):
            Publisher(servers, source="/tests", security=security, timeout_seconds=5)


def test_the_acls_that_are_printed_are_the_ones_that_are_made(secured: SecuredBroker) -> None:
    printed = json.loads(run(secured, "acls", "--json").stdout)
    assert set(printed) == set(ROLES)
    from kafka import KafkaAdminClient
    from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePatternFilter
    from kafka.admin import ResourceType as Kind

    with KafkaAdminClient(bootstrap_servers=plain(secured)) as admin:
        for role, wanted in printed.items():
            anything = ResourcePatternFilter(Kind.ANY, None, ACLResourcePatternType.ANY)
            found, _ = admin.describe_acls(
                ACLFilter(f"User:{role}", None, ACLOperation.ANY, ACLPermissionType.ANY, anything)
            )
            made = {(acl.resource_pattern.resource_name, acl.operation.name.replace("_", "")) for acl in found}
            expected = {
                (access["name"], operation.upper())
                for access in wanted["accesses"]
                for operation in access["operations"]
            }
            assert made == expected, role


def test_a_kafka_without_an_authorizer_is_said(broker: object, tmp_path: Path) -> None:
    servers = broker.bootstrap_servers  # type: ignore[attr-defined]
    done = command_line.run("acls", "--apply", home=tmp_path, PATHWAY_BILLING_BOOTSTRAP_SERVERS=servers)
    assert done.returncode == 1
    assert "has no authorizer" in done.stderr
