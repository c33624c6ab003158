"""Quix Streams, exactly once: a streaming dataframe over all fact topics, with state and its changelog."""

from functools import reduce
from typing import Any

from benchmarks.core import Core
from benchmarks.environments import python_of
from benchmarks.systems.system import Place, System, place_from_arguments, program
from streams.topics import BILLING_DECISIONS, ELIGIBILITY_NOTICES, FACT_TOPICS

COMMIT_SECONDS = 0.1


def command(place: Place, _number: int) -> list[str]:
    return program(python_of("quix-streams"), "benchmarks.systems.quix_streams", place)


SYSTEM = System(
    name="quix-streams",
    title="Quix Streams",
    guarantee="exactly once",
    settings="exactly-once, commit interval 100 ms (its default of 5 s makes decisions readable only then), RocksDB",
    command=command,
)


def main() -> None:
    from quixstreams import Application

    place = place_from_arguments()
    core = Core(place.facts_file)
    app = Application(
        broker_address=place.bootstrap_servers,
        consumer_group=place.app_id,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=COMMIT_SECONDS,
        consumer_poll_timeout=COMMIT_SECONDS,
        producer_extra_config={"partitioner": "murmur2_random"},
        state_dir=place.folder,
        loglevel="WARNING",
    )

    def topic(name: str) -> Any:
        return app.topic(
            name, key_deserializer="bytes", value_deserializer="bytes", key_serializer="bytes", value_serializer="bytes"
        )

    # One dataframe for all topics, so that they share one state of each patient
    frames = [app.dataframe(topic(name)).apply(lambda value, name=name: (name, value)) for name in FACT_TOPICS]
    frame = reduce(lambda all_so_far, other: all_so_far.concat(other), frames)

    def adjudicate(fact: tuple[str, bytes], state: Any) -> list[Any]:
        return core.decide(fact[0], fact[1], state.get_bytes, state.set_bytes)

    decided = frame.apply(adjudicate, stateful=True, expand=True)
    decided = decided.set_headers(lambda output, *_: list(output.headers))
    for name in (BILLING_DECISIONS, ELIGIBILITY_NOTICES):
        of_topic = decided.filter(lambda output, name=name: output.topic == name)
        of_topic.apply(lambda output: output.value).to_topic(topic(name))
    app.run()


if __name__ == "__main__":
    main()
