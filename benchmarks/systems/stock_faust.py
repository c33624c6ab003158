"""Stock Faust, as its documentation teaches it, around the same codec, the same fold and the same patient state.

One agent over all fact topics, one table, `await topic.send()` for each decision, Faust's default settings (at least once). What
that does not give: docs/adr/0001.
"""

import sys

from benchmarks.core import Core
from benchmarks.systems.system import Place, System, place_from_arguments, program
from streams.topics import BILLING_DECISIONS, ELIGIBILITY_NOTICES, FACT_TOPICS


def command(place: Place, _number: int) -> list[str]:
    return program(sys.executable, "benchmarks.systems.stock_faust", place)


SYSTEM = System(
    name="stock-faust",
    title="stock Faust",
    guarantee="at least once, with known losses",
    settings="defaults: one agent, one table in memory, a send for each decision",
    command=command,
    exactly_once=False,
    facts_of=lambda facts: max(6_000, facts // 10),
)


def main() -> None:
    import faust

    place = place_from_arguments()
    core = Core(place.facts_file)
    app = faust.App(
        place.app_id,
        broker=f"kafka://{place.bootstrap_servers}",
        store="memory://",
        datadir=str(place.folder),
        topic_partitions=place.partitions,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
    )
    outputs = {
        name: app.topic(name, key_type=bytes, value_type=bytes, partitions=place.partitions)
        for name in (BILLING_DECISIONS, ELIGIBILITY_NOTICES)
    }
    facts = app.topic(*FACT_TOPICS, key_type=bytes, value_type=bytes, partitions=place.partitions)
    table = app.Table("patients", key_type=bytes, value_type=bytes, partitions=place.partitions)

    @app.agent(facts)
    async def adjudicate(stream):  # type: ignore[no-untyped-def]
        async for event in stream.events():
            for output in core.decide(event.message.topic, event.value, table.get, table.__setitem__):
                await outputs[output.topic].send(key=output.key, value=output.value, headers=dict(output.headers))

    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()


if __name__ == "__main__":
    main()
