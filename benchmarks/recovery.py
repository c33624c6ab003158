"""Recovery: patients a second from a changelog on a real Kafka into memory and RocksDB, and what a warm restart reads.

    python -m benchmarks.recovery [--patients N] [--repeat N] [--json FILE]

One lane and the worker's own recovery; the changelog is that of changelog.py. For the warm restart, 1 in 100 patients is written
again after the store was closed.
"""

import asyncio
import logging
import statistics
import tempfile
from pathlib import Path

from aiokafka.structs import TopicPartition
from kafka import KafkaAdminClient

from benchmarks.changelog import FACTS_PER_PATIENT, Population
from benchmarks.single import count, finish, parser
from deploy.broker import EmbeddedBroker
from streams.runtime.recovery import Recovered, consumer_for, recover
from streams.runtime.settings import LaneSettings, StoreKind
from streams.runtime.stores import StoreIdentity, delete_stores, open_store

KINDS: tuple[StoreKind, ...] = ("memory", "rocksdb")
TAIL = 100  # one in so many patients changes before the warm restart


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--patients", type=count, default=200_000, help="in the changelog (default: 200,000)")
    options.add_argument("--repeat", type=count, default=3, help="times of each store (default: 3)")
    given = options.parse_args()
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # on a new broker it asks for a coordinator until there is one
    with (
        tempfile.TemporaryDirectory(prefix="pathway-billing-bench-") as name,
        EmbeddedBroker(Path(name) / "b", for_long=True) as broker,
    ):
        settings = LaneSettings(broker.bootstrap_servers, "recovery", (), 1, state_folder=Path(name) / "state")
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
            configs = {"cleanup.policy": "compact"}
            admin.create_topics(
                {settings.changelog_topic: {"num_partitions": 1, "replication_factor": 1, "configs": configs}}
            )
        rows = asyncio.run(_measure(settings, given.patients, given.repeat))
    heads = ("Start", "Store", "Patients", "Records read", "Seconds, median", "Patients/s, median", "Patients/s, best")
    cells = [
        (
            str(row["start"]),
            str(row["store"]),
            f"{row['patients']:,}",
            f"{row['records']:,}",
            f"{row['seconds']:.2f}",
            f"{row['patients_per_second']:,.0f}",
            f"{row['best']:,.0f}",
        )
        for row in rows
    ]
    finish(given.json, rows, heads, cells)


async def _measure(settings: LaneSettings, patients: int, repeat: int) -> list[dict[str, float | str]]:
    population = Population()
    written = await population.write(settings, range(patients))
    rows = []
    for kind in KINDS:
        made = []
        for _ in range(repeat):
            delete_stores(settings.state_folder, settings.changelog_topic)
            made.append(await _recover(settings, kind))
        assert {recovered.records for recovered in made} == {written}, "a cold start reads the whole changelog"
        rows.append(_row("cold", kind, patients, made))
    changed = range(0, patients, TAIL)
    tail = await population.write(settings, changed)
    warm = await _recover(settings, "rocksdb")
    assert warm.records == tail, "a warm start reads the tail and nothing else"
    rows.append(_row("warm", "rocksdb", len(changed), [warm]))
    return rows


class _Nobody:
    """The patients are written, then nobody writes any more."""

    def patience_seconds(self, former: str) -> float:  # noqa: ARG002
        return 0.0

    async def fence(self, former: str) -> None: ...


async def _recover(settings: LaneSettings, kind: StoreKind) -> Recovered:
    store = open_store(kind, settings.state_folder, StoreIdentity(settings.changelog_topic, "", 0))
    consumer = consumer_for(settings)
    await consumer.start()
    try:
        return await recover(store, consumer, TopicPartition(settings.changelog_topic, 0), settings, _Nobody())
    finally:
        await consumer.stop()
        store.close()


def _row(start: str, kind: str, patients: int, made: list[Recovered]) -> dict[str, float | str]:
    seconds = [recovered.seconds for recovered in made]
    return {
        "start": start,
        "store": kind,
        "patients": patients,
        "facts_per_patient": FACTS_PER_PATIENT,
        "records": made[0].records,
        "seconds": statistics.median(seconds),
        "patients_per_second": patients / statistics.median(seconds),
        "best": patients / min(seconds),
    }


if __name__ == "__main__":
    main()
