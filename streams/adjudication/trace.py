"""One line's way through the edits, for a person to read: what each edit asked, what it saw, and which one decided.

The lane never comes here. The trace settles the patient as `settlement` does, up to the line asked for, and then asks the very
edits of `edits.EDITS` one by one. So it cannot tell another story than the decision; a test compares the two.
"""

from collections.abc import Callable
from typing import NamedTuple

from .agreements import Agreements
from .days import iso
from .edits import EDITS, BilledLine, Finding, in_effect, onset_of, payable, usd
from .facts import S0353, STARTED
from .live import call_the_roll
from .policy import Policy
from .record import LineKey, PatientRecord
from .settlement import Settlement, in_settling_order
from .settling import Settling

PASSED = "passed"
DECIDED = "decided"
NOT_REACHED = "not reached"
NOT_ASKED = "not asked"  # the edit is about the other code, or a switch of the profile leaves it out


class TracedEdit(NamedTuple):
    """One edit and what it made of the line."""

    number: str  # of its row in rules.md section 3; two where it answers two rows
    title: str  # the question that it asks
    result: str  # PASSED, DECIDED, NOT_REACHED or NOT_ASKED
    saw: str  # what it looked at, in words; empty where it was not reached


class Trace(NamedTuple):
    """All edits in their order, and the reason that the line got."""

    edits: tuple[TracedEdit, ...]
    outcome: str
    reason: str


class _Question(NamedTuple):
    """How an edit is told to a person."""

    number: str
    title: str
    saw: Callable[[BilledLine, Settling], str]
    asked: Callable[[BilledLine], bool] = lambda _: True


def trace(record: PatientRecord, agreements: Agreements, policy: Policy, line: LineKey) -> Trace | None:
    """The way of a live line through the edits, or None for a line that no edit looks at: void, out of scope, or unknown."""
    settlement = Settlement(record, agreements, policy)
    for billed in in_settling_order(settlement, record.claims, call_the_roll(record.claims)):
        if (billed.claim.claim_id, billed.line.line_number) == line:
            return _ask_all(billed, settlement)
        settlement.settle(billed)
    return None


def _ask_all(billed: BilledLine, settling: Settling) -> Trace:
    traced: list[TracedEdit] = []
    finding: Finding | None = None
    for edit in EDITS:
        question = _QUESTIONS[edit.__name__]
        if finding is not None:
            traced.append(TracedEdit(question.number, question.title, NOT_REACHED, ""))
            continue
        finding = edit(billed, settling)
        passed = PASSED if question.asked(billed) else NOT_ASKED
        result = passed if finding is None else DECIDED
        traced.append(TracedEdit(question.number, question.title, result, question.saw(billed, settling)))
    if finding is None:
        finding = payable(billed)
        traced.append(
            TracedEdit("15", _PAYABLE, DECIDED, f"no edit stood in the way; agreed fee {usd(billed.fee_cents)}")
        )
    else:
        traced.append(TracedEdit("15", _PAYABLE, NOT_REACHED, ""))
    return Trace(tuple(traced), finding.outcome, finding.reason)


# What each edit looks at, said in a few words with the values that it saw.


def _reference(billed: BilledLine, _: Settling) -> str:
    if billed.claim.frequency_code != "7":
        return "the claim replaces no other"
    return f"the replacement {billed.bad_reference}" if billed.bad_reference else "the claim that it replaces is sound"


def _duplicate(_: BilledLine, settling: Settling) -> str:
    return f"compared with {_count(len(settling.signatures), 'line')} settled before"


def _eligibility(billed: BilledLine, settling: Settling) -> str:
    if settling.eligibility is None:
        return "no eligibility on record"
    plan = billed.claim.plan_id
    spans = [span for span in settling.eligibility.spans if span.plan_id == plan]
    if not spans:
        return f"no span of plan {plan} on record"
    words = ", ".join(f"{iso(span.effective_from)} to {_open(span.effective_to)}" for span in spans)
    return f"covered by plan {plan}: {words}"


def _filing(billed: BilledLine, _: Settling) -> str:
    span = billed.billing_span
    limit = span.filing_limit_days if span else billed.profile.default_filing_limit_days
    waited = billed.claim.received_date - billed.line.service_date
    return f"received {_count(waited, 'day')} after the service; the limit is {_count(limit, 'day')}"


def _network(billed: BilledLine, _: Settling) -> str:
    span, plan = billed.billing_span, billed.claim.plan_id
    if span is None:
        return f"no agreement with plan {plan} covers {iso(billed.line.service_date)}"
    return f"agreement with plan {plan} from {iso(span.effective_from)} to {_open(span.effective_to)}"


def _cited(billed: BilledLine, _: Settling) -> str:
    return (
        "the claim cites no order"
        if billed.claim.order_id is None
        else f"the claim cites order {billed.claim.order_id}"
    )


def _orders(billed: BilledLine, settling: Settling) -> str:
    day = billed.line.service_date
    effective = sorted(order.order_id for order in settling.orders.values() if in_effect(order, day))
    if not effective:
        return f"none of {_count(len(settling.orders), 'order')} is in effect on {iso(day)}"
    told = []
    for order_id in effective:
        onset = onset_of(order_id, settling)
        started = settling.starts.get(order_id)
        cancelled = started is not None and started.status != STARTED
        said = (
            f"treatment since {iso(onset)}"
            if onset is not None
            else "start cancelled"
            if cancelled
            else "no start on record"
        )
        told.append(f"order {order_id} ({said})")
    return "in effect: " + ", ".join(told)


def _span(billed: BilledLine, _: Settling) -> str:
    order = billed.governing
    return (
        ""
        if order is None
        else f"order {order.order_id} runs {iso(order.effective_from)} to {_open(order.effective_to)}"
    )


def _pathway(billed: BilledLine, _: Settling) -> str:
    order = billed.governing
    return "" if order is None else f"regimen {order.regimen_code} is {'on' if order.on_pathway else 'off'} the pathway"


def _ordering(billed: BilledLine, _: Settling) -> str:
    order = billed.governing
    return "" if order is None else f"ordering provider {order.ordering_npi}"


def _once(billed: BilledLine, settling: Settling) -> str:
    if billed.line.procedure_code != S0353:
        return "only for S0353"
    before = settling.counted_s0353(None)
    return "no S0353 paid before" if before is None else f"S0353 paid for {iso(before.service_date)} on {before.ref}"


def _gap(code: str, gap_of: Callable[[BilledLine], int]) -> Callable[[BilledLine, Settling], str]:
    def saw(billed: BilledLine, settling: Settling) -> str:
        if billed.line.procedure_code == S0353:
            return "only for S0354"
        day, gap = billed.line.service_date, gap_of(billed)
        blocking = settling.counted_within(code, day, gap)
        if not blocking:
            return f"no paid {code} fewer than {_count(gap, 'day')} away"
        return ", ".join(f"{code} paid for {iso(it.service_date)} on {it.ref}" for it in blocking)

    return saw


def _month(billed: BilledLine, settling: Settling) -> str:
    if not billed.profile.calendar_month_cap:
        return "switched off by the policy"
    counted = settling.counted_in_month("S0354", billed.line.service_date)
    return "no S0354 paid in that month" if counted is None else f"S0354 paid for {iso(counted.service_date)}"


def _months(billed: BilledLine, settling: Settling) -> str:
    order = billed.governing
    if billed.line.procedure_code == S0353:
        return "only for S0354"
    if order is None:
        return ""
    used = settling.months_used(order.order_id, billed.profile.s0353_uses_month)
    return f"{used} of {_count(order.max_months, 'month')} of order {order.order_id} used before"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _open(day: int | None) -> str:
    return "open" if day is None else iso(day)


def _is_s0353(billed: BilledLine) -> bool:
    return billed.line.procedure_code == S0353


def _is_s0354(billed: BilledLine) -> bool:
    return billed.line.procedure_code != S0353


_PAYABLE = "Payable"
_QUESTIONS: dict[str, _Question] = {
    "units": _Question("1", "At least one unit", lambda b, _: _count(b.line.units, "unit")),
    "charge": _Question("1", "A charge above zero", lambda b, _: usd(b.line.charge_cents)),
    "one_service_date": _Question(
        "1", "One service date", lambda b, _: f"{iso(b.line.service_date)} to {iso(b.line.service_date_to)}"
    ),
    "served_before_receipt": _Question(
        "1", "Served before it was received", lambda b, _: f"received {iso(b.claim.received_date)}"
    ),
    "good_reference": _Question("1", "A sound reference", _reference),
    "duplicate": _Question("2", "Not billed before", _duplicate),
    "member_eligible": _Question("3", "The member is eligible", _eligibility),
    "filed_in_time": _Question("4", "Filed in time", _filing),
    "billing_provider_in_network": _Question("5", "The billing provider is in network", _network),
    "cited_order_on_record": _Question("6", "The cited order is on record", _cited),
    "order_in_effect": _Question("6, 7", "A pathway order is in effect, and treatment has begun", _orders),
    "inside_span": _Question("8", "Inside the order's dates", _span),
    "on_pathway": _Question("9", "The regimen is on the pathway", _pathway),
    "ordering_provider_in_network": _Question(
        "10", "The ordering provider is in network", _ordering, lambda b: b.profile.ordering_provider_tested
    ),
    "s0353_once": _Question("11", "S0353 is paid once", _once, _is_s0353),
    "within_30_of_s0353": _Question(
        "12", "Far enough from the paid S0353", _gap(S0353, lambda b: b.profile.gap_after_s0353_days), _is_s0354
    ),
    "within_30_of_s0354": _Question(
        "13", "Far enough from every paid S0354", _gap("S0354", lambda b: b.profile.gap_between_s0354_days), _is_s0354
    ),
    "one_a_calendar_month": _Question(
        "13", "One in a calendar month", _month, lambda b: b.profile.calendar_month_cap and _is_s0354(b)
    ),
    "max_months": _Question("14", "Months of the order are left", _months, _is_s0354),
}
assert set(_QUESTIONS) == {edit.__name__ for edit in EDITS}, "every edit has its question"
