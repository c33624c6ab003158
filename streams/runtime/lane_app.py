"""The Faust app that lanes run in: Faust's vocabulary, with each part that may lose a record switched off or replaced."""

from collections.abc import Iterable, Sequence
from typing import Any

import faust
import mode
from faust.app.base import BootStrategy

from streams.runtime.lanes import Lanes
from streams.runtime.processor import ProcessorFactory
from streams.runtime.reference import ReferenceFollower
from streams.runtime.service_log import service_log
from streams.runtime.settings import LaneSettings
from streams.runtime.table import LaneTable, LaneTableManager
from streams.runtime.transactions import OnStep
from streams.runtime.transport import FetchedSchema


class LaneBootStrategy(BootStrategy):
    """Without Faust's web server: it answers before the tables are recovered, and two workers on a host collide on its port.

    The setting `web_enabled=False` is not enough, because the worker's default `--with-web` overrides it.
    """

    def web_server(self) -> Iterable[Any]:
        """Nothing."""
        return []


NEVER_SECONDS = 10 * 365 * 86_400.0
"""A worker that has no partition does not fetch. After Faust's default of 1,000 s without a fetch aiokafka would leave the group
and not join it again before a fetch: nobody would take a dead worker's partitions over. What stands still is seen by the watch."""


class LaneApp(faust.App):
    """A Faust app with lanes, their table and their input."""

    logger = service_log

    BootStrategy = LaneBootStrategy

    lanes: Lanes

    def __init__(
        self,
        settings: LaneSettings,
        make_processor: ProcessorFactory,
        *,
        followers: Sequence[ReferenceFollower] = (),
        on_step: OnStep | None = None,
    ) -> None:
        super().__init__(
            settings.app_id,
            broker=[f"lanes://{server}" for server in settings.bootstrap_servers.split(",")],
            broker_credentials=settings.security.faust(),
            Table=LaneTable,
            TableManager=LaneTableManager,
            # An agent that fails stops the worker; stock Faust restarts it and goes on behind the failed event.
            agent_supervisor=mode.CrashingSupervisor,
            # Nothing is acknowledged to Faust, so there is nothing to wait for at the end (it would wait for ever).
            stream_wait_empty=False,
            stream_buffer_maxsize=64,
            table_standby_replicas=0,
            topic_disable_leader=True,
            topic_allow_declare=False,
            topic_partitions=settings.partitions,
            datadir=str(settings.state_folder),
            consumer_group_instance_id=settings.instance_id,
            consumer_max_fetch_size=settings.fetch_max_bytes,
            broker_session_timeout=settings.session_timeout_seconds,
            broker_heartbeat_interval=settings.heartbeat_seconds,
            broker_rebalance_timeout=settings.rebalance_timeout_seconds,
            broker_max_poll_interval=NEVER_SECONDS,
            web_enabled=False,
        )
        self.lanes = Lanes(self, settings, make_processor, followers, on_step or (lambda step: None))  # noqa: ARG005
        self.table = self.Table(settings.table, partitions=settings.partitions)
        # acks=False: Faust neither tracks nor commits these records. Its background commit would overwrite the offsets that
        # the transactions committed, backwards.
        self.facts = self.topic(*settings.input_topics, schema=FetchedSchema(), acks=False)

    def _create_directories(self) -> None:
        """Nothing: the stores make their own folders, and Faust's would stay empty."""
