"""The rules a second time: slow, naive, and read off docs/spec/rules.md from top to bottom.

It shares no line with `streams/adjudication`. Facts are the JSON objects of docs/spec/events.md section 3, dates are
`datetime.date`, and every answer is computed from the *set* of standing facts, each time anew: no state, no shortcut.
Where the two implementations differ, one of them misreads a sentence of the page.

Readings of the page, where it leaves room (each is marked `Reading n` where it is used):

 1. The identity of a claim, an order, a start and an expiry is per patient ("another patient's claim is unknown, not
    bad"; invariant 6).
 2. Content is compared over the fields of events.md section 3 only ("unknown fields are ignored"); an absent optional
    field equals null.
 3. WRONG_PAYER is asked before CONFLICT and every time anew: a refused claim is not on record, so its repeat is refused
    again and its number stays free.
 4. A late lower version is on record all the same: another content of that version is a conflict.
 5. A re-adjudication request's identity is its `event_id` (the table of section 1), so the same id with another content
    is a conflict.
 6. "The last stands" is asked among all replacements with a counting reference, whether or not the last itself is out
    by now.
 7. A replacement that names a claim which is out already is live: nobody names it. Both then have one first claim; that
    is when settling order ties.
 8. The chain of a replacement ends at a claim that is not a replacement, or at a replacement whose reference is bad or
    unknown.
 9. BUNDLED and PENDED are not "denied": such a line makes a later equal one a DUPLICATE.
10. PR-31 (unknown eligibility denied) is not among the three adjustments that the member owes: the member owes nothing.
11. "If another billing NPI was paid": the counted S0353 that stands in the way has another billing NPI, also where it
    was paid 0.
12. Negative cost share values count as 0; no cost share takes more than is left (coinsurance above 100 % takes all).
13. No order on file BUNDLED keeps the reason NO_PATHWAY_AT_DOS.
14. Next payable date of the WITHIN_30 edits: the latest blocking date + the gap, and again from there while that date
    is itself blocked. Blocking are the lines counted so far in settling order: the ones that this edit looked at.
15. Next payable date of BEFORE_ONSET: the earliest onset among the orders in effect on the service date.
16. `order_id` is given where an order governs (edits 8 to 15) or is the one that bundles the line (edit 7).
17. The copay is taken once from each paid line; the deductible is used up across the claim's PAID S lines only.
18. A reversed eligibility span (to before from) covers nothing; it still counts in finding the first and the last span.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

Json = Mapping[str, Any]
Policy = Sequence[Json]  # profiles in the order of their `effective_from`; the first is in effect since ever

# rules.md section 7, the first value of each
P0: Json = {
    "gap_after_s0353_days": 30,
    "gap_between_s0354_days": 30,
    "s0353_scope": "patient",
    "calendar_month_cap": False,
    "s0353_uses_month": False,
    "unknown_eligibility": "eligible",
    "no_order": "DENIED",
    "ordering_provider_tested": True,
    "default_filing_limit_days": 90,
    "pend_limit_days": 20,
    "plans": {"PPO": "HP001"},
}


def profile_on(policy: Policy, received: date) -> Json:
    """The profile that decides a claim received on that date."""
    in_effect = [
        profile
        for profile in policy
        if profile.get("effective_from") is None or day(profile["effective_from"]) <= received
    ]
    return in_effect[-1]


def day(text: str) -> date:
    """An ISO local date."""
    return date.fromisoformat(text)


# ---------------------------------------------------------------------------------------------------------------------
# Section 1. Facts: which stand, which are refused


class Refused(NamedTuple):
    """A fact that goes to the dead letters, and why."""

    fact: Json
    reason: str


class Standing(NamedTuple):
    """What is on record of one patient: the contents that stand, by identity."""

    orders: dict[str, Json]  # order_id -> highest version
    starts: dict[str, Json]  # order_id -> highest version, STARTED or CANCELLED
    claims: dict[str, Json]  # claim_id
    eligibility: Json | None
    expired: set[str]  # claim_ids


# the fields of events.md section 3; `event_id` is no part of the content
_FIELDS = {
    "pathway-selected": "patient_id plan_id program_id order_id order_version status withdrawn_from ordering_npi "
    "regimen_code on_pathway effective_from effective_to max_months selected_at",
    "treatment-started": "patient_id order_id version status onset_date recorded_at",
    "claim-received": "patient_id plan_id payer_id claim_id frequency_code original_claim_id patient_control_number "
    "billing_npi rendering_npi ordering_npi order_id received_date form_type cost_share lines",
    "member-eligibility": "patient_id version spans",
    "provider-agreement": "npi version spans",
    "pend-expired": "patient_id claim_id",
    "readjudication-requested": "patient_id requested_by reason agreements_through",
}


def content(fact: Json) -> tuple[Any, ...]:
    """All fields but `event_id` (reading 2)."""
    return tuple(fact.get(field) for field in _FIELDS[fact["type"]].split())


def identity(fact: Json) -> tuple[Any, ...]:
    """Identity and version: what makes two facts the same one (readings 1 and 5)."""
    kind = fact["type"]
    match kind:
        case "provider-agreement":
            return (kind, fact["npi"], fact["version"])
        case "pathway-selected":
            return (kind, fact["patient_id"], fact["order_id"], fact["order_version"])
        case "treatment-started":
            return (kind, fact["patient_id"], fact["order_id"], fact["version"])
        case "claim-received" | "pend-expired":
            return (kind, fact["patient_id"], fact["claim_id"])
        case "member-eligibility":
            return (kind, fact["patient_id"], fact["version"])
        case "readjudication-requested":
            return (kind, fact["patient_id"], fact["event_id"])
    raise ValueError(f"no such type of fact: {kind}")


def admitted(facts: Iterable[Json], policy: Policy) -> tuple[list[Json], list[Refused]]:
    """The facts on record and the refused ones, both in order of arrival; a repeat is in neither."""
    on_record: dict[tuple[Any, ...], Json] = {}
    refused: list[Refused] = []
    for fact in facts:
        if fact["type"] == "claim-received" and wrong_payer(fact, policy):
            refused.append(Refused(fact, "WRONG_PAYER"))  # reading 3
        elif identity(fact) not in on_record:
            on_record[identity(fact)] = fact
        elif content(on_record[identity(fact)]) != content(fact):
            refused.append(Refused(fact, "CONFLICT"))
    return list(on_record.values()), refused


def wrong_payer(claim: Json, policy: Policy) -> bool:
    """Whether the payer is not the plan's; a plan that the profile does not know has none."""
    return bool(profile_on(policy, day(claim["received_date"]))["plans"].get(claim["plan_id"]) != claim["payer_id"])


def standing(facts: Iterable[Json]) -> Standing:
    """What stands of one patient's facts on record: of each order and start the highest version."""
    record = Standing({}, {}, {}, None, set())
    for fact in facts:
        match fact["type"]:
            case "pathway-selected":
                known = record.orders.get(fact["order_id"])
                if known is None or known["order_version"] < fact["order_version"]:
                    record.orders[fact["order_id"]] = fact
            case "treatment-started":
                known = record.starts.get(fact["order_id"])
                if known is None or known["version"] < fact["version"]:
                    record.starts[fact["order_id"]] = fact
            case "claim-received":
                record.claims[fact["claim_id"]] = fact
            case "member-eligibility":
                if record.eligibility is None or record.eligibility["version"] < fact["version"]:
                    record = record._replace(eligibility=fact)
            case "pend-expired":
                record.expired.add(fact["claim_id"])
    return record


def standing_agreements(agreements: Iterable[Json]) -> dict[str, Json]:
    """Of each provider the highest version."""
    stands: dict[str, Json] = {}
    for agreement in agreements:
        known = stands.get(agreement["npi"])
        if known is None or known["version"] < agreement["version"]:
            stands[agreement["npi"]] = agreement
    return stands


def covers(span: Json, on: date) -> bool:
    """Whether a span covers a date: both ends belong to it, an open end never comes."""
    return day(span["effective_from"]) <= on and (span["effective_to"] is None or on <= day(span["effective_to"]))


def span_of(npi: str, plan_id: str, on: date, agreements: Mapping[str, Json]) -> Json | None:
    """The provider's agreement span of the plan that covers the date: in network and participating on it."""
    if npi in agreements:
        for span in agreements[npi]["spans"]:
            if span["plan_id"] == plan_id and covers(span, on):
                return span  # type: ignore[no-any-return]
    return None


# ---------------------------------------------------------------------------------------------------------------------
# Section 2. Live claims and settling order


def reference(claim: Json, claims: Mapping[str, Json]) -> str:
    """What a claim's reference is worth: 'none', 'good', 'bad' or 'unknown'."""
    if claim["frequency_code"] == "1":
        return "none"
    named = claim.get("original_claim_id")
    if named is None or named == claim["claim_id"]:
        return "bad"
    if named not in claims:
        return "unknown"
    if claims[named]["frequency_code"] == "8" or claims[named]["billing_npi"] != claim["billing_npi"]:
        return "bad"
    return "good"


def out_claims(claims: Mapping[str, Json]) -> set[str]:
    """The claims that are out: voided, replaced, or beaten by another replacement of the same claim."""
    out: set[str] = set()
    for claim_id in claims:
        naming = [c for c in claims.values() if reference(c, claims) == "good" and c["original_claim_id"] == claim_id]
        if naming:
            out.add(claim_id)
        replacements = [c for c in naming if c["frequency_code"] == "7"]
        if replacements:  # readings 6 and 7
            last = max(replacements, key=lambda c: (day(c["received_date"]), c["claim_id"]))
            out.update(c["claim_id"] for c in replacements if c is not last)
    return out


def first_in_chain(claim: Json, claims: Mapping[str, Json]) -> Json:
    """The claim where a replacement's chain begins; of a ring, the claim that the chain reaches first (reading 8)."""
    path = [claim]
    while path[-1]["frequency_code"] == "7" and reference(path[-1], claims) == "good":
        named = claims[path[-1]["original_claim_id"]]
        if any(named is step for step in path):
            return named  # the first claim seen twice is the ring's first claim that was reached
        path.append(named)
    return path[-1]


class Line(NamedTuple):
    """A live S0353 or S0354 line with its claim."""

    claim: Json
    line: Json

    @property
    def key(self) -> tuple[str, int]:
        return (self.claim["claim_id"], self.line["line_number"])

    @property
    def code(self) -> str:
        return str(self.line["procedure_code"])

    @property
    def served(self) -> date:
        return day(self.line["service_date"])

    @property
    def received(self) -> date:
        return day(self.claim["received_date"])


def settling_order(claims: Mapping[str, Json]) -> list[Line]:
    """The live lines in the order in which they are settled, S0353 before S0354."""
    out = out_claims(claims)
    lines = [
        Line(claim, line)
        for claim in claims.values()
        if claim["frequency_code"] != "8" and claim["claim_id"] not in out
        for line in claim["lines"]
        if line["procedure_code"] in ("S0353", "S0354")
    ]

    def place(line: Line) -> tuple[Any, ...]:
        first = first_in_chain(line.claim, claims)
        return (
            line.code,
            day(first["received_date"]),
            first["claim_id"],
            line.line["line_number"],
            line.claim["claim_id"],
        )

    return sorted(lines, key=place)


# ---------------------------------------------------------------------------------------------------------------------
# Section 3. Edits, first hit wins


class Verdict(NamedTuple):
    """What the edits say of a line."""

    outcome: str
    reason: str
    edit: int
    adjustment: str | None = None  # group, CARC and RARCs of a DENIED or BUNDLED line
    order_id: str | None = None  # reading 16
    next_payable_date: date | None = None


def edit(
    line: Line, earlier: Sequence[tuple[Line, Verdict]], record: Standing, agreements: Mapping[str, Json], profile: Json
) -> Verdict:
    """The first edit that hits, given the verdicts of the lines that settled before."""
    claim, served = line.claim, line.served

    # 1
    if line.line["units"] < 1:
        return Verdict("DENIED", "INVALID_UNITS", 1, "CO-16/M53")
    if line.line["charge_cents"] <= 0:
        return Verdict("DENIED", "INVALID_CHARGE", 1, "CO-16/M79")
    if day(line.line["service_date_to"]) != served:
        return Verdict("DENIED", "INVALID_SERVICE_DATE", 1, "CO-16/M52")
    if served > line.received:
        return Verdict("DENIED", "DOS_AFTER_RECEIPT", 1, "CO-110")
    if claim["frequency_code"] == "7" and reference(claim, record.claims) == "bad":
        return Verdict("DENIED", "INVALID_ORIGINAL_REFERENCE", 1, "CO-16/N152")

    # 2
    def signature(of: Line) -> tuple[Any, ...]:
        return (
            of.claim["billing_npi"],
            of.code,
            list(of.line["modifiers"]),
            of.served,
            of.line["units"],
            of.line["charge_cents"],
        )

    for other, verdict in earlier:
        denied_by_1_to_10 = verdict.outcome == "DENIED" and verdict.edit <= 10  # reading 9
        if not denied_by_1_to_10 and signature(other) == signature(line):
            return Verdict("DENIED", "DUPLICATE", 2, "OA-18")

    # 3
    if record.eligibility is not None:
        spans = [span for span in record.eligibility["spans"] if span["plan_id"] == claim["plan_id"]]
        if not any(covers(span, served) for span in spans):
            if not spans or served < min(day(span["effective_from"]) for span in spans):
                carc = "PR-26"
            elif all(span["effective_to"] is not None and day(span["effective_to"]) < served for span in spans):
                carc = "PR-27"
            else:
                carc = "PR-200"
            return Verdict("DENIED", "NOT_ELIGIBLE", 3, carc)
    elif profile["unknown_eligibility"] == "deny":
        return Verdict("DENIED", "NOT_ELIGIBLE", 3, "PR-31")

    # 4
    billing_span = span_of(claim["billing_npi"], claim["plan_id"], served, agreements)
    filing_limit = profile["default_filing_limit_days"] if billing_span is None else billing_span["filing_limit_days"]
    if (line.received - served).days > filing_limit:
        return Verdict("DENIED", "UNTIMELY", 4, "CO-29")

    # 5
    if billing_span is None:
        return Verdict("DENIED", "NOT_IN_NETWORK", 5, "PI-242")

    # 6
    if claim.get("order_id") is not None and claim["order_id"] not in record.orders:
        return Verdict("DENIED", "AUTH_MISMATCH", 6, "CO-284")
    in_effect = [
        order
        for order in record.orders.values()
        if day(order["effective_from"]) <= served
        and not (order["status"] == "WITHDRAWN" and day(order["withdrawn_from"]) <= served)
    ]
    if not in_effect:
        if profile["no_order"] == "BUNDLED":
            return Verdict("BUNDLED", "NO_PATHWAY_AT_DOS", 6, "CO-234/N390")  # reading 13
        return Verdict("DENIED", "NO_PATHWAY_AT_DOS", 6, "CO-197")

    # 7
    onsets = {
        order_id: day(start["onset_date"])
        for order_id, start in record.starts.items()
        if start["status"] != "CANCELLED"
    }
    started = [order for order in in_effect if order["order_id"] in onsets and onsets[order["order_id"]] <= served]
    if not started:
        latest = max(in_effect, key=lambda order: (day(order["effective_from"]), order["order_id"]))
        if not latest["on_pathway"]:
            return Verdict("BUNDLED", "OFF_PATHWAY", 7, "CO-97/M15", latest["order_id"])
        if any(order["order_id"] not in onsets for order in in_effect):
            if claim["claim_id"] in record.expired:
                return Verdict("DENIED", "NO_TREATMENT_START", 7, "CO-272/N351")
            return Verdict("PENDED", "AWAIT_TREATMENT_START", 7)
        earliest = min(onsets[order["order_id"]] for order in in_effect)  # reading 15
        return Verdict("DENIED", "BEFORE_ONSET", 7, "CO-272/N351", next_payable_date=earliest)
    governing = max(
        started, key=lambda order: (onsets[order["order_id"]], day(order["effective_from"]), order["order_id"])
    )
    order_id = governing["order_id"]

    # 8
    if governing["effective_to"] is not None and day(governing["effective_to"]) < served:
        return Verdict("DENIED", "AFTER_SPAN", 8, "CO-302/N351", order_id)

    # 9
    if not governing["on_pathway"]:
        return Verdict("BUNDLED", "OFF_PATHWAY", 9, "CO-97/M15", order_id)

    # 10
    if (
        profile["ordering_provider_tested"]
        and span_of(governing["ordering_npi"], claim["plan_id"], served, agreements) is None
    ):
        return Verdict("DENIED", "ORDERING_NOT_IN_NETWORK", 10, "CO-243", order_id)

    counted = [(other, verdict) for other, verdict in earlier if verdict.outcome == "PAID"]
    counted_s0353 = [(other, verdict) for other, verdict in counted if other.code == "S0353"]
    counted_s0354 = [(other, verdict) for other, verdict in counted if other.code == "S0354"]

    # 11
    if line.code == "S0353":
        for other, verdict in counted_s0353:
            if profile["s0353_scope"] == "patient" or verdict.order_id == order_id:
                another = other.claim["billing_npi"] != claim["billing_npi"]  # reading 11
                return Verdict("DENIED", "S0353_ONCE", 11, "CO-149/N117/N472" if another else "CO-149/N117", order_id)

    if line.code == "S0354":
        # 12
        gap = profile["gap_after_s0353_days"]
        dates = [other.served for other, _ in counted_s0353]
        if is_blocked(served, dates, gap):
            return Verdict(
                "DENIED", "WITHIN_30_OF_S0353", 12, "CO-272/N357", order_id, next_payable(served, dates, gap)
            )

        # 13
        gap = profile["gap_between_s0354_days"]
        dates = [other.served for other, _ in counted_s0354]
        if is_blocked(served, dates, gap):
            return Verdict("DENIED", "WITHIN_30_OF_S0354", 13, "CO-119/M86", order_id, next_payable(served, dates, gap))

        # after 13, where switched on
        if profile["calendar_month_cap"] and any((d.year, d.month) == (served.year, served.month) for d in dates):
            return Verdict("DENIED", "CALENDAR_MONTH", 13, "CO-119/M86", order_id)

        # 14
        used = sum(verdict.order_id == order_id for _, verdict in counted_s0354)
        if profile["s0353_uses_month"]:
            used += sum(verdict.order_id == order_id for _, verdict in counted_s0353)
        if used >= governing["max_months"]:
            return Verdict("DENIED", "MAX_MONTHS", 14, "CO-198/N640", order_id)

    # 15
    return Verdict("PAID", "PAID", 15, order_id=order_id)


def is_blocked(on: date, dates: Sequence[date], gap_days: int) -> bool:
    """Whether one of the dates is fewer than `gap_days` away, either way."""
    return any(abs((on - other).days) < gap_days for other in dates)


def next_payable(on: date, dates: Sequence[date], gap_days: int) -> date:
    """The first date from `on` that no date blocks: latest blocking + gap, again while that is blocked (reading 14)."""
    while is_blocked(on, dates, gap_days):
        on = max(other for other in dates if abs((on - other).days) < gap_days) + timedelta(days=gap_days)
    return on


# ---------------------------------------------------------------------------------------------------------------------
# Section 4. Price


def half_up(numerator: int, denominator: int) -> int:
    """Numerator / denominator to the whole cent, half a cent up; neither is negative."""
    whole, rest = divmod(numerator, denominator)
    return whole + (1 if rest * 2 >= denominator else 0)


class Price(NamedTuple):
    allowed_cents: int
    paid_cents: int
    adjustments: list[str]
    member_owes_cents: int
    deductible_left_cents: int


def price(line: Line, fee_cents: int, deductible_cents: int) -> Price:
    """What a PAID line is worth, with what is left of the claim's deductible when its turn comes."""
    share = line.claim["cost_share"]
    charge = line.line["charge_cents"]
    unit_charge = half_up(charge, line.line["units"])
    allowed = min(unit_charge, fee_cents)
    left = allowed
    copay = min(left, max(0, share["copay_cents"]))  # readings 12 and 17
    left -= copay
    deductible = min(left, max(0, deductible_cents))
    left -= deductible
    coinsurance = min(left, half_up(left * max(0, share["coinsurance_bp"]), 10000))
    left -= coinsurance
    amounts = {
        "CO-119/N362": charge - unit_charge,
        "CO-45": unit_charge - allowed,
        "PR-3": copay,
        "PR-1": deductible,
        "PR-2": coinsurance,
    }
    written = sorted(f"{code}:{cents}" for code, cents in amounts.items() if cents != 0)
    return Price(allowed, left, written, copay + deductible + coinsurance, deductible_cents - deductible)


# ---------------------------------------------------------------------------------------------------------------------
# Section 5. Decisions: the current one of every line


class Current(NamedTuple):
    """The current decision of one claim line, without its history."""

    patient_id: str
    claim_id: str
    line_number: int
    outcome: str
    reason: str
    allowed_cents: int
    paid_cents: int
    adjustments: list[str]
    order_id: str | None
    next_payable_date: str | None
    member_owes_cents: int
    edit: int  # the number of the edit that hit; 0 for a line that is out

    @property
    def row(self) -> list[Any]:
        """The form of the worked cases (rules.md section 8)."""
        return [
            self.claim_id,
            self.line_number,
            self.outcome,
            self.reason,
            self.allowed_cents,
            self.paid_cents,
            self.adjustments,
        ]


def decide_patient(
    patient_id: str, facts: Iterable[Json], agreements: Mapping[str, Json], policy: Policy
) -> list[Current]:
    """The current decision of every line of one patient, from the patient's facts on record."""
    record = standing(facts)

    settled: list[tuple[Line, Verdict]] = []
    for line in settling_order(record.claims):
        settled.append((line, edit(line, settled, record, agreements, profile_on(policy, line.received))))

    current: list[Current] = []
    out = out_claims(record.claims)
    for claim_id in out:
        for line_json in record.claims[claim_id]["lines"]:
            if line_json["procedure_code"] in ("S0353", "S0354"):
                number = line_json["line_number"]
                current.append(Current(patient_id, claim_id, number, "VOIDED", "VOIDED", 0, 0, [], None, None, 0, 0))

    deductible_left: dict[str, int] = {}
    for line, verdict in sorted(settled, key=lambda pair: pair[0].key):  # the deductible goes in line-number order
        claim_id, number = line.key
        next_payable_date = None if verdict.next_payable_date is None else verdict.next_payable_date.isoformat()
        allowed, paid, owes, adjustments = 0, 0, 0, list[str]()
        if verdict.outcome == "PAID":
            span = span_of(line.claim["billing_npi"], line.claim["plan_id"], line.served, agreements)
            assert span is not None
            fee = span["s0353_fee_cents"] if line.code == "S0353" else span["s0354_fee_cents"]
            deductible = deductible_left.get(claim_id, line.claim["cost_share"]["deductible_remaining_cents"])
            priced = price(line, fee, deductible)
            deductible_left[claim_id] = priced.deductible_left_cents
            allowed, paid, adjustments, owes = (
                priced.allowed_cents,
                priced.paid_cents,
                priced.adjustments,
                priced.member_owes_cents,
            )
        elif verdict.outcome in ("DENIED", "BUNDLED"):
            charge = line.line["charge_cents"]
            adjustments = [f"{verdict.adjustment}:{charge}"]
            owes = charge if verdict.adjustment in ("PR-26", "PR-27", "PR-200") else 0  # reading 10
        current.append(
            Current(
                patient_id,
                claim_id,
                number,
                verdict.outcome,
                verdict.reason,
                allowed,
                paid,
                adjustments,
                verdict.order_id,
                next_payable_date,
                owes,
                verdict.edit,
            )
        )
    return sorted(current, key=lambda decision: (decision.claim_id, decision.line_number))


class Answer(NamedTuple):
    """What a history comes to."""

    current: list[Current]  # by patient, claim and line
    refused: list[Refused]  # agreements' conflicts first, for agreements are read first; then in order of arrival


def answer(facts: Sequence[Json], policy: Policy = (P0,)) -> Answer:
    """The current decisions and the refused facts of a history in order of arrival; agreements are read first."""
    agreements, refused_agreements = admitted((f for f in facts if f["type"] == "provider-agreement"), policy)
    on_record, refused = admitted((f for f in facts if f["type"] != "provider-agreement"), policy)
    current: list[Current] = []
    for patient_id in sorted({fact["patient_id"] for fact in on_record}):
        of_patient = [fact for fact in on_record if fact["patient_id"] == patient_id]
        current += decide_patient(patient_id, of_patient, standing_agreements(agreements), policy)
    return Answer(current, refused_agreements + refused)
