"""A Kafka of one broker in memory: logs, transactions, the group, and the network between it and its clients.

What it keeps of the real one: offsets with holes (markers, aborted records, compaction), the last stable offset, producer
epochs that fence, markers that are written some time after a commit was decided and answered, offsets that become visible
with their transaction, a transaction that is aborted when its time is over, a record batch that is known by its sequence number
when it is sent again, generations, and requests that are applied although nobody hears the answer. What it takes as given: the
log is durable.
"""

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka.errors import (
    InvalidTxnState,
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import TopicPartition

from streams.runtime.processor import InputRecord
from tests.simulation.loop import Process, SimulatedLoop

OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


class Record(NamedTuple):
    """A record or a transaction marker of a log."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    transaction: "Transaction | None"
    is_marker: bool = False

    @property
    def is_readable(self) -> bool:
        """Does a read_committed consumer get to see it, now or later?"""
        return not self.is_marker and (self.transaction is None or self.transaction.state == COMMITTED)

    def as_input(self) -> InputRecord:
        """The record as a consumer returns it (streams/runtime/fetched.py)."""
        return InputRecord(*self[: len(InputRecord._fields)])


class Transaction:
    """What one producer writes between begin and end."""

    def __init__(self, transactional_id: str, owner: object) -> None:
        self.transactional_id = transactional_id
        self.owner = owner
        self.state = OPEN
        self.first_offsets: dict[TopicPartition, int] = {}
        self.partitions: set[TopicPartition] = set()
        self.records: list[Record] = []
        self.offsets: dict[TopicPartition, int] = {}


class _LastBatch(NamedTuple):
    """What the broker remembers of a producer in a partition (it remembers five; one is ever under way here)."""

    epoch: int
    sequence: int
    next_sequence: int
    offset: int


class Log:
    """One partition."""

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.records: list[Record] = []
        self.begin = 0
        self.end = 0
        self.unfinished: list[Transaction] = []
        self.waiting: list[asyncio.Future[None]] = []

    @property
    def last_stable_offset(self) -> int:
        return min((t.first_offsets[self.tp] for t in self.unfinished), default=self.end)

    def append(self, key: Any, value: Any, headers: Any, timestamp_ms: int, transaction: Transaction | None) -> Record:
        if transaction is not None and self.tp not in transaction.first_offsets:
            transaction.first_offsets[self.tp] = self.end
            self.unfinished.append(transaction)
        record = Record(
            self.tp.topic, self.tp.partition, self.end, timestamp_ms, key, value, tuple(headers), transaction
        )
        self.records.append(record)
        self.end += 1
        if transaction is not None:
            transaction.records.append(record)
        self._wake()
        return record

    def write_marker(self, transaction: Transaction) -> None:
        self.records.append(Record(self.tp.topic, self.tp.partition, self.end, 0, None, None, (), transaction, True))
        self.end += 1
        if transaction in self.unfinished:
            self.unfinished.remove(transaction)
        self._wake()

    def read(self, position: int, most: int) -> tuple[list[InputRecord], int]:
        """Readable records from a position on, and the position behind the last one looked at."""
        if not self.begin <= position <= self.end:
            raise OffsetOutOfRangeError({self.tp: position})
        stable = self.last_stable_offset
        found: list[InputRecord] = []
        for index in range(bisect_left(self.records, position, key=lambda r: r.offset), len(self.records)):
            record = self.records[index]
            if record.offset >= stable:
                break
            if len(found) == most:
                return found, found[-1].offset + 1
            if record.is_readable:
                found.append(record.as_input())
            position = record.offset + 1
        return found, max(position, found[-1].offset + 1 if found else 0)

    def readable(self, start: int, end: int) -> list[Record]:
        """Everything readable of a range, decided or not by the markers."""
        first = bisect_left(self.records, start, key=lambda r: r.offset)
        last = bisect_left(self.records, end, key=lambda r: r.offset)
        return [record for record in self.records[first:last] if record.is_readable]

    def compact(self) -> None:
        """Drop what a later stable record of the same key replaces, and everything of aborted transactions."""
        stable = self.last_stable_offset
        latest = {r.key: r.offset for r in self.records if r.offset < stable and r.is_readable}
        self.records = [
            r
            for r in self.records
            if r.offset >= stable or (r.is_readable and latest[r.key] == r.offset) or r.offset == self.end - 1
        ]

    def _wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Member:
    """A member of the group, from its join to its leave."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.seen_at = 0.0
        self.joining: asyncio.Future[tuple[int, frozenset[int]] | None] | None = None


class Group:
    """The consumer group: eager rebalances, one generation after the other."""

    def __init__(
        self,
        loop: SimulatedLoop,
        rng: random.Random,
        partitions: int,
        session_timeout_seconds: float,
        rebalance_timeout_seconds: float,
    ) -> None:
        self._loop = loop
        self._rng = rng
        self._partitions = partitions
        self._session_timeout_seconds = session_timeout_seconds
        self._rebalance_timeout_seconds = rebalance_timeout_seconds
        self._members: list[Member] = []
        self._preparing = False
        self._round = 0
        self._owners: dict[int, Member] = {}
        self.generation = 0
        loop.world_later(0.25, self._expire)

    def join(self, member: Member, answer: "asyncio.Future[tuple[int, frozenset[int]] | None]") -> None:
        member.seen_at = self._loop.time()
        member.joining = answer
        if member not in self._members:
            self._members.append(member)
        if not self._preparing:
            self._prepare()
        else:
            self._maybe_complete()

    def heartbeat(self, member: Member, generation: int) -> bool:
        """False: rejoin."""
        if member not in self._members:
            return False
        member.seen_at = self._loop.time()
        return not self._preparing and generation == self.generation

    def leave(self, member: Member) -> None:
        if member in self._members:
            self._members.remove(member)
            self._prepare()

    def stay(self) -> None:
        """A broker that comes back gives every member a new session."""
        for member in self._members:
            member.seen_at = self._loop.time()

    def _expire(self) -> None:
        now = self._loop.time()
        gone = [
            m
            for m in self._members
            if (m.joining is None or not m.process.alive or m.process.paused)
            and now - m.seen_at > self._session_timeout_seconds
        ]
        for member in gone:
            self._members.remove(member)
            if member.joining is not None:
                _answer(member.joining, None)  # it is not known any more
                member.joining = None
        if gone:
            self._prepare()
        self._loop.world_later(0.25, self._expire)

    def _prepare(self) -> None:
        if not self._members:
            self._preparing = False
            self._owners = {}
            self.generation += 1
            return
        if not self._preparing:
            self._preparing = True
            self._round += 1
            self._loop.world_later(self._rebalance_timeout_seconds, self._complete, self._round)
        self._loop.world_later(0.02, self._maybe_complete)

    def _maybe_complete(self) -> None:
        if self._preparing and all(member.joining is not None for member in self._members):
            self._complete(self._round)

    def _complete(self, expected: int) -> None:
        if not self._preparing or expected != self._round:
            return
        self._preparing = False
        self._members = [m for m in self._members if m.joining is not None]
        self.generation += 1
        if not self._members:
            self._owners = {}
            return
        keep = self._rng.random() < 0.6
        members = list(self._members)
        self._rng.shuffle(members)
        owners = {}
        for p in range(self._partitions):
            old = self._owners.get(p)
            owners[p] = old if keep and old in members else members[p % len(members)]
        self._owners = owners
        for member in self._members:
            answer, member.joining = member.joining, None
            member.seen_at = self._loop.time()
            assigned = frozenset(p for p, owner in owners.items() if owner is member)
            assert answer is not None
            self._loop.world_later(self._rng.random() * 0.05, _answer, answer, (self.generation, assigned))


def _answer(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


class Auditing:
    """Told of everything that counts; see auditor."""

    def fenced(self, transactional_id: str, owner: object) -> None: ...

    def decided(self, transaction: Transaction) -> None: ...


class Broker:
    """All logs and coordinators."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random, transaction_timeout_seconds: float) -> None:
        self._loop = loop
        self._rng = rng
        self._transaction_timeout_seconds = transaction_timeout_seconds
        self.logs: dict[TopicPartition, Log] = {}
        self.epochs: dict[str, int] = {}
        self.running: dict[str, Transaction] = {}
        self._last_batches: dict[tuple[str, TopicPartition], _LastBatch] = {}
        self.group_offsets: dict[TopicPartition, int] = {}
        self.auditor: Auditing = Auditing()

    def log(self, topic: str, partition: int) -> Log:
        tp = TopicPartition(topic, partition)
        if tp not in self.logs:
            self.logs[tp] = Log(tp)
        return self.logs[tp]

    def hold(self, tps: Iterable[TopicPartition], deadline: float) -> "asyncio.Future[None]":
        """Done when something has happened to one of the logs, or at the deadline."""
        future = self._loop.create_future()
        for tp in tps:
            self.log(*tp).waiting.append(future)
        self._loop.world_later(deadline - self._loop.time(), _answer, future, None)
        return future

    # Transactions

    def init_producer_id(self, transactional_id: str, owner: object) -> int | None:
        """The new epoch; None while the former transaction is being settled: ask again."""
        running = self.running.get(transactional_id)
        if running is not None:
            if running.state == OPEN:
                self.epochs[transactional_id] += 1
                self._end(running, ABORTED)
            return None
        self.epochs[transactional_id] = self.epochs.get(transactional_id, 0) + 1
        self.auditor.fenced(transactional_id, owner)
        return self.epochs[transactional_id]

    def add_partition(self, transactional_id: str, epoch: int, owner: object, tp: TopicPartition) -> bool:
        """False while the last transaction's markers are being written: ask again."""
        transaction = self._transaction(transactional_id, epoch, owner)
        if transaction is None:
            return False
        transaction.partitions.add(tp)
        return True

    def produce(self, transactional_id: str, tp: TopicPartition, batch: DefaultRecordBatch) -> int:
        """The offset of the first record; of a batch that it has already, where that is."""
        self._check_epoch(transactional_id, batch.producer_epoch)
        last = self._last_batches.get((transactional_id, tp))
        if last is None or last.epoch != batch.producer_epoch:
            last = _LastBatch(batch.producer_epoch, -1, 0, -1)
        if batch.base_sequence == last.sequence:
            return last.offset
        if batch.base_sequence != last.next_sequence:
            raise OutOfOrderSequenceNumber
        transaction = self.running.get(transactional_id)
        if transaction is None or transaction.state != OPEN or tp not in transaction.partitions:
            raise InvalidTxnState
        log = self.log(*tp)
        first = log.end
        timestamp_ms = int(self._loop.time() * 1000)
        for record in batch:
            log.append(record.key, record.value, record.headers, timestamp_ms, transaction)
        next_sequence = batch.base_sequence + log.end - first
        self._last_batches[transactional_id, tp] = _LastBatch(
            batch.producer_epoch, batch.base_sequence, next_sequence, first
        )
        return first

    def add_offsets(
        self, transactional_id: str, epoch: int, owner: object, offsets: Mapping[TopicPartition, int]
    ) -> bool:
        transaction = self._transaction(transactional_id, epoch, owner)
        if transaction is None:
            return False
        transaction.offsets.update(offsets)
        return True

    def end_transaction(self, transactional_id: str, epoch: int) -> bool:
        self._check_epoch(transactional_id, epoch)
        running = self.running.get(transactional_id)
        if running is None:
            return True  # it was ended, and nobody heard of it
        if running.state == OPEN:
            self._end(running, COMMITTED)
            return True
        return False

    def abort_publisher(self, transaction: Transaction) -> None:
        self._end(transaction, ABORTED)

    def commit_publisher(self, transaction: Transaction) -> None:
        self._end(transaction, COMMITTED)

    def _transaction(self, transactional_id: str, epoch: int, owner: object) -> Transaction | None:
        self._check_epoch(transactional_id, epoch)
        running = self.running.get(transactional_id)
        if running is None:
            running = self.running[transactional_id] = Transaction(transactional_id, owner)
            self._loop.world_later(self._transaction_timeout_seconds, self._expire, running)
        return running if running.state == OPEN else None

    def _expire(self, transaction: Transaction) -> None:
        if transaction.state == OPEN:
            self.epochs[transaction.transactional_id] += 1
            self._end(transaction, ABORTED)

    def _check_epoch(self, transactional_id: str, epoch: int) -> None:
        if self.epochs.get(transactional_id) != epoch:
            raise ProducerFenced

    def _end(self, transaction: Transaction, state: str) -> None:
        """Decided now; readers see it partition by partition when the markers are written."""
        transaction.state = state
        if state == COMMITTED:
            self.auditor.decided(transaction)
        left = sorted(transaction.partitions)
        self._rng.shuffle(left)
        slow = 0.3 if self._rng.random() < 0.05 else 0.004
        delay = 0.0
        for tp in left:
            delay += self._rng.random() * slow
            self._loop.world_later(delay, self._mark, transaction, tp)
        self._loop.world_later(delay + 0.0005, self._finish, transaction)

    def _mark(self, transaction: Transaction, tp: TopicPartition) -> None:
        self.log(*tp).write_marker(transaction)

    def _finish(self, transaction: Transaction) -> None:
        if transaction.state == COMMITTED:
            self.group_offsets.update(transaction.offsets)
        if self.running.get(transaction.transactional_id) is transaction:
            del self.running[transaction.transactional_id]


class Network:
    """The wire between processes and the broker, with everything that happens to it."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng
        self.broker_back_at = 0.0
        self.cut_until: dict[Process, float] = {}
        self.group_cut_until: dict[Process, float] = {}
        """Only the connection to the group's coordinator: the lanes go on while others take over."""
        self.slow_until: dict[Process, float] = {}
        self.trouble = 0.0
        """Share of requests that something happens to."""

    def request(
        self, process: Process, apply: Callable[[], Any], *, in_transaction: bool = False, to_group: bool = False
    ) -> "asyncio.Future[Any]":
        """Ask the broker. Within a transaction the answer may never come, or be an error, whether it was done or not."""
        future = self._loop.create_future()
        if to_group and self._loop.time() < (open_at := self.group_cut_until.get(process, 0.0)):
            self._loop.world_later(open_at - self._loop.time(), self._again, process, apply, future, in_transaction)
        else:
            self._loop.world_later(self._latency(process), self._arrive, process, apply, future, in_transaction)
        return future

    def _latency(self, process: Process | None = None) -> float:
        slow = process in self.slow_until and self._loop.time() < self.slow_until[process]
        return 0.001 + self._rng.random() * (0.2 if slow else 0.004)

    def _arrive(self, process: Process, apply: Callable[[], Any], future: "asyncio.Future[Any]", risky: bool) -> None:
        now = self._loop.time()
        open_at = max(self.broker_back_at, self.cut_until.get(process, 0.0))
        if now < open_at:
            self._loop.world_later(open_at - now + self._latency() * 4, self._again, process, apply, future, risky)
            return
        fate = self._rng.random() / self.trouble if self.trouble else 1.0  # from 1 on: nothing happens
        if risky and fate < 0.1:
            return  # lost for good, and not done
        if risky and fate < 0.3:
            self._loop.world_later(self._latency(), _refuse, future, KafkaConnectionError("lost, and not done"))
            return
        try:
            result = apply()
        except KafkaError as exc:
            self._loop.world_later(self._latency(), _refuse, future, exc)
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(
                lambda done: self._deliver_later(self._latency(), process, future, done.result() or True),
                context=self._loop.world.context,
            )
            return
        if result is None or result is False:
            self._loop.world_later(0.002 + self._latency(), self._again, process, apply, future, risky)
            return
        if risky and fate < 0.4:
            return  # done, and nobody hears of it
        if risky and fate < 0.7:
            self._loop.world_later(self._latency(), _refuse, future, KafkaConnectionError("done all the same"))
            return
        late = self._rng.random() * 3 if fate < 1.0 else 0.0
        self._deliver_later(late + self._latency(process), process, future, result)

    def _again(self, process: Process, apply: Callable[[], Any], future: "asyncio.Future[Any]", risky: bool) -> None:
        if process.alive and not process.paused:
            self._arrive(process, apply, future, risky)
        elif process.alive:
            self._loop.world_later(0.1, self._again, process, apply, future, risky)

    def _deliver_later(self, delay: float, process: Process, future: "asyncio.Future[Any]", result: Any) -> None:
        self._loop.world_later(delay, self._deliver, process, future, result)

    def _deliver(self, process: Process, future: "asyncio.Future[Any]", result: Any) -> None:
        open_at = self.cut_until.get(process, 0.0)
        if self._loop.time() < open_at:
            self._deliver_later(open_at - self._loop.time() + self._latency(), process, future, result)
        else:
            _answer(future, result)


def _refuse(future: "asyncio.Future[Any]", exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
