"""What the runtime can be told. Each default carries its argument."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from streams.security import PLAINTEXT, Security

StoreKind = Literal["memory", "rocksdb"]


@dataclasses.dataclass(frozen=True)
class BatchLimits:
    """Bounds of one transaction."""

    # 2,000 records keep the fixed cost of a transaction (about 5 ms) below 3 microseconds a record.
    records: int = 2_000
    # Processing blocks the event loop, and with it heartbeats and the commits of all other lanes. One lane processes in a turn
    # of the loop, so that each step of another lane's transaction waits for one batch, however many lanes there are.
    processing_seconds: float = 0.1
    # Bytes of keys, values and headers. A fetch brings at least one whole producer batch, which a compressing publisher
    # can make far larger than what travels; four mebibytes of input keep a transaction's output in the same order.
    bytes: int = 4 << 20


@dataclasses.dataclass(frozen=True)
class LaneSettings:
    """Everything the lanes of one worker need to know."""

    bootstrap_servers: str
    app_id: str
    input_topics: tuple[str, ...]
    partitions: int
    table: str = "patients"
    dead_letter_topic: str = "dead-letters"
    # Where a worker that begins without a position warns of what another application id has published already. Empty: nowhere
    decisions_topic: str = ""
    # Identity of a topic beyond its name: a topic that was deleted and made again has another id. Empty: not checked.
    topic_ids: Mapping[str, str] = dataclasses.field(default_factory=dict)
    store: StoreKind = "rocksdb"
    state_folder: Path = Path("state")
    instance_id: str | None = None
    security: Security = PLAINTEXT
    batch: BatchLimits = BatchLimits()
    # The group's committed offsets only serve lag monitors; the lane's own position travels in the changelog.
    group_offsets_every_seconds: float = 1.0
    # How long a dead worker's partitions stay unserved; the broker's default minimum is 6 s. Nothing may hold the event loop
    # for so long: the longest is a batch, 0.1 s by its bound.
    session_timeout_seconds: float = 10.0
    heartbeat_seconds: float = 1.0
    rebalance_timeout_seconds: float = 30.0
    # A transaction is milliseconds; one that is open this long belongs to a worker that is gone.
    transaction_timeout_seconds: float = 15.0
    # An answer to a commit that does not come is a doubt.
    commit_timeout_seconds: float = 20.0
    # A worker that gives a partition back has committed that; the markers, by which its successor can see it, come some
    # milliseconds later, or later yet when the broker has much to do. Who waits in vain waits for a dead worker's transaction.
    give_back_seconds: float = 2.0
    # Kafka forgets a transactional id that was not used for seven days (transactional.id.expiration.ms), and refuses it then.
    refresh_seconds: float = 86_400.0
    stop_timeout_seconds: float = 20.0
    # A store older than this may have missed deletes that the changelog has compacted away: half of Kafka's default
    # delete.retention.ms of 24 hours.
    store_max_age_seconds: float = 12 * 3600.0
    # A recovery that gets no new record for so long although the log has more is stuck.
    recovery_stall_seconds: float = 60.0
    # A lane that has input and does not move for so long is held by something that raises no error. Three times what a
    # commit may take, and longer than a broker's restart.
    stand_still_seconds: float = 90.0
    # A lane that waits for something outside of Kafka, such as a schema registry, asks and says so this often. It is no
    # reason to stop the worker: the other lanes go on.
    ask_again_seconds: float = 2.0
    say_waiting_every_seconds: float = 30.0
    fetch_max_bytes: int = 1 << 20
    # An operator who knows about a flood of bad records lets it pass into the dead letters.
    dead_letter_flood_limit: bool = True

    @property
    def changelog_topic(self) -> str:
        """The table's changelog, named as Faust names it."""
        return f"{self.app_id}-{self.table}-changelog"
