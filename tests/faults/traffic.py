"""The publisher that never stops: facts from the product's generator at a steady rate, while everything else fails.

Every record carries a number in a header, so that whoever reads the topics knows which of the things published it is, without
decoding it. What was acknowledged is remembered: that is what must be decided.
"""

import contextlib
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from streams.adjudication.facts import Fact, PathwaySelection, ProviderAgreement
from streams.events import fact_headers, fact_to_avro
from streams.generator import history
from streams.topics import PATHWAY_SELECTED, partition_for

NUMBER_HEADER = "number"
FACTS_OF_A_PATIENT = 6  # rather fewer than the generator's 6.4
FEWEST_PATIENTS = 20
MOST_PATIENTS = 3_000


class Published(NamedTuple):
    """One thing that was published: a fact, or a record that cannot be used and the reason to expect."""

    topic: str
    key: bytes | None
    value: bytes | None
    fact: Fact | None
    refused_as: str | None = None

    @classmethod
    def of(cls, fact: Fact) -> "Published":
        topic, key, value = fact_to_avro(fact)
        return cls(topic, key, value, fact)


def poison(topic: str, key: bytes | None, value: bytes | None, refused_as: str) -> Published:
    """A record that belongs to the dead letters under this reason."""
    return Published(topic, key, value, None, refused_as)


def every_kind_of_poison(rnd: random.Random, good: Iterable[PathwaySelection]) -> list[Published]:
    """One record of each kind that events.md section 5 names, and some that only a broken publisher sends."""
    order = next(iter(good))._replace(event_id=f"poison-{rnd.getrandbits(40):x}")
    topic, key, value = fact_to_avro(order)
    _, _, newer = fact_to_avro(order._replace(order_version=order.order_version + 1_000))
    other_key = b"pt-%010x" % rnd.getrandbits(40)
    _, _, bad_npi = fact_to_avro(order._replace(ordering_npi="1234567890"))
    return [
        poison(topic, key, None, "UNREADABLE"),
        poison(topic, key, b"", "UNREADABLE"),
        poison(topic, key, b"not avro", "UNREADABLE"),
        poison(topic, key, value[: len(value) // 2], "UNREADABLE"),
        poison(topic, key, b"\0\0\0\0\7" + value[5:], "UNREADABLE"),
        poison(topic, key, bad_npi, "INVALID"),
        poison(topic, other_key, newer, "KEY_MISMATCH"),
        poison(topic, None, newer, "KEY_MISMATCH"),
        poison(topic, key, b"\0" * (600 << 10), "TOO_LARGE"),
    ]


def story(events: int, seed: int) -> tuple[list[ProviderAgreement], Iterator[Fact]]:
    """A year's agreements, which are to be published first, and facts without end: the year is told again and again, each
    time about other patients."""
    patients = min(MOST_PATIENTS, max(FEWEST_PATIENTS, events // FACTS_OF_A_PATIENT))
    year = list(history(patients, seed))
    agreements = [fact for fact in year if isinstance(fact, ProviderAgreement)]
    of_patients = [fact for fact in year if not isinstance(fact, ProviderAgreement)]
    return agreements, (
        fact._replace(patient_id=f"{fact.patient_id}-{round_number}")
        for round_number in itertools.count()
        for fact in of_patients
    )


class Traffic:
    """Publishes in a thread from `start` to `finish`. What it does can be changed while it runs."""

    def __init__(self, bootstrap_servers: str, partitions: int, events: int, rate: float, seed: int) -> None:
        self._servers = bootstrap_servers
        self._partitions = partitions
        self._rate = rate
        self._rnd = random.Random(seed)
        self._agreements, self._facts = story(events, seed)
        self.published: list[Published] = []
        self.acknowledged = bytearray()
        self.sent_records = 0
        self._asked: deque[Published] = deque()
        self._failed: deque[int] = deque()
        self._late: list[Published] = []
        self._window: list[Published] = []
        # What may be changed meanwhile
        self.repeated_share = 0.0
        self.repeated = 0
        self.shuffled_over = 0  # facts
        self.late_share = 0.0
        self.displaced = 0
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.error: BaseException | None = None
        self._producer = self._connect()

    def start(self) -> None:
        """Publish all agreements, wait until they are acknowledged, then begin with the facts."""
        self.publish_agreements()
        self._thread.start()

    def publish_agreements(self) -> None:
        """Publish all agreements and wait until they are acknowledged."""
        for agreement in self._agreements:
            self._publish(Published.of(agreement))
        self._flush()

    def publish(self, facts: int, things: Iterable[Published] = ()) -> None:
        """Instead of `start`: publish the next facts and these things at once, and wait until all are acknowledged."""
        for _ in range(facts):
            self._publish(self._next())
        for thing in things:
            self._publish(thing)
        self._flush()

    def ask(self, things: Iterable[Published]) -> int:
        """Publish these soon, in between; returns how many."""
        count = 0
        for thing in things:
            self._asked.append(thing)
            count += 1
        return count

    def replay(self, topic: str) -> int:
        """Publish again whatever was published to a topic so far."""
        return self.ask([thing for thing in self.published if thing.topic == topic])

    def orders(self) -> Iterator[PathwaySelection]:
        """Selections that were published, in any order."""
        known = [thing.fact for thing in self.published if thing.topic == PATHWAY_SELECTED]
        self._rnd.shuffle(known)
        return (fact for fact in known if isinstance(fact, PathwaySelection))

    def finish(self) -> None:
        """Publish what is held back, and wait until everything is acknowledged."""
        self._finishing.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self.error is not None:
            raise self.error
        assert all(self.acknowledged), "the publisher went on until everything was acknowledged"
        self._producer.close(timeout=5)

    def close(self) -> None:
        """Stop at once."""
        self._finishing.set()
        if self._thread.is_alive():
            self._thread.join(60)
        self._producer.close(timeout=0)

    # -- in the thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            started, count = time.monotonic(), 0
            while not self._finishing.is_set():
                due = int((time.monotonic() - started) * self._rate)
                while count < due and not self._finishing.is_set():
                    self._publish(self._next())
                    count += 1
                    if self.published and self._rnd.random() < self.repeated_share:
                        self._publish(self._rnd.choice(self.published))
                        self.repeated += 1
                    while self._asked:
                        self._publish(self._asked.popleft())
                if self._failed:
                    self._flush()
                time.sleep(0.01)
            for thing in [*self._asked, *self._window, *self._late]:
                self._publish(thing)
            self._flush()
        except BaseException as error:  # noqa: BLE001  # the main thread raises it
            self.error = error

    def _next(self) -> Published:
        """The next fact, or one that was held back."""
        while True:
            thing = Published.of(next(self._facts))
            if self._rnd.random() < self.late_share:
                self._late.append(thing)
                self.displaced += 1
                continue
            self._window.append(thing)
            if not self.shuffled_over:
                return self._window.pop(0)
            if len(self._window) >= self.shuffled_over:
                self.displaced += 1
                return self._window.pop(self._rnd.randrange(len(self._window)))

    def _publish(self, thing: Published) -> None:
        number = len(self.published)
        self.published.append(thing)
        self.acknowledged.append(0)
        self._send(number)

    def _send(self, number: int) -> None:
        thing = self.published[number]
        headers: list[tuple[str, bytes]] = [(NUMBER_HEADER, b"%d" % number)]
        if thing.fact is not None:
            headers += fact_headers(thing.fact, "/tests/faults")
        partition = partition_for(thing.key, self._partitions) if thing.key is not None else 0
        try:
            sent = self._producer.send(thing.topic, thing.value, thing.key, headers, partition)
        except KafkaError:
            self._failed.append(number)
            return
        self.sent_records += 1
        sent.add_callback(self._on_acknowledged, number)
        sent.add_errback(self._on_failed, number)

    def _on_acknowledged(self, number: int, _metadata: Any) -> None:
        self.acknowledged[number] = 1

    def _on_failed(self, number: int, _error: Any) -> None:
        self._failed.append(number)

    def _flush(self) -> None:
        """Wait for every acknowledgement; what failed is sent again by a new producer, as a publisher that restarts would."""
        while True:
            with contextlib.suppress(KafkaError):  # then it is among the failed, or will be
                self._producer.flush(timeout=120)
            if not self._failed and all(self.acknowledged):
                return
            if self._failed:
                self._producer.close(timeout=1)
                self._producer = self._connect()
                while self._failed:
                    number = self._failed.popleft()
                    if not self.acknowledged[number]:
                        self._send(number)

    def _connect(self) -> KafkaProducer:
        while True:
            try:
                return KafkaProducer(
                    bootstrap_servers=self._servers,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=10,
                    max_request_size=4 << 20,
                    request_timeout_ms=10_000,
                    delivery_timeout_ms=120_000,
                    max_block_ms=120_000,
                    bootstrap_timeout_ms=60_000,
                    retry_backoff_ms=20,
                    metrics_enabled=False,
                )
            except KafkaError:
                if self._finishing.is_set():
                    raise
