"""Bugs on purpose, one for each promise: the harness must find every one of them, or it proves nothing.

A bug is put into a worker's process (tests.faults.worker) and shows itself in a scenario made for it.
"""

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import aiokafka
from aiokafka.structs import TopicPartition

from streams.adjudication.agreements import Agreements
from streams.adjudication.facts import ProviderAgreement
from streams.agents import adjudicator, intake
from streams.runtime import lane, recovery
from streams.runtime.dead_letters import Reason
from streams.runtime.inbox import Batch, Inbox
from streams.runtime.lanes import Lanes
from streams.runtime.position import POSITION_KEY, Position
from streams.runtime.processor import InputRecord, OutputRecord
from streams.runtime.producer import RecordBatch, TransactionalProducer
from streams.runtime.transactions import Part, Writer
from streams.topics import BILLING_DECISIONS, CLAIM_RECEIVED, DEAD_LETTERS


class Bug(NamedTuple):
    """What is broken, and where the worker must die or pause for it to show (None: it shows by itself)."""

    inject: Callable[[], None]
    die_at: str | None = None
    pause_at: str | None = None
    returns_after_another: bool = False  # the worker is paused while another decides all, and ends


def commit_before_send() -> None:
    """The input position is committed first, the outputs after it."""
    commit = lane.Lane._commit

    async def _commit(
        self: Any, held: Any, outputs: list[OutputRecord], changes: Any, position: Any, *, with_group_offsets: bool
    ) -> None:
        await commit(self, held, [], changes, position, with_group_offsets=with_group_offsets)
        if outputs:
            await self._writer.commit(Part(self.partition, outputs, {POSITION_KEY: position.encode()}))

    lane.Lane._commit = _commit  # type: ignore[method-assign]


def skip_fence() -> None:
    """Each producer has a transactional id of its own, so that nobody fences the former owner of a partition."""

    make = TransactionalProducer.__init__

    def make_another(self: Any, transactional_id: str, *args: Any, **kwargs: Any) -> None:
        make(self, f"{transactional_id}-{uuid.uuid4().hex}", *args, **kwargs)

    TransactionalProducer.__init__ = make_another  # type: ignore[method-assign]


def accept_stale_generation() -> None:
    """A lane is believed to have been ours all the time although others owned its partition meanwhile (and no fence)."""
    skip_fence()
    serve = Lanes._serve

    async def _serve(self: Any, generation: int, partitions: frozenset[int]) -> None:
        if self._generation is not None:
            self._generation = generation - 1
        await serve(self, generation, partitions)

    Lanes._serve = _serve  # type: ignore[method-assign]


def store_before_commit() -> None:
    """The local store is written before the transaction is committed."""
    commit = lane.Lane._commit

    async def _commit(self: Any, held: Any, outputs: Any, changes: Any, position: Any, **kwargs: Any) -> None:
        held.store.apply({**changes, POSITION_KEY: position.encode()}, held.store.next_offset)
        await commit(self, held, outputs, changes, position, **kwargs)

    lane.Lane._commit = _commit  # type: ignore[method-assign]


def forget_a_topic() -> None:
    """The position leaves one topic out."""
    encode = Position.encode

    def without_claims(self: Position) -> bytes:
        offsets = {topic: offset for topic, offset in self.offsets.items() if topic != CLAIM_RECEIVED}
        return encode(dataclasses.replace(self, offsets=offsets))

    Position.encode = without_claims  # type: ignore[method-assign]


def drop_the_last_of_a_batch() -> None:
    """The last record of every batch is passed over."""
    take = Inbox.take

    def take_less(self: Inbox, *args: Any) -> Batch:
        batch = take(self, *args)
        return batch._replace(records=batch.records[:-1]) if len(batch.records) > 1 else batch

    Inbox.take = take_less  # type: ignore[assignment, method-assign]


def lose_a_piece() -> None:
    """A piece of what was fetched gets lost, and the chain of pieces is not checked."""
    append, take, count = Inbox._append, Inbox.take, 0

    def append_most(self: Inbox, topic: str, start: int, records: Any, end: int, size_bytes: int) -> None:
        nonlocal count
        count += topic == CLAIM_RECEIVED and bool(records)
        if topic != CLAIM_RECEIVED or count != 2:
            append(self, topic, start, records, end, size_bytes)

    def take_unchecked(self: Inbox, positions: Any, *args: Any) -> Batch:
        at = dict(positions)
        for topic, pieces in self._pieces.items():
            for number, piece in enumerate(pieces):
                pieces[number] = piece._replace(start=at[topic])
                at[topic] = piece.end
        return take(self, positions, *args)

    Inbox._append = append_most  # type: ignore[method-assign]
    Inbox.take = take_unchecked  # type: ignore[assignment, method-assign]


def publish_outside_the_transaction() -> None:
    """Outputs go through a plain producer, and are visible before the commit."""
    commit = Writer.commit

    async def publish_at_once(self: Any, part: Part) -> int:
        plain = aiokafka.AIOKafkaProducer(bootstrap_servers=self._settings.bootstrap_servers)
        await plain.start()
        for output in part.outputs:
            await plain.send(
                output.topic, output.value, output.key, partition=part.partition, headers=list(output.headers)
            )
        await plain.stop()  # waits until all are sent
        return await commit(self, part._replace(outputs=[]))

    Writer.commit = publish_at_once  # type: ignore[method-assign]


def ignore_a_failed_send() -> None:
    """A record batch is not delivered, and nobody looks."""
    produce, count = TransactionalProducer._produce_to, 0

    async def lose_the_second(self: Any, leader: int, batches: Sequence[RecordBatch]) -> dict[TopicPartition, int]:
        nonlocal count
        lost = [batch for batch in batches if batch.tp.topic == BILLING_DECISIONS]
        count += bool(lost)
        if count != 2 or not lost:
            return await produce(self, leader, batches)
        count += 1
        for batch in lost:
            self._sequences[batch.tp] -= batch.records
        kept = [batch for batch in batches if batch not in lost]
        return {**await produce(self, leader, kept), **{batch.tp: 0 for batch in lost}}

    TransactionalProducer._produce_to = lose_the_second  # type: ignore[method-assign]


def publish_a_batch_twice() -> None:
    """The outputs of a batch are sent a second time, as a retry would that does not know the first."""
    commit = Writer.commit

    async def publish_twice(self: Any, part: Part) -> int:
        return await commit(self, part._replace(outputs=[*part.outputs, *part.outputs]))

    Writer.commit = publish_twice  # type: ignore[method-assign]


def lose_dead_letters() -> None:
    """What cannot be used is passed over without a word."""
    process = adjudicator.Adjudicator.process

    def process_quietly(self: Any, *args: Any) -> list[OutputRecord]:
        return [output for output in process(self, *args) if output.topic != DEAD_LETTERS]

    adjudicator.Adjudicator.process = process_quietly  # type: ignore[assignment, method-assign]


def refuse_good_records() -> None:
    """Now and then a good record ends in the dead letters."""
    count = 0

    def accept(record: InputRecord, partitions: int) -> Any:
        nonlocal count
        count += 1
        if count % 10 == 0:
            return intake.Refused(Reason.INVALID, "a good record")
        return intake.accept(record, partitions)

    adjudicator.accept = accept  # type: ignore[attr-defined]


def pay_a_cent_less() -> None:
    """Every fee is one cent too low; each decision is right in itself."""
    admit = Agreements.admit

    def admit_cheaper(self: Agreements, agreement: ProviderAgreement) -> Any:
        spans = tuple(span._replace(s0353_fee_cents=span.s0353_fee_cents - 1) for span in agreement.spans)
        return admit(self, agreement._replace(spans=spans))

    Agreements.admit = admit_cheaper  # type: ignore[method-assign]


def forget_a_table_value() -> None:
    """One of the changed values does not get into the changelog nor into the store."""
    commit = lane.Lane._commit

    async def _commit(self: Any, held: Any, outputs: Any, changes: dict[bytes, Any], *args: Any, **kwargs: Any) -> None:
        for key in list(changes)[-1:]:
            del changes[key]
        await commit(self, held, outputs, changes, *args, **kwargs)

    lane.Lane._commit = _commit  # type: ignore[method-assign]


def recover_what_was_aborted() -> None:
    """Recovery reads uncommitted."""
    committed_consumer = recovery.committed_consumer

    def uncommitted(*args: Any, **settings: Any) -> Any:
        consumer = committed_consumer(*args, **settings)
        consumer._isolation_level = "read_uncommitted"  # the start reads it
        return consumer

    async def at_end(consumer: Any, changelog: Any, *, settled: bool) -> bool:
        end = (await consumer.end_offsets([changelog]))[changelog]
        return bool(await consumer.position(changelog) >= end)

    recovery.committed_consumer = uncommitted
    recovery._at_end = at_end


BUGS = {
    "commit before send": Bug(commit_before_send, die_at="stored"),
    "skip the fence": Bug(skip_fence, pause_at="before begin"),
    "accept a stale generation": Bug(accept_stale_generation, returns_after_another=True),
    "store before commit": Bug(store_before_commit, die_at="before commit"),
    "forget a topic": Bug(forget_a_topic),
    "drop the last of a batch": Bug(drop_the_last_of_a_batch),
    "lose a piece of a fetch": Bug(lose_a_piece),
    "publish outside the transaction": Bug(publish_outside_the_transaction, die_at="before commit"),
    "ignore a failed send": Bug(ignore_a_failed_send),
    "publish a batch twice": Bug(publish_a_batch_twice),
    "lose dead letters": Bug(lose_dead_letters),
    "refuse good records": Bug(refuse_good_records),
    "pay a cent less": Bug(pay_a_cent_less),
    "forget a table value": Bug(forget_a_table_value),
    "recover what was aborted": Bug(recover_what_was_aborted, die_at="before commit"),
}
