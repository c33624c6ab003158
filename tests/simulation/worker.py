"""A worker as a simulated process: the real lanes and the real consumer above simulated clients.

Faust itself does not run here. What it does around the lanes is done in its order: a listener on the client's side that
revokes and assigns, the flow that stops and resumes, a fetcher that fills a stream, a stop that settles the lanes first.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka.structs import TopicPartition
from faust.types import TP

from streams.runtime.lanes import Lanes
from streams.runtime.processor import ProcessorFactory
from streams.runtime.reference import ReferenceFollower
from streams.runtime.settings import LaneSettings
from streams.runtime.transport import LaneConsumer, LaneConsumerClient
from tests.simulation.clients import Connection, SimulatedKafkaConsumer
from tests.simulation.kafka import Group, Member
from tests.simulation.loop import Process, Strand, running_strand

_CONF = SimpleNamespace(
    broker_commit_every=1,
    ConsumerScheduler=lambda: None,
    broker_commit_interval=1.0,
    broker_commit_livelock_soft_timeout=1.0,
    broker_request_timeout=30.0,
)


class Client(LaneConsumerClient):
    """aiokafka's side of the consumer, in a strand of its own: more orders than the one event loop of a worker has."""

    def __init__(self, consumer: Any, kafka: SimulatedKafkaConsumer, strand: Strand) -> None:
        self.consumer = consumer
        self._consumer = kafka
        self._strand = strand
        self._fetch_sessions = SimpleNamespace(forget=lambda: None)  # the simulated fetch is always a whole one

    async def call_thread(self, fun: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._strand.spawn(fun(*args, **kwargs))

    async def _fetch_records(self, consumer: Any, active_partitions: Any, *args: Any, **kwargs: Any) -> Any:
        """In a fixed order: that of a set changes from one Python process to the next."""
        return await super()._fetch_records(consumer, sorted(active_partitions), *args, **kwargs)

    @property
    def log(self) -> Any:
        return _NO_LOG

    @property
    def app(self) -> Any:
        return SimpleNamespace(conf=_CONF)


_NO_LOG = SimpleNamespace(dev=lambda *args: None)


class Consumer(LaneConsumer):
    """The real one, on a simulated client and without a life of its own."""

    def __init__(self, app: "SimulatedApp", kafka: SimulatedKafkaConsumer, strand: Strand) -> None:
        self._kafka = kafka
        self._client_strand = strand
        self.stopping = False
        transport = SimpleNamespace(app=app, create_transaction_manager=lambda **_: None)
        super().__init__(transport, app, app, app)

    def _new_consumer_thread(self) -> Any:
        return Client(self, self._kafka, self._client_strand)

    def add_dependency(self, service: Any) -> Any:
        return service

    @property
    def should_stop(self) -> bool:
        return self.stopping

    async def wait(self, *coros: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109  # mode's signature
        return await coros[0].wait()


class SimulatedApp:
    """What lanes and consumer ask of a Faust app."""

    in_transaction = False
    in_recovery = False
    producer = None
    conf = _CONF
    sensors = SimpleNamespace(on_message_in=None)

    def __init__(self, worker: "Worker", kafka: SimulatedKafkaConsumer, client: Strand) -> None:
        self.consumer_generation_id = -1
        self._worker = worker
        self._revoked: list[Any] = []
        self.on_partitions_revoked = SimpleNamespace(connect=self._revoked.append)
        self.on_rebalance_complete = SimpleNamespace(send=_nothing)
        self.flow_control = SimpleNamespace(resume=lambda: None)
        self.tables = SimpleNamespace(on_actives_ready=lambda: None, on_standbys_ready=lambda: None)
        self._fetcher = SimpleNamespace(maybe_start=worker.start_fetching)
        self.consumer = Consumer(self, kafka, client)
        self.lanes: Lanes

    def __call__(self, *args: Any) -> None:
        """Stands for callbacks that nobody calls here."""

    def on_rebalance_end(self) -> None: ...

    async def crash(self, exc: BaseException) -> None:
        self._worker.stop_soon()

    async def send_revoked(self, revoked: set[TP]) -> None:
        for receiver in self._revoked:
            await receiver(self, revoked=revoked)


async def _nothing() -> None: ...


class StopDeadline:
    """The runtime's, with the simulated clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started = False

    def start(self) -> None:
        if not self._started:
            self._started = True
            loop: Any = asyncio.get_running_loop()
            loop.call_later(self.seconds, running_strand().process.kill)


class Worker:
    """One incarnation of a worker, from its start to its end."""

    def __init__(
        self,
        connection: Connection,
        group: Group,
        settings: LaneSettings,
        make_processor: ProcessorFactory,
        followers: Sequence[ReferenceFollower],
        on_step: Callable[[str], None],
        most_records: int,
    ) -> None:
        self.process: Process = connection.process
        self._connection = connection
        self._rng: random.Random = connection.rng
        self._group = group
        self._settings = settings
        self._most_records = most_records
        self._main = self.process.strand()
        self._client = self.process.strand()
        self._kafka = SimulatedKafkaConsumer(connection, most_records)
        self._member = Member(self.process)
        self._stop = asyncio.Event()
        self._stream: asyncio.Queue[Any] = asyncio.Queue()
        self._fetching: asyncio.Task[None] | None = None
        self._agent: asyncio.Task[None] | None = None
        self._membership: asyncio.Task[None] | None = None
        self._assigned: set[TP] = set()
        self.duplicate_deliveries = 0.0
        self.lost_deliveries = 0.0
        self.app: SimulatedApp
        self._make = lambda: self._make_app(make_processor, followers, on_step)

    def start(self) -> None:
        """As `pathway-billing worker`."""
        self._main.spawn(self._run())

    def stop_soon(self) -> None:
        """As SIGTERM, or after a failure."""
        self._stop.set()

    @property
    def lanes(self) -> Lanes | None:
        app = getattr(self, "app", None)
        return None if app is None else app.lanes

    async def start_fetching(self) -> None:
        if self._fetching is None:
            self._fetching = self._main.spawn(self._fetch())
            self._agent = self._main.spawn(self._deliver())

    def _make_app(self, make_processor: Any, followers: Any, on_step: Any) -> SimulatedApp:
        app = SimulatedApp(self, self._kafka, self._client)
        app.lanes = Lanes(app, self._settings, make_processor, followers, on_step)
        return app

    async def _run(self) -> None:
        self.app = self._make()
        lanes, consumer = self.app.lanes, self.app.consumer
        await lanes.start()
        self._membership = self._client.spawn(self._be_member())
        await self._stop.wait()
        lanes.stop_deadline.start()
        consumer.stopping = True
        lanes.on_partitions_revoked(self._assigned)
        consumer.stop_flow()
        for task in (self._fetching, self._agent):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await lanes.stop()
        self._membership.cancel()
        await self._connection.request(lambda: self._group.leave(self._member) or True)
        self.process.kill()

    # The client's side

    async def _be_member(self) -> None:
        while True:
            revoked, self._assigned = self._assigned, set()
            await self._main.spawn(self._on_revoked(revoked))
            answer: asyncio.Future[tuple[int, frozenset[int]] | None] = self._connection.loop.create_future()
            await self._connection.request(
                lambda: self._group.join(self._member, answer) or True,  # noqa: B023
                to_group=True,
            )
            assignment = await answer
            if assignment is None:
                continue
            generation, partitions = assignment
            tps = {TP(topic, p) for p in partitions for topic in self._settings.input_topics}
            self._kafka.assign([TopicPartition(*tp) for tp in tps])
            self._assigned = tps
            self.app.consumer_generation_id = generation
            self._client.spawn(self._read_committed_offsets())
            await self._main.spawn(self._on_assigned(tps, revoked, generation))
            while True:
                await asyncio.sleep(self._settings.heartbeat_seconds)
                stays = await self._connection.request(
                    lambda: (self._group.heartbeat(self._member, generation),),  # noqa: B023
                    to_group=True,
                )
                if not stays[0]:
                    break

    async def _read_committed_offsets(self) -> None:
        """aiokafka's own positions, some time after an assignment, and where nobody has sought yet."""
        assignment = self._kafka.assigned
        for tp, state in assignment.states.items():
            committed = await self._kafka.committed(tp)
            if state.position is None:
                state.position = committed

    # Faust's side

    async def _on_revoked(self, revoked: set[TP]) -> None:
        if self._stop.is_set():
            return
        consumer = self.app.consumer
        self.app.lanes.on_partitions_revoked(revoked)
        if revoked:
            consumer.stop_flow()
            consumer.pause_partitions(revoked)
            while self._rng.random() < 0.9 and not self._stream.empty():  # what the agent holds already stays
                self._stream.get_nowait()
        await self.app.send_revoked(revoked)

    async def _on_assigned(self, assigned: set[TP], revoked: set[TP], generation: int) -> None:
        if self._stop.is_set():
            return
        await asyncio.sleep(0)
        self.app.consumer.pause_partitions(assigned)
        await asyncio.sleep(0)
        await self.app.lanes.on_rebalance(assigned, revoked - assigned, assigned - revoked, generation)

    async def _fetch(self) -> None:
        consumer = self.app.consumer
        while True:
            async for tp, message in consumer.getmany(1.0):
                self._stream.put_nowait((tp, message))

    async def _deliver(self) -> None:
        """The agent. What it is given may be late, and with faults come twice or not at all."""
        while True:
            _, message = await self._stream.get()
            event = SimpleNamespace(message=message, value=message.value)
            if self._rng.random() < 0.02:
                await asyncio.sleep(self._rng.random())
            if self._rng.random() < self.lost_deliveries:
                continue
            self.app.lanes.deliver(event)
            if self._rng.random() < self.duplicate_deliveries:
                self.app.lanes.deliver(event)
