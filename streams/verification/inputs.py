"""Which input records are facts, and why the others are not: the dead letters that must exist (events.md section 5).

Written a second time on purpose: it shares the decoding of a record, the limit of its size and the rules' own check of values with
the lanes, but not the lanes' judgement. What the fold refuses (WRONG_PAYER, CONFLICT) it says itself.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from streams.adjudication.agreements import Agreements
from streams.adjudication.decisions import AgreementRef
from streams.adjudication.facts import Fact, ProviderAgreement
from streams.events import InvalidFact, Unreadable, fact_from_avro, key_of
from streams.runtime.dead_letters import MAX_RECORD_BYTES
from streams.runtime.processor import Headers, InputRecord
from streams.topics import partition_for


class Unusable(NamedTuple):
    """An input record that must have a dead letter."""

    reason: str
    fingerprint: bytes  # of key, value and headers, which the dead letter carries on untouched


def judge(record: InputRecord, partitions: int) -> Fact | str:
    """The fact of a record in a topic of so many partitions, or the reason code why it is none."""
    if len(record.key or b"") + len(record.value or b"") > MAX_RECORD_BYTES:
        return "TOO_LARGE"
    try:
        fact = fact_from_avro(record.topic, record.value)
    except Unreadable:
        return "UNREADABLE"
    except InvalidFact:
        return "INVALID"
    key = key_of(fact).encode()
    if record.key != key or record.partition != partition_for(key, partitions):
        return "KEY_MISMATCH"
    return fact


def unusable(record: InputRecord, reason: str) -> Unusable:
    return Unusable(reason, fingerprint(record.key, record.value, record.headers))


def fingerprint(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """Of a record's content, so that it need not be kept until its dead letter comes."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (key, value, *(part for name, value in headers for part in (name.encode(), value))):
        digest.update(b"-" if part is None else b"%d:%b" % (len(part), part))
    return digest.digest()


class AgreementHistory:
    """All provider agreements with where they stand in their topic, and the records that are none."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self.newest = Agreements()
        self.refused: dict[tuple[int, int], Unusable] = {}  # by partition and offset
        self._places: dict[str, dict[int, tuple[int, int]]] = {}  # npi -> version -> partition and offset

    def take(self, record: InputRecord) -> None:
        """The next record of a partition of the topic."""
        fact = judge(record, self._partitions)
        if isinstance(fact, ProviderAgreement):
            if self.newest.admit(fact) is None:
                self._places.setdefault(fact.npi, {}).setdefault(fact.version, (record.partition, record.offset))
                return
            fact = "CONFLICT"
        assert isinstance(fact, str), "the topic of agreements holds nothing but agreements"
        self.refused[record.partition, record.offset] = unusable(record, fact)

    def versions(self, npi: str) -> list[int]:
        """All versions of a provider's agreement."""
        return sorted(self._places.get(npi, ()))

    def named(self, refs: Iterable[AgreementRef]) -> tuple[Agreements, list[AgreementRef]]:
        """The agreements as they were when only these versions were known, and those of them that do not exist."""
        agreements, unknown = Agreements(), []
        for ref in refs:
            agreement = self.newest.version(ref.npi, ref.version)
            if agreement is None:
                unknown.append(ref)
            else:
                agreements.admit(agreement)
        return agreements, unknown

    def version_at(self, npi: str, through: dict[int, int]) -> int | None:
        """The version that stood when each partition had been read through these offsets (inclusive)."""
        return max(
            (
                version
                for version, (partition, offset) in self._places.get(npi, {}).items()
                if offset <= through.get(partition, -1)
            ),
            default=None,
        )
