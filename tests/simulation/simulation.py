"""One run: a cluster, its workers, their input and everything that goes wrong, all drawn from one seed."""

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec

from streams.runtime import fetched, lane, lanes, producer, recovery, transactions, transport
from streams.runtime.settings import BatchLimits, LaneSettings
from streams.runtime.stores import Store, StoreIdentity
from tests.broker.counting import CountingFactory, Event
from tests.simulation.auditor import AnomalyError, Auditor
from tests.simulation.clients import Aiokafka, Connection
from tests.simulation.disk import AuditedMemoryStore, Disk
from tests.simulation.kafka import Broker, Group, Network, Transaction
from tests.simulation.loop import Process, SimulatedLoop, running_strand
from tests.simulation.worker import StopDeadline, Worker

OUTPUT, DEAD_LETTERS = "out", "dead"
MOST_STEPS = 300_000
SECONDS_TO_RECOVER = 60.0
"""Simulated time that the workers have to process everything after the last fault."""

STEPS = ("before begin", "sent", "before commit", "committed", "stored", "claimed", "released")


BREAKING_THE_CHAIN = {"deliveries repeated", "deliveries lost"}
STOPPING = BREAKING_THE_CHAIN | {
    "answers lost or late",
    "batches refused",
    "broker restart",
    "network cut",
    "pause",
    "slow network",
    "group coordinator cut",
}
"""Faults that a worker may answer with a failure; after any other it must go on without one."""


@dataclasses.dataclass
class Report:
    """What a run did."""

    seed: int
    events: int = 0
    commits: int = 0
    steps: int = 0
    seconds: float = 0.0
    faults: "Counter[str]" = dataclasses.field(default_factory=Counter)
    failures: "Counter[str]" = dataclasses.field(default_factory=Counter)


class Slot:
    """Where a worker runs again and again, with the disk that stays."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.name = name
        self.disk = disk
        self.worker: Worker | None = None
        self.die_at: tuple[str, int] | None = None


class Simulation:
    """One seed's run."""

    def __init__(self, seed: int) -> None:
        self._rng = rng = random.Random(seed)
        self.report = Report(seed)
        self._loop = SimulatedLoop(random.Random(rng.random()), MOST_STEPS)
        self._network = Network(self._loop, random.Random(rng.random()))
        self._most_fetched = rng.choice((1, 3, 10, 50))
        self._settings = LaneSettings(
            bootstrap_servers="simulated",
            app_id="app",
            input_topics=("in0", "in1", "in2")[: rng.randint(1, 3)],
            partitions=rng.randint(1, 3),
            table="counts",
            dead_letter_topic=DEAD_LETTERS,
            topic_ids={"in0": "id-0"} if rng.random() < 0.5 else {},
            store="rocksdb" if rng.random() < 0.7 else "memory",
            state_folder=Path("/nowhere"),
            batch=BatchLimits(records=rng.choice((1, 3, 8, 100)), bytes=rng.choice((60, 1_000, 100_000))),
            group_offsets_every_seconds=rng.choice((0.02, 0.2, 1.0)),
            session_timeout_seconds=1.5,
            heartbeat_seconds=0.15,
            rebalance_timeout_seconds=3.0,
            transaction_timeout_seconds=1.5,
            commit_timeout_seconds=2.0,
            give_back_seconds=3.0,
            refresh_seconds=rng.choice((0.3, 86_400.0)),
            stop_timeout_seconds=3.0,
            recovery_stall_seconds=8.0,
            stand_still_seconds=9.0,
        )
        self._broker = Broker(self._loop, random.Random(rng.random()), self._settings.transaction_timeout_seconds)
        self._group = Group(
            self._loop,
            random.Random(rng.random()),
            self._settings.partitions,
            self._settings.session_timeout_seconds,
            self._settings.rebalance_timeout_seconds,
        )
        self._auditor = Auditor(
            self._broker, self._settings.input_topics, OUTPUT, DEAD_LETTERS, self._settings.changelog_topic
        )
        self._broker.auditor = self._auditor
        self._connections: dict[Process, Connection] = {}
        self._slots = [Slot(f"worker-{n}", Disk(rng)) for n in range(rng.randint(1, 3))]
        self._supervising = True
        self._refused_batches = self._duplicates = self._losses = 0.0
        self._published = self._workers_started = 0
        for partition in range(self._settings.partitions):
            for topic in (*self._settings.input_topics, OUTPUT, DEAD_LETTERS, self._settings.changelog_topic):
                self._broker.log(topic, partition)

    def run(self) -> Report:
        """Raises AnomalyError, or whatever else went wrong."""
        with self._in_place_of_the_real_ones():
            try:
                self._loop.run(self._play())
            finally:
                self.report.commits = self._auditor.commits
                self.report.events = self._published
                self.report.steps = self._loop.steps
                self.report.seconds = self._loop.time() - 1_000.0
        return self.report

    # The play

    async def _play(self) -> None:
        rng, loop = self._rng, self._loop
        for slot in self._slots:
            self._start(slot, rng.random() * 0.5)
        trouble_seconds = rng.choice((1.0, 3.0, 6.0))
        for _ in range(rng.randint(4, 12)):
            loop.world_later(rng.random() * trouble_seconds, self._publish, rng.randint(1, 8))
        for _ in range(rng.randint(0, 8)):
            fault = rng.choice(FAULTS)
            loop.world_later(rng.random() * trouble_seconds, self._inject, fault)
        await asyncio.sleep(trouble_seconds)
        self._calm_down()
        self._publish(3)
        deadline = loop.time() + SECONDS_TO_RECOVER
        while not self._auditor.is_done:
            if loop.time() > deadline:
                raise AnomalyError(
                    "lost write", f"not everything is processed {SECONDS_TO_RECOVER:.0f} s after the end"
                )
            await asyncio.sleep(0.1)
        self._check_stores()
        self._supervising = False
        for slot in self._slots:
            if slot.worker is not None and slot.worker.process.alive:
                slot.worker.stop_soon()
        while any(self._running(slot) for slot in self._slots):
            if loop.time() > deadline + SECONDS_TO_RECOVER:
                raise AnomalyError("lost write", "a worker does not stop")
            await asyncio.sleep(0.1)
        while self._broker.running or any(log.unfinished for log in self._broker.logs.values()):  # noqa: ASYNC110  # its clock is ours
            await asyncio.sleep(0.1)  # ends by the transaction timeout
        self._auditor.finish()
        self._check_failures()

    def _calm_down(self) -> None:
        self._network.trouble = self._refused_batches = self._duplicates = self._losses = 0.0
        for slot in self._slots:
            slot.die_at = None
            if slot.worker is not None:
                slot.worker.process.steps_left = None
                self._set_faults(slot.worker)
                slot.worker.process.resume()

    def _check_failures(self) -> None:
        """A safeguard that fires without a fault that explains it has found a bug that it hides."""
        faults = set(self.report.faults)
        if not faults & BREAKING_THE_CHAIN and self.report.failures["BrokenChainError"]:
            raise AnomalyError("unexplained stop", "a chain broke although no delivery was lost or repeated")
        if not faults & STOPPING and self.report.failures:
            raise AnomalyError("unexplained stop", ", ".join(self.report.failures))

    def _check_stores(self) -> None:
        for slot in self._slots:
            worker = slot.worker
            if worker is None or not worker.process.alive or worker.lanes is None:
                continue
            for partition in worker.lanes.partitions:
                owner = worker.lanes._lanes[partition]
                held = owner._open
                if (
                    held is not None
                    and owner._idle.is_set()
                    and self._auditor.owns(f"app-{partition}", held.claim._producer._client)
                ):
                    self._auditor.check_store(partition, dict(held.store.items()))

    # Workers

    def _start(self, slot: Slot, delay: float) -> None:
        self._loop.world_later(delay, self._start_now, slot)

    def _start_now(self, slot: Slot) -> None:
        if not self._supervising:
            return
        process = Process(self._loop, slot.name)
        process.on_death.append(lambda: self._died(slot))
        connection = Connection(self._loop, random.Random(self._rng.random()), self._broker, self._network, process)
        self._connections[process] = connection
        slot.worker = worker = Worker(
            connection,
            self._group,
            self._settings,
            CountingFactory(OUTPUT, DEAD_LETTERS),
            (),
            lambda step: self._on_step(slot, process, step),
            self._most_fetched,
        )
        self._set_faults(worker)
        worker.start()

    def _set_faults(self, worker: Worker) -> None:
        self._connections[worker.process].refused_batches = self._refused_batches
        worker.duplicate_deliveries = self._duplicates
        worker.lost_deliveries = self._losses

    def _died(self, slot: Slot) -> None:
        worker = slot.worker
        if worker is not None and worker.lanes is not None and worker.lanes.fail.failure is not None:
            self.report.failures[type(worker.lanes.fail.failure).__name__] += 1
        self._start(slot, 0.05 + self._rng.random())

    def _on_step(self, slot: Slot, process: Process, step: str) -> None:
        if slot.die_at is not None and slot.die_at[0] == step:
            slot.die_at = (step, slot.die_at[1] - 1)
            if slot.die_at[1] <= 0:
                slot.die_at = None
                process.kill()
                raise asyncio.CancelledError  # nothing after this point of the callback happened

    # Input

    def _publish(self, count: int) -> None:
        """Some events of one publisher, alone or in a transaction that is committed, aborted or left open."""
        rng = self._rng
        partition = rng.randrange(self._settings.partitions)
        topic = rng.choice(self._settings.input_topics)
        log = self._broker.log(topic, partition)
        transaction = None
        if rng.random() < 0.3:
            transaction = Transaction(f"publisher-{self._published}", self)
            transaction.partitions.add(log.tp)
        for _ in range(count):
            self._published += 1
            value = msgspec.json.encode(Event(self._published, poison=rng.random() < 0.03))
            key = b"key-%d-%d" % (partition, rng.randrange(4))
            log.append(
                key,
                value if rng.random() < 0.98 else b"\x00",
                (),
                int(self._loop.time() * 1000),
                transaction,
            )
        if transaction is not None:
            end = self._broker.commit_publisher if rng.random() < 0.6 else self._broker.abort_publisher
            self._loop.world_later(rng.random() * rng.choice((0.01, 0.5)), end, transaction)

    # Faults

    def _inject(self, fault: "Callable[[Simulation, Slot], str | None]") -> None:
        name = fault(self, self._rng.choice(self._slots))
        if name is not None:
            self.report.faults[name] += 1

    def _running(self, slot: Slot) -> Worker | None:
        return slot.worker if slot.worker is not None and slot.worker.process.alive else None

    def kill(self, slot: Slot) -> str | None:
        worker = self._running(slot)
        if worker is None:
            return None
        worker.process.kill()
        return "kill"

    def kill_between_awaits(self, slot: Slot) -> str | None:
        worker = self._running(slot)
        if worker is None:
            return None
        worker.process.steps_left = self._rng.randrange(300)
        return "kill between two awaits"

    def kill_at_step(self, slot: Slot) -> str | None:
        slot.die_at = (self._rng.choice(STEPS), self._rng.randint(1, 4))
        return "kill at a step of the lane"

    def stop(self, slot: Slot) -> str | None:
        worker = self._running(slot)
        if worker is None:
            return None
        worker.stop_soon()
        return "stop"

    def pause(self, slot: Slot) -> str | None:
        worker = self._running(slot)
        if worker is None or worker.process.paused:
            return None
        worker.process.pause()
        self._loop.world_later(self._rng.choice((0.2, 1.0, 2.5, 5.0)), worker.process.resume)
        return "pause"

    def restart_broker(self, slot: Slot) -> str | None:
        seconds = self._rng.random() * self._rng.choice((0.5, 3.0))
        self._network.broker_back_at = self._loop.time() + seconds
        self._loop.world_later(seconds, self._group.stay)
        return "broker restart"

    def cut(self, slot: Slot) -> str | None:
        worker = self._running(slot)
        if worker is None:
            return None
        self._network.cut_until[worker.process] = self._loop.time() + self._rng.random() * 4.0
        return "network cut"

    def cut_group(self, slot: Slot) -> str | None:
        worker = self._running(slot)
        if worker is None:
            return None
        self._network.group_cut_until[worker.process] = self._loop.time() + 1.0 + self._rng.random() * 3.0
        return "group coordinator cut"

    def slow(self, slot: Slot) -> str | None:
        worker = self._running(slot)
        if worker is None:
            return None
        self._network.slow_until[worker.process] = self._loop.time() + self._rng.random() * 4.0
        return "slow network"

    def lose_store(self, slot: Slot) -> str | None:
        self.kill(slot)
        slot.disk.lose()
        return "store lost"

    def fail_machine(self, slot: Slot) -> str | None:
        self.kill(slot)
        slot.disk.lose_last_writes()
        return "store older"

    def store_ahead(self, slot: Slot) -> str | None:
        self.kill(slot)
        slot.disk.run_ahead()
        return "store ahead of the log"

    def store_old(self, slot: Slot) -> str | None:
        self.kill(slot)
        slot.disk.grow_old()
        return "store too old"

    def compact(self, slot: Slot) -> str | None:
        for partition in range(self._settings.partitions):
            self._broker.log(self._settings.changelog_topic, partition).compact()
        return "changelog compacted"

    def trouble(self, slot: Slot) -> str | None:
        self._network.trouble = self._rng.choice((0.05, 0.2))
        self._loop.world_later(self._rng.random() * 2, self._end_trouble)
        return "answers lost or late"

    def refuse(self, slot: Slot) -> str | None:
        self._refused_batches = 0.05
        self._for_all()
        return "batches refused"

    def duplicate(self, slot: Slot) -> str | None:
        self._duplicates = 0.05
        self._for_all()
        return "deliveries repeated"

    def lose_deliveries(self, slot: Slot) -> str | None:
        self._losses = 0.05
        self._for_all()
        return "deliveries lost"

    def _end_trouble(self) -> None:
        self._network.trouble = 0.0

    def _for_all(self) -> None:
        for slot in self._slots:
            worker = self._running(slot)
            if worker is not None:
                self._set_faults(worker)

    # The seams

    @contextlib.contextmanager
    def _in_place_of_the_real_ones(self) -> Iterator[None]:
        """The runtime's clients, stores and clock; the modules' names are the seams."""
        aiokafka = Aiokafka(self._connections, self._most_fetched)
        clock = Clock(self._loop, random.Random(self._rng.random()))
        quiet = [logging.getLogger(name) for name in ("streams.runtime", "faust", "mode", "asyncio")]
        levels = [logger.level for logger in quiet]
        for logger in quiet:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            with contextlib.ExitStack() as stack:
                for module, name, stand_in in (
                    (lane, "time", clock),
                    (lanes, "time", clock),
                    (recovery, "time", clock),
                    (lane, "open_store", self._open_store),
                    (lanes, "StopDeadline", StopDeadline),
                    (transport, "IDLE_SECONDS", 0.1),  # an idle worker's pauses, or most of a run would be these
                    (fetched, "aiokafka", aiokafka),
                    (producer, "AIOKafkaClient", aiokafka.AIOKafkaClient),
                    (producer, "MAX_BATCH_BYTES", 400),  # so that a transaction is more than one batch a topic
                    (producer, "time", clock),
                    (transactions, "uuid", SimpleNamespace(uuid4=self._uuid4)),
                    (transactions, "TRANSACTION_BYTES", 600),  # so that some lanes have to wait for the next one
                ):
                    stack.enter_context(mock.patch.object(module, name, stand_in))
                yield
        finally:
            for logger, level in zip(quiet, levels, strict=True):
                logger.setLevel(level)

    def _uuid4(self) -> SimpleNamespace:
        self._workers_started += 1
        return SimpleNamespace(hex=f"{self._workers_started}")

    def _open_store(self, kind: str, folder: Path, identity: StoreIdentity) -> Store:
        if kind == "memory":
            return AuditedMemoryStore(identity.partition, self._on_apply)
        process = running_strand().process
        slot = next(slot for slot in self._slots if slot.worker is not None and slot.worker.process is process)
        return slot.disk.open(identity, self._on_apply)

    def _on_apply(self, partition: int, changes: Any, next_offset: int) -> None:
        try:
            self._auditor.applied(partition, changes, next_offset)
        except AnomalyError as exc:
            self._loop.fail(exc)  # the lane would take it for a failure of its own
            raise


class Clock(SimpleNamespace):
    """The module `time`: processing costs something, the rest is the loop's clock."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random) -> None:
        super().__init__(monotonic=loop.time, time=loop.time)
        self._loop = loop
        self._rng = rng
        self._spent = 0.0

    def perf_counter(self) -> float:
        self._spent += self._rng.random() * 0.02
        return self._loop.time() + self._spent


FAULTS: tuple[Callable[[Simulation, Slot], str | None], ...] = (
    Simulation.kill,
    Simulation.kill_between_awaits,
    Simulation.kill_between_awaits,
    Simulation.kill_at_step,
    Simulation.kill_at_step,
    Simulation.stop,
    Simulation.pause,
    Simulation.pause,
    Simulation.restart_broker,
    Simulation.cut,
    Simulation.cut,
    Simulation.cut_group,
    Simulation.cut_group,
    Simulation.slow,
    Simulation.slow,
    Simulation.lose_store,
    Simulation.fail_machine,
    Simulation.store_ahead,
    Simulation.store_old,
    Simulation.compact,
    Simulation.trouble,
    Simulation.refuse,
    Simulation.duplicate,
    Simulation.lose_deliveries,
)
