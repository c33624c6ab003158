"""What `LedgerLog` reads from Kafka, in memory: the same records and partitions, handed out in an order that a test chooses."""

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from projections.ledger.log import LEDGER_TOPICS, Batch
from projections.ledger.writer import TopicPartition
from streams.adjudication.decisions import Decision
from streams.adjudication.facts import Fact
from streams.adjudication.offline import OfflineEngine
from streams.agents.intake import Refused
from streams.events import DeadLetterAction, action_to_avro, decision_to_avro, fact_to_avro, notice_to_avro
from streams.generator import history
from streams.policy_files import load_policy
from streams.runtime.dead_letters import Reason, dead_letter
from streams.runtime.processor import InputRecord
from streams.topics import BILLING_DECISIONS, DEAD_LETTER_ACTIONS, DEAD_LETTERS, ELIGIBILITY_NOTICES, partition_for

PARTITIONS = 3
FIRST_MS = 1_735_689_600_000  # 2025-01-01
BETWEEN_MS = 3_600_000


class MemoryLog:
    """Partitions of records. An offset is left out now and then, as the ends of transactions do."""

    def __init__(self, partitions: dict[TopicPartition, list[InputRecord]], decisions: list[Decision]) -> None:
        self._partitions = partitions
        self.decisions = decisions  # all versions, in the order of publication
        self.topic_ids = {(topic, number): f"id-of-{topic}" for topic in LEDGER_TOPICS for number in range(PARTITIONS)}
        self._positions: dict[TopicPartition, int] = {}
        self._chance = random.Random(0)
        self.batch_records = 100

    @classmethod
    def of_year(cls, *, patients: int, seed: int) -> Self:
        """A made-up year, and at its end a record that is none, and what was done about it."""
        return cls._of(history(patients, seed), with_rubbish=True)

    @classmethod
    def of_facts(cls, facts: Iterable[Fact]) -> Self:
        """These facts, as a worker decides them."""
        return cls._of(facts, with_rubbish=False)

    @classmethod
    def _of(cls, told: Iterable[Fact], *, with_rubbish: bool) -> Self:
        partitions: dict[TopicPartition, list[InputRecord]] = defaultdict(list)
        published: list[Decision] = []
        clock = iter(range(FIRST_MS, 1 << 62, BETWEEN_MS))

        def publish(
            topic: str, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()
        ) -> InputRecord:
            number = partition_for(key or b"", PARTITIONS)
            there = partitions[topic, number]
            offset = there[-1].offset + (2 if len(there) % 7 == 6 else 1) if there else 0
            record = InputRecord(topic, number, offset, next(clock), key, value, headers)
            there.append(record)
            return record

        def refuse(record: InputRecord, refused: Refused) -> None:
            letter = dead_letter(record, refused.reason, refused.sentence, topic=DEAD_LETTERS)
            publish(letter.topic, letter.key, letter.value, letter.headers)

        engine = OfflineEngine(load_policy())
        for folded in engine.fold_all(told):
            record = publish(*fact_to_avro(folded.fact), (("ce_id", folded.fact.event_id.encode()),))
            if folded.step.refusal is not None:
                refuse(record, Refused.because(folded.step.refusal))
            for decision in folded.step.decisions:
                published.append(decision)
                publish(BILLING_DECISIONS, decision.patient_id.encode(), decision_to_avro(decision))
            for notice in folded.step.notices:
                publish(ELIGIBILITY_NOTICES, notice.patient_id.encode(), notice_to_avro(notice))
        if not with_rubbish:
            return cls(dict(partitions), published)
        refuse(publish("claim-received", b"pt\0\xff", b"rubbish"), Refused(Reason.UNREADABLE, "no magic byte"))
        place = (letter_of := partitions["claim-received", partition_for(b"pt\0\xff", PARTITIONS)][-1]).offset
        action = DeadLetterAction(
            "act-1",
            "claim-received",
            letter_of.partition,
            place,
            "DISCARDED",
            "ops",
            FIRST_MS * 1000,
            "rubbish",
            False,
            None,
            None,
        )
        publish(DEAD_LETTER_ACTIONS, b"key", action_to_avro(action))
        return cls(dict(partitions), published)

    def reader(self, seed: int = 0, batch_records: int = 100) -> "MemoryLog":
        """Another reader of the same records: it takes the partitions in an order of its own."""
        other = MemoryLog(self._partitions, self.decisions)
        other._chance, other.batch_records = random.Random(seed), batch_records
        return other

    def without(self, decision_id: str) -> "MemoryLog":
        """A reader of the same records but for one decision: what a fault of the log would look like."""
        kept = {
            key: [
                record
                for record in there
                if (b"" if record.value is None else record.value).find(decision_id.encode()) != 6
            ]
            for key, there in self._partitions.items()
        }
        return MemoryLog(kept, self.decisions)

    def with_decisions(self, made: Callable[[InputRecord], Iterable[InputRecord]]) -> "MemoryLog":
        """A log with these records in the place of each decision's."""
        changed = {key: there for key, there in self._partitions.items() if key[0] != BILLING_DECISIONS}
        for record in itertools.chain.from_iterable(map(made, self.records(BILLING_DECISIONS))):
            changed.setdefault((record.topic, record.partition), []).append(record)
        for there in changed.values():
            there.sort(key=lambda record: record.offset)
        return MemoryLog(changed, self.decisions)

    def records(self, topic: str) -> list[InputRecord]:
        return [record for (name, _), there in sorted(self._partitions.items()) if name == topic for record in there]

    # -- as LedgerLog

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._positions = {key: offsets[key] for key in self.topic_ids}

    def ends(self) -> dict[TopicPartition, int]:
        return {key: self._end(key) for key in self.topic_ids}

    def stands_at(self) -> dict[TopicPartition, int]:
        return dict(self._positions)

    def poll(self, wait_seconds: float = 0.25) -> Batch:
        batch = Batch([], {}, {})
        keys = [key for key in self.topic_ids if self._positions[key] < self._end(key)]
        for key in self._chance.sample(keys, min(3, len(keys))):
            there = [record for record in self._partitions[key] if record.offset >= self._positions[key]]
            taken = there[: self._chance.randint(1, self.batch_records)]
            after = self._end(key) if len(taken) == len(there) else taken[-1].offset + 1
            batch.records.extend(taken)
            batch.before[key], batch.after[key] = self._positions[key], after
            self._positions[key] = after
        return batch

    def _end(self, key: TopicPartition) -> int:
        there = self._partitions.get(key)
        return there[-1].offset + 2 if there else 0
