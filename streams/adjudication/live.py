"""Which claims are live, and in which order their lines settle (rules.md section 2)."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from .days import Day
from .facts import REPLACEMENT, VOID, Claim

# What is wrong with a reference, in the words that the explanation uses.
NO_REFERENCE: Final = "names no claim"
NAMES_ITSELF: Final = "names itself"
NAMES_A_VOID: Final = "names a void"
OTHER_BILLING_PROVIDER: Final = "names a claim of another billing provider"

VOIDED_BY: Final = "voided by"
REPLACED_BY: Final = "replaced by"
OVERTAKEN_BY: Final = "overtaken by"  # another, later replacement of the same claim stands

Place = tuple[Day, str]  # (received date, claim id) of the first claim in the chain


class Taken(NamedTuple):
    """How a claim came to be out."""

    how: str
    by_claim_id: str


class Roll(NamedTuple):
    """Every claim of a patient but the voids, either live or out."""

    places: dict[str, Place]  # live claims with their places in the settling order
    out: dict[str, Taken]
    bad_references: dict[
        str, str
    ]  # replacements and voids whose reference is known to be bad, and what is wrong with it


def bad_reference(claim: Claim, claims: Mapping[str, Claim]) -> str | None:
    """What is wrong with the reference of a replacement or a void; None if it counts or its claim is not known (yet)."""
    if not claim.original_claim_id:
        return NO_REFERENCE
    if claim.original_claim_id == claim.claim_id:
        return NAMES_ITSELF
    named = claims.get(claim.original_claim_id)
    if named is None:
        return None
    if named.frequency_code == VOID:
        return NAMES_A_VOID
    if named.billing_npi != claim.billing_npi:
        return OTHER_BILLING_PROVIDER
    return None


def call_the_roll(claims: Mapping[str, Claim]) -> Roll:
    """Sort the claims of one patient into live ones and ones that are out. Does not depend on their order."""
    bad: dict[str, str] = {}
    replacements: dict[str, list[Claim]] = {}  # by the claim that they name
    voids: dict[str, list[Claim]] = {}
    for claim in claims.values():
        if claim.frequency_code in (REPLACEMENT, VOID):
            wrong = bad_reference(claim, claims)
            if wrong is not None:
                bad[claim.claim_id] = wrong
            elif (named_id := claim.original_claim_id) is not None and named_id in claims:
                (replacements if claim.frequency_code == REPLACEMENT else voids).setdefault(named_id, []).append(claim)

    out: dict[str, Taken] = {}
    for rivals in replacements.values():
        last = _last(rivals)
        for rival in rivals:
            if rival is not last:
                out[rival.claim_id] = Taken(OVERTAKEN_BY, last.claim_id)
    for named_id, takers in voids.items():
        out[named_id] = Taken(VOIDED_BY, _first(takers).claim_id)
    for named_id, takers in replacements.items():
        out[named_id] = Taken(REPLACED_BY, _last(takers).claim_id)

    firsts: dict[str, Claim] = {}
    places = {}
    for claim in claims.values():
        if claim.claim_id not in out and claim.frequency_code != VOID:
            first = _first_in_chain(claim, claims, bad, firsts) if claim.frequency_code == REPLACEMENT else claim
            places[claim.claim_id] = (first.received_date, first.claim_id)
    return Roll(places, out, bad)


def _by_receipt(claim: Claim) -> Place:
    return (claim.received_date, claim.claim_id)


def _last(claims: Iterable[Claim]) -> Claim:
    return max(claims, key=_by_receipt)


def _first(claims: Iterable[Claim]) -> Claim:
    return min(claims, key=_by_receipt)


def _first_in_chain(
    claim: Claim, claims: Mapping[str, Claim], bad: Mapping[str, str], firsts: dict[str, Claim]
) -> Claim:
    """The claim at which the chain of replacements begins; where it runs into a ring, the first claim of the ring reached.

    `firsts` keeps what was found, so that all chains of a patient together are walked once.
    """
    path: dict[str, Claim] = {}
    here = claim
    while here.claim_id not in firsts and here.claim_id not in path:
        path[here.claim_id] = here
        named = claims.get(here.original_claim_id or "") if here.frequency_code == REPLACEMENT else None
        if named is None or here.claim_id in bad:
            firsts[here.claim_id] = here
            break
        here = named
    if here.claim_id not in firsts:  # `here` is on the path already: the path from here on is a ring
        ring = list(path)[list(path).index(here.claim_id) :]
        firsts.update((claim_id, path[claim_id]) for claim_id in ring)
    first = firsts[here.claim_id]
    for claim_id in path:
        firsts.setdefault(claim_id, first)
    return firsts[claim.claim_id]
