"""All lanes of this worker: which partitions they own, through every rebalance, until the worker stops.

Stands in for Faust's table recovery, so Faust's own table manager starts it, tells it about each assignment and stops it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import mode
from faust.types import TP

from streams import metrics
from streams.runtime.failure import FailStop, StopDeadline, WorkerFailure, describe
from streams.runtime.lane import Lane
from streams.runtime.processor import ProcessorFactory
from streams.runtime.reference import ReferenceFollower
from streams.runtime.service_log import service_log
from streams.runtime.settings import LaneSettings
from streams.runtime.stores import Store
from streams.runtime.transactions import OnStep, Writer
from streams.runtime.transport import Fetched, LaneConsumer, Session
from streams.runtime.watchdog import ProgressWatch

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
STALLED_SECONDS = 60.0
"""Without a look or a fetch for so long, the worker is not alive: both come many times a second or once a second. Longer than
the longest wait that ends by itself, a commit's 20 s and a rebalance's 30 s."""


class Lanes(mode.Service):
    """The lanes of this worker's partitions. `fail` is the one way out for whatever goes wrong in them."""

    logger = service_log

    # What Faust asks of a table recovery
    in_recovery = False

    def __init__(
        self,
        app: Any,
        settings: LaneSettings,
        make_processor: ProcessorFactory,
        followers: Sequence[ReferenceFollower] = (),
        on_step: OnStep = lambda step: None,  # noqa: ARG005
        **kwargs: Any,
    ) -> None:
        self.app = app
        self.settings = settings
        self.stop_deadline = StopDeadline(settings.stop_timeout_seconds)
        self.fail = FailStop(app.crash, self.stop_deadline)
        self.completed = asyncio.Event()
        self.ready = False
        self.on_ready: Callable[[Sequence[int]], None] = _ignore
        self.on_first_ready: Callable[[Sequence[int]], None] = _ignore
        self._make_processor = make_processor
        self._followers = followers
        self._on_step = on_step
        self._lanes: dict[int, Lane] = {}
        self._writer: Writer | None = None
        self._turn = asyncio.Lock()
        self._generation: int | None = None
        self._target: tuple[int, frozenset[int]] = (-1, frozenset())
        self._assigned = asyncio.Event()
        self._revoked = False
        self._openings: list[asyncio.Task[None]] = []
        self._looked_at: float | None = None
        self._ready_at = 0.0
        super().__init__(**kwargs)
        app.on_partitions_revoked.connect(self._settle)

    @property
    def partitions(self) -> list[int]:
        """The partitions of the open lanes."""
        return sorted(partition for partition, lane in self._lanes.items() if lane.is_trusted)

    @property
    def phase(self) -> str:
        """What the lanes are doing, in words for whoever asks whether they are ready."""
        if self.fail.failure is not None:
            return "stopping after a failure"
        if self.should_stop or self.app.should_stop:
            return "stopping"
        if self.ready:
            return "ready"
        generation, wanted = self._target
        if generation < 0:
            return "starting: waiting for an assignment of partitions"
        if self._revoked:
            return "rebalancing: waiting for an assignment of partitions"
        if not all(follower.is_caught_up for follower in self._followers):
            return "starting: reading " + ", ".join(follower.topic for follower in self._followers)
        return f"opening: {len(self.partitions)} of {len(wanted)} lanes are open"

    @property
    def is_alive(self) -> bool:
        """Nothing failed, and what must never pause goes on: the look at the lanes each second, and, while they are open, fetching.

        A lane that stands still is not looked at here: the watch stops the worker for that, and says why.
        """
        now = time.monotonic()
        if self.fail.failure is not None:
            return False
        if self.should_stop or self.app.should_stop:
            return True  # the stop deadline ends what hangs now
        watched = self._looked_at is None or now - self._looked_at < STALLED_SECONDS
        if not self.ready:
            return watched
        fetched_at = max(self._ready_at, self.app.consumer.fetched_at or 0.0)
        return watched and now - fetched_at < STALLED_SECONDS

    def stores(self) -> Iterator[Store]:
        """The local stores of the open lanes."""
        for lane in list(self._lanes.values()):
            if lane.store is not None:
                yield lane.store

    def deliver(self, event: Any) -> None:
        """Hand the pieces of a Faust event, which carries what one fetch returned, to their lanes."""
        for fetched in cast(tuple[Fetched, ...], event.value):
            lane = self._lanes.get(fetched.tp.partition)
            if lane is not None:
                lane.deliver(fetched)

    # Called by Faust's table manager, in the rebalance listener

    def on_partitions_revoked(self, revoked: set[TP]) -> None:  # noqa: ARG002
        """First thing in a rebalance and in a stop: accept nothing more."""
        self._set_ready(False)
        self._revoked = True
        for opening in self._openings:
            opening.cancel()
        for lane in self._lanes.values():
            lane.refuse_input()

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],  # noqa: ARG002
        newly_assigned: set[TP],  # noqa: ARG002
        generation_id: int = 0,
    ) -> None:
        """Note what is ours now. Lanes open in a task: no heartbeat is sent while this callback runs."""
        metrics.REBALANCES.inc()
        topics: dict[int, set[str]] = {}
        for tp in assigned:
            if tp.topic in self.settings.input_topics:
                topics.setdefault(tp.partition, set()).add(tp.topic)
        for partition, assigned_topics in topics.items():
            if partition >= self.settings.partitions:
                self.fail(
                    WorkerFailure(
                        f"partition {partition} was assigned, and there are to be {self.settings.partitions} (from 0)",
                        "The number of partitions is for life: somebody has raised it, and new facts of known patients come to "
                        "partitions where nobody knows them. Stop the publishers; the facts that came since have to be published "
                        "again to topics with the old number",
                    ),
                    doing="assigning partitions",
                )
                return
            if missing := set(self.settings.input_topics) - assigned_topics:
                self.fail(
                    WorkerFailure(
                        f"partition {partition} was assigned without {', '.join(sorted(missing))}",
                        "All input topics need the same number of partitions: run `pathway-billing topics`",
                    ),
                    doing="assigning partitions",
                )
                return
        self._target = (generation_id, frozenset(topics))
        self._revoked = False
        self._assigned.set()

    # Life

    async def on_start(self) -> None:
        """Start the followers of reference topics; the first lane waits until they have read everything."""
        for follower in self._followers:
            await follower.start(self.fail)

    async def on_stop(self) -> None:
        """Settle and close every lane, within the stop deadline."""
        self._set_ready(False)
        for opening in self._openings:
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)
        lanes, self._lanes = list(self._lanes.values()), {}
        closings = [asyncio.create_task(lane.close(), name=f"close-{lane.partition}") for lane in lanes]
        if closings:
            await asyncio.wait(closings, timeout=self.settings.stop_timeout_seconds / 2)
        closed = [closing for closing in closings if _succeeded(closing)]
        if self._writer is not None:
            await self._writer.stop()
        for follower in self._followers:
            await follower.stop()
        log.info("stopped: %d of %d lanes closed", len(closed), len(lanes))

    async def _settle(self, sender: Any, revoked: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Settle the running transactions and let the partitions go, before they may go to others; heartbeats go on meanwhile."""
        try:
            async with asyncio.timeout(self.settings.commit_timeout_seconds):
                await asyncio.gather(*self._openings, return_exceptions=True)  # cancelled already
                await asyncio.gather(*(lane.release() for lane in self._lanes.values()))
        except TimeoutError:
            self.fail(
                WorkerFailure(
                    "a transaction did not end before a rebalance",
                    "Check that the broker answers, then restart the worker",
                ),
                doing="rebalancing",
            )
        except Exception as exc:  # noqa: BLE001  # any doubt stops the worker
            self.fail(exc, doing="rebalancing")

    @mode.Service.task
    async def _follow_assignments(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self._assigned):  # type: ignore[arg-type]
                return
            self._assigned.clear()
            try:
                await self._serve(*self._target)
            except Exception as exc:  # noqa: BLE001  # any doubt stops the worker
                self.fail(exc, doing="opening lanes")

    @mode.Service.task
    async def _watch_progress(self) -> None:
        """Measure the lag, and stop the worker when a lane with input stands still."""
        watch = ProgressWatch(int(self.settings.stand_still_seconds / LOOK_EVERY_SECONDS))
        while not self.should_stop:
            self._looked_at = time.monotonic()
            await self.sleep(LOOK_EVERY_SECONDS)
            trusted = {p: lane for p, lane in self._lanes.items() if lane.is_trusted} if self.ready else {}
            watch.forget(set(range(self.settings.partitions)) - trusted.keys())
            watch.forget({p for p, lane in trusted.items() if lane.waits_for})  # which is said and counted already
            for partition, lane in trusted.items():
                lag_records = self._lag_records(lane)
                if lane.waits_for:
                    continue
                if watch.stands_still(partition, lane.positions, lag_records):
                    self.fail(
                        WorkerFailure(
                            f"partition {partition} has {lag_records} records waiting and has not moved for "
                            f"{self.settings.stand_still_seconds:.0f} s",
                            "Check that the broker answers and that all partitions of provider-agreement can be read, "
                            "then restart the worker",
                        ),
                        doing="watching progress",
                    )

    def _lag_records(self, lane: Lane) -> int:
        """Offsets between the lane's position and what can be read, over its inputs."""
        lag_records = 0
        for tp, position in lane.positions.items():
            with contextlib.suppress(Exception):  # not assigned any more, or nothing fetched yet
                lag = max(0, self.app.consumer.highwater(tp) - position)
                metrics.INPUT_LAG_RECORDS.labels(tp.topic, str(tp.partition)).set(lag)
                lag_records += lag
                metrics.INPUT_HELD_RECORDS.labels(tp.topic, str(tp.partition)).set(self.app.consumer.held_back(tp))
        return lag_records

    async def _serve(self, generation: int, partitions: frozenset[int]) -> None:
        """Own exactly these partitions: keep the lanes that were ours all the time, close the others, open new ones."""
        app, started = self.app, time.monotonic()
        await asyncio.gather(*self._openings, return_exceptions=True)
        # A generation that we did not serve may have given a partition to someone else for a while.
        continuous = self._generation is not None and generation == self._generation + 1
        self._generation = generation
        kept = {p: lane for p, lane in self._lanes.items() if p in partitions and continuous and lane.is_trusted}
        dropped = [lane for p, lane in self._lanes.items() if p not in kept]
        self._lanes = dict(kept)
        await asyncio.gather(*(lane.close() for lane in dropped))
        if self._is_stale(generation):
            return
        app.flow_control.resume()
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()
        for follower in self._followers:
            await follower.caught_up()
        if self._is_stale(generation):
            return  # opening a lane that is no longer ours would fence its new owner
        if self._writer is None:
            self._writer = Writer(self.settings, self._on_step)
            await self._writer.start()
        self._openings = [asyncio.create_task(self._begin_session(lane, generation)) for lane in kept.values()]
        self._openings += [asyncio.create_task(self._open(p, generation)) for p in sorted(partitions - set(kept))]
        for result in await asyncio.gather(*self._openings, return_exceptions=True):
            if isinstance(result, asyncio.CancelledError):
                return  # the next rebalance has begun
            if isinstance(result, BaseException):
                raise result
        if self._is_stale(generation):
            return
        self.completed.set()
        app.tables.on_actives_ready()
        app.tables.on_standbys_ready()
        await app.on_rebalance_complete.send()
        app.on_rebalance_end()
        self._set_ready(True)
        log.info(
            "ready: %d lanes, partitions %s (%d kept) after %.0f ms",
            len(partitions),
            ",".join(map(str, sorted(partitions))) or "none",
            len(kept),
            (time.monotonic() - started) * 1000,
        )
        self.on_ready(sorted(partitions))
        self.on_first_ready(sorted(partitions))
        self.on_first_ready = _ignore

    async def _open(self, partition: int, generation: int) -> None:
        assert self._writer is not None
        lane = Lane(
            partition,
            self.settings,
            self._make_processor,
            cast(LaneConsumer, self.app.consumer),
            self._writer,
            self._turn,
            self.fail,
            self._on_step,
        )
        try:
            await lane.open()
        except BaseException:
            await asyncio.shield(lane.close())
            raise
        self._lanes[partition] = lane
        await self._begin_session(lane, generation)

    async def _begin_session(self, lane: Lane, generation: int) -> None:
        await lane.begin_session(Session(), lambda: not self._is_stale(generation))

    def _is_stale(self, generation: int) -> bool:
        """The partitions may belong to others by now."""
        return bool(
            self._revoked
            or self._assigned.is_set()
            or self.app.consumer_generation_id != generation
            or self.should_stop
        )

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready
        if ready:
            self._ready_at = time.monotonic()
        metrics.READY.set(ready)


def _succeeded(closing: asyncio.Task[None]) -> bool:
    """Whether a lane is closed; if not, the log says so. Nothing committed is lost: its store is a copy."""
    if not closing.done():
        closing.cancel()
        log.warning("%s: not done in time", closing.get_name())
        return False
    if closing.cancelled():
        return False
    if (exc := closing.exception()) is not None:
        log.warning("%s: %s", closing.get_name(), describe(exc, "closing a lane"))
        return False
    return True


def _ignore(partitions: Sequence[int]) -> None:
    """Nobody waits for the lanes."""
