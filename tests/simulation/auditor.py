"""Watches the broker from outside, and holds every commit against the input. Shares no code with the lanes.

The one moment that counts is the broker's decision to commit a transaction. From it the auditor knows, for each partition,
where the lane must stand and what its table must hold; whatever disagrees is named as Jepsen names it:

lost write        a record was passed and its effect is in no committed transaction
duplicate         a record's effect was committed twice
aborted read      an effect of a record that was aborted, or is not committed
torn transaction  effects, table and position of one transaction do not fit together
stale read        a lane continued from a state that was not the last committed one
dirty store       a local store holds what the changelog does not
zombie write      a commit by an owner that was fenced
"""

import json
import zlib
from collections import Counter
from collections.abc import Mapping

from tests.simulation.kafka import COMMITTED, Auditing, Broker, Record, Transaction

POSITION_KEY = b"\x00position"


class AnomalyError(AssertionError):
    """What should never happen has happened."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.name = name


def counted(value: bytes | None, number: int) -> bytes:
    """The table's value of a key after one more event."""
    before = {"count": 0, "digest": 0} if value is None else json.loads(value)
    digest = zlib.crc32(number.to_bytes(8, "big"), before["digest"])
    return json.dumps({"count": before["count"] + 1, "digest": digest}, separators=(",", ":")).encode()


class Auditor(Auditing):
    """The input's fold, transaction by transaction."""

    def __init__(
        self, broker: Broker, input_topics: tuple[str, ...], output_topic: str, dead_topic: str, changelog: str
    ) -> None:
        self._broker = broker
        self._inputs = input_topics
        self._output_topic = output_topic
        self._dead_topic = dead_topic
        self._changelog = changelog
        self._owners: dict[str, object] = {}  # who took a transactional id over last
        self._first_owners: dict[str, object] = {}
        self._writers: dict[int, str] = {}  # the transactional id that claimed a partition; empty: given back
        self.positions: dict[int, dict[str, int]] = {}
        self.tables: dict[int, dict[bytes, bytes]] = {}
        self._changes: dict[int, dict[bytes, list[tuple[int, bytes | None]]]] = {}
        self.commits = 0
        self.effects = 0

    # Told by the broker

    def fenced(self, transactional_id: str, owner: object) -> None:
        self._owners[transactional_id] = owner
        self._first_owners.setdefault(transactional_id, owner)

    def decided(self, transaction: Transaction) -> None:
        """A transaction is committed from now on."""
        if transaction.transactional_id.startswith("publisher"):
            return
        if self._owners.get(transaction.transactional_id) is not transaction.owner:
            raise AnomalyError("zombie write", "a transaction was committed by a fenced owner")
        assert transaction.state == COMMITTED
        written: dict[int, dict[str, list[Record]]] = {tp.partition: {} for tp in transaction.partitions}
        for record in transaction.records:
            written[record.partition].setdefault(record.topic, []).append(record)
        claim = transaction.transactional_id.removeprefix("app-")
        for partition, by_topic in written.items():
            changes = by_topic.get(self._changelog, [])
            self._note_changelog(partition, changes)
            if claim.isdecimal():
                self._claimed(int(claim), partition, by_topic, changes)
            else:
                self._wrote(transaction.transactional_id, partition, changes)
            self._audit(partition, by_topic, changes)
        for tp, offset in transaction.offsets.items():
            if offset > self.positions[tp.partition][tp.topic]:
                raise AnomalyError("torn transaction", f"the group's offset of {tp.topic} is ahead of the position")
        self.commits += 1

    # Told by the stores

    def applied(self, partition: int, changes: Mapping[bytes, bytes | None], next_offset: int) -> None:
        """A local store was written: it must hold what was committed below its offset, and nothing else."""
        if next_offset > self._broker.log(self._changelog, partition).end:
            raise AnomalyError("dirty store", f"partition {partition}'s store is ahead of the changelog")
        committed = self._changes.get(partition, {})
        for key, value in changes.items():
            newest = next((v for offset, v in reversed(committed.get(key, ())) if offset < next_offset), None)
            if newest != value:
                raise AnomalyError("dirty store", f"partition {partition}'s store holds what was not committed")
        highest = self._broker.log(self._changelog, partition)
        if any(t.state != COMMITTED and t.first_offsets[highest.tp] < next_offset for t in highest.unfinished):
            raise AnomalyError("dirty store", f"partition {partition}'s store has passed an open transaction")

    # At the end

    def owns(self, transactional_id: str, owner: object) -> bool:
        """Is this the producer that fenced all others?"""
        return self._owners.get(transactional_id) is owner

    def finish(self) -> None:
        """Everything has been processed: nothing is open, and all of the input has had its effect."""
        for tp, log in self._broker.logs.items():
            if log.unfinished:
                raise AnomalyError("torn transaction", f"a transaction is open on {tp.topic}/{tp.partition}")
            if tp.topic in self._inputs:
                left = log.readable(self.positions.get(tp.partition, {}).get(tp.topic, 0), log.end)
                if left:
                    raise AnomalyError("lost write", f"{len(left)} records of {tp.topic}/{tp.partition} have no effect")
        for partition, table in self.tables.items():
            log = self._broker.log(self._changelog, partition)
            found = {r.key: r.value for r in log.readable(0, log.end) if r.key != POSITION_KEY}
            if found != table:
                raise AnomalyError(
                    "torn transaction", f"partition {partition}'s changelog is not the fold of its input"
                )

    def check_store(self, partition: int, values: Mapping[bytes, bytes]) -> None:
        """The whole store of a lane that stands at the end."""
        table = {key: value for key, value in values.items() if key != POSITION_KEY}
        if table != self.tables.get(partition, {}):
            raise AnomalyError("dirty store", f"partition {partition}'s store is not the fold of its input")

    @property
    def is_done(self) -> bool:
        """Has everything that is readable been processed?"""
        return not self._broker.running and not any(
            log.unfinished or log.readable(self.positions.get(tp.partition, {}).get(tp.topic, 0), log.end)
            for tp, log in self._broker.logs.items()
            if tp.topic in self._inputs
        )

    def _claimed(self, owned: int, partition: int, by_topic: dict[str, list[Record]], changes: list[Record]) -> None:
        """A partition has a writer from now on; the one before can commit nothing any more, or has given the partition back."""
        if partition != owned or list(by_topic) != [self._changelog] or len(changes) != 1:
            raise AnomalyError("torn transaction", f"the claim of partition {owned} wrote something else")
        former, self._writers[partition] = self._writers.get(partition, ""), _writer(changes)
        if former and former != self._writers[partition] and self._owners[former] is self._first_owners[former]:
            raise AnomalyError("zombie write", f"partition {partition} was claimed while its former writer could go on")

    def _wrote(self, writer: str, partition: int, changes: list[Record]) -> None:
        if self._writers.get(partition) != writer:
            raise AnomalyError("zombie write", f"partition {partition} was written by another one than its writer")
        named = self._writers[partition] = _writer(changes)
        if named not in (writer, ""):
            raise AnomalyError(
                "torn transaction", f"partition {partition} was given to another writer without its claim"
            )

    def _note_changelog(self, partition: int, changes: list[Record]) -> None:
        committed = self._changes.setdefault(partition, {})
        for record in changes:
            assert record.key is not None
            committed.setdefault(record.key, []).append((record.offset, record.value))

    def _audit(self, partition: int, by_topic: dict[str, list[Record]], changes: list[Record]) -> None:
        positions = [record.value for record in changes if record.key == POSITION_KEY]
        if len(positions) != 1 or positions[0] is None:
            raise AnomalyError("torn transaction", f"partition {partition} committed {len(positions)} positions")
        before = self.positions.get(partition, dict.fromkeys(self._inputs, 0))
        after: dict[str, int] = json.loads(positions[0])["offsets"]
        outputs, letters = by_topic.get(self._output_topic, []), by_topic.get(self._dead_topic, [])
        effects = Counter(_cause(record) for record in [*outputs, *letters])
        self._audit_input(partition, before, after, effects)
        self._audit_table(partition, outputs, changes)
        self.positions[partition] = after
        self.effects += len(outputs) + len(letters)

    def _audit_input(
        self, partition: int, before: dict[str, int], after: dict[str, int], effects: "Counter[tuple[str, int]]"
    ) -> None:
        for topic in self._inputs:
            where = f"{topic}/{partition}"
            log = self._broker.log(topic, partition)
            start, end = before[topic], after.get(topic, 0)
            repeated = sorted(offset for name, offset in effects if name == topic and offset < start)
            if repeated:
                raise AnomalyError("duplicate", f"{where} at {repeated[0]} again, the lane was at {start} already")
            if end < start:
                raise AnomalyError("stale read", f"{where} went back from {start} to {end}")
            if end > log.last_stable_offset:
                raise AnomalyError("aborted read", f"{where} at {end} is behind the last stable offset")
            for record in log.readable(start, end):
                times = effects.pop((topic, record.offset), 0)
                if times != 1:
                    name = "duplicate" if times else "lost write"
                    raise AnomalyError(name, f"{where} at {record.offset} has {times} effects")
        for topic, offset in effects:
            inside = before[topic] <= offset < after.get(topic, 0)
            raise AnomalyError(
                "aborted read" if inside else "torn transaction",
                f"an effect of {topic}/{partition} at {offset}, the position is {after.get(topic)}",
            )

    def _audit_table(self, partition: int, outputs: list[Record], changes: list[Record]) -> None:
        table = self.tables.setdefault(partition, {})
        touched = set()
        for record in outputs:
            assert record.key is not None
            assert record.value is not None
            output = json.loads(record.value)
            value = table[record.key] = counted(table.get(record.key), output["number"])
            touched.add(record.key)
            expected = json.loads(value)["count"]
            if output["count"] != expected:
                raise AnomalyError("stale read", f"partition {partition} counted {output['count']}, not {expected}")
        written = {record.key: record.value for record in changes if record.key != POSITION_KEY}
        if written.keys() != touched or any(table[key] != value for key, value in written.items() if key is not None):
            raise AnomalyError("torn transaction", f"partition {partition}'s table does not fit its outputs")


def _writer(changes: list[Record]) -> str:
    """Whom the position names."""
    value = changes[-1].value if changes else None
    return "" if value is None else str(json.loads(value)["writer"])


def _cause(record: Record) -> tuple[str, int]:
    headers = dict(record.headers)
    if "from" in headers:
        topic, offset = headers["from"].decode().rsplit("/", 1)
        return topic, int(offset)
    return headers["dlq_topic"].decode(), int(headers["dlq_offset"])
