"""Bytewax: a dataflow with a stateful step, its recovery store on disk. At least once: after a restart it repeats outputs."""

import sys
from typing import Any

from benchmarks.core import Core
from benchmarks.environments import python_of
from benchmarks.systems.system import Place, System, place_from_arguments, program
from streams.topics import FACT_TOPICS

SNAPSHOT_SECONDS = 10


def command(place: Place, _number: int) -> list[str]:
    return program(python_of("bytewax"), "benchmarks.systems.bytewax", place)


SYSTEM = System(
    name="bytewax",
    title="Bytewax",
    guarantee="at least once",
    settings="defaults: one worker, recovery store in SQLite with a snapshot every 10 s (no changelog in Kafka)",
    command=command,
    exactly_once=False,
    quiet_seconds=15.0,  # it stands still while it writes a snapshot, for seconds with so many patients
    deletes_state=False,
)


def flow(place: Place) -> Any:
    from bytewax import operators as op
    from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
    from bytewax.dataflow import Dataflow

    core = Core(place.facts_file)
    made = Dataflow("adjudicate")
    facts = op.input("facts", made, KafkaSource([place.bootstrap_servers], FACT_TOPICS))
    keyed = op.map("key", facts, lambda fact: (fact.key.decode(), fact))

    def decide(state: dict[bytes, bytes] | None, fact: Any) -> tuple[dict[bytes, bytes], list[Any]]:
        table = {} if state is None else state
        return table, core.decide(fact.topic, fact.value, table.get, table.__setitem__)

    decided = op.stateful_map("decide", keyed, decide)
    messages = op.flat_map(
        "publish",
        decided,
        lambda keyed: [
            KafkaSinkMessage(output.key, output.value, output.topic, list(output.headers)) for output in keyed[1]
        ],
    )
    op.output("decisions", messages, KafkaSink([place.bootstrap_servers], None, {"partitioner": "murmur2_random"}))
    return made


def main() -> None:
    from datetime import timedelta

    from bytewax.recovery import RecoveryConfig, init_db_dir
    from bytewax.run import cli_main

    place = place_from_arguments()
    if not any(place.folder.glob("*.sqlite3")):
        init_db_dir(place.folder, 1)
    sys.argv = sys.argv[:1]
    cli_main(
        flow(place),
        workers_per_process=1,
        epoch_interval=timedelta(seconds=SNAPSHOT_SECONDS),
        recovery_config=RecoveryConfig(place.folder),
    )


if __name__ == "__main__":
    main()
