"""A worker process with the counting processor: `counting_worker.py '<JSON of WorkerConfig>'`. Prints `ready: ...`."""

import os
import signal
import sys
from pathlib import Path

import msgspec

from streams.app import create_app
from streams.runtime.settings import BatchLimits, LaneSettings, StoreKind
from streams.runtime.worker import configure_logging, run_worker
from tests.broker.counting import CountingFactory


class WorkerConfig(msgspec.Struct):
    """What a test can choose."""

    bootstrap_servers: str
    app_id: str
    input_topics: list[str]
    output_topic: str
    dead_letter_topic: str
    partitions: int
    state_folder: str
    store: StoreKind = "rocksdb"
    instance_id: str | None = None
    topic_ids: dict[str, str] = {}
    batch_records: int = 500
    session_timeout_seconds: float = 6.0
    stop_timeout_seconds: float = 10.0
    commit_timeout_seconds: float = 20.0
    group_offsets_every_seconds: float = 1.0
    # End the process the nth time that a lane reaches this step
    die_at: str | None = None
    die_at_time: int = 1
    # Pause the process (SIGSTOP) the first time that a lane reaches this step
    stop_at: str | None = None
    # Faults in the transport
    drop_fetch: int | None = None
    dead_letter_flood_limit: bool = True
    # The reference data of the nth batch never comes
    hang_at_batch: int | None = None
    stand_still_seconds: float = 90.0


def main() -> None:
    config = msgspec.json.decode(sys.argv[1], type=WorkerConfig)
    configure_logging(os.environ.get("LOG_LEVEL", "info"))
    settings = LaneSettings(
        bootstrap_servers=config.bootstrap_servers,
        app_id=config.app_id,
        input_topics=tuple(config.input_topics),
        partitions=config.partitions,
        table="counts",
        dead_letter_topic=config.dead_letter_topic,
        topic_ids=config.topic_ids,
        store=config.store,
        state_folder=Path(config.state_folder),
        instance_id=config.instance_id,
        batch=BatchLimits(records=config.batch_records),
        session_timeout_seconds=config.session_timeout_seconds,
        stop_timeout_seconds=config.stop_timeout_seconds,
        commit_timeout_seconds=config.commit_timeout_seconds,
        group_offsets_every_seconds=config.group_offsets_every_seconds,
        dead_letter_flood_limit=config.dead_letter_flood_limit,
        stand_still_seconds=config.stand_still_seconds,
    )
    reached = 0
    stopped = False

    def on_step(step: str) -> None:
        nonlocal reached, stopped
        if step == config.stop_at and not stopped:
            stopped = True
            print("stopping myself", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        if step == config.die_at:
            reached += 1
            if reached == config.die_at_time:
                os._exit(9)

    app = create_app(
        settings, CountingFactory(config.output_topic, config.dead_letter_topic, config.hang_at_batch), on_step=on_step
    )
    app.lanes.on_ready = lambda partitions: print("ready:", *partitions, flush=True)
    if config.drop_fetch is not None:
        _drop_fetch(app, config.drop_fetch)
    run_worker(app)


def _drop_fetch(app, nth: int) -> None:  # type: ignore[no-untyped-def]
    """Lose the nth fetched piece between Faust and the lanes, as a bug would."""
    deliver, seen = app.lanes.deliver, 0

    def deliver_most(event) -> None:  # type: ignore[no-untyped-def]
        nonlocal seen
        seen += 1
        if seen != nth:
            deliver(event)

    app.lanes.deliver = deliver_most


if __name__ == "__main__":
    main()
