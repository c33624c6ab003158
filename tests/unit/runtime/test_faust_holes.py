"""The parts of Faust and aiokafka that the lanes replace: each test names the hole, and fails when a replacement stops to work.

Where the stock part can be tried beside ours, it is, so that an upgrade of Faust tells which replacement can go. Holes that
show only on a broker are in tests/broker/test_lanes.py: a failing event that Faust acknowledges, the changelog written before
its commit, a stop that waits for ever.
"""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka.errors import KafkaConnectionError
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.app import create_app
from streams.runtime.lane import Lane, _Open
from streams.runtime.lane_app import LaneApp, LaneBootStrategy
from streams.runtime.settings import LaneSettings
from streams.runtime.table import LaneTableManager
from streams.runtime.transport import FETCH_WAIT_MS, Fetched, LaneConsumer, Session

FACTS = TP("facts", 0)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.close()
    asyncio.set_event_loop(asyncio.new_event_loop())


@pytest.fixture
def settings(tmp_path: Path) -> LaneSettings:
    return LaneSettings("127.0.0.1:1", "app", ("facts", "claims"), 2, state_folder=tmp_path)


@pytest.fixture
def app(settings: LaneSettings, loop: asyncio.AbstractEventLoop) -> LaneApp:
    return create_app(settings, lambda partition: pytest.fail("no lane opens here"))


@pytest.fixture
def stock(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> faust.App:
    return faust.App("stock", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))


def kafka_consumer(app: faust.App, loop: asyncio.AbstractEventLoop) -> Any:
    async def create() -> Any:
        return app.consumer._thread._create_worker_consumer(app.transport)

    return loop.run_until_complete(create())


def test_fetches_wait_1500_ms_and_read_uncommitted_records(
    app: LaneApp, stock: faust.App, loop: asyncio.AbstractEventLoop
) -> None:
    ours, theirs = kafka_consumer(app, loop), kafka_consumer(stock, loop)
    assert (theirs._fetch_max_wait_ms, theirs._isolation_level) == (1500, "read_uncommitted")
    assert (ours._fetch_max_wait_ms, ours._isolation_level) == (FETCH_WAIT_MS, "read_committed")


def test_the_consumer_runs_in_a_thread_that_reaches_into_the_main_loop(
    app: LaneApp, stock: faust.App, loop: asyncio.AbstractEventLoop
) -> None:
    """libuv does not forgive that: a fenced worker ended in a segmentation fault, once in some 50 times."""
    assert cast(Any, stock.consumer)._thread.thread_loop is not loop
    assert cast(Any, app.consumer)._thread.thread_loop is loop

    async def life() -> None:
        client = cast(Any, app.consumer)._thread
        await client.start()  # the broker cannot be reached
        assert await client.call_thread(threading.current_thread) is threading.main_thread()

    before = set(threading.enumerate())
    with pytest.raises(KafkaConnectionError):
        loop.run_until_complete(life())
    assert set(threading.enumerate()) <= before  # one of a test before may end meanwhile


def test_a_position_out_of_range_is_reset_in_silence(
    app: LaneApp, stock: faust.App, loop: asyncio.AbstractEventLoop
) -> None:
    assert kafka_consumer(stock, loop)._auto_offset_reset == "earliest"
    assert kafka_consumer(app, loop)._auto_offset_reset == "none"


def test_the_workers_default_switches_the_web_server_on_whatever_the_app_says(app: LaneApp, stock: faust.App) -> None:
    assert list(BootStrategy(stock, enable_web=True).web_server())
    assert not list(LaneBootStrategy(app, enable_web=True).web_server())
    assert app.BootStrategy is LaneBootStrategy


def test_faust_commits_offsets_of_its_own_unless_acknowledgements_are_off(app: LaneApp) -> None:
    assert app.facts.acks is False
    assert faust.App("stock", broker="kafka://").topic("facts").acks is True


def test_the_changelog_is_subscribed_and_prefetched_for_nothing(
    app: LaneApp, stock: faust.App, loop: asyncio.AbstractEventLoop
) -> None:
    assert isinstance(app.tables, LaneTableManager)
    loop.run_until_complete(app.tables._update_channels())
    assert "app-patients-changelog" not in {name for topic in app.topics for name in topic.topics}
    assert "app-patients-changelog" in app.tables.changelog_topics, "the assignor still co-partitions it"


# Fetching and seeking


class BrokerThread:
    """Stands for the consumer's thread: a fetch returns when the test says so."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fetching = asyncio.Event()
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def getmany(self, active: Any, timeout: float) -> Any:  # noqa: ASYNC109
        assert active, "aiokafka takes an empty set for all partitions"
        self.calls.append("fetch begins")
        self.fetching.set()
        fetched = await self.answer
        self.calls.append("fetch ends")
        return fetched

    async def seek_wait(self, positions: Any) -> None:
        self.calls.append(f"seek to {positions[FACTS]}")

    def begin_fetch_session(self) -> None:
        """Nothing is remembered here."""


def consumer_with(app: LaneApp) -> tuple[LaneConsumer, BrokerThread]:
    consumer = app.consumer
    assert isinstance(consumer, LaneConsumer)
    thread = BrokerThread()
    consumer._thread = thread  # type: ignore[assignment]
    app.consumer_generation_id = 1
    return consumer, thread


async def one_fetch(consumer: LaneConsumer) -> list[Any]:
    return [piece async for _, message in consumer.getmany(1.0) for piece in message.value]


def test_a_fetch_that_began_before_a_seek_takes_records_from_behind_it(
    app: LaneApp, loop: asyncio.AbstractEventLoop
) -> None:
    """Tried with the first prototype: 3,883 of 100,000 events lost in silence. The first safeguard."""

    async def run() -> None:
        consumer, thread = consumer_with(app)
        old, new = Session(), Session()
        assert await consumer.begin_session({FACTS: 10}, old, lambda: True)
        fetching = asyncio.create_task(one_fetch(consumer))
        await thread.fetching.wait()
        seeking = asyncio.create_task(consumer.begin_session({FACTS: 5}, new, lambda: True))
        for _ in range(10):
            await asyncio.sleep(0)
        assert thread.calls == ["seek to 10", "fetch begins"], "the seek waits for the fetch"
        thread.answer.set_result({FACTS: (10, (), 12)})
        await seeking
        assert thread.calls == ["seek to 10", "fetch begins", "fetch ends", "seek to 5"]
        # What was fetched for the former session is only for the former session
        assert [fetched.session for fetched in await fetching] in ([], [old])

    loop.run_until_complete(run())


def test_stock_faust_seeks_while_a_fetch_is_under_way(stock: faust.App, loop: asyncio.AbstractEventLoop) -> None:
    async def run() -> None:
        consumer = stock.consumer
        assert type(consumer) is driver.Consumer
        consumer._thread = thread = BrokerThread()
        consumer._active_partitions = {FACTS}
        fetching = asyncio.create_task(one_fetch(consumer))  # type: ignore[arg-type]
        await thread.fetching.wait()
        await consumer.seek_wait({FACTS: 5})
        assert thread.calls == ["fetch begins", "seek to 5"]
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)

    loop.run_until_complete(run())


def test_without_an_active_partition_nothing_is_fetched(app: LaneApp, loop: asyncio.AbstractEventLoop) -> None:
    async def run() -> None:
        consumer, thread = consumer_with(app)
        assert await one_fetch(consumer) == []
        assert thread.calls == []

    loop.run_until_complete(run())


def test_nothing_of_another_generation_is_delivered(app: LaneApp, loop: asyncio.AbstractEventLoop) -> None:
    async def run() -> None:
        consumer, thread = consumer_with(app)
        await consumer.begin_session({FACTS: 10}, Session(), lambda: True)
        fetching = asyncio.create_task(one_fetch(consumer))
        await thread.fetching.wait()
        app.consumer_generation_id = 2
        thread.answer.set_result({FACTS: (10, (), 12)})
        assert await fetching == []

    loop.run_until_complete(run())


def test_a_session_does_not_begin_when_a_rebalance_came_in_between(
    app: LaneApp, loop: asyncio.AbstractEventLoop
) -> None:
    async def run() -> None:
        consumer, thread = consumer_with(app)
        assert not await consumer.begin_session({FACTS: 10}, Session(), lambda: False)
        assert thread.calls == []

        async def lost(positions: Any) -> None:
            raise ValueError("not assigned")

        thread.seek_wait = lost  # type: ignore[method-assign]
        wanted = iter([True, False])
        assert not await consumer.begin_session({FACTS: 10}, Session(), lambda: next(wanted))
        with pytest.raises(ValueError, match="not assigned"):
            await consumer.begin_session({FACTS: 10}, Session(), lambda: True)

    loop.run_until_complete(run())


def test_a_lane_ignores_what_was_fetched_for_another_session(
    app: LaneApp, settings: LaneSettings, loop: asyncio.AbstractEventLoop
) -> None:
    async def run() -> None:
        consumer, _ = consumer_with(app)

        def fail(exc: BaseException, *, doing: str) -> None:
            raise AssertionError(doing) from exc

        lane = Lane(
            0, settings, app.lanes._make_processor, consumer, asyncio.Lock(), lambda: 0.0, fail, lambda step: None
        )
        lane._session = present = Session()
        lane.deliver(Fetched(FACTS, Session(), 0, (), 3))
        assert len(lane._inbox) == 0
        lane.deliver(Fetched(FACTS, present, 0, (), 3))
        assert len(lane._inbox) == 1
        lane.refuse_input()
        lane.deliver(Fetched(FACTS, present, 3, (), 5))
        assert len(lane._inbox) == 0

    loop.run_until_complete(run())


def test_a_closed_lane_lets_go_of_its_cache_without_the_garbage_collector(
    app: LaneApp, settings: LaneSettings, loop: asyncio.AbstractEventLoop
) -> None:
    """The collector does not look through what a lane keeps (`long_lived`), so nothing of it may be part of a cycle."""

    class Kept(SimpleNamespace):
        """A processor with its cache."""

    async def run() -> None:
        consumer, _ = consumer_with(app)
        lane = Lane(
            0,
            settings,
            app.lanes._make_processor,
            consumer,
            asyncio.Lock(),
            lambda: 0.0,
            pytest.fail,
            lambda step: None,
        )
        lane._open = _Open(cast(Any, None), cast(Any, SimpleNamespace(close=lambda: None)), cast(Any, Kept()))
        processor = weakref.ref(lane._open.processor)
        lane._task = asyncio.get_running_loop().create_task(lane._run())
        await asyncio.sleep(0)
        gc.disable()
        try:
            await lane.close()
            assert processor() is None
        finally:
            gc.enable()

    loop.run_until_complete(run())


def test_a_worker_that_has_nothing_to_fetch_stays_in_the_group(app: LaneApp, stock: faust.App, loop: Any) -> None:
    """aiokafka leaves it when nobody has fetched for so long, and joins again at the next fetch, which never comes then."""
    ten_years_ms = 10 * 365 * 86_400 * 1000
    assert kafka_consumer(app, loop)._max_poll_interval_ms == ten_years_ms
    assert kafka_consumer(stock, loop)._max_poll_interval_ms == 1_000_000
