"""From a record to a fact, or to the reason why it cannot be one (events.md section 5)."""

from typing import Final

from schemas.wire import Unreadable
from streams.adjudication.decisions import Refusal
from streams.adjudication.facts import Fact
from streams.adjudication.intake import InvalidFact
from streams.adjudication.memo import Memo
from streams.events import fact_from_avro, key_of
from streams.partitioner import key_hash
from streams.runtime.dead_letters import MAX_RECORD_BYTES, Reason
from streams.runtime.processor import InputRecord


class Refused:
    """Why a record belongs to the dead letters."""

    __slots__ = ("reason", "sentence")

    def __init__(self, reason: Reason, sentence: str) -> None:
        self.reason = reason
        self.sentence = sentence

    @classmethod
    def because(cls, refusal: Refusal) -> "Refused":
        """The fold's refusal as a dead letter's reason."""
        return cls(Reason(refusal.reason), refusal.sentence)


_HASHES: Final = Memo(key_hash, 65_536)


def accept(record: InputRecord, partitions: int) -> Fact | Refused:
    """The fact that a record carries, or why it carries none. `partitions`: how many its topic has."""
    value = record.value
    size_bytes = len(value or b"") + len(record.key or b"")
    if size_bytes > MAX_RECORD_BYTES:
        return Refused(Reason.TOO_LARGE, f"key and value have {size_bytes} bytes; at most {MAX_RECORD_BYTES} are taken")
    if value is None:
        return Refused(
            Reason.UNREADABLE, "the record has no value: facts are never deleted, they are corrected by a new version"
        )
    try:
        fact = fact_from_avro(record.topic, value)
    except Unreadable as unreadable:
        return Refused(Reason.UNREADABLE, str(unreadable))
    except InvalidFact as invalid:
        return Refused(Reason.INVALID, str(invalid))
    key = key_of(fact).encode()
    if record.key != key:
        return Refused(
            Reason.KEY_MISMATCH,
            "the record's key is not the one of its content: another worker may decide this patient",
        )
    partition = _HASHES.of(key) % partitions
    if record.partition != partition:
        return Refused(
            Reason.KEY_MISMATCH,
            f"the record is in partition {record.partition}, but its key belongs in partition {partition}, which may be another "
            "worker's: publish with Java's murmur2 partitioner (librdkafka: partitioner=murmur2_random)",
        )
    return fact
