"""The facts that every system gets: one generated history, encoded once, saved in the cache folder and read by all.

A file holds records as they go to Kafka, in order of arrival, agreements first. Beside it stands what the fold alone makes of
them: how many outputs of what size, and the fingerprint of the decisions that stand in the end, which every run is compared with.
"""

import hashlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.core import Core
from deploy.kafka_distribution import cache_folder
from streams.adjudication.decisions import Decision
from streams.events import decision_from_avro, notice_from_avro
from streams.generator import history
from streams.publisher import FactRecord
from streams.topics import BILLING_DECISIONS, PROVIDER_AGREEMENT

SEED = 1
FACTS_PER_PATIENT = 5  # fewer than there are: enough patients for any number of facts
_FORMAT = "2"
_HISTORY_FIELDS = ("decision_id", "version", "supersedes", "paid_before_cents", "change_cents", "caused_by")


class Record(NamedTuple):
    """A fact as it goes to Kafka."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Expected(NamedTuple):
    """What the fold alone makes of a number of facts, in order of arrival."""

    facts: int
    agreements: int  # of the facts; the peers read them beforehand
    patients: int
    input_bytes: int  # keys and values
    outputs: int  # decisions and notices
    output_bytes: int  # values
    state_writes: int
    state_bytes: int  # values that were written
    lines: int  # claim lines that have a decision
    fingerprint: str  # of the decisions that stand


class Outcome(NamedTuple):
    """What a reader of the committed log finds after a run."""

    outputs: int
    decisions: int
    distinct: int  # decision ids
    lines: int
    notices: int
    fingerprint: str

    @property
    def repeated(self) -> int:
        """Decisions that were published more than once."""
        return self.decisions - self.distinct


def saved(count: int, seed: int = SEED) -> Path:
    """The file with so many facts (the agreements among them), made on first use."""
    folder = cache_folder() / "benchmark-facts"
    path = folder / f"{_generation()}-{seed}-{count}.msgpack"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = islice(history(max(1_000, count // FACTS_PER_PATIENT), seed), count)
        records = [tuple(FactRecord.of(fact, "benchmark")) for fact in made]
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.msgpack.encode(records))
        partial.replace(path)
    return path


def load(path: Path) -> list[Record]:
    """The records of a file."""
    return msgspec.msgpack.Decoder(list[Record]).decode(path.read_bytes())


def expected(path: Path) -> Expected:
    """What the fold makes of a file; worked out once and saved beside it."""
    known = path.with_suffix(f".{_generation()}.expected.json")
    if not known.exists():
        known.write_bytes(msgspec.json.encode(_expected(path)))
    return msgspec.json.decode(known.read_bytes(), type=Expected)


def _expected(path: Path) -> Expected:
    records = load(path)
    core = Core(path)
    table: dict[bytes, bytes] = {}
    writes: list[int] = []

    def put(key: bytes, value: bytes) -> None:
        table[key] = value
        writes.append(len(value))

    outputs = [
        (output.topic, output.value)
        for record in records
        if record.topic != PROVIDER_AGREEMENT
        for output in core.decide(record.topic, record.value, table.get, put)
    ]
    found = outcome(outputs)
    return Expected(
        facts=len(records),
        agreements=sum(record.topic == PROVIDER_AGREEMENT for record in records),
        patients=core.patients,
        input_bytes=sum(len(record.key) + len(record.value) for record in records),
        outputs=len(outputs),
        output_bytes=sum(len(value) for _, value in outputs),
        state_writes=len(writes),
        state_bytes=sum(writes),
        lines=found.lines,
        fingerprint=found.fingerprint,
    )


def outcome(outputs: Iterable[tuple[str, bytes]]) -> Outcome:
    """Count and fingerprint outputs, given as topic and value.

    History fields may depend on the order in which a system reads its topics; what stands in the end may not.
    """
    standing: dict[tuple[str, int], Decision] = {}
    ids: set[str] = set()
    notices: set[tuple[str, str, int]] = set()
    total = decisions = 0
    for topic, value in outputs:
        total += 1
        if topic != BILLING_DECISIONS:
            notice = notice_from_avro(value)
            notices.add((notice.patient_id, notice.order_id, notice.order_version))
            continue
        decision = decision_from_avro(value)
        decisions += 1
        ids.add(decision.decision_id)
        line = (decision.claim_id, decision.line_number)
        if line not in standing or standing[line].version <= decision.version:
            standing[line] = decision
    return Outcome(total, decisions, len(ids), len(standing), len(notices), _fingerprint(standing))


def _fingerprint(standing: dict[tuple[str, int], Decision]) -> str:
    digest = hashlib.sha256()
    for line in sorted(standing):
        digest.update(repr(standing[line]._replace(**dict.fromkeys(_HISTORY_FIELDS, ""))).encode())
    return digest.hexdigest()[:16]


def _generation() -> str:
    """Another one whenever the generator, the rules or the codec change."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256(_FORMAT.encode())
    for folder in ("streams/generator", "streams/adjudication", "schemas"):
        for source in sorted((root / folder).rglob("*")):
            if source.suffix in {".py", ".avsc", ".toml"}:
                digest.update(source.read_bytes())
    digest.update((root / "streams/agents/patient_state.py").read_bytes())
    return digest.hexdigest()[:10]
