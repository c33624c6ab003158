"""A patient's record as values of the patient table.

A patient of 5,000 claims must stay below Kafka's record limit, and a new claim must not rewrite the whole history. So claims,
with the positions of their lines, are kept in *segments* of at most 16 claims, in order of arrival:

==========================================  =======================================================================
key                                         value
==========================================  =======================================================================
patient_id                                  the head: every other fact, and segment 0
patient_id, a zero byte, segment number     segment 1, 2, 3 ...
==========================================  =======================================================================

A value is one byte, the format's version, and a MessagePack array (stored_values.py): compact, and decoded in about a
microsecond a claim. What derives from the facts is not stored. Patient ids hold no zero byte (intake refuses it).

Facts are frozen, so each is encoded once and its bytes are kept, those of a claim's positions until one of its lines is decided
anew: a patient who is stored again is joined from the bytes of its parts.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from streams.adjudication.facts import (
    Claim,
    MemberEligibility,
    PathwaySelection,
    PatientFact,
    ReadjudicationRequested,
    TreatmentStart,
)
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
_decode_head: Final = msgspec.msgpack.Decoder(Head).decode
_decode_segment: Final = msgspec.msgpack.Decoder(Segment).decode


def _array(count: int) -> bytes:
    """The bytes that stand before the items of an array: those of an array of nils, which have one byte each, without them."""
    return _encode([None] * count)[: -count or None]


_SMALL_ARRAYS: Final = [_array(count) for count in range(64)]
_HEAD: Final = _array(len(Head._fields))
_SEGMENT: Final = _array(len(Segment._fields))


def _put_array(parts: list[bytes], items: list[bytes]) -> None:
    count = len(items)
    parts.append(_SMALL_ARRAYS[count] if count < 64 else _array(count))
    parts += items


class _StoredClaim:
    """The bytes of a claim and of its lines' positions; None where they have to be made, as after a line was decided anew."""

    __slots__ = ("claim", "claim_id", "positions", "segment")

    def __init__(self, claim_id: str, segment: int) -> None:
        self.claim_id = claim_id
        self.segment = segment  # its number
        self.claim: bytes | None = None
        self.positions: list[bytes] | None = None


class _Segment:
    """Some claims, in order of arrival."""

    __slots__ = ("claims", "dirty", "size_bytes")

    def __init__(self) -> None:
        self.claims: list[_StoredClaim] = []
        self.dirty = False  # touched since it was stored last
        self.size_bytes = 0  # of the value as it was stored last, and of the claims that have come since


class StoredPatient:
    """A patient's record together with where its parts are stored."""

    __slots__ = (
        "_claims",
        "_eligibility",
        "_key",
        "_orders",
        "_readjudications",
        "_segments",
        "_starts",
        "cached_weight",
        "record",
    )

    def __init__(self, record: PatientRecord) -> None:
        self.record = record
        self.cached_weight = 0  # as it counts in a cache of patients; 0 while it is in none
        self._key = record.patient_id.encode()
        # the bytes of the facts other than claims, in order of arrival
        self._orders: list[bytes] = []
        self._starts: list[bytes] = []
        self._eligibility: list[bytes] = []
        self._readjudications: list[bytes] = []
        self._segments = [_Segment()]
        self._claims: dict[str, _StoredClaim] = {}  # by claim id

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
            stored._orders.append(_encode(order))
        for start in head.starts:
            record.keep_start(start)
            stored._starts.append(_encode(start))
        for eligibility in head.eligibility:
            record.keep_eligibility(eligibility)
            stored._eligibility.append(_encode(eligibility))
        record.expired.update(head.expired)
        for request in head.readjudications:
            record.readjudications[request.event_id] = request
            stored._readjudications.append(_encode(request))
        stored._take(0, head.first, len(value))
        for number in range(1, head.segments):
            value = get(_segment_key(stored._key, number))
            assert value is not None, "a segment of a patient's claims is missing from the table"
            stored._segments.append(_Segment())
            stored._take(number, _decode_segment(_body(value)), len(value))
        return stored

    def _take(self, number: int, stored: Segment, size_bytes: int) -> None:
        self._segments[number].size_bytes = size_bytes
        for claim in stored.claims:
            self.record.keep_claim(claim)
            self._add(claim.claim_id, number)
        for claim_id, line_number, position in stored.positions:
            self.record.positions[claim_id, line_number] = position

    def touch(self, fact: PatientFact, step: Step) -> None:
        """A fact was taken in, and this came of it."""
        if isinstance(fact, Claim):
            self._touch_claim(fact)
        else:
            self._segments[0].dirty = True
            if isinstance(fact, PathwaySelection):
                self._orders.append(_encode(fact))
            elif isinstance(fact, TreatmentStart):
                self._starts.append(_encode(fact))
            elif isinstance(fact, MemberEligibility):
                self._eligibility.append(_encode(fact))
            elif isinstance(fact, ReadjudicationRequested):
                self._readjudications.append(_encode(fact))
        for decision in step.decisions:
            stored = self._claims[decision.claim_id]
            stored.positions = None
            self._segments[stored.segment].dirty = True

    def _touch_claim(self, claim: Claim) -> None:
        stored = self._claims.get(claim.claim_id)
        if stored is None:
            stored = self._add(claim.claim_id, self._room())
        stored.claim = _encode(claim)
        stored.positions = None
        segment = self._segments[stored.segment]
        segment.size_bytes += len(stored.claim)
        segment.dirty = True

    def _add(self, claim_id: str, number: int) -> _StoredClaim:
        stored = self._claims[claim_id] = _StoredClaim(claim_id, number)
        self._segments[number].claims.append(stored)
        return stored

    def _room(self) -> int:
        """The number of the segment that takes the next claim."""
        last = self._segments[-1]
        if len(last.claims) >= SEGMENT_CLAIMS or last.size_bytes >= SEGMENT_BYTES:
            self._segments.append(_Segment())
            self._segments[0].dirty = True  # the head counts the segments
        return len(self._segments) - 1

    def store(self, put: Callable[[bytes, bytes], None]) -> None:
        """Write what was touched since the last time."""
        for number, segment in enumerate(self._segments):
            if segment.dirty:
                parts = [_VERSION_BYTE]
                if number == 0:
                    self._put_head(parts)
                self._put_segment(parts, segment)
                value = b"".join(parts)
                segment.size_bytes = len(value)
                segment.dirty = False
                put(_segment_key(self._key, number) if number else self._key, value)

    def _put_head(self, parts: list[bytes]) -> None:
        """A `Head` but for its last field, which is segment 0."""
        parts.append(_HEAD)
        _put_array(parts, self._orders)
        _put_array(parts, self._starts)
        _put_array(parts, self._eligibility)
        expired = self.record.expired
        parts.append(_encode(sorted(expired)) if expired else _SMALL_ARRAYS[0])
        _put_array(parts, self._readjudications)
        parts.append(_encode(len(self._segments)))

    def _put_segment(self, parts: list[bytes], segment: _Segment) -> None:
        """A `Segment`."""
        parts.append(_SEGMENT)
        claims: list[bytes] = []
        entries: list[bytes] = []
        for stored in segment.claims:
            claim, positions = stored.claim, stored.positions
            if claim is None:
                claim = stored.claim = _encode(self.record.claims[stored.claim_id])
            if positions is None:
                positions = stored.positions = self._positions_of(stored.claim_id)
            claims.append(claim)
            entries += positions
        _put_array(parts, claims)
        _put_array(parts, entries)

    def _positions_of(self, claim_id: str) -> list[bytes]:
        """A claim's entries of a segment's positions."""
        entries = []
        for line in self.record.claims[claim_id].lines:
            position = self.record.positions.get((claim_id, line.line_number))
            if position is not None:
                entries.append(_encode((claim_id, line.line_number, position)))
        return entries


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
