"""Who must be allowed what on a Kafka with ACLs: one list for each role, no more than its work needs.

The roles are the columns "written by" and "read by" of docs/spec/events.md, section 1. In Kafka, Read and Write allow Describe
as well, and an idempotent producer needs nothing beyond Write.
"""

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from streams.topics import (
    BILLING_DECISIONS,
    DEAD_LETTER_ACTIONS,
    DEAD_LETTERS,
    ELIGIBILITY_NOTICES,
    INPUT_TOPICS,
    OUTPUT_TOPICS,
    changelog_topic,
    declared_topics,
)

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

PUBLISHER = "publisher"
WORKER = "worker"
PAYMENTS = "payments"
PROJECTIONS = "projections"
OPERATOR = "operator"

ROLES = {
    PUBLISHER: "publishes facts: portals, enrollment, claim intake",
    WORKER: "decides: reads facts, writes decisions, notices, dead letters and its changelog",
    PAYMENTS: "reads decisions",
    PROJECTIONS: "reads facts, decisions, notices and dead letters",
    OPERATOR: "makes topics, sweeps, re-adjudicates, verifies, sends dead letters again",
}

REDRIVE_TRANSACTION = "dead-letters"
"""The transactional id that redrives share, so that only one goes on at a time."""

TOPIC = "topic"
GROUP = "group"
TRANSACTIONAL_ID = "transactional-id"

READ, WRITE, DESCRIBE, CREATE = "Read", "Write", "Describe", "Create"
DESCRIBE_CONFIGS, ALTER_CONFIGS = "DescribeConfigs", "AlterConfigs"


class Access(NamedTuple):
    """Operations on one resource, or on all whose names begin so."""

    resource: str  # TOPIC, GROUP or TRANSACTIONAL_ID
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


def accesses(
    role: str, app_id: str, *, topics: Sequence[str] = INPUT_TOPICS, group: str | None = None
) -> tuple[Access, ...]:
    """What a role needs. `topics`: the facts that a publisher publishes; `group`: that of a consumer which has one."""
    changelog = changelog_topic(app_id)
    groups = (Access(GROUP, group, (READ,)),) if group else ()
    if role == PUBLISHER:
        return tuple(Access(TOPIC, topic, (WRITE,)) for topic in topics)
    if role == WORKER:
        return (
            *(Access(TOPIC, topic, (READ, DESCRIBE_CONFIGS)) for topic in INPUT_TOPICS),
            *(Access(TOPIC, topic, (WRITE, DESCRIBE_CONFIGS)) for topic in OUTPUT_TOPICS),
            Access(TOPIC, changelog, (READ, WRITE, DESCRIBE_CONFIGS)),
            # it compares all topics with what is declared before it starts
            Access(TOPIC, DEAD_LETTER_ACTIONS, (DESCRIBE, DESCRIBE_CONFIGS)),
            Access(GROUP, app_id, (READ,)),
            Access(TRANSACTIONAL_ID, f"{app_id}-", (WRITE,), prefixed=True),
        )
    if role == PAYMENTS:
        return (Access(TOPIC, BILLING_DECISIONS, (READ,)), *groups)
    if role == PROJECTIONS:
        read = (*INPUT_TOPICS, BILLING_DECISIONS, ELIGIBILITY_NOTICES, DEAD_LETTERS, DEAD_LETTER_ACTIONS)
        return (*(Access(TOPIC, topic, (READ,)) for topic in read), *groups)
    assert role == OPERATOR, f"a role is one of {', '.join(ROLES)}"
    written = {*INPUT_TOPICS, DEAD_LETTER_ACTIONS}
    every = (READ, CREATE, DESCRIBE_CONFIGS, ALTER_CONFIGS)
    return (
        *(
            Access(TOPIC, topic.name, (*every, WRITE) if topic.name in written else every)
            for topic in declared_topics(app_id)
        ),
        Access(GROUP, app_id, (DESCRIBE,)),
        Access(TRANSACTIONAL_ID, REDRIVE_TRANSACTION, (WRITE,)),
    )


def commands(wanted: Sequence[Access], principal: str, host: str, bootstrap_servers: str) -> Iterator[str]:
    """The same as commands for Kafka's own tool."""
    head = f"kafka-acls.sh --bootstrap-server {bootstrap_servers} --command-config admin.properties --add"
    for access in wanted:
        operations = " ".join(f"--operation {operation}" for operation in access.operations)
        pattern = " --resource-pattern-type prefixed" if access.prefixed else ""
        yield (
            f"{head} --allow-principal {shlex.quote(principal)} --allow-host {shlex.quote(host)} {operations} "
            f"--{access.resource} {shlex.quote(access.name)}{pattern}"
        )


def grant(admin: "KafkaAdminClient", wanted: Sequence[Access], principal: str, host: str) -> int:
    """Create the ACLs, those that exist already included; says how many there are. Raises kafka-python's errors."""
    from kafka.admin import (
        ACL,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePattern,
        ResourceType,
    )

    kinds = {TOPIC: ResourceType.TOPIC, GROUP: ResourceType.GROUP, TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID}
    names = {
        READ: ACLOperation.READ,
        WRITE: ACLOperation.WRITE,
        DESCRIBE: ACLOperation.DESCRIBE,
        CREATE: ACLOperation.CREATE,
        DESCRIBE_CONFIGS: ACLOperation.DESCRIBE_CONFIGS,
        ALTER_CONFIGS: ACLOperation.ALTER_CONFIGS,
    }
    acls = [
        ACL(
            principal,
            host,
            names[operation],
            ACLPermissionType.ALLOW,
            ResourcePattern(
                kinds[access.resource],
                access.name,
                ACLResourcePatternType.PREFIXED if access.prefixed else ACLResourcePatternType.LITERAL,
            ),
        )
        for access in wanted
        for operation in access.operations
    ]
    if failed := admin.create_acls(acls)["failed"]:
        raise failed[0]()
    return len(acls)
