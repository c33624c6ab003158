"""A whole system by hand: one partition of every topic in lists, decided by the lane's own processor without a Kafka.

A test takes the log that comes of it, breaks it on purpose, and looks whether verification finds and names what is wrong.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from streams.adjudication.decisions import Decision
from streams.adjudication.facts import Fact
from streams.adjudication.identity import decision_id
from streams.agents.adjudicator import Adjudicator
from streams.agents.agreement_book import AgreementBook
from streams.events import decision_from_avro, decision_to_avro, fact_from_json, fact_to_avro
from streams.policy_files import load_policy
from streams.runtime.processor import InputRecord, OutputRecord
from streams.topics import BILLING_DECISIONS, DEAD_LETTERS, ELIGIBILITY_NOTICES, INPUT_TOPICS, PROVIDER_AGREEMENT
from streams.verification.anomalies import Findings, Kind
from streams.verification.inputs import AgreementHistory
from streams.verification.partition import PartitionCheck, PartitionLog
from streams.verification.refold import claims_last

Json = dict[str, Any]
TABLE = "test-patients-changelog"


class System:
    """One lane's input, table and outputs: partition 0, by default the only one. Offsets have gaps, as transactions leave them in a
    real log."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.policy = load_policy()
        self.topics: dict[str, list[InputRecord]] = {
            topic: [] for topic in (*INPUT_TOPICS, BILLING_DECISIONS, ELIGIBILITY_NOTICES, DEAD_LETTERS)
        }
        self.table: dict[bytes, bytes] = {}
        self.positions: dict[str, int] = dict.fromkeys(INPUT_TOPICS, 0)
        self._book = AgreementBook(partitions)
        self._processor = Adjudicator(
            self._book, cast(Any, None), self.policy, cache_claims=1_000, partitions=partitions
        )

    def publish(self, facts: Iterable[Json | Fact]) -> None:
        """Facts that reach their topics and are not decided yet."""
        for fact in facts:
            value = fact_from_json(fact) if isinstance(fact, dict) else fact
            topic, key, body = fact_to_avro(value)
            self.append(topic, key, body)

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        offset = self.topics[topic][-1].offset + 3 if self.topics[topic] else 0
        self.topics[topic].append(InputRecord(topic, 0, offset, 0, key, value, headers))

    def decide(self) -> None:
        """The lane reads everything that waits, agreements first, the other topics in their declared order."""
        for topic in (PROVIDER_AGREEMENT, *INPUT_TOPICS):
            records = [record for record in self.topics[topic] if record.offset >= self.positions[topic]]
            if topic == PROVIDER_AGREEMENT:
                for record in records:
                    self._book.take(record)
            for output in self._processor.process(cast(Any, _DictTable(self.table)), records):
                self._take(output)
            if records:
                self.positions[topic] = records[-1].offset + 1

    def _take(self, output: OutputRecord) -> None:
        self.append(output.topic, output.key, output.value, output.headers)

    def play(self, *facts: Json | Fact) -> None:
        """Facts that are published and decided."""
        self.publish(facts)
        self.decide()

    # -- verification

    def verify(self) -> tuple[Findings, PartitionCheck]:
        history = AgreementHistory(self.partitions)
        for record in self.topics[PROVIDER_AGREEMENT]:
            history.take(record)
        decided = [
            record
            for topic in claims_last(INPUT_TOPICS)
            for record in self.topics[topic]
            if record.offset < self.positions[topic]
        ]
        waiting = [
            record for topic in INPUT_TOPICS for record in self.topics[topic] if record.offset >= self.positions[topic]
        ]
        findings = Findings()
        log = PartitionLog(
            number=0,
            partitions=self.partitions,
            positions=self.positions,
            table_topic=TABLE,
            table=self.table,
            facts=decided,
            waiting=waiting,
            decisions=self.topics[BILLING_DECISIONS],
            notices=self.topics[ELIGIBILITY_NOTICES],
            dead_letters=self.topics[DEAD_LETTERS],
        )
        check = PartitionCheck(log, history, self.policy, findings)
        check.run()
        return findings, check

    def kinds(self) -> set[Kind]:
        return set(self.verify()[0].by_kind)

    # -- damage

    @property
    def decisions(self) -> list[Decision]:
        return [decision_from_avro(record.value) for record in self.topics[BILLING_DECISIONS]]

    def index_of(self, claim_id: str, version: int = 1, line_number: int = 1) -> int:
        """Where a decision stands in the list of its topic."""
        about = claim_id, line_number, version
        return next(
            index
            for index, decision in enumerate(self.decisions)
            if (decision.claim_id, decision.line_number, decision.version) == about
        )

    def rewrite(self, index: int, *, sign: bool = True, **fields: Any) -> None:
        """Change a decision in its place; with `sign` its id is made to fit its content again."""
        record = self.topics[BILLING_DECISIONS][index]
        decision = decision_from_avro(record.value)._replace(**fields)
        if sign:
            decision = decision._replace(decision_id=decision_id(decision))
        self.topics[BILLING_DECISIONS][index] = record._replace(value=decision_to_avro(decision))

    def drop(self, topic: str, index: int) -> InputRecord:
        return self.topics[topic].pop(index)

    def repeat(self, topic: str, index: int) -> None:
        record = self.topics[topic][index]
        self.append(topic, record.key, record.value, record.headers)


class _DictTable:
    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        assert value is not None
        self._values[key] = value


def sentences(findings: Findings) -> list[str]:
    return [anomaly.sentence for anomaly in findings.first]


def by_kind(findings: Findings) -> Mapping[Kind, int]:
    return dict(findings.by_kind)
