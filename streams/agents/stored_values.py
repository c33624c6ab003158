"""What a value of the patient table holds (patient_state.py). msgspec decodes by these type hints, so they are never compiled."""

from typing import NamedTuple

from streams.adjudication.decisions import Position
from streams.adjudication.facts import (
    Claim,
    MemberEligibility,
    PathwaySelection,
    ReadjudicationRequested,
    TreatmentStart,
)


class Segment(NamedTuple):
    claims: tuple[Claim, ...]
    positions: tuple[tuple[str, int, Position], ...]  # claim_id, line_number


class Head(NamedTuple):
    orders: tuple[PathwaySelection, ...]  # every version that was taken in
    starts: tuple[TreatmentStart, ...]
    eligibility: tuple[MemberEligibility, ...]
    expired: tuple[str, ...]  # claim ids, sorted
    readjudications: tuple[ReadjudicationRequested, ...]
    segments: int  # how many there are, segment 0 included
    first: Segment
