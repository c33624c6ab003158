"""From when can this patient's S-code be billed? Answered by the edits themselves, on a claim that nobody has sent.

    answer = next_billable(record, "S0354", npi, "PPO", asked_from, agreements, policy)

The claim that is tried on a day: an original with one line, one unit, no modifiers, charged at the billing provider's fee on that
day (1 cent where there is none), without cost share, citing no order. It is received on the day of service, but not before any
claim that is on record: it settles after all of them, as a claim that is sent now would. So `DOS_AFTER_RECEIPT` never stands in its
way, and the filing limit does for days that are too long before the newest claim on record.

Whether that claim is payable can only change on certain days: where a span, an onset, a gap, a month, a filing limit or a profile
begins or ends. The edits are asked on each of those days from the asked one on, so the answer is exact, and `None` means never,
as things are on record now.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .agreements import Agreements, span_on
from .days import Day, first_of_month, first_of_next_month
from .decisions import PAID, WRONG_PAYER, PolicyRef
from .edits import BilledLine, Finding, decide, explain
from .facts import ORIGINAL, S0353, S0354, S_CODES, Cents, Claim, ClaimLine, CostShare
from .intake import FIRST_DAY, LAST_RECEIVED_DAY
from .policy import Policy
from .record import PatientRecord
from .settlement import Settlement, settle_anew

REFUSED = "REFUSED"
"""The outcome of a claim that the dead letters would get: its plan is none of the profile's."""

_MISSING = {
    "NOT_ELIGIBLE": "eligibility of the member under the plan",
    "NOT_IN_NETWORK": "an agreement of the billing provider with the plan",
    "NO_PATHWAY_AT_DOS": "a pathway order in effect",
    "AWAIT_TREATMENT_START": "the treatment start of the order",
    "AFTER_SPAN": "a started order whose span covers the day",
    "OFF_PATHWAY": "a started order for a regimen on the pathway",
    "ORDERING_NOT_IN_NETWORK": "an agreement of the ordering provider with the plan",
    "S0353_ONCE": "nothing can be done: S0353 is paid once",
    "MAX_MONTHS": "a month left under the order",
    WRONG_PAYER: "a plan that the policy knows",
}
"""What would have to come on record for each reason that can last for good."""

_LASTING = ("AWAIT_TREATMENT_START", "OFF_PATHWAY", "S0353_ONCE", "MAX_MONTHS")
"""Reasons that time alone does not end; one that follows later, such as AFTER_SPAN, only hides them."""


class Obstacle(NamedTuple):
    """What stands in the way for a while."""

    from_date: Day
    to_date: Day | None  # the last day, inclusive; None: for good
    outcome: str
    reason: str
    explanation: str  # as a claim for `from_date` would be told
    order_id: str | None


class NextBillable(NamedTuple):
    """From when a code can be billed, and what stands in the way until then."""

    patient_id: str
    procedure_code: str
    billing_npi: str
    plan_id: str
    asked_from: Day
    payable_from: Day | None  # None: never, as things are on record
    order_id: str | None  # that governs then, or would have governed last
    months_left: int | None  # S0354 that the order still allows, the one asked about among them; None without an order
    fee_cents: Cents | None  # agreed for the day; what is allowed at most
    denies: tuple[str, ...]  # S0354 lines (claim/line) that an S0353 on that day would come too near to
    missing: tuple[str, ...]  # what would have to come on record, where it is never payable
    obstacles: tuple[Obstacle, ...]  # from the asked day to the payable one, in order and without a gap
    policy: PolicyRef  # that decided the last day looked at


class _Tried(NamedTuple):
    """What a claim for a day came to."""

    billed: BilledLine
    finding: Finding


def next_billable(
    record: PatientRecord,
    procedure_code: str,
    billing_npi: str,
    plan_id: str,
    asked_from: Day,
    agreements: Agreements,
    policy: Policy,
) -> NextBillable:
    """The earliest day from `asked_from` on for which a clean claim would be PAID. The record stays as it is."""
    assert procedure_code in S_CODES, "only the S-codes are decided"
    assert FIRST_DAY <= asked_from <= LAST_RECEIVED_DAY, "a claim cannot be received on that day"
    settlement, _ = settle_anew(record, agreements, policy)
    newest = max((claim.received_date for claim in record.claims.values()), default=asked_from)
    turning = _turning_days(record, settlement, newest, billing_npi, agreements, policy)
    days = [asked_from, *sorted(day for day in turning if asked_from < day <= LAST_RECEIVED_DAY)]

    obstacles: list[Obstacle] = []
    governing = None
    for day in days:
        claim = _clean_claim(record.patient_id, procedure_code, billing_npi, plan_id, day, newest, agreements)
        billed, finding = _try(claim, settlement, policy)
        governing = billed.governing or governing
        if finding.outcome == PAID:
            break
        _add(obstacles, day, billed, finding)
    payable = day if finding.outcome == PAID else None
    if payable is not None and obstacles:
        obstacles[-1] = obstacles[-1]._replace(to_date=payable - 1)

    profile = billed.profile
    left = None
    if governing is not None:
        left = max(0, governing.max_months - settlement.months_used(governing.order_id, profile.s0353_uses_month))
    near = payable is not None and procedure_code == S0353
    return NextBillable(
        patient_id=record.patient_id,
        procedure_code=procedure_code,
        billing_npi=billing_npi,
        plan_id=plan_id,
        asked_from=asked_from,
        payable_from=payable,
        order_id=governing.order_id if governing is not None else None,
        months_left=left,
        fee_cents=billed.fee_cents if payable is not None else None,
        denies=tuple(c.ref for c in settlement.counted_within(S0354, day, profile.gap_after_s0353_days))
        if near
        else (),
        missing=() if payable is not None else tuple(dict.fromkeys(_missing(obstacles))),
        obstacles=tuple(obstacles),
        policy=profile.ref,
    )


def _missing(obstacles: list[Obstacle]) -> Iterator[str]:
    """What would have to come on record: for the obstacle that lasts for good, and for those that it only hides."""
    for obstacle in obstacles:
        lasts = obstacle.reason in _LASTING or obstacle is obstacles[-1]
        if lasts and obstacle.reason in _MISSING:  # else it ends after the last day of the calendar
            yield _MISSING[obstacle.reason]


def _add(obstacles: list[Obstacle], day: Day, billed: BilledLine, finding: Finding) -> None:
    """Note what stands in the way from a day on, unless the same does already."""
    order_id = finding.order_id
    if obstacles:
        last = obstacles[-1]
        if (last.outcome, last.reason, last.order_id) == (finding.outcome, finding.reason, order_id):
            return
        obstacles[-1] = last._replace(to_date=day - 1)
    if finding.reason == WRONG_PAYER:
        explanation = f"Plan {billed.claim.plan_id} is none of the policy's: the claim would be refused."
    else:
        explanation, _ = explain(finding.reason, billed.claim, billed.line, finding.because)
    obstacles.append(Obstacle(day, None, finding.outcome, finding.reason, explanation, order_id))


def _try(claim: Claim, settlement: Settlement, policy: Policy) -> _Tried:
    profile = policy.on(claim.received_date)
    billed = BilledLine(claim, claim.lines[0], profile, None)
    if claim.plan_id not in profile.plans:
        return _Tried(billed, Finding(REFUSED, WRONG_PAYER))
    return _Tried(billed, decide(billed, settlement))


def _clean_claim(
    patient_id: str, code: str, billing_npi: str, plan_id: str, day: Day, newest: Day, agreements: Agreements
) -> Claim:
    """The claim that is tried on a day. Its id is empty, as no claim's on record is."""
    span = span_on(agreements.standing(billing_npi), plan_id, day)
    fee = 0 if span is None else span.s0353_fee_cents if code == S0353 else span.s0354_fee_cents
    return Claim(
        event_id="",
        patient_id=patient_id,
        plan_id=plan_id,
        payer_id="",
        claim_id="",
        frequency_code=ORIGINAL,
        original_claim_id=None,
        patient_control_number="",
        billing_npi=billing_npi,
        rendering_npi=None,
        ordering_npi=None,
        order_id=None,
        received_date=max(day, newest),
        form_type="",
        cost_share=CostShare(0, 0, 0),
        lines=(ClaimLine(1, code, (), day, day, 1, max(fee, 1), (), ""),),
    )


def _turning_days(
    record: PatientRecord, settlement: Settlement, newest: Day, billing_npi: str, agreements: Agreements, policy: Policy
) -> set[Day]:
    """All days on which the answer of an edit to that claim may become another one than on the day before."""
    days = {newest + 1}
    for profile in policy.profiles:
        days.update(day for day in (profile.effective_from,) if day is not None)
        days.add(newest - profile.default_filing_limit_days)
        for counted in settlement.counted():
            for gap in (profile.gap_after_s0353_days, profile.gap_between_s0354_days):
                days.update((counted.service_date - gap + 1, counted.service_date + gap))
    for counted in settlement.counted():
        days.update((first_of_month(counted.service_date), first_of_next_month(counted.service_date)))
    for claim in record.claims.values():
        for line in claim.lines:
            days.update((line.service_date, line.service_date + 1))  # an exact duplicate, on that day alone
    for order in record.orders.values():
        days.update(_begin_and_end(order.effective_from, order.effective_to))
        days.update(day for day in (order.withdrawn_from,) if day is not None)
    days.update(start.onset_date for start in record.starts.values())
    if record.eligibility is not None:
        for covered in record.eligibility.spans:
            days.update(_begin_and_end(covered.effective_from, covered.effective_to))
    for npi in {billing_npi} | {order.ordering_npi for order in record.orders.values()}:
        agreement = agreements.standing(npi)
        for agreed in agreement.spans if agreement is not None else ():
            days.update(_begin_and_end(agreed.effective_from, agreed.effective_to))
            days.add(newest - agreed.filing_limit_days)
    return days


def _begin_and_end(first: Day, last: Day | None) -> tuple[Day, ...]:
    return (first,) if last is None else (first, last + 1)
