"""Eligibility notices: what a pathway selection entitles to (rules.md section 5).

FAQ "How do I submit the S-codes for reimbursement?": a notice of eligibility once a pathway regimen is selected.
"""

from .agreements import Agreements, span_on
from .days import iso
from .decisions import EligibilityNotice
from .facts import S0353, S0354, WITHDRAWN, MemberEligibility, PathwaySelection
from .making import new
from .policy import Policy


def notice_of(
    order: PathwaySelection, eligibility: MemberEligibility | None, agreements: Agreements, policy: Policy
) -> EligibilityNotice:
    """The notice for a version of an order that stands, as things are on record now."""
    day = order.effective_from
    span = span_on(agreements.standing(order.ordering_npi), order.plan_id, day)
    reason, explanation = _entitles(order, eligibility, in_network=span is not None)
    return new(
        EligibilityNotice,
        (
            order.patient_id,
            order.order_id,
            order.order_version,
            reason == "ELIGIBLE",
            reason,
            explanation,
            (S0353, S0354) if reason == "ELIGIBLE" else (),  # procedure_codes
            day,
            order.effective_to,
            order.max_months,
            span.s0353_fee_cents if span else None,
            span.s0354_fee_cents if span else None,
            policy.on(day).ref,
            order.event_id,
        ),
    )


def _entitles(order: PathwaySelection, eligibility: MemberEligibility | None, in_network: bool) -> tuple[str, str]:
    day, named = iso(order.effective_from), f"Order {order.order_id}"
    if order.status == WITHDRAWN:
        since = iso(order.withdrawn_from) if order.withdrawn_from is not None else day
        return "WITHDRAWN", f"{named} is withdrawn from {since}: the S-codes are not payable from that day."
    if not order.on_pathway:
        return "OFF_PATHWAY", f"{named} selects a regimen that is not on the pathway: the S-codes are bundled."
    if not in_network:
        return (
            "ORDERING_NOT_IN_NETWORK",
            f"{named}: the ordering provider is not in network for plan {order.plan_id} on {day}.",
        )
    if eligibility is not None and not any(
        span.plan_id == order.plan_id
        and span.effective_from <= order.effective_from
        and (span.effective_to is None or order.effective_from <= span.effective_to)
        for span in eligibility.spans
    ):
        return "NOT_ELIGIBLE", f"{named}: the member has no coverage under plan {order.plan_id} on {day}."
    until = f" to {iso(order.effective_to)}" if order.effective_to is not None else ""
    return (
        "ELIGIBLE",
        f"{named} is on the pathway: S0353 is payable once and S0354 for up to {order.max_months} months, "
        f"from the onset of treatment, for services from {day}{until}.",
    )
