"""The topics: every one declared once, and made or checked on a Kafka. What is in them: docs/spec/events.md, section 1."""

import time
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.partitioner import key_hash
from streams.security import denial, kafka_python_client
from streams.settings import ProblemError, Settings, environment_variable

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

PATHWAY_SELECTED = "pathway-selected"
TREATMENT_STARTED = "treatment-started"
CLAIM_RECEIVED = "claim-received"
MEMBER_ELIGIBILITY = "member-eligibility"
PEND_EXPIRED = "pend-expired"
READJUDICATION_REQUESTED = "readjudication-requested"
PROVIDER_AGREEMENT = "provider-agreement"
BILLING_DECISIONS = "billing-decisions"
ELIGIBILITY_NOTICES = "eligibility-notices"
DEAD_LETTERS = "dead-letters"
DEAD_LETTER_ACTIONS = "dead-letter-actions"

FACT_TOPICS = (
    PATHWAY_SELECTED,
    TREATMENT_STARTED,
    CLAIM_RECEIVED,
    MEMBER_ELIGIBILITY,
    PEND_EXPIRED,
    READJUDICATION_REQUESTED,
)
"""The facts of patients, keyed by patient: partition p of each belongs to one lane."""

INPUT_TOPICS = (*FACT_TOPICS, PROVIDER_AGREEMENT)
"""Everything that a worker consumes."""

OUTPUT_TOPICS = (BILLING_DECISIONS, ELIGIBILITY_NOTICES, DEAD_LETTERS)
"""Everything that a worker publishes, besides its changelog."""

PATIENT_TABLE = "patients"

KAFKA_DEFAULT_MAX_BYTES = 1_048_588  # 1 MiB and a record batch's overhead
FOUR_MEBIBYTES = 4 * 1024 * 1024
# How long a deleted key's tombstone stays in the changelog: a local store that was away for longer cannot catch up.
TOMBSTONE_RETENTION_SECONDS = 24 * 3600


def changelog_topic(app_id: str) -> str:
    """The patient table's changelog, named as Faust names it."""
    return f"{app_id}-{PATIENT_TABLE}-changelog"


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key, by Java's murmur2: as every publisher must choose it, and as the worker checks it."""
    return key_hash(key) % partitions


PARTITIONS = "partitions"
REPLICATION_FACTOR = "replication factor"
_FOR_LIFE = (PARTITIONS, REPLICATION_FACTOR)
_WORKER = "the worker"


class Topic(NamedTuple):
    """What a topic is for and how it must be kept."""

    name: str
    key: str
    written_by: str
    content: str
    max_message_bytes: int = KAFKA_DEFAULT_MAX_BYTES
    compacted: bool = False

    @property
    def kept(self) -> str:
        return "newest per key" if self.compacted else "for ever"

    def configs(self, min_insync_replicas: int) -> dict[str, str]:
        """The topic settings that are declared and checked; all others are the broker's business."""
        configs = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": str(min_insync_replicas),
        }
        if self.written_by == _WORKER:
            # When a record was published is Kafka's to say. With the worker's own clock, one that is an hour fast stops it: Kafka
            # refuses such a record (message.timestamp.after.max.ms).
            configs["message.timestamp.type"] = "LogAppendTime"
        if self.compacted:
            configs["delete.retention.ms"] = str(TOMBSTONE_RETENTION_SECONDS * 1000)
            # only whole segments are compacted, and recovery reads what is not: smaller than Kafka's 1 GiB
            configs["segment.bytes"] = str(64 * 1024 * 1024)
        return configs


TOPICS = (
    Topic(PATHWAY_SELECTED, "patient_id", "provider portal", "orders: selected, changed or withdrawn"),
    Topic(TREATMENT_STARTED, "patient_id", "EHR, portal", "onsets of treatment, corrected or cancelled"),
    Topic(CLAIM_RECEIVED, "patient_id", "claim intake", "claims with their lines"),
    Topic(MEMBER_ELIGIBILITY, "patient_id", "enrollment", "eligible spans, all of them each time"),
    Topic(PEND_EXPIRED, "patient_id", "the sweep", "pended claims that ran out of time"),
    Topic(READJUDICATION_REQUESTED, "patient_id", "operators", "patients to decide again"),
    Topic(PROVIDER_AGREEMENT, "npi", "provider data", "agreement spans, all of them each time"),
    Topic(BILLING_DECISIONS, "patient_id", _WORKER, "every version of every line's decision"),
    Topic(ELIGIBILITY_NOTICES, "patient_id", _WORKER, "what an order entitles to"),
    # the largest record that a fact topic takes, and headers that say why and where from
    Topic(DEAD_LETTERS, "as it came", _WORKER, "records that could not be used, and why", FOUR_MEBIBYTES),
    Topic(
        DEAD_LETTER_ACTIONS, "topic/partition@offset", "operators", "what was done about dead letters, by whom and why"
    ),
)


def declared_topics(app_id: str) -> tuple[Topic, ...]:
    """All topics of an app: the public ones and its changelog."""
    changelog = Topic(
        changelog_topic(app_id), "patient_id", _WORKER, "the patient table", FOUR_MEBIBYTES, compacted=True
    )
    return (*TOPICS, changelog)


class Mismatch(NamedTuple):
    """A topic that exists, but not as declared."""

    setting: str
    expected: str
    found: str
    remedy: str


class TopicState(NamedTuple):
    """A topic as it is on the Kafka that was asked."""

    topic: Topic
    created: bool  # by this call
    topic_id: str  # another one after a topic was deleted and made again
    partitions: int
    replication_factor: int
    mismatches: tuple[Mismatch, ...]


class TopicsReport(NamedTuple):
    """All declared topics as they are now."""

    bootstrap_servers: str
    topics: tuple[TopicState, ...]

    @property
    def ok(self) -> bool:
        return not any(state.mismatches for state in self.topics)

    def problems(self) -> list[str]:
        """A sentence for each mismatch, with what to do."""
        return [
            f"topic {state.topic.name}: {wrong.setting} is {wrong.found}, but should be {wrong.expected}. {wrong.remedy}"
            for state in self.topics
            for wrong in state.mismatches
        ]


def ensure_topics(bootstrap_servers: str, settings: Settings) -> TopicsReport:
    """Make the topics that are missing and compare those that exist with what is declared. Changes no existing topic.

    Raises ProblemError where Kafka refuses or does not answer in time.
    """
    topics = declared_topics(settings.app_id)
    with admin_client(bootstrap_servers, settings) as admin:
        existing = _existing(admin, [topic.name for topic in topics])
        created = [topic for topic in topics if topic.name not in existing]
        if created:
            _create(admin, created, settings)
        return TopicsReport(bootstrap_servers, _states(admin, topics, {topic.name for topic in created}, settings))


def alter_topics(report: TopicsReport, settings: Settings) -> TopicsReport:
    """Set the differing settings of existing topics to what is declared; partitions and copies stay as they are."""
    from kafka.admin import ConfigResource, ConfigResourceType

    changes = {state.topic.name: changed for state in report.topics if (changed := _alterable(state))}
    if not changes:
        return report
    with admin_client(report.bootstrap_servers, settings) as admin:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, changed) for name, changed in changes.items()]
        for name, answer in admin.alter_configs(resources)["topic"].items():
            if answer != "OK":
                raise ProblemError(f"Kafka did not change the topic {name}: {answer}")
    # a broker learns of the change a moment after the controller has taken it
    deadline = time.monotonic() + settings.request_timeout_seconds
    while True:
        report = ensure_topics(report.bootstrap_servers, settings)
        if not any(map(_alterable, report.topics)) or time.monotonic() > deadline:
            return report
        time.sleep(0.1)


def _alterable(state: TopicState) -> dict[str, str]:
    return {wrong.setting: wrong.expected for wrong in state.mismatches if wrong.setting not in _FOR_LIFE}


@contextmanager
def admin_client(
    bootstrap_servers: str, settings: Settings, doing: str = "looking at the topics, or changing them"
) -> "Iterator[KafkaAdminClient]":
    """kafka-python's admin client; its errors become ProblemErrors."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    timeout_ms = int(settings.request_timeout_seconds * 1000)
    try:
        with kafka_python_client(
            KafkaAdminClient,
            bootstrap_servers,
            client_id=f"{settings.app_id}-topics",
            request_timeout_ms=timeout_ms,
            bootstrap_timeout_ms=timeout_ms,
        ) as admin:
            yield admin
    except KafkaError as error:
        if denied := denial(error, doing):
            raise ProblemError(denied) from error
        raise ProblemError(
            f"Kafka on {bootstrap_servers} did not do what was asked ({type(error).__name__}: {error}). "
            "Look at the broker's log, then try again."
        ) from error


def _existing(admin: "KafkaAdminClient", names: Sequence[str]) -> set[str]:
    """Those of the topics that exist. Raises kafka-python's error for one that this user may not even see."""
    from kafka.errors import TopicAuthorizationFailedError

    described = {found["name"]: found["error_code"] for found in admin.describe_topics(names)}
    if hidden := sorted(name for name, code in described.items() if code == TopicAuthorizationFailedError.errno):
        raise TopicAuthorizationFailedError(*hidden)
    return {name for name, code in described.items() if code == 0}


def _create(admin: "KafkaAdminClient", topics: Iterable[Topic], settings: Settings) -> None:
    from kafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

    wanted = {
        topic.name: {
            "num_partitions": settings.partitions,
            "replication_factor": settings.replication_factor,
            "configs": topic.configs(settings.min_insync_replicas),
        }
        for topic in topics
    }
    for answer in admin.create_topics(wanted, raise_errors=False)["topics"]:
        # somebody else made it meanwhile: then it is compared like any other
        if answer["error_code"] == TopicAuthorizationFailedError.errno:
            raise TopicAuthorizationFailedError(answer["name"])
        if answer["error_code"] not in (0, TopicAlreadyExistsError.errno):
            reason = answer["error_message"] or for_code(answer["error_code"]).__name__
            raise ProblemError(f"Kafka did not make the topic {answer['name']}: {reason}")
    admin.wait_for_topics(list(wanted), timeout_ms=settings.request_timeout_seconds * 1000)


def _states(
    admin: "KafkaAdminClient", topics: Sequence[Topic], created: Container[str], settings: Settings
) -> tuple[TopicState, ...]:
    from kafka.admin import ConfigResource, ConfigResourceType

    names = [topic.name for topic in topics]
    descriptions = {found["name"]: found for found in admin.describe_topics(names)}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs = admin.describe_configs(resources, config_filter="all")["topic"]
    return tuple(
        _state(topic, descriptions[topic.name], configs[topic.name], topic.name in created, settings)
        for topic in topics
    )


def _state(
    topic: Topic, description: dict[str, Any], configs: dict[str, Any], created: bool, settings: Settings
) -> TopicState:
    partitions = len(description["partitions"])
    copies = min(len(partition["replica_nodes"]) for partition in description["partitions"])
    mismatches = []
    if partitions != settings.partitions:
        mismatches.append(
            Mismatch(PARTITIONS, str(settings.partitions), str(partitions), _keep("partitions", partitions))
        )
    if copies != settings.replication_factor:
        remedy = _keep("replication_factor", copies)
        mismatches.append(Mismatch(REPLICATION_FACTOR, str(settings.replication_factor), str(copies), remedy))
    for name, expected in topic.configs(settings.min_insync_replicas).items():
        found = str(configs[name]["value"])
        if found != expected:
            mismatches.append(Mismatch(name, expected, found, "`pathway-billing topics --alter` sets it as declared."))
    return TopicState(topic, created, str(description["topic_id"]), partitions, copies, tuple(mismatches))


def _keep(setting: str, found: int) -> str:
    variable = environment_variable(setting)
    return f"It cannot be changed here: set {variable}={found} if all topics have that, else use a Kafka without this topic."
