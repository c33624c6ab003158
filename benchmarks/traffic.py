"""What publishes to the systems and reads from them: librdkafka, in processes of their own, so that all are treated alike.

    python -m benchmarks.traffic load SERVERS FACTS_FILE BEGIN END         publish facts as fast as Kafka takes them
    python -m benchmarks.traffic pace SERVERS FACTS_FILE BEGIN END RATE OUT publish so many a second; OUT: event id -> instant
    python -m benchmarks.traffic read SERVERS OUT                          read the outputs, read_committed, until standard
                                                                           input ends; OUT: what came, and when

Instants are the machine's monotonic clock, which all processes share. They run in the environment of the peer confluent-kafka.
"""

import json
import select
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

OUTPUT_TOPICS = ("billing-decisions", "eligibility-notices")
FAST = {"linger.ms": 20, "queue.buffering.max.messages": 1_000_000, "batch.size": 262_144}
PROMPT = {"linger.ms": 0}


def _records(file: str) -> list[Any]:
    return msgspec.msgpack.decode(Path(file).read_bytes())


def _producer(servers: str, settings: dict[str, Any]) -> Any:
    common = {"bootstrap.servers": servers, "acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random"}
    return Producer({**common, **settings})


def load(servers: str, file: str, begin: str, end: str) -> None:
    producer = _producer(servers, FAST)
    before = ""
    for topic, key, value, headers in _records(file)[int(begin) : int(end)]:
        if before == "provider-agreement" != topic:
            producer.flush()  # no fact overtakes an agreement
        before = topic
        while True:
            try:
                producer.produce(topic, value, key, headers=[tuple(header) for header in headers])
            except BufferError:
                producer.poll(0.05)
            else:
                break
    if left := producer.flush(60):
        raise SystemExit(f"{left} facts were not acknowledged")


def pace(servers: str, file: str, begin: str, end: str, rate: str, out: str) -> None:
    producer = _producer(servers, PROMPT)
    records = [
        (topic, value, key, [tuple(header) for header in headers])
        for topic, key, value, headers in _records(file)[int(begin) : int(end)]
    ]
    producer.list_topics(timeout=10)
    sent: dict[str, float] = {}
    begun = time.monotonic()
    for number, (topic, value, key, headers) in enumerate(records):
        due = begun + number / float(rate)
        while (now := time.monotonic()) < due:
            time.sleep(
                due - now
            )  # poll() with less than a millisecond would spin, and take a core from the measured system
        producer.poll(0)
        sent[dict(headers)["ce_id"].decode()] = now  # from when it was handed over, not from when it was due
        producer.produce(topic, value, key, headers=headers)
    producer.flush(60)
    late = (time.monotonic() - begun) - len(records) / float(rate)
    Path(out).write_bytes(msgspec.msgpack.encode({"sent": sent, "late_seconds": late}))


def read(servers: str, out: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "benchmark-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "queued.min.messages": 100_000,
        }
    )
    found = consumer.list_topics(timeout=10).topics
    consumer.assign([TopicPartition(topic, p, 0) for topic in OUTPUT_TOPICS for p in found[topic].partitions])
    read: list[tuple[float, str, bytes, list[tuple[str, bytes]]]] = []
    said_at = 0.0
    said = -1
    while True:
        # consume() waits until it has as many as it was asked for: first one, then what is there already
        messages = consumer.consume(1, 0.02)
        if messages:
            messages += consumer.consume(1_000, 0)
        now = time.monotonic()
        read.extend(
            (now, message.topic(), message.value(), message.headers() or [])
            for message in messages
            if not message.error()
        )
        if len(read) != said and (now - said_at > 0.05 or said <= 0):
            said, said_at = len(read), now
            sys.stdout.write(json.dumps([now, said]) + "\n")
            sys.stdout.flush()
        if not messages and select.select([sys.stdin], [], [], 0)[0]:
            break
    rows = [(at, topic, value, _cause(headers)) for at, topic, value, headers in read]
    Path(out).write_bytes(msgspec.msgpack.encode(rows))


def _cause(headers: list[tuple[str, bytes]]) -> str:
    return next((value.decode() for name, value in headers if name == "caused_by"), "")


if __name__ == "__main__":
    {"load": load, "pace": pace, "read": read}[sys.argv[1]](*sys.argv[2:])
