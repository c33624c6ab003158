"""A bare loop on confluent-kafka: consume, fold, produce, one transaction for each batch, state in memory and a changelog.

What a careful team writes by hand. It recovers its state from the changelog at every start, and takes part in rebalances by
starting anew: it is for one process.
"""

from benchmarks.core import Core
from benchmarks.environments import python_of
from benchmarks.systems.system import Place, System, place_from_arguments, program
from streams.topics import FACT_TOPICS

COMMIT_SECONDS = 0.1
MOST_RECORDS = 2_000


def command(place: Place, _number: int) -> list[str]:
    return program(python_of("confluent-kafka"), "benchmarks.systems.confluent_loop", place)


SYSTEM = System(
    name="confluent-loop",
    title="bare confluent-kafka loop",
    guarantee="exactly once (one process)",
    settings="a transaction every 2,000 facts or 100 ms, linger 5 ms, state in memory",
    command=command,
)


def main() -> None:
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

    place = place_from_arguments()
    core = Core(place.facts_file)
    changelog = place.changelog()
    common = {"bootstrap.servers": place.bootstrap_servers}
    producer = Producer({**common, "transactional.id": place.app_id, "partitioner": "murmur2_random", "linger.ms": 5})
    producer.init_transactions()

    table: dict[bytes, bytes] = {}
    reader = Consumer(
        {**common, "group.id": place.app_id, "isolation.level": "read_committed", "enable.partition.eof": True}
    )
    reader.assign([TopicPartition(changelog, p, 0) for p in range(place.partitions)])
    ended = 0
    while ended < place.partitions:
        for message in reader.consume(10_000, 1.0):
            if message.error():
                ended += 1
            else:
                table[message.key()] = message.value()
    reader.close()

    consumer = Consumer(
        {
            **common,
            "group.id": place.app_id,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(list(FACT_TOPICS))

    def produce(topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
        while True:
            try:
                producer.produce(topic, value, key, headers=headers)
            except BufferError:
                producer.poll(0.01)
            else:
                return

    while True:
        messages = consumer.consume(MOST_RECORDS, COMMIT_SECONDS)
        if not messages:
            continue
        changes: dict[bytes, bytes] = {}
        producer.begin_transaction()
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            for output in core.decide(message.topic(), message.value(), table.get, changes.__setitem__):
                produce(output.topic, output.key, output.value, list(output.headers))
        for key, value in changes.items():
            produce(changelog, key, value)
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()
        table.update(changes)


if __name__ == "__main__":
    main()
