"""A decision's id, made from what is decided (rules.md section 6: the same decision has the same id)."""

from hashlib import blake2b
from typing import Any, Final

from librt.strings import StringWriter
from mypy_extensions import i64

from .decisions import Adjustment, AgreementRef, Decision, Evidence, PolicyRef

_MINUS: Final = 45
_ZERO: Final = 48
_MOST_DIGITS: Final = 1 << 60  # numbers from here on, which no event can hold, are left to Python


def decision_id(decision: Decision) -> str:
    """32 hex digits made from what is decided: patient, claim, line, version, the id that it supersedes and the content.

    The first 128 bits of the BLAKE2b hash of all fields but `decision_id` and `caused_by`, in their order, as UTF-8 text with a
    zero byte between any two: dates as day numbers, adjustments as they are written, lists behind their length. No id of a fact
    holds a zero byte (intake refuses it), so no two contents share a text. `caused_by` is left out, so that the same decision
    reached through another publisher's copy of a fact has the same id.
    """
    return id_of(decision[1:])


def id_of(decided: tuple[Any, ...]) -> str:
    """The id of a decision whose other fields these are.

    The text is written in one go: joined from a list of some forty texts it took 21,000 machine instructions, this takes 15,000,
    half of them in the hash.
    """
    patient_id: str
    claim_id: str
    line_number: int
    version: int
    supersedes: str | None
    outcome: str
    reason: str
    procedure_code: str
    service_date: int
    billing_npi: str
    order_id: str | None
    charge: int
    allowed: int
    paid: int
    paid_before: int
    change: int
    member_owes: int
    adjustments: tuple[Adjustment, ...]
    next_payable_date: int | None
    explanation: str
    evidence: tuple[Evidence, ...]
    policy: PolicyRef
    agreements: tuple[AgreementRef, ...]
    (
        patient_id,
        claim_id,
        line_number,
        version,
        supersedes,
        outcome,
        reason,
        procedure_code,
        service_date,
        billing_npi,
        order_id,
        charge,
        allowed,
        paid,
        paid_before,
        change,
        member_owes,
        adjustments,
        next_payable_date,
        explanation,
        evidence,
        policy,
        agreements,
        _,
    ) = decided
    out = StringWriter()
    out.write(patient_id)
    _text(out, claim_id)
    _number(out, line_number)
    _number(out, version)
    _text(out, supersedes)
    _text(out, outcome)
    _text(out, reason)
    _text(out, procedure_code)
    _number(out, service_date)
    _text(out, billing_npi)
    _text(out, order_id)
    _number(out, charge)
    _number(out, allowed)
    _number(out, paid)
    _number(out, paid_before)
    _number(out, change)
    _number(out, member_owes)
    _number(out, len(adjustments))
    for group, carc, rarcs, cents in adjustments:
        _text(out, group)
        out.write("-")
        out.write(carc)
        for rarc in rarcs:
            out.write("/")
            out.write(rarc)
        out.write(":")
        _decimal(out, cents)
    if next_payable_date is None:
        _text(out, None)
    else:
        _number(out, next_payable_date)
    _text(out, explanation)
    _number(out, len(evidence))
    for kind, ref, says in evidence:
        _text(out, kind)
        _text(out, ref)
        _text(out, says)
    policy_id, policy_version = policy
    _text(out, policy_id)
    _number(out, policy_version)
    _number(out, len(agreements))
    for npi, agreement_version in agreements:
        _text(out, npi)
        _number(out, agreement_version)
    return blake2b(out.getvalue().encode(), digest_size=16).hexdigest()


def _text(out: StringWriter, text: str | None) -> None:
    """The next field behind a zero byte."""
    out.append(0)
    out.write("None" if text is None else text)


def _number(out: StringWriter, number: int) -> None:
    """The next field behind a zero byte, in decimal digits."""
    out.append(0)
    _decimal(out, number)


def _decimal(out: StringWriter, number: int) -> None:
    if not -_MOST_DIGITS < number < _MOST_DIGITS:
        out.write(str(number))
        return
    rest: i64 = number
    if rest < 0:
        out.append(_MINUS)
        rest = -rest
    _digits(out, rest)


def _digits(out: StringWriter, rest: i64) -> None:
    if rest >= 10:
        _digits(out, rest // 10)
    last: int = _ZERO + rest % 10
    out.append(last)
