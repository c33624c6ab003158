"""Records and a table for a processor, without Kafka."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from streams.agents.adjudicator import Adjudicator
from streams.agents.agreement_book import AgreementBook
from streams.events import fact_from_json, fact_to_avro
from streams.policy_files import load_policy
from streams.runtime.processor import InputRecord, OutputRecord
from streams.topics import PROVIDER_AGREEMENT

Json = dict[str, Any]


def record(fact: Json, offset: int = 0, **fields: Any) -> InputRecord:
    """A fact as it lies in its topic."""
    topic, key, value = fact_to_avro(fact_from_json(fact))
    return InputRecord(topic, 0, offset, 0, key, value, ())._replace(**fields)


def records(facts: Iterable[Json]) -> list[InputRecord]:
    return [record(fact, offset) for offset, fact in enumerate(facts)]


class Table:
    """The lane's part of the patient table, in memory."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.written: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        assert value is not None
        self.values[key] = self.written[key] = value


class Follower:
    """Has read everything already; remembers what was waited for."""

    def __init__(self) -> None:
        self.wanted: list[dict[int, int]] = []

    async def reached(self, offsets: dict[int, int]) -> None:
        self.wanted.append(dict(offsets))


class Lane:
    """An adjudicator, its table and the agreements, fed with records; by default its partition is the only one."""

    def __init__(self, table: Table | None = None, cache_claims: int = 1_000, partitions: int = 1) -> None:
        self.table = table or Table()
        self.book = AgreementBook(partitions)
        self.follower = Follower()
        follower: Any = self.follower
        self.adjudicator = Adjudicator(self.book, follower, load_policy(), cache_claims, partitions)

    def feed(self, batch: Sequence[InputRecord]) -> list[OutputRecord]:
        """One batch, the agreements in it read first as the follower would."""
        for taken in batch:
            if taken.topic == PROVIDER_AGREEMENT:
                self.book.take(taken)
        self.table.written = {}
        asyncio.run(self.adjudicator.prepare(batch))
        return self.adjudicator.process(self.table, batch)
