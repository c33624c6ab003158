"""The second judge: what is in Kafka, held against what the publisher knows, without the lanes and without `verify`.

Its own consumer reads the topics as anybody downstream would (read_committed), Avro is decoded by fastavro from the schema
files, and what must be there follows from the numbers in the records' headers: each leads to the thing that was published, and
the rules alone, folded offline, say what has to come of it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from importlib.resources import files
from io import BytesIO
from typing import Any

import fastavro
import msgspec
from kafka import KafkaConsumer, TopicPartition

from streams.adjudication.facts import ProviderAgreement
from streams.adjudication.offline import OfflineEngine
from streams.policy_files import load_policy
from streams.topics import BILLING_DECISIONS, DEAD_LETTERS, ELIGIBILITY_NOTICES, FACT_TOPICS, PROVIDER_AGREEMENT
from tests.faults.traffic import NUMBER_HEADER, Published

HISTORY_FIELDS = ("version", "decision_id", "supersedes", "paid_before_cents", "change_cents", "caused_by")

Line = tuple[str, str, int]
Notice = tuple[str, str, int]
Place = tuple[str, int, int]  # topic, partition, offset


class Audit(msgspec.Struct):
    """What was found; the sentences say the first things that are not as they must be."""

    records: int = 0  # input records in the topics, repeats included
    decisions: int = 0
    dead_letters: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    sentences: list[str] = []

    @property
    def ok(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong)

    def _say(self, sentence: str) -> None:
        if len(self.sentences) < 20:
            self.sentences.append(sentence)

    def find_lost(self, sentence: str, count: int = 1) -> None:
        self.lost += count
        self._say(f"lost: {sentence}")

    def find_duplicated(self, sentence: str, count: int = 1) -> None:
        self.duplicated += count
        self._say(f"duplicated: {sentence}")

    def find_wrong(self, sentence: str) -> None:
        self.wrong += 1
        self._say(f"wrong: {sentence}")


def audit(
    bootstrap_servers: str, partitions: int, published: Sequence[Published], acknowledged: Sequence[int]
) -> Audit:
    """Look at everything. Call it when nothing is published or decided any more."""
    found = Audit()
    with _Reader(bootstrap_servers, partitions) as reader:
        expected = _Expected(reader, published, found)
        seen = expected.seen
        lost = sum(1 for number, acked in enumerate(acknowledged) if acked and number not in seen)
        if lost:
            found.find_lost("acknowledged records that are not in their topics", lost)
        _check_decisions(reader, expected.current, found)
        _check_notices(reader, expected.notices, found)
        _check_dead_letters(reader, expected.refused, found)
    return found


class _Reader:
    def __init__(self, bootstrap_servers: str, partitions: int) -> None:
        self._partitions = partitions
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=8 << 20,
            max_poll_records=5_000,
            fetch_max_wait_ms=20,
            metrics_enabled=False,
        )

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def read(self, topic: str) -> Iterator[Any]:
        """Committed records, partition by partition, in order."""
        for partition in range(self._partitions):
            tp = TopicPartition(topic, partition)
            self._consumer.assign([tp])
            end = self._consumer.end_offsets([tp])[tp]
            self._consumer.seek_to_beginning(tp)
            while self._consumer.position(tp) < end:
                for records in self._consumer.poll(timeout_ms=200).values():
                    yield from records


class _Expected:
    """The offline fold of what lies in the topics: agreements first, then topic by topic, as no worker reads them."""

    def __init__(self, reader: _Reader, published: Sequence[Published], found: Audit) -> None:
        self.seen: set[int] = set()
        self.current: dict[Line, tuple[Any, ...]] = {}
        self.notices: set[Notice] = set()
        self.refused: dict[Place, str] = {}
        engine = OfflineEngine(load_policy())
        for topic in (PROVIDER_AGREEMENT, *FACT_TOPICS):
            for record in reader.read(topic):
                found.records += 1
                number = int(dict(record.headers)[NUMBER_HEADER])
                self.seen.add(number)
                thing = published[number]
                place = (topic, record.partition, record.offset)
                if thing.fact is None:
                    assert thing.refused_as is not None
                    self.refused[place] = thing.refused_as
                elif isinstance(thing.fact, ProviderAgreement):
                    if refusal := engine.admit(thing.fact):
                        self.refused[place] = refusal.reason
                else:
                    step = engine.fold(thing.fact)
                    if step.refusal:
                        self.refused[place] = step.refusal.reason
                    for decision in step.decisions:
                        line = (decision.patient_id, decision.claim_id, decision.line_number)
                        self.current[line] = _comparable(decision._asdict())
                    for notice in step.notices:
                        self.notices.add((notice.patient_id, notice.order_id, notice.order_version))


def _check_decisions(reader: _Reader, expected: dict[Line, tuple[Any, ...]], found: Audit) -> None:
    schema = _schema("billing-decision.avsc")
    heads: dict[Line, dict[str, Any]] = {}
    changes: dict[Line, int] = defaultdict(int)
    for record in reader.read(BILLING_DECISIONS):
        found.decisions += 1
        decision = _decode(schema, record.value)
        line = (decision["patient_id"], decision["claim_id"], decision["line_number"])
        before = heads.get(line)
        version = before["version"] if before else 0
        if decision["version"] <= version:
            found.find_duplicated(f"version {decision['version']} of a line after version {version}")
            continue
        if decision["version"] > version + 1:
            found.find_lost(f"a line's versions between {version} and {decision['version']}")
        elif decision["supersedes"] != (before["decision_id"] if before else None):
            found.find_wrong("a version does not supersede the one before it")
        elif decision["paid_before_cents"] != (before["paid_cents"] if before else 0):
            found.find_wrong("paid_before_cents is not what the version before pays")
        if decision["change_cents"] != decision["paid_cents"] - decision["paid_before_cents"]:
            found.find_wrong("change_cents is not the difference")
        changes[line] += decision["change_cents"]
        heads[line] = decision
    for line in expected.keys() - heads.keys():
        found.find_lost(f"every decision of claim line {line[1]}/{line[2]}")
    for line, head in heads.items():
        if line not in expected:
            found.find_wrong("a line was decided that no acknowledged claim has")
        elif _comparable(head) != expected[line]:
            found.find_wrong(f"a line is {head['outcome']} {head['reason']}, not {expected[line]}")
        if changes[line] != head["paid_cents"]:
            found.find_wrong("a line's changes do not add up to what it pays")


def _check_notices(reader: _Reader, expected: set[Notice], found: Audit) -> None:
    schema = _schema("eligibility-notice.avsc")
    notices: Counter[Notice] = Counter()
    for record in reader.read(ELIGIBILITY_NOTICES):
        notice = _decode(schema, record.value)
        notices[notice["patient_id"], notice["order_id"], notice["order_version"]] += 1
    if missing := len(expected - notices.keys()):
        found.find_lost("notices", missing)
    if strangers := len(notices.keys() - expected):
        found.find_wrong(f"{strangers} notices of orders that were not published")
    if repeated := notices.total() - len(notices):
        found.find_duplicated("notices", repeated)


def _check_dead_letters(reader: _Reader, expected: dict[Place, str], found: Audit) -> None:
    letters: Counter[Place] = Counter()
    for record in reader.read(DEAD_LETTERS):
        found.dead_letters += 1
        headers = dict(record.headers)
        place = (headers["dlq_topic"].decode(), int(headers["dlq_partition"]), int(headers["dlq_offset"]))
        letters[place] += 1
        reason = headers["dlq_reason"].decode()
        if place not in expected:
            found.find_wrong(f"a good record of {place[0]} is in the dead letters as {reason}")
        elif expected[place] != reason:
            found.find_wrong(f"a dead letter says {reason}, not {expected[place]}")
    if missing := len(expected.keys() - letters.keys()):
        found.find_lost("dead letters", missing)
    if repeated := letters.total() - len(letters):
        found.find_duplicated("dead letters", repeated)


def _schema(file: str) -> Any:
    """A schema of the contract, with dates left as the numbers that they are stored as."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: plain(value) for name, value in part.items() if name != "logicalType"}
        return [plain(value) for value in part] if isinstance(part, list) else part

    return fastavro.parse_schema(plain(json.loads(files("schemas").joinpath(file).read_text())))


def _decode(schema: Any, value: bytes) -> dict[str, Any]:
    decoded = fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)
    assert isinstance(decoded, dict)
    return decoded


def _comparable(decision: dict[str, Any]) -> tuple[Any, ...]:
    """All fields but the history fields, by name, records and lists as tuples."""
    return tuple(_tuple(decision[name]) for name in sorted(decision) if name not in HISTORY_FIELDS)


def _tuple(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(map(_tuple, value.values()))
    return tuple(map(_tuple, value)) if isinstance(value, (list, tuple)) else value
