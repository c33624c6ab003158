"""The fold: one fact after the other into a patient's record, and out come the decisions to publish.

    step = fold(record, fact, agreements, policy)

Decide and evolve in one function, pure but for the record, which it owns (record.py). It knows no clock, no randomness and
no arrival order but the one in which it is called, and that shows in the history fields alone (rules.md section 1).

It has two halves. `settle` takes the fact in and rules on the patient's lines; `issue` makes the new versions of the decisions
whose rulings changed. Who has many facts takes all of them through the one and then through the other, those of one patient in
their order: the same decisions in a fifteenth less time, since each half's code stays in the processor's caches.
"""

from collections.abc import Callable
from typing import Any, Final

from mypy_extensions import mypyc_attr

from .agreements import Agreements
from .decisions import (
    BUNDLED,
    CONFLICT,
    DENIED,
    PAID,
    WRONG_PAYER,
    Adjustment,
    Decision,
    EligibilityNotice,
    Position,
    Refusal,
    Ruling,
)
from .edits import explain
from .facts import (
    VOID,
    Cents,
    Claim,
    ClaimLine,
    Fact,
    MemberEligibility,
    PathwaySelection,
    PatientFact,
    PendExpired,
    ReadjudicationRequested,
    TreatmentStart,
    content,
)
from .identity import id_of
from .making import new
from .notices import notice_of
from .policy import Policy
from .record import LineKey, PatientRecord
from .settlement import Rulings, settle_last, settle_patient


@mypyc_attr(acyclic=True)
class Step:
    """What one fact led to."""

    __slots__ = ("changed", "decisions", "notices", "refusal", "rulings")

    def __init__(
        self,
        notices: tuple[EligibilityNotice, ...] = (),
        refusal: Refusal | None = None,
        changed: bool = False,
        rulings: Rulings | None = None,
    ) -> None:
        self.decisions: tuple[Decision, ...] = ()  # once issued; in the order in which they are to be published
        self.notices = notices
        self.refusal = refusal  # the fact was not taken in: it belongs to the dead letters
        self.changed = changed  # whether the record is another one than before
        self.rulings = rulings  # of the lines that the fact may have touched, until their decisions are issued


REPEATED: Final = Step()

Change = tuple[LineKey, Ruling, Position | None]  # a line, how it is decided now, and the decision that stands so far


def fold(record: PatientRecord, fact: PatientFact, agreements: Agreements, policy: Policy) -> Step:
    """Take one fact in and decide the patient again.

    A repeat has no effect at all and is no "next fact"; a version below the one that stands is kept, so that a conflict with it is
    noticed, but decides nothing. A refused fact leaves the record as it was.
    """
    step = settle(record, fact, agreements, policy)
    issue(record, fact, step)
    return step


def settle(record: PatientRecord, fact: PatientFact, agreements: Agreements, policy: Policy) -> Step:
    """The first half of `fold`: a step without its decisions."""
    assert fact.patient_id == record.patient_id, "a fact was folded into another patient's record"
    return _SETTLE[type(fact)](record, fact, agreements, policy)


def issue(record: PatientRecord, fact: PatientFact, step: Step) -> None:
    """The second half of `fold`: give the fact's step its decisions, after those of all earlier steps of the patient."""
    rulings = step.rulings
    if rulings is not None:
        step.rulings = None
        step.decisions = _new_versions(record, rulings, fact.event_id)


def _settle_order(record: PatientRecord, order: PathwaySelection, agreements: Agreements, policy: Policy) -> Step:
    known = record.order_versions.get(order.order_id, {}).get(order.order_version)
    if known is not None:
        return _again(known, order, "order and version")
    if not record.keep_order(order):
        return Step(changed=True)
    notice = notice_of(order, record.eligibility, agreements, policy)
    return Step((notice,), changed=True, rulings=_settled(record, agreements, policy))


def _settle_start(record: PatientRecord, start: TreatmentStart, agreements: Agreements, policy: Policy) -> Step:
    known = record.start_versions.get(start.order_id, {}).get(start.version)
    if known is not None:
        return _again(known, start, "treatment start and version")
    if not record.keep_start(start):
        return Step(changed=True)
    return Step(changed=True, rulings=_settled(record, agreements, policy))


def _settle_eligibility(
    record: PatientRecord, eligibility: MemberEligibility, agreements: Agreements, policy: Policy
) -> Step:
    known = record.eligibility_versions.get(eligibility.version)
    if known is not None:
        return _again(known, eligibility, "member eligibility and version")
    if not record.keep_eligibility(eligibility):
        return Step(changed=True)
    return Step(changed=True, rulings=_settled(record, agreements, policy))


def _settle_claim(record: PatientRecord, claim: Claim, agreements: Agreements, policy: Policy) -> Step:
    if policy.on(claim.received_date).plans.get(claim.plan_id) != claim.payer_id:
        return Step(
            refusal=Refusal(
                WRONG_PAYER, "payer_id is not the payer of plan_id: send the claim to the health plan that it is for"
            )
        )
    known = record.claims.get(claim.claim_id)
    if known is not None:
        return _again(known, claim, "claim")
    record.keep_claim(claim)
    rulings = settle_last(record, claim, agreements, policy)
    if rulings is None:
        rulings = _settled(record, agreements, policy)
    return Step(changed=True, rulings=rulings)


def _settle_pend_expired(record: PatientRecord, expired: PendExpired, agreements: Agreements, policy: Policy) -> Step:
    if expired.claim_id in record.expired:
        return REPEATED
    record.expired.add(expired.claim_id)
    return Step(changed=True, rulings=_settled(record, agreements, policy))


def _settle_readjudication(
    record: PatientRecord, request: ReadjudicationRequested, agreements: Agreements, policy: Policy
) -> Step:
    known = record.readjudications.get(request.event_id)
    if known is not None:
        return _again(known, request, "re-adjudication request")
    record.readjudications[request.event_id] = request
    return Step(changed=True, rulings=_settled(record, agreements, policy))


_SETTLE: Final[dict[type, Callable[[PatientRecord, Any, Agreements, Policy], Step]]] = {
    PathwaySelection: _settle_order,
    TreatmentStart: _settle_start,
    MemberEligibility: _settle_eligibility,
    Claim: _settle_claim,
    PendExpired: _settle_pend_expired,
    ReadjudicationRequested: _settle_readjudication,
}


def _again(known: Fact, fact: Fact, identity: str) -> Step:
    """The same identity and version once more: a repeat, or a conflict, in which what came first stands."""
    if content(known) == content(fact):
        return REPEATED
    differing = ", ".join(
        name for name, a, b in zip(fact._fields[1:], content(known), content(fact), strict=True) if a != b
    )
    return Step(refusal=Refusal(CONFLICT, f"this {identity} is on record with other content ({differing})"))


def _settled(record: PatientRecord, agreements: Agreements, policy: Policy) -> Rulings | None:
    if not record.claims:
        record.settlement = None
        return None
    return settle_patient(record, agreements, policy)


def _new_versions(record: PatientRecord, rulings: Rulings, caused_by: str) -> tuple[Decision, ...]:
    """A new version for every line whose ruling changed: money taken back before money newly paid, then claim and line."""
    changed: list[Change] = []
    for key, ruling in rulings.items():
        position = record.positions.get(key)
        if position is None or position.ruling != ruling:
            changed.append((key, ruling, position))
    if len(changed) > 1:
        changed.sort(key=_publish_order)
    decisions = []
    for key, ruling, position in changed:
        decision = _next_version(record, key, ruling, position, caused_by)
        record.positions[key] = new(Position, (decision.version, decision.decision_id, ruling))
        decisions.append(decision)
    return tuple(decisions)


def _publish_order(change: Change) -> tuple[int, LineKey]:
    key, ruling, position = change
    cents = ruling.paid_cents - (position.ruling.paid_cents if position else 0)
    return ((cents > 0) - (cents < 0), key)


def _next_version(
    record: PatientRecord, key: LineKey, ruling: Ruling, position: Position | None, caused_by: str
) -> Decision:
    claim_id, line_number = key
    claim = record.claims[claim_id]
    assert claim.frequency_code != VOID, "a void's own lines get no decision"
    line = _line(claim, line_number)
    outcome, reason, order_id, allowed, paid, adjustments, next_payable_date, because, policy, agreements = ruling
    explanation, evidence = explain(reason, claim, line, because)
    version, supersedes, paid_before = 1, None, 0
    if position is not None:
        version, supersedes, paid_before = position.version + 1, position.decision_id, position.ruling.paid_cents
    charge, change = line.charge_cents, paid - paid_before
    _check_money(outcome, charge, allowed, paid, paid_before, change, adjustments)
    decided: tuple[Any, ...] = (
        record.patient_id,
        claim_id,
        line_number,
        version,
        supersedes,
        outcome,
        reason,
        line.procedure_code,
        line.service_date,
        claim.billing_npi,
        order_id,
        charge,
        allowed,
        paid,
        paid_before,
        change,
        _member_owes_cents(adjustments),
        adjustments,
        next_payable_date,
        explanation,
        evidence,
        policy,
        agreements,
        caused_by,
    )
    return new(Decision, (id_of(decided),) + decided)  # noqa: RUF005 - a starred tuple is made by way of a list


def _line(claim: Claim, line_number: int) -> ClaimLine:
    for line in claim.lines:
        if line.line_number == line_number:
            return line
    raise AssertionError("a line is decided that its claim does not have")


def _member_owes_cents(adjustments: tuple[Adjustment, ...]) -> Cents:
    """Patient responsibility, but for PR-31: eligibility that nobody has on record is no bill (rules.md section 4)."""
    owed = 0
    for group, carc, _, cents in adjustments:
        if group == "PR" and carc != "31":
            owed += cents
    return owed


def check_money(decision: Decision) -> None:
    """The money invariants of a decision (rules.md section 6, number 3), guarded before it is published and after it is read."""
    _check_money(
        decision.outcome,
        decision.charge_cents,
        decision.allowed_cents,
        decision.paid_cents,
        decision.paid_before_cents,
        decision.change_cents,
        decision.adjustments,
    )


def _check_money(
    outcome: str,
    charge: Cents,
    allowed: Cents,
    paid: Cents,
    paid_before: Cents,
    change: Cents,
    adjustments: tuple[Adjustment, ...],
) -> None:
    assert change == paid - paid_before, "a change that is not the difference"
    if outcome == PAID:
        assert 0 <= paid <= allowed <= charge, "a payment out of bounds"
    else:
        assert paid == allowed == 0, "money on a line that is not paid"
    if outcome in (PAID, DENIED, BUNDLED):
        adjusted = 0
        for _, _, _, cents in adjustments:
            adjusted += cents
        assert charge == paid + adjusted, "a decision that does not add up"
    else:
        assert not adjustments, "adjustments on a line that is pended or voided"
