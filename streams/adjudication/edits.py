"""The edits, in their order: first hit wins (rules.md section 3).

Each edit stands here once, with its codes, the heading of the program's FAQ that it comes from, the test itself and the
sentence that explains it. An edit looks at one live claim line (`BilledLine`) and at what has settled before it
(`Settling`), and answers with a `Finding` where it decides the line, else with None.

A finding keeps in `because` the bare values that its sentence is made of, so that what is stored and compared stays small
and the words are made only when a decision is published.
"""

from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from .agreements import span_on
from .days import Day, iso
from .decisions import BUNDLED, DENIED, PAID, PENDED, VOIDED, AgreementRef, Because, Evidence
from .facts import (
    REPLACEMENT,
    S0353,
    STARTED,
    WITHDRAWN,
    AgreementSpan,
    Cents,
    Claim,
    ClaimLine,
    PathwaySelection,
    ProviderAgreement,
)
from .making import new
from .memo import Memo
from .policy import ORDER_SCOPE, PolicyProfile
from .settling import Settling


@mypyc_attr(acyclic=True)
class Codes:
    """The adjustment that a denied or bundled line's whole charge is written off with."""

    __slots__ = ("carc", "group", "rarcs")

    def __init__(self, group: str, carc: str, rarcs: tuple[str, ...] = ()) -> None:
        self.group = group
        self.carc = carc
        self.rarcs = rarcs


def evidence_of(kind: str, ref: str, says: str) -> Evidence:
    return new(Evidence, (kind, ref, says))


@mypyc_attr(acyclic=True)
class Finding:
    """What an edit found: how the line is decided and what the sentence needs to say so.

    It, `Codes` and `OrderInEffect` live while a line is decided; compiled, such a class is made ten times as fast as a named tuple.
    """

    __slots__ = ("because", "codes", "edit", "next_payable_date", "order_id", "outcome", "reason")

    def __init__(
        self,
        outcome: str,
        reason: str,
        codes: Codes | None = None,
        order_id: str | None = None,
        next_payable_date: Day | None = None,
        because: Because = (),
        edit: int = 0,
    ) -> None:
        self.outcome = outcome
        self.reason = reason
        self.codes = codes
        self.order_id = order_id
        self.next_payable_date = next_payable_date
        self.because = because
        self.edit = edit


@mypyc_attr(acyclic=True)
class OrderInEffect:
    """An order in effect on a service date, with its treatment start as far as one is on record."""

    __slots__ = ("onset", "order")

    def __init__(self, order: PathwaySelection, onset: Day | None) -> None:
        self.order = order
        self.onset = onset


@mypyc_attr(acyclic=True)
class BilledLine:
    """A live claim line in the hands of the edits; what one edit finds out the later ones use."""

    __slots__ = (
        "agreements",
        "bad_reference",
        "billing_span",
        "claim",
        "governing",
        "line",
        "onset",
        "profile",
        "signature",
    )

    def __init__(self, claim: Claim, line: ClaimLine, profile: PolicyProfile, bad_reference: str | None) -> None:
        self.claim = claim
        self.line = line
        self.profile = profile
        self.bad_reference = bad_reference
        self.signature: tuple[object, ...] = ()  # since edit 2
        self.billing_span: AgreementSpan | None = None  # since edit 4
        self.agreements: tuple[AgreementRef, ...] = ()  # used so far, sorted by NPI
        self.governing: PathwaySelection | None = None  # since edit 7
        self.onset: Day | None = None

    @property
    def fee_cents(self) -> Cents:
        """The agreed fee for the line's code on its service date."""
        assert self.billing_span is not None, "a fee was asked for before edit 5 found the line in network"
        return (
            self.billing_span.s0353_fee_cents
            if self.line.procedure_code == S0353
            else self.billing_span.s0354_fee_cents
        )

    def uses(self, agreement: ProviderAgreement | None) -> None:
        """Note that the decision rests on this version of an agreement."""
        if agreement is not None:
            ref = agreement_ref(agreement.npi, agreement.version)
            if not self.agreements:
                self.agreements = (ref,)
            elif ref not in self.agreements:
                (first,) = self.agreements  # edits 4 and 10 use one each
                self.agreements = (first, ref) if first < ref else (ref, first)


_REFS: Final[dict[str, AgreementRef]] = {}  # by NPI: all rulings that rest on one version share one ref


def agreement_ref(npi: str, version: int) -> AgreementRef:
    ref = _REFS.get(npi)
    if ref is None or ref.version != version:
        ref = _REFS[npi] = new(AgreementRef, (npi, version))
    return ref


@mypyc_attr(acyclic=True)
class Subject:
    """The line that a sentence is about."""

    __slots__ = ("claim", "line")

    def __init__(self, claim: Claim, line: ClaimLine) -> None:
        self.claim = claim
        self.line = line

    def __str__(self) -> str:
        return f"{self.line.procedure_code} on {iso(self.line.service_date)}"


Words = tuple[str, tuple[Evidence, ...]]
Edit = Callable[[BilledLine, Settling], Finding | None]
_EXPLAIN: Final[dict[str, Callable[[Subject, Because], Words]]] = {}


def _explains(reason: str) -> Callable[[Callable[[Subject, Because], Words]], Callable[[Subject, Because], Words]]:
    def register(words: Callable[[Subject, Because], Words]) -> Callable[[Subject, Because], Words]:
        _EXPLAIN[reason] = words
        return words

    return register


def explain(reason: str, claim: Claim, line: ClaimLine, because: Because) -> Words:
    """One sentence in plain words, with its dates, and the evidence (rules.md section 5)."""
    return _EXPLAIN[reason](Subject(claim, line), because)


def usd(cents: Cents) -> str:
    """An amount as a person reads it."""
    return _USD.of(cents)


def _usd(cents: Cents) -> str:
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


_USD: Final = Memo(_usd, 4096)


# -------------------------------------------------------- edit 1: the line makes sense
# FAQ: none; a claim form's own rules.


def units(billed: BilledLine, _: Settling) -> Finding | None:
    if billed.line.units < 1:
        return Finding(DENIED, "INVALID_UNITS", Codes("CO", "16", ("M53",)), edit=1)
    return None


@_explains("INVALID_UNITS")
def _invalid_units(it: Subject, _: Because) -> Words:
    return f"{it} bills {it.line.units} units; at least 1 is required.", ()


def charge(billed: BilledLine, _: Settling) -> Finding | None:
    if billed.line.charge_cents <= 0:
        return Finding(DENIED, "INVALID_CHARGE", Codes("CO", "16", ("M79",)), edit=1)
    return None


@_explains("INVALID_CHARGE")
def _invalid_charge(it: Subject, _: Because) -> Words:
    return f"{it} bills a charge of {usd(it.line.charge_cents)}; it must be more than zero.", ()


def one_service_date(billed: BilledLine, _: Settling) -> Finding | None:
    if billed.line.service_date_to != billed.line.service_date:
        return Finding(DENIED, "INVALID_SERVICE_DATE", Codes("CO", "16", ("M52",)), edit=1)
    return None


@_explains("INVALID_SERVICE_DATE")
def _invalid_service_date(it: Subject, _: Because) -> Words:
    return (
        f"{it} ends on {iso(it.line.service_date_to)}; the first and the last service date of an S-code line must be the same day.",
        (),
    )


def served_before_receipt(billed: BilledLine, _: Settling) -> Finding | None:
    if billed.line.service_date > billed.claim.received_date:
        return Finding(DENIED, "DOS_AFTER_RECEIPT", Codes("CO", "110"), edit=1)
    return None


@_explains("DOS_AFTER_RECEIPT")
def _dos_after_receipt(it: Subject, _: Because) -> Words:
    return f"{it} lies after {iso(it.claim.received_date)}, the day on which the claim was received.", ()


def good_reference(billed: BilledLine, _: Settling) -> Finding | None:
    if billed.bad_reference is not None and billed.claim.frequency_code == REPLACEMENT:
        codes = Codes("CO", "16", ("N152",))
        return Finding(DENIED, "INVALID_ORIGINAL_REFERENCE", codes, because=(billed.bad_reference,), edit=1)
    return None


@_explains("INVALID_ORIGINAL_REFERENCE")
def _invalid_original_reference(it: Subject, because: Because) -> Words:
    (wrong,) = because
    original = it.claim.original_claim_id
    evidence = (evidence_of("claim", original, "the claim that the replacement names"),) if original else ()
    return f"{it} is on a replacement claim that {wrong}.", evidence


# -------------------------------------------------------- edit 2: not billed before
# FAQ: none; the usual exact-duplicate edit.


def signature(billed: BilledLine) -> tuple[object, ...]:
    """What two lines share when one is an exact duplicate of the other; modifiers in their order."""
    line = billed.line
    return (
        billed.claim.billing_npi,
        line.procedure_code,
        line.modifiers,
        line.service_date,
        line.units,
        line.charge_cents,
    )


def duplicate(billed: BilledLine, settling: Settling) -> Finding | None:
    billed.signature = signature(billed)
    earlier = settling.signatures.get(billed.signature)
    if earlier is not None:
        return Finding(DENIED, "DUPLICATE", Codes("OA", "18"), because=(earlier,), edit=2)
    return None


@_explains("DUPLICATE")
def _duplicate(it: Subject, because: Because) -> Words:
    earlier = str(because[0])
    evidence = evidence_of(
        "claim-line", earlier, "same billing provider, code, modifiers, service date, units and charge; settled before"
    )
    return f"{it} is an exact duplicate of claim line {earlier}.", (evidence,)


# -------------------------------------------------------- edit 3: member eligibility
# FAQ "Who is eligible for the enhanced S-code reimbursement?": qualifying members of the plan.


def member_eligible(billed: BilledLine, settling: Settling) -> Finding | None:
    record, day = settling.eligibility, billed.line.service_date
    if record is None:
        if billed.profile.unknown_eligibility_eligible:
            return None
        return Finding(DENIED, "NOT_ELIGIBLE", Codes("PR", "31"), because=("31", None, None), edit=3)
    spans = [span for span in record.spans if span.plan_id == billed.claim.plan_id]
    if any(span.effective_from <= day and (span.effective_to is None or day <= span.effective_to) for span in spans):
        return None
    first = min((span.effective_from for span in spans), default=None)
    last = max((span.effective_to for span in spans if span.effective_to is not None), default=None)
    if first is None or day < first:
        carc = "26"
    elif last is not None and day > last and all(span.effective_to is not None for span in spans):
        carc = "27"
    else:
        carc = "200"
    return Finding(DENIED, "NOT_ELIGIBLE", Codes("PR", carc), because=(carc, first, last), edit=3)


@_explains("NOT_ELIGIBLE")
def _not_eligible(it: Subject, because: Because) -> Words:
    carc, first, last = because
    plan = it.claim.plan_id
    if carc == "31":
        return f"{it} cannot be paid: no eligibility of the member is on record.", ()
    if first is None:
        said = f"the member has no coverage under plan {plan} on record"
    elif carc == "26":
        said = f"coverage under plan {plan} begins on {iso(int(first))}"
    elif carc == "27":
        assert last is not None, "coverage that ended has an end"
        said = f"coverage under plan {plan} ended on {iso(int(last))}"
    else:
        said = f"it lies between two spans of coverage under plan {plan}"
    return f"{it} is not covered: {said}.", (evidence_of("eligibility", plan, said),)


# -------------------------------------------------------- edits 4 and 5: the billing provider
# FAQ "If a provider missed submitting an S-code for a patient, is there a time limit for submitting a claim?" (edit 4)
# FAQ "Who is eligible for the enhanced S-code reimbursement?": participating and in network for the member's plan (edit 5).


def filed_in_time(billed: BilledLine, settling: Settling) -> Finding | None:
    agreement = settling.agreement(billed.claim.billing_npi)
    billed.uses(agreement)
    billed.billing_span = span_on(agreement, billed.claim.plan_id, billed.line.service_date)
    limit = billed.billing_span.filing_limit_days if billed.billing_span else billed.profile.default_filing_limit_days
    if billed.claim.received_date - billed.line.service_date > limit:
        return Finding(DENIED, "UNTIMELY", Codes("CO", "29"), because=(limit,), edit=4)
    return None


@_explains("UNTIMELY")
def _untimely(it: Subject, because: Because) -> Words:
    (limit,) = because
    assert isinstance(limit, int), "a filing limit is a number of days"
    received, served = it.claim.received_date, it.line.service_date
    late = f"{received - served} day{'' if received - served == 1 else 's'} later"
    ended = f"the filing limit of {limit} days ended on {iso(served + limit)}"
    evidence = evidence_of("agreement", it.claim.billing_npi, f"filing limit {limit} days")
    return f"{it} was received on {iso(received)}, {late}; {ended}.", (evidence,)


def billing_provider_in_network(billed: BilledLine, _: Settling) -> Finding | None:
    if billed.billing_span is None:
        return Finding(DENIED, "NOT_IN_NETWORK", Codes("PI", "242"), edit=5)
    return None


@_explains("NOT_IN_NETWORK")
def _not_in_network(it: Subject, _: Because) -> Words:
    plan = it.claim.plan_id
    evidence = evidence_of(
        "agreement", it.claim.billing_npi, f"no span of plan {plan} covers {iso(it.line.service_date)}"
    )
    return f"{it} was billed by a provider that was not in network for plan {plan} on that day.", (evidence,)


# -------------------------------------------------------- edit 6: a pathway order is in effect
# FAQ "How do I submit the S-codes for reimbursement?": once a pathway regimen is selected.


def cited_order_on_record(billed: BilledLine, settling: Settling) -> Finding | None:
    if billed.claim.order_id is not None and billed.claim.order_id not in settling.orders:
        return Finding(DENIED, "AUTH_MISMATCH", Codes("CO", "284"), edit=6)
    return None


@_explains("AUTH_MISMATCH")
def _auth_mismatch(it: Subject, _: Because) -> Words:
    cited = str(it.claim.order_id)
    return f"{it} cites order {cited}, and the patient has no such order.", (
        evidence_of("order", cited, "not on record"),
    )


def in_effect(order: PathwaySelection, day: Day) -> bool:
    """Whether an order is in effect on a day. `effective_to` plays no part: only edit 8 looks at it."""
    if order.effective_from > day:
        return False
    return not (order.status == WITHDRAWN and order.withdrawn_from is not None and order.withdrawn_from <= day)


def onset_of(order_id: str, settling: Settling) -> Day | None:
    """The onset of an order's treatment as far as one is on record; a cancelled start counts as not received."""
    start = settling.starts.get(order_id)
    return start.onset_date if start is not None and start.status == STARTED else None


def _by_effect(order: PathwaySelection) -> tuple[Day, str]:
    return (order.effective_from, order.order_id)


def order_in_effect(billed: BilledLine, settling: Settling) -> Finding | None:
    """Edits 6 (second line) and 7: some order is in effect and its treatment has begun. Finds the governing order."""
    day = billed.line.service_date
    candidates = [
        OrderInEffect(order, onset_of(order.order_id, settling))
        for order in settling.orders.values()
        if in_effect(order, day)
    ]
    if not candidates:
        return _no_order(billed, settling, day)
    started = [c for c in candidates if c.onset is not None and c.onset <= day]
    if not started:
        return _not_started(billed, settling, candidates)
    governing = started[0] if len(started) == 1 else max(started, key=lambda c: (c.onset, *_by_effect(c.order)))
    billed.governing, billed.onset = governing.order, governing.onset
    return None


def _no_order(billed: BilledLine, settling: Settling, day: Day) -> Finding:
    because: Because = (None, None, None)
    withdrawn = [order for order in settling.orders.values() if order.effective_from <= day]
    later = [order for order in settling.orders.values() if order.effective_from > day]
    if withdrawn:
        latest = max(withdrawn, key=_by_effect)
        because = ("withdrawn from", latest.order_id, latest.withdrawn_from)
    elif later:
        earliest = min(later, key=_by_effect)
        because = ("in effect only from", earliest.order_id, earliest.effective_from)
    outcome = billed.profile.no_order_outcome
    codes = Codes("CO", "197") if outcome == DENIED else Codes("CO", "234", ("N390",))
    return Finding(outcome, "NO_PATHWAY_AT_DOS", codes, because=because, edit=6)


@_explains("NO_PATHWAY_AT_DOS")
def _no_pathway_at_dos(it: Subject, because: Because) -> Words:
    how, order_id, day = because
    if order_id is None:
        return f"{it} has no pathway order: none is on record for the patient.", ()
    assert isinstance(day, int), "an order that is not in effect has a date for it"
    said = f"{how} {iso(day)}"
    return f"{it} has no pathway order in effect on that day: order {order_id} is {said}.", (
        evidence_of("order", str(order_id), said),
    )


# -------------------------------------------------------- edit 7: treatment has begun
# FAQ "How do I submit the S-codes for reimbursement?": billable upon onset of treatment.
# FAQ "If I order a treatment regimen that is not on an AIM Cancer Treatment Pathway ...": the S-codes are bundled.


def _not_started(billed: BilledLine, settling: Settling, candidates: list[OrderInEffect]) -> Finding:
    latest = max((c.order for c in candidates), key=_by_effect)
    if not latest.on_pathway:
        return Finding(
            BUNDLED,
            "OFF_PATHWAY",
            Codes("CO", "97", ("M15",)),
            latest.order_id,
            because=(latest.order_id, None),
            edit=7,
        )
    waiting = tuple(sorted(c.order.order_id for c in candidates if c.onset is None))
    codes = Codes("CO", "272", ("N351",))
    if not waiting:
        onset = min(c.onset for c in candidates if c.onset is not None)
        ref = min(c.order.order_id for c in candidates if c.onset == onset)
        return Finding(DENIED, "BEFORE_ONSET", codes, next_payable_date=onset, because=(ref, onset), edit=7)
    if billed.claim.claim_id in settling.expired:
        return Finding(DENIED, "NO_TREATMENT_START", codes, because=waiting, edit=7)
    return Finding(PENDED, "AWAIT_TREATMENT_START", because=waiting, edit=7)


def _awaited(because: Because) -> tuple[str, tuple[Evidence, ...]]:
    names = [str(order_id) for order_id in because]
    named = f"order {names[0]}" if len(names) == 1 else f"orders {', '.join(names)}"
    return named, tuple(evidence_of("order", name, "in effect, no treatment start on record") for name in names)


@_explains("AWAIT_TREATMENT_START")
def _await_treatment_start(it: Subject, because: Because) -> Words:
    named, evidence = _awaited(because)
    return f"{it} waits for the treatment start of {named}.", evidence


@_explains("NO_TREATMENT_START")
def _no_treatment_start(it: Subject, because: Because) -> Words:
    named, evidence = _awaited(because)
    return f"{it} waited in vain for the treatment start of {named}: the time to wait has run out.", evidence


@_explains("BEFORE_ONSET")
def _before_onset(it: Subject, because: Because) -> Words:
    order_id, onset = because
    assert isinstance(onset, int), "an onset is a day"
    return (
        f"{it} lies before {iso(onset)}, the onset of treatment under order {order_id}; payable from {iso(onset)}.",
        (evidence_of("order", str(order_id), f"treatment started on {iso(onset)}"),),
    )


# -------------------------------------------------------- edits 8 and 9: the governing order
# FAQ "If a provider missed submitting an S-code ...": a late claim pays by the order's date span (edit 8).
# FAQ "If I order a treatment regimen that is not on an AIM Cancer Treatment Pathway ..." (edit 9).


def _governing(billed: BilledLine) -> PathwaySelection:
    assert billed.governing is not None, "an edit after the 7th ran without a governing order"
    return billed.governing


def inside_span(billed: BilledLine, _: Settling) -> Finding | None:
    order = _governing(billed)
    if order.effective_to is not None and billed.line.service_date > order.effective_to:
        codes = Codes("CO", "302", ("N351",))
        return Finding(
            DENIED, "AFTER_SPAN", codes, order.order_id, because=(order.order_id, order.effective_to), edit=8
        )
    return None


@_explains("AFTER_SPAN")
def _after_span(it: Subject, because: Because) -> Words:
    order_id, ended = because
    assert isinstance(ended, int), "a span that was left has an end"
    evidence = evidence_of("order", str(order_id), f"span ended on {iso(ended)}")
    return f"{it} lies after {iso(ended)}, the last day of order {order_id}.", (evidence,)


def on_pathway(billed: BilledLine, _: Settling) -> Finding | None:
    order = _governing(billed)
    if not order.on_pathway:
        codes = Codes("CO", "97", ("M15",))
        return Finding(BUNDLED, "OFF_PATHWAY", codes, order.order_id, because=(order.order_id, billed.onset), edit=9)
    return None


@_explains("OFF_PATHWAY")
def _off_pathway(it: Subject, because: Because) -> Words:
    order_id, onset = because
    since = "" if onset is None else f", treatment since {iso(int(onset))}"
    return (
        f"{it} is bundled: the regimen of order {order_id} is not on the pathway.",
        (evidence_of("order", str(order_id), f"regimen off the pathway{since}"),),
    )


# -------------------------------------------------------- edit 10: the ordering provider
# FAQ "Who is eligible for the enhanced S-code reimbursement?": participating ordering providers who are in network.


def ordering_provider_in_network(billed: BilledLine, settling: Settling) -> Finding | None:
    if not billed.profile.ordering_provider_tested:
        return None
    order = _governing(billed)
    agreement = settling.agreement(order.ordering_npi)
    billed.uses(agreement)
    if span_on(agreement, billed.claim.plan_id, billed.line.service_date) is None:
        because = (order.order_id, order.ordering_npi)
        return Finding(DENIED, "ORDERING_NOT_IN_NETWORK", Codes("CO", "243"), order.order_id, because=because, edit=10)
    return None


@_explains("ORDERING_NOT_IN_NETWORK")
def _ordering_not_in_network(it: Subject, because: Because) -> Words:
    order_id, npi = because
    plan = it.claim.plan_id
    return (
        f"{it} goes back to order {order_id}, whose ordering provider was not in network for plan {plan} on that day.",
        (
            evidence_of("order", str(order_id), "governs the line"),
            evidence_of("agreement", str(npi), f"no span of plan {plan} covers {iso(it.line.service_date)}"),
        ),
    )


# -------------------------------------------------------- edit 11: S0353 once
# FAQ "How often can I bill an S-code?": S0353 once per patient, at the onset of treatment.


def s0353_once(billed: BilledLine, settling: Settling) -> Finding | None:
    if billed.line.procedure_code != S0353:
        return None
    order_id = _governing(billed).order_id
    before = settling.counted_s0353(order_id if billed.profile.s0353_scope == ORDER_SCOPE else None)
    if before is None:
        return None
    rarcs = ("N117",) if before.billing_npi == billed.claim.billing_npi else ("N117", "N472")
    because = (before.ref, before.service_date, before.billing_npi)
    return Finding(DENIED, "S0353_ONCE", Codes("CO", "149", rarcs), order_id, because=because, edit=11)


@_explains("S0353_ONCE")
def _s0353_once(it: Subject, because: Because) -> Words:
    ref, day, npi = because
    by = "" if npi == it.claim.billing_npi else " to another provider"
    return (
        f"{it} is not payable: S0353 is paid once and was paid{by} on claim line {ref} for {iso(int(day or 0))}.",
        (evidence_of("claim-line", str(ref), f"S0353 on {iso(int(day or 0))}, paid{by}"),),
    )


# -------------------------------------------------------- edits 12 and 13: the gaps
# FAQ "How often can I bill an S-code?": S0354 once each 30 days, and not within 30 days of S0353.


def _gap(
    billed: BilledLine, settling: Settling, code: str, gap_days: int, reason: str, codes: Codes, edit: int
) -> Finding | None:
    if billed.line.procedure_code == S0353:
        return None
    day = billed.line.service_date
    blocking = settling.counted_within(code, day, gap_days)
    if not blocking:
        return None
    free, next_blocking = day, blocking
    while next_blocking:  # the day after one blocking line's gap may lie in another's
        free = max(counted.service_date for counted in next_blocking) + gap_days
        next_blocking = settling.counted_within(code, free, gap_days)
    because = tuple(value for counted in blocking for value in (counted.ref, counted.service_date))
    return Finding(DENIED, reason, codes, _governing(billed).order_id, free, (free, *because), edit)


_AFTER_S0353: Final = Codes("CO", "272", ("N357",))
_AFTER_S0354: Final = Codes("CO", "119", ("M86",))


def within_30_of_s0353(billed: BilledLine, settling: Settling) -> Finding | None:
    return _gap(
        billed, settling, S0353, billed.profile.gap_after_s0353_days, "WITHIN_30_OF_S0353", _AFTER_S0353, edit=12
    )


def within_30_of_s0354(billed: BilledLine, settling: Settling) -> Finding | None:
    return _gap(
        billed, settling, "S0354", billed.profile.gap_between_s0354_days, "WITHIN_30_OF_S0354", _AFTER_S0354, edit=13
    )


def _gap_words(it: Subject, because: Because, code: str) -> Words:
    free, *rest = because
    blocking = [(str(ref), int(day or 0)) for ref, day in zip(rest[::2], rest[1::2], strict=True)]
    distances = [f"{_distance(it.line.service_date - day)} {code} on {iso(day)}" for _, day in blocking]
    return (
        f"{it} is {' and '.join(distances)}; payable from {iso(int(free or 0))}.",
        tuple(evidence_of("claim-line", ref, f"{code} on {iso(day)}, paid") for ref, day in blocking),
    )


def _distance(days: int) -> str:
    if days == 0:
        return "on the same day as"
    return f"{abs(days)} day{'' if abs(days) == 1 else 's'} {'after' if days > 0 else 'before'}"


@_explains("WITHIN_30_OF_S0353")
def _within_30_of_s0353(it: Subject, because: Because) -> Words:
    return _gap_words(it, because, S0353)


@_explains("WITHIN_30_OF_S0354")
def _within_30_of_s0354(it: Subject, because: Because) -> Words:
    return _gap_words(it, because, "S0354")


def one_a_calendar_month(billed: BilledLine, settling: Settling) -> Finding | None:
    """The switch `calendar_month_cap` of rules.md section 7, after edit 13."""
    if billed.line.procedure_code == S0353 or not billed.profile.calendar_month_cap:
        return None
    counted = settling.counted_in_month("S0354", billed.line.service_date)
    if counted is None:
        return None
    because = (counted.ref, counted.service_date)
    return Finding(
        DENIED, "CALENDAR_MONTH", Codes("CO", "119", ("M86",)), _governing(billed).order_id, because=because, edit=13
    )


@_explains("CALENDAR_MONTH")
def _calendar_month(it: Subject, because: Because) -> Words:
    ref, day = because
    return (
        f"{it} falls in a calendar month for which S0354 was paid already, on {iso(int(day or 0))}.",
        (evidence_of("claim-line", str(ref), f"S0354 on {iso(int(day or 0))}, paid"),),
    )


# -------------------------------------------------------- edit 14: the months of the order
# FAQ "How do I submit the S-codes for reimbursement?": up to the maximum number of months that the program's instructions give.


def max_months(billed: BilledLine, settling: Settling) -> Finding | None:
    if billed.line.procedure_code == S0353:
        return None
    order = _governing(billed)
    if settling.months_used(order.order_id, billed.profile.s0353_uses_month) < order.max_months:
        return None
    because = (order.order_id, order.max_months)
    return Finding(DENIED, "MAX_MONTHS", Codes("CO", "198", ("N640",)), order.order_id, because=because, edit=14)


@_explains("MAX_MONTHS")
def _max_months(it: Subject, because: Because) -> Words:
    order_id, months = because
    said = f"maximum of {months} months"
    return f"{it} exceeds the {said} of order {order_id}: all of them are used up.", (
        evidence_of("order", str(order_id), said),
    )


# -------------------------------------------------------- edit 15: payable
# FAQ "How much is the reimbursement for the S-codes?"


def payable(billed: BilledLine) -> Finding:
    """What is left when no edit stood in the way. How much is paid and owed joins `because` when the line is priced."""
    order = _governing(billed)
    return Finding(
        PAID, "PAID", order_id=order.order_id, because=(order.order_id, billed.onset, billed.fee_cents), edit=15
    )


@_explains("PAID")
def _paid(it: Subject, because: Because) -> Words:
    order_id, onset, fee, paid, owed = because
    since, agreed = iso(int(onset or 0)), usd(int(fee or 0))
    owes = f", the member owes {usd(int(owed))}" if owed else ""
    return (
        f"{it} pays {usd(int(paid or 0))}{owes}: order {order_id}, treatment since {since}, agreed fee {agreed}.",
        (
            evidence_of("order", str(order_id), f"on the pathway, treatment since {since}"),
            evidence_of("agreement", it.claim.billing_npi, f"in network for plan {it.claim.plan_id}, fee {agreed}"),
        ),
    )


# -------------------------------------------------------- no edit: the claim is out


def voided(how: str, by_claim_id: str) -> Finding:
    """A line of a claim that is out (rules.md section 2)."""
    return Finding(VOIDED, "VOIDED", because=(how, by_claim_id))


@_explains("VOIDED")
def _voided(it: Subject, because: Because) -> Words:
    how, by = because
    said = f"{how} claim {by}"
    return f"{it} is void: claim {it.claim.claim_id} was {said}.", (
        evidence_of("claim", str(by), f"takes claim {it.claim.claim_id} out"),
    )


EDITS: Final[tuple[Edit, ...]] = (
    units,
    charge,
    one_service_date,
    served_before_receipt,
    good_reference,
    duplicate,
    member_eligible,
    filed_in_time,
    billing_provider_in_network,
    cited_order_on_record,
    order_in_effect,
    inside_span,
    on_pathway,
    ordering_provider_in_network,
    s0353_once,
    within_30_of_s0353,
    within_30_of_s0354,
    one_a_calendar_month,
    max_months,
)


def decide(billed: BilledLine, settling: Settling) -> Finding:
    """The first edit that decides the line, else payable."""
    for edit in EDITS:
        finding = edit(billed, settling)
        if finding is not None:
            return finding
    return payable(billed)
