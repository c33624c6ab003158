"""A patient's record as values of the patient table.

A patient of 5,000 claims must stay below Kafka's record limit, and a new claim must not rewrite the whole history. So claims,
with the positions of their lines, are kept in *segments* of at most 16 claims, in order of arrival:

==========================================  =======================================================================
key                                         value
==========================================  =======================================================================
patient_id                                  the head: every other fact, and segment 0
patient_id, a zero byte, segment number     segment 1, 2, 3 ...
==========================================  =======================================================================

A value is one byte, the format's version, and a MessagePack array: compact, and decoded in about a microsecond a claim. What
derives from the facts is not stored. Patient ids hold no zero byte (intake refuses it).

Facts are frozen, so each is encoded once and its bytes are kept, those of a claim's positions until one of its lines is decided
anew: a patient who is stored again for one more claim copies the bytes of the others (8.3 -> 3 microseconds a value).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from streams.adjudication.facts import Claim, PatientFact
from streams.adjudication.fold import Step
from streams.adjudication.record import PatientRecord
from streams.agents.stored_values import Head, Segment
from streams.runtime.failure import WorkerFailure

FORMAT_VERSION = 1
_VERSION_BYTE: Final = bytes((FORMAT_VERSION,))

SEGMENT_CLAIMS: Final = 16
"""A typical patient bills about 12 claims a year: one value. At 16 claims a value has some 6 KB, so that the changelog grows by
at most that much for a claim, however long the history."""

SEGMENT_BYTES: Final = 128 << 10
"""A segment that has grown to this size takes no further claim, however few it holds."""


class UnknownStateFormat(WorkerFailure):
    """A table value of a format that this version does not know: it was written by a newer one."""


_encode: Final = msgspec.msgpack.Encoder().encode
_Parts = tuple[object, ...]  # fields of a head or segment, its facts and positions encoded already (msgspec.Raw)
_decode_head: Final = msgspec.msgpack.Decoder(Head).decode
_decode_segment: Final = msgspec.msgpack.Decoder(Segment).decode


class _Encoded:
    """A claim's bytes, and those of its positions unless a line was decided since."""

    __slots__ = ("claim", "positions")

    def __init__(self, claim: msgspec.Raw) -> None:
        self.claim = claim
        self.positions: list[msgspec.Raw] | None = None


class StoredPatient:
    """A patient's record together with where its parts are stored."""

    __slots__ = ("_claims", "_dirty", "_facts", "_key", "_segment_of", "_segments", "record")

    def __init__(self, record: PatientRecord) -> None:
        self.record = record
        self._key = record.patient_id.encode()
        self._segments: list[tuple[list[str], int]] = [([], 0)]  # claim ids and encoded size of each
        self._segment_of: dict[str, int] = {}
        self._dirty: set[int] = set()
        self._claims: dict[str, _Encoded] = {}
        # other facts, by id(), which is the fact's own while it is held here
        self._facts: dict[int, tuple[PatientFact, msgspec.Raw]] = {}

    @classmethod
    def load(cls, patient_id: str, get: Callable[[bytes], bytes | None]) -> "StoredPatient":
        """Read a patient from the table; one without a value there is new. Raises UnknownStateFormat."""
        stored = cls(PatientRecord(patient_id))
        value = get(stored._key)
        if value is None:
            return stored
        head = _decode_head(_body(value))
        record = stored.record
        for order in head.orders:
            record.keep_order(order)
        for start in head.starts:
            record.keep_start(start)
        for eligibility in head.eligibility:
            record.keep_eligibility(eligibility)
        record.expired.update(head.expired)
        record.readjudications.update((request.event_id, request) for request in head.readjudications)
        stored._take(0, head.first, len(value))
        for number in range(1, head.segments):
            value = get(_segment_key(stored._key, number))
            assert value is not None, "a segment of a patient's claims is missing from the table"
            stored._segments.append(([], 0))
            stored._take(number, _decode_segment(_body(value)), len(value))
        return stored

    def _take(self, number: int, segment: Segment, size_bytes: int) -> None:
        claim_ids, _ = self._segments[number]
        for claim in segment.claims:
            self.record.keep_claim(claim)
            claim_ids.append(claim.claim_id)
            self._segment_of[claim.claim_id] = number
        for claim_id, line_number, position in segment.positions:
            self.record.positions[claim_id, line_number] = position
        self._segments[number] = (claim_ids, size_bytes)

    def touch(self, fact: PatientFact, step: Step) -> None:
        """A fact was taken in, and this came of it."""
        if isinstance(fact, Claim):
            self.touch_claim(fact.claim_id)
        else:
            self.touch_head()
        for decision in step.decisions:
            self.touch_claim(decision.claim_id)

    def touch_head(self) -> None:
        """A fact other than a claim was taken in."""
        self._dirty.add(0)

    def touch_claim(self, claim_id: str) -> None:
        """A claim was taken in, or one of its lines decided anew."""
        number = self._segment_of.get(claim_id)
        if number is None:
            number = self._room_for(claim_id)
        self._dirty.add(number)
        encoded = self._claims.get(claim_id)
        if encoded is not None:
            encoded.positions = None

    def _room_for(self, claim_id: str) -> int:
        claim_ids, size_bytes = self._segments[-1]
        if len(claim_ids) >= SEGMENT_CLAIMS or size_bytes >= SEGMENT_BYTES:
            self._segments.append(([], 0))
            self._dirty.add(0)  # the head counts the segments
        number = len(self._segments) - 1
        self._segments[number][0].append(claim_id)
        self._segment_of[claim_id] = number
        return number

    def store(self, put: Callable[[bytes, bytes], None]) -> None:
        """Write what was touched since the last time."""
        for number in sorted(self._dirty):
            value = _VERSION_BYTE + _encode(self._segment(number) if number else self._head())
            self._segments[number] = (self._segments[number][0], len(value))
            put(_segment_key(self._key, number) if number else self._key, value)
        self._dirty.clear()

    def _segment(self, number: int) -> _Parts:
        """A `Segment`."""
        claims: list[msgspec.Raw] = []
        positions: list[msgspec.Raw] = []
        for claim_id in self._segments[number][0]:
            encoded = self._claims.get(claim_id)
            if encoded is None:
                raw = msgspec.Raw(_encode(self.record.claims[claim_id]))
                encoded = self._claims[claim_id] = _Encoded(raw)
            if encoded.positions is None:
                encoded.positions = self._positions_of(claim_id)
            claims.append(encoded.claim)
            positions += encoded.positions
        return (claims, positions)

    def _positions_of(self, claim_id: str) -> list[msgspec.Raw]:
        """A claim's entries of a segment's positions."""
        entries = []
        for line in self.record.claims[claim_id].lines:
            position = self.record.positions.get((claim_id, line.line_number))
            if position is not None:
                entries.append(msgspec.Raw(_encode((claim_id, line.line_number, position))))
        return entries

    def _head(self) -> _Parts:
        """A `Head`."""
        record, fact = self.record, self._fact
        return (
            [fact(order) for versions in record.order_versions.values() for order in versions.values()],
            [fact(start) for versions in record.start_versions.values() for start in versions.values()],
            [fact(eligibility) for eligibility in record.eligibility_versions.values()],
            sorted(record.expired),
            [fact(request) for request in record.readjudications.values()],
            len(self._segments),
            self._segment(0),
        )

    def _fact(self, fact: PatientFact) -> msgspec.Raw:
        kept = self._facts.get(id(fact))
        if kept is None:
            kept = self._facts[id(fact)] = (fact, msgspec.Raw(_encode(fact)))
        return kept[1]


def is_patient_key(key: bytes) -> bool:
    """Whether a key of the table is a patient's head (and not a segment, nor the lane's position)."""
    return b"\x00" not in key


def _segment_key(patient_key: bytes, number: int) -> bytes:
    return b"%b\x00%d" % (patient_key, number)


def _body(value: bytes) -> memoryview:
    if value[:1] != _VERSION_BYTE:
        raise UnknownStateFormat(
            f"the patient table has a value of format {value[0] if value else 'none'}, this version reads {FORMAT_VERSION}",
            "Run the version that wrote it, or a newer one",
        )
    return memoryview(value)[1:]
