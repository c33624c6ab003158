"""Publishing facts to Kafka, from Python: for the command line, and for systems that bring their own facts.

    with Publisher("broker:9092", source="/portal/7") as publisher:  # docs/publishing.md
        for fact in facts:
            publisher.publish(fact)
    publisher.acknowledged  # how many of each topic; leaving the block has waited for all

Each fact goes to its topic, under the key that keeps all of a patient in one partition, in Avro with CloudEvents headers. The
producer is idempotent and waits for all replicas: what it sends again after a lost acknowledgement is stored once, and facts
of one patient and topic stay in their order. Whoever publishes the same facts again, after an error for instance, does no
harm as long as they keep their identities: the worker knows a repeat when it sees one.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from streams.adjudication.facts import Fact
from streams.adjudication.intake import InvalidFact, check
from streams.events import fact_headers, fact_to_avro
from streams.security import Security, denial, kafka_python_client, security_from_environment, why_refused
from streams.topics import INPUT_TOPICS, PROVIDER_AGREEMENT, partition_for

# Acknowledgements are collected this often, and no more facts than twice as many are under way: a stop of the broker is noticed
# soon, and memory stays small.
_UNDER_WAY = 10_000
# A batch waits this long for more records, or for the end. Every batch wakes the sender thread, and with a short wait the two
# threads mostly hand the interpreter to and fro: 8,700 facts/s at 10 ms, 10,500 at 500 ms (2 cores, with the broker on them).
_LINGER_SECONDS = 0.5
_BATCH_BYTES = 256 * 1024
# Larger than a worker takes: refusing is its part, with a dead letter that tells
_LARGEST_RECORD_BYTES = 4 * 1024 * 1024


class PublishError(Exception):
    """Not all facts were published. The message says what to do; `acknowledged` counts by topic what Kafka has for certain."""

    def __init__(self, sentence: str, acknowledged: Counter[str] | None = None) -> None:
        super().__init__(sentence)
        self.acknowledged = acknowledged or Counter()


class UnreachableError(PublishError):
    """No Kafka answered, or none that lets us in, so nothing was sent."""


class TopicsMissingError(PublishError):
    """The Kafka has not all topics, so nothing was sent."""


class FactRecord(NamedTuple):
    """A fact as it goes to Kafka."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes | None]]

    @classmethod
    def of(cls, fact: Fact, source: str) -> Self:
        return cls(*fact_to_avro(fact), list(fact_headers(fact, source)))


class Publisher:
    """Sends facts to one Kafka. Not for several threads at once."""

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        source: str,
        timeout_seconds: float = 30.0,
        security: Security | None = None,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> None:
        """Connects, and looks whether the topics are there.

        `source` names the publisher, as a URI reference (CloudEvents). Within `timeout_seconds` Kafka has to answer, and to
        acknowledge each fact. Without `security`, the connection is secured as the environment says. `on_acknowledged` is told
        now and then how many facts were acknowledged since the last time.
        Raises UnreachableError, which says why where Kafka does not let us in, or TopicsMissingError; SecuritySettingsError for
        a wrong setting of the environment.
        """
        self.source = source
        self.acknowledged: Counter[str] = Counter()
        self._servers = bootstrap_servers
        self._timeout_seconds = timeout_seconds
        self._on_acknowledged = on_acknowledged
        self._under_way: deque[tuple[str, Any]] = deque()
        self._last_topic = ""
        timeout_ms = int(timeout_seconds * 1000)
        chosen = security_from_environment() if security is None else security
        try:
            self._partitions = _partitions_of_topics(bootstrap_servers, chosen, timeout_ms)
            self._producer = kafka_python_client(
                KafkaProducer,
                bootstrap_servers,
                chosen,
                client_id="pathway-billing-publisher",
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                linger_ms=int(_LINGER_SECONDS * 1000),
                batch_size=_BATCH_BYTES,
                max_request_size=_LARGEST_RECORD_BYTES,
                bootstrap_timeout_ms=timeout_ms,
                max_block_ms=timeout_ms,
                request_timeout_ms=min(10_000, timeout_ms),
                delivery_timeout_ms=timeout_ms + int(_LINGER_SECONDS * 1000),
                retry_backoff_ms=20,  # paid once for each topic, while its metadata are fetched
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise UnreachableError(
                why_refused(bootstrap_servers, chosen, timeout_seconds)
                or f"no Kafka answers on {bootstrap_servers}. Start it, or correct the address."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for all acknowledgements, unless the block was left by an exception: then what is not sent yet stays unsent."""
        try:
            if kind is None:
                self.flush()
        finally:
            with suppress(KafkaError):  # of what was flushed before, or of what an error has ended already
                self._producer.close(timeout=0)

    def publish(self, fact: Fact) -> None:
        """Check a fact and send it; its acknowledgement comes later.

        Raises InvalidFact, which names the field, for what the worker would refuse; PublishError when the acknowledgement of an
        earlier fact cannot be had.
        """
        try:
            check(fact)
            record = FactRecord.of(fact, self.source)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidFact(
                type(fact).__name__,
                "has a value of a wrong type: dates are days since 1970-01-01, instants microseconds",
            ) from error
        self.send(record)

    def send(self, record: FactRecord) -> None:
        """Send a fact that was encoded before."""
        if record.topic != self._last_topic:
            # what is decided after an agreement should be decided under it: no fact overtakes one on the way
            if self._last_topic == PROVIDER_AGREEMENT:
                self.flush()
            self._last_topic = record.topic
        if record.topic not in self._partitions:  # a publisher may be allowed to write some of the fact topics alone
            raise self._failed(TopicAuthorizationFailedError(record.topic))
        try:
            partition = _partition_for(record.key, self._partitions[record.topic])
            future = self._producer.send(record.topic, record.value, record.key, record.headers, partition)
        except KafkaError as error:
            raise self._failed(error) from error
        self._under_way.append((record.topic, future))
        if len(self._under_way) >= 2 * _UNDER_WAY:
            self._collect(_UNDER_WAY)

    def publish_all(self, facts: Iterable[Fact]) -> None:
        """Send facts and wait for all acknowledgements."""
        for fact in facts:
            self.publish(fact)
        self.flush()

    def flush(self) -> None:
        """Wait until all facts sent so far are acknowledged. Raises PublishError."""
        try:
            self._producer.flush(timeout=self._timeout_seconds)
        except KafkaError as error:
            raise self._failed(error) from error
        self._collect(0)

    def _collect(self, leave: int) -> None:
        """Take the acknowledgements of the oldest facts under way; wait for them where they are missing."""
        collected = 0
        while len(self._under_way) > leave:
            topic, future = self._under_way[0]
            try:
                future.get(timeout=self._timeout_seconds)
            except KafkaError as error:
                raise self._failed(error) from error
            self._under_way.popleft()
            self.acknowledged[topic] += 1
            collected += 1
        if collected and self._on_acknowledged:
            self._on_acknowledged(collected)

    def _failed(self, error: KafkaError) -> PublishError:
        for topic, future in self._under_way:
            self.acknowledged[topic] += future.succeeded()
        self._under_way.clear()
        if denied := denial(error, "publishing facts"):
            return PublishError(
                f"{denied} {self.acknowledged.total():,} facts were acknowledged before.", self.acknowledged
            )
        return PublishError(
            f"Kafka on {self._servers} did not acknowledge a fact ({error}). "
            f"{self.acknowledged.total():,} facts were acknowledged. Look after the broker, then publish all of them again: "
            "what is there already has no effect a second time.",
            self.acknowledged,
        )


def _partitions_of_topics(bootstrap_servers: str, security: Security, timeout_ms: int) -> dict[str, int]:
    """How many partitions each fact topic has that we may see.

    Raises TopicsMissingError at once, where the producer would wait for a topic until its time is up.
    """
    with kafka_python_client(
        KafkaAdminClient,
        bootstrap_servers,
        security,
        bootstrap_timeout_ms=timeout_ms,
        request_timeout_ms=timeout_ms,
    ) as admin:
        described = {topic["name"]: topic for topic in admin.describe_topics(list(INPUT_TOPICS))}
    missing = [topic for topic in INPUT_TOPICS if described[topic]["error_code"] == UnknownTopicOrPartitionError.errno]
    if missing:
        raise TopicsMissingError(
            f"Kafka on {bootstrap_servers} has no topic {', '.join(missing)}. "
            "Make the topics with `pathway-billing topics`."
        )
    return {topic: len(found["partitions"]) for topic, found in described.items() if found["error_code"] == 0}


# a patient's facts come close together; the client would look all partitions up and hash the key for each
_partition_for = lru_cache(maxsize=65_536)(partition_for)
