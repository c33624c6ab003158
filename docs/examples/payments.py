"""A payments consumer that survives kill -9 without paying twice. Run it beside a worker: docs/consuming.md says why it is right.

    python docs/examples/payments.py --bootstrap-servers 127.0.0.1:9092 --database payments.db [--until-idle 5]

Nothing of pathway-billing is imported: this is what a payments team would write, with kafka-python, an Avro library and SQLite.
It keeps, for each claim line, the highest version that it has seen; moves what that changes; and stores the money moves and the
offsets in one SQLite transaction. Kafka's own committed offsets are not used. PATHWAY_BILLING_... settings of TLS and SASL are
left out for brevity: give KafkaConsumer what docs/security.md names.
"""

import argparse
import io
import json
import signal
import sqlite3
import time
from pathlib import Path

import fastavro
from kafka import KafkaConsumer, TopicPartition

TOPIC = "billing-decisions"
SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "released" / f"{TOPIC}-value"

TABLES = """
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS lines (
    patient_id TEXT, claim_id TEXT, line_number INTEGER, version INTEGER NOT NULL, paid_cents INTEGER NOT NULL,
    PRIMARY KEY (patient_id, claim_id, line_number)
) STRICT;
CREATE TABLE IF NOT EXISTS moves (
    decision_id TEXT PRIMARY KEY,  -- a second line of defence: no decision can move money twice
    patient_id TEXT NOT NULL, claim_id TEXT NOT NULL, line_number INTEGER NOT NULL, version INTEGER NOT NULL,
    billing_npi TEXT NOT NULL, cents INTEGER NOT NULL  -- negative: to be taken back
) STRICT;
"""


class Decoder:
    """Decisions in the Confluent wire format: byte 0, four bytes of schema id, an Avro body. Every released version is read."""

    def __init__(self, folder: Path) -> None:
        self._schemas = {
            json.loads(file.with_suffix(".golden.json").read_text())["id"]: fastavro.parse_schema(
                json.loads(file.read_text())
            )
            for file in folder.glob("v*.avsc")
        }

    def __call__(self, value: bytes | None) -> dict:
        if not value or value[0] != 0:
            raise SystemExit(
                "a record that is not in the Confluent wire format: find out who wrote it, pay nothing further"
            )
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._schemas:
            raise SystemExit(f"a record with schema id {schema_id}: get its schema before paying anything further")
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)


def pay(database: sqlite3.Connection, decision: dict) -> None:
    """Take one decision in: the highest version of a line stands, and what it pays more or less than before is moved."""
    line = (decision["patient_id"], decision["claim_id"], decision["line_number"])
    known = database.execute(
        "SELECT version, paid_cents FROM lines WHERE (patient_id, claim_id, line_number) = (?, ?, ?)", line
    ).fetchone()
    version, paid_cents = known or (0, 0)
    if decision["version"] <= version:
        return  # delivered again
    # Not change_cents: where a version was missed, this is still right. Without a gap both are the same.
    cents = decision["paid_cents"] - paid_cents
    if decision["version"] == version + 1 and cents != decision["change_cents"]:
        raise SystemExit(f"decision {decision['decision_id']} does not fit the version before it: stop and ask")
    database.execute(
        "INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?)", (*line, decision["version"], decision["paid_cents"])
    )
    if cents:
        database.execute(
            "INSERT INTO moves VALUES (?, ?, ?, ?, ?, ?, ?)",
            (decision["decision_id"], *line, decision["version"], decision["billing_npi"], cents),
        )


def follow(consumer: KafkaConsumer, database: sqlite3.Connection, idle_seconds: float | None) -> None:
    """Take in what is committed, a poll at a time: money moves and position in one transaction."""
    decode = Decoder(SCHEMAS)
    numbers = consumer.partitions_for_topic(TOPIC)
    if not numbers:
        raise SystemExit(f"there is no topic {TOPIC}, or it may not be seen: ask whoever administrates the Kafka")
    partitions = [TopicPartition(TOPIC, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    positions = dict(database.execute("SELECT partition, next_offset FROM positions"))
    begins = consumer.beginning_offsets(partitions)
    for partition in partitions:
        start = positions.get(partition.partition, begins[partition])
        if start < begins[partition]:
            raise SystemExit(
                f"{TOPIC}/{partition.partition} no longer has offset {start}: decisions were lost, pay nothing"
            )
        consumer.seek(partition, start)
    moved_at = time.monotonic()
    while idle_seconds is None or time.monotonic() - moved_at < idle_seconds:
        fetched = consumer.poll(timeout_ms=200)
        if not fetched:
            continue
        moved_at = time.monotonic()
        database.execute("BEGIN IMMEDIATE")
        for partition, records in fetched.items():
            stored = database.execute(
                "SELECT next_offset FROM positions WHERE partition = ?", (partition.partition,)
            ).fetchone()
            if (stored[0] if stored else None) != positions.get(partition.partition):
                raise SystemExit("another payments process uses this database: only one may")
            for record in records:
                pay(database, decode(record.value))
            positions[partition.partition] = records[-1].offset + 1
            database.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?)", (partition.partition, positions[partition.partition])
            )
        database.execute("COMMIT")


def main() -> None:
    parser = argparse.ArgumentParser(description="Pays what billing-decisions says, once.")
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--until-idle", type=float, metavar="SECONDS", help="end when nothing came for so long")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    database = sqlite3.connect(arguments.database, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")  # a money move that was told must survive a power cut
    database.executescript(TABLES)
    consumer = KafkaConsumer(
        bootstrap_servers=arguments.bootstrap_servers.split(","),
        isolation_level="read_committed",  # an aborted decision never was
        group_id=None,
        enable_auto_commit=False,  # the position is ours, beside the money
        auto_offset_reset="none",  # a position that Kafka does not have is an error, never a silent jump
    )
    try:
        follow(consumer, database, arguments.until_idle)
    except KeyboardInterrupt:
        pass  # asked to stop: what was not committed is read again
    finally:
        consumer.close(autocommit=False)
    print(json.dumps({"paid_cents": database.execute("SELECT coalesce(sum(cents), 0) FROM moves").fetchone()[0]}))


if __name__ == "__main__":
    main()
