"""Random histories of facts, in the JSON form of docs/spec/events.md section 3.

One generator, two sources of chance: `Seeded` (a plain `random.Random`, for volume) and `Drawn` (Hypothesis, which shrinks
what it finds). `seeded_history(seed)` and the strategy `histories()` are the two ways in.

The dates are not spread evenly: they sit on and beside the edges that a patient's facts define (29, 30 and 31 days apart,
the last day of a filing limit, both ends of a span, the onset, the first and last of a month), because that is where two
readings of a rule part. `mischief` sets how much of a history is odd; without some histories that are mostly right, edits 11
to 15 would hardly be reached.
"""

import copy
import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

from tests.oracle.oracle import P0, content, identity

T = TypeVar("T")
Json = dict[str, Any]
History = list[Json]

NPIS = ("1234567893", "1098765435", "1999999984", "1003000126")
UNKNOWN_CLAIM = "ZZ-UNKNOWN"
UNKNOWN_ORDER = "OX"


# ---------------------------------------------------------------------------------------------------------------------
# Chance


class Chance(Protocol):
    """Where the choices come from. What is written first is the plain choice: shrinking moves towards it."""

    def pick(self, options: Sequence[T]) -> T: ...

    def integer(self, low: int, high: int) -> int: ...

    def percent(self, likely: int) -> bool: ...

    def shuffled(self, items: Sequence[T]) -> list[T]: ...


class Seeded:
    """Choices of a seeded generator: the same seed, the same history."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def percent(self, likely: int) -> bool:
        return self._random.random() * 100 < likely

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return self._random.sample(items, len(items))


class Drawn:
    """Choices drawn by Hypothesis."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def percent(self, likely: int) -> bool:
        return bool(self._draw(st.integers(0, 99)) >= 100 - likely)

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return list(self._draw(st.permutations(items)))


# ---------------------------------------------------------------------------------------------------------------------
# One history


ANCHORS = (date(2024, 1, 8), date(2023, 12, 1), date(2024, 1, 31), date(2024, 2, 29), date(2023, 10, 29))
STEPS = (0, 30, 60, 90, 29, 31, 1, -1, 59, 61, 15, 120, 180, -30, 364)  # days from an edge
GAPS = (30, 30, 31, 29, 30, 60, 30, 0, 31, -30, -29, -31, 7, 45)  # days from a service date


class Edges:
    """The dates that matter to a patient so far: service dates are drawn on and beside them."""

    def __init__(self, chance: Chance, anchor: date) -> None:
        self.chance = chance
        self.anchor = anchor
        self.onsets: list[date] = []
        self.ends: list[date] = []
        self.served: list[date] = []
        self.received: list[date] = []

    def service_date(self) -> date:
        kind = self.chance.integer(0, 9)
        if kind <= 4 and self.onsets:
            months, beside = self.chance.integer(0, 6), self.chance.pick((0, 0, 0, 0, 0, 1, -1))
            return self.chance.pick(self.onsets) + days(30 * months + beside)
        if kind <= 7 and self.served:
            return self.chance.pick(self.served) + days(self.chance.pick(GAPS))
        if self.ends and self.chance.percent(75):
            return self.chance.pick(self.ends) + days(self.chance.pick((0, 1, -1)))
        return self.anchor + days(self.chance.pick(STEPS))

    def near(self, odd: int) -> date:
        """A date for the edge of something: mostly around the anchor."""
        edge = self.anchor + days(
            self.chance.pick(STEPS) + (self.chance.integer(-3, 3) if self.chance.percent(odd) else 0)
        )
        self.ends.append(edge)
        return edge


def days(count: int) -> timedelta:
    return timedelta(days=count)


def iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def history(
    chance: Chance,
    *,
    conflicts: bool = True,
    plans: Sequence[str] = ("PPO",),
    most_patients: int = 2,
    most_claims: int = 9,
) -> History:
    """A history of some patients in order of arrival.

    Without `conflicts` no two facts share identity and version and differ in content, as invariants 1 and 8 of rules.md
    section 6 suppose. `plans` are the plans that the policy at hand knows; others occur too, as wrong payers.
    """
    mischief = chance.pick((3, 0, 9, 25))
    anchor = chance.pick(ANCHORS)
    facts: History = []
    for npi in NPIS:
        facts += _agreements(chance, npi, anchor, mischief, plans, reliable=npi == NPIS[0])
    span_edges = _span_edges(facts)
    for number in range(1, chance.pick((1, 1, most_patients)) + 1):
        facts += _patient(chance, f"pt-{number:04}", anchor, mischief, plans, most_claims, span_edges)
    for number, fact in enumerate(facts):
        fact["event_id"] = f"e-{number}"
    if not conflicts:
        facts = list({identity(fact): fact for fact in facts}.values())
    else:
        facts += _conflicting(chance, facts, mischief)
    facts += _repeats(chance, facts)
    return _arrival(chance, facts)


def _span_edges(facts: History) -> list[date]:
    edges = [span[end] for fact in facts for span in fact["spans"] for end in ("effective_from", "effective_to")]
    return [date.fromisoformat(edge) for edge in edges if edge is not None and edge > "2021"]


def _agreements(
    chance: Chance, npi: str, anchor: date, mischief: int, plans: Sequence[str], *, reliable: bool
) -> History:
    """Some versions of a provider's agreement: open, beginning, ending, with a gap, changing, of another plan, empty, none."""

    def span(plan_id: str, begins: date | None, ends: date | None) -> Json:
        return {
            "plan_id": plan_id,
            "effective_from": iso(begins or date(2020, 1, 1)),
            "effective_to": iso(ends),
            "filing_limit_days": chance.pick((90, 30, 180, 365, 0)) if chance.percent(20) else 90,
            "s0353_fee_cents": chance.pick((35000, 40000, 33333, 27501, 1, 0)),
            "s0354_fee_cents": chance.pick((35000, 30001, 40000, 19999, 1, 0)),
        }

    def spans() -> list[Json]:
        plan_id = plans[0]
        kinds = (
            "open",
            "open",
            "open",
            "change",
            "change",
            "gap",
            "ends",
            "begins",
            "other plan",
            "all plans",
            "empty",
        )
        kind = "open" if chance.percent(75 - mischief) or (reliable and chance.percent(80)) else chance.pick(kinds)
        edge = anchor + days(chance.pick(STEPS))
        match kind:
            case "open":
                return [span(plan, None, None) for plan in plans]
            case "change":
                return [span(plan_id, None, edge), span(plan_id, edge + days(1), None)]
            case "gap":
                return [span(plan_id, edge + days(chance.pick((2, 31))), None), span(plan_id, None, edge)]
            case "ends":
                return [span(plan_id, None, edge)]
            case "begins":
                return [span(plan_id, edge, None)]
            case "other plan":
                return [span("HMO" if "HMO" not in plans else plans[-1], None, None)]
            case "all plans":
                return [span(plan, None, edge if chance.percent(50) else None) for plan in (*plans, "OLD")]
        return []

    if not reliable and chance.percent(mischief):
        return []
    versions = [1] if not chance.percent(25) else chance.pick(([1, 2], [1, 3], [2, 1]))
    return [{"type": "provider-agreement", "npi": npi, "version": version, "spans": spans()} for version in versions]


def _patient(
    chance: Chance,
    patient_id: str,
    anchor: date,
    mischief: int,
    plans: Sequence[str],
    most_claims: int,
    ends: list[date],
) -> History:
    edges = Edges(chance, anchor)
    edges.ends += ends
    facts = _orders(chance, patient_id, edges, mischief, plans)
    facts += _eligibility(chance, patient_id, edges, mischief, plans)
    claims = _claims(chance, patient_id, edges, mischief, plans, most_claims)
    facts += claims
    for claim in claims:
        if chance.percent(12):
            facts.append({"type": "pend-expired", "patient_id": patient_id, "claim_id": claim["claim_id"]})
    if chance.percent(mischief):
        facts.append({"type": "pend-expired", "patient_id": patient_id, "claim_id": UNKNOWN_CLAIM})
    for _ in range(chance.pick((0, 0, 1, 2))):
        facts.append(
            {
                "type": "readjudication-requested",
                "patient_id": patient_id,
                "requested_by": "ops",
                "reason": "agreement changed",
                "agreements_through": chance.pick((None, {"0": 41})),
            }
        )
    return facts


def _orders(chance: Chance, patient_id: str, edges: Edges, mischief: int, plans: Sequence[str]) -> History:
    """Orders, changed and withdrawn, and their treatment starts, corrected and cancelled."""
    facts: History = []
    for order_id in ("O1", "O2", "O3")[: chance.pick((1, 1, 2, 1, 2, 3, 1, 2, 1, 0))]:
        begins = edges.anchor + days(chance.pick((-6, 0, -30, -6, -60, 30)) if order_id == "O1" else chance.pick(STEPS))
        order: Json = {
            "type": "pathway-selected",
            "patient_id": patient_id,
            "plan_id": chance.pick((*plans, plans[0], plans[0], "OTHER")),
            "program_id": "MOP",
            "order_id": order_id,
            "order_version": 1,
            "status": "SELECTED",
            "withdrawn_from": None,
            "ordering_npi": NPIS[0] if not chance.percent(20) else chance.pick(NPIS),
            "regimen_code": chance.pick(("R001", "R002")),
            "on_pathway": not chance.percent(4 + mischief),
            "effective_from": iso(begins),
            "effective_to": iso(
                chance.pick((begins + days(364), None, begins + days(364), begins + days(chance.pick(STEPS))))
            ),
            "max_months": chance.pick((6, 6, 3, 2, 1, 12, 0)),
            "selected_at": f"{iso(begins)}T15:00:00Z",
        }
        facts.append(order)
        edges.ends.append(begins)
        for version in (2, 3)[: chance.pick((0, 0, 0, 1, 1, 2))]:
            order = {**order, "order_version": version + (1 if chance.percent(mischief) else 0)}
            match chance.integer(0, 5):
                case 0:
                    withdrawn = date.fromisoformat(order["effective_from"]) + days(chance.pick(STEPS))
                    edges.ends.append(withdrawn)
                    order |= {"status": "WITHDRAWN", "withdrawn_from": iso(withdrawn)}
                case 1:
                    order |= {"status": "SELECTED"}  # a withdrawal taken back; withdrawn_from says nothing any more
                case 2:
                    order |= {"max_months": chance.pick((3, 1, 2, 0, 12))}
                case 3:
                    order |= {"on_pathway": not order["on_pathway"]}
                case 4:
                    order |= {"effective_from": iso(edges.near(mischief))}
                case 5:
                    order |= {"effective_to": iso(edges.near(mischief)), "ordering_npi": chance.pick(NPIS)}
            facts.append(order)
        if order["effective_to"] is not None:
            edges.ends.append(date.fromisoformat(order["effective_to"]))
        if not chance.percent(4 + mischief):
            facts += _starts(chance, patient_id, order_id, begins, edges)
    if chance.percent(mischief):
        facts += _starts(chance, patient_id, UNKNOWN_ORDER, edges.anchor, edges)
    return facts


def _starts(chance: Chance, patient_id: str, order_id: str, begins: date, edges: Edges) -> History:
    facts: History = []
    for version in chance.pick(((1,), (1,), (1,), (1, 2), (1, 2, 3), (2, 1))):
        onset = begins + days(chance.pick((0, 6, 0, 6, 30, -3, 31, 60)))
        edges.onsets.append(onset)
        cancelled = version > 1 and chance.percent(40)
        facts.append(
            {
                "type": "treatment-started",
                "patient_id": patient_id,
                "order_id": order_id,
                "version": version,
                "status": "CANCELLED" if cancelled else "STARTED",
                "onset_date": iso(onset),
                "recorded_at": f"{iso(onset)}T20:00:00Z",
            }
        )
    return facts


def _eligibility(chance: Chance, patient_id: str, edges: Edges, mischief: int, plans: Sequence[str]) -> History:
    """Versions of the member's spans: open, ending, with gaps, overlapping, of another plan, none at all."""

    def span(plan_id: str, begins: date, ends: date | None) -> Json:
        return {"plan_id": plan_id, "effective_from": iso(begins), "effective_to": iso(ends)}

    def spans() -> list[Json]:
        plan_id, long_ago = plans[0], date(2020, 1, 1)
        one, other = sorted((edges.near(mischief), edges.near(mischief)))
        match chance.pick(("open", "open", "gap", "closed gap", "ends", "begins", "overlap", "other plan", "empty")):
            case "open":
                return [span(plan, long_ago, None) for plan in plans]
            case "gap":
                return [span(plan_id, other + days(1), None), span(plan_id, long_ago, one)]
            case "closed gap":
                return [span(plan_id, long_ago, one), span(plan_id, other + days(2), other + days(60))]
            case "ends":
                return [span(plan_id, long_ago, one)]
            case "begins":
                return [span(plan_id, one, None)]
            case "overlap":
                return [span(plan_id, long_ago, other), span(plan_id, one, other + days(60))]
            case "other plan":
                return [span("OTHER", long_ago, None), *([span(plan_id, one, other)] if chance.percent(50) else [])]
        return []

    if not chance.percent(20 + mischief):
        return []
    versions = chance.pick(((1,), (1, 2), (2,), (2, 1)))
    return [
        {"type": "member-eligibility", "patient_id": patient_id, "version": version, "spans": spans()}
        for version in versions
    ]


def _claims(
    chance: Chance, patient_id: str, edges: Edges, mischief: int, plans: Sequence[str], most_claims: int
) -> History:
    """Originals, duplicates, replacements (chains, forks, rings), voids, and references that do not count."""
    count = chance.integer(chance.pick((1, most_claims // 2)), most_claims)
    family = chance.percent(16)  # one claim that is replaced, its replacements replaced, and so on
    ids = chance.shuffled([f"C{number}" for number in range(count)])
    claims: History = []
    for claim_id in ids:
        kind = chance.integer(0, 99) if not (family and claims) else chance.pick((80, 81, 82, 93, 50))
        billed = [claim for claim in claims if claim["lines"]]
        if billed and kind < 8:  # a claim sent again under a new number
            claim = copy.deepcopy(chance.pick(billed))
            claim |= {"frequency_code": "1", "original_claim_id": None}
            for line in claim["lines"]:
                if chance.percent(20):
                    line["modifiers"] = chance.pick(([], ["25", "GT"], ["GT", "25"]))
        else:
            claim = _original(chance, patient_id, edges, mischief, plans)
            if kind >= 75:
                named = chance.pick(claims) if claims else claim
                target = chance.pick(ids) if not claims or (chance.percent(40) and not family) else named["claim_id"]
                odd_target = chance.pick((UNKNOWN_CLAIM, None, claim_id))
                claim["frequency_code"] = "8" if kind >= 92 else "7"
                claim["original_claim_id"] = odd_target if chance.percent(5 + mischief) else target
                if not chance.percent(5 + mischief):
                    claim["billing_npi"] = named["billing_npi"]
                if chance.percent(50) and named["lines"]:
                    claim["lines"] = copy.deepcopy(named["lines"])
                if claim["frequency_code"] == "8" and chance.percent(70):
                    claim["lines"] = []
            elif chance.percent(mischief):
                claim["original_claim_id"] = chance.pick(ids)  # ignored on frequency 1
        claim |= {"claim_id": claim_id, "patient_control_number": f"PCN-{claim_id}"}
        received = _received_date(chance, claim, edges)
        edges.received.append(received)
        claim["received_date"] = iso(received)
        claims.append(claim)
    return claims


def _received_date(chance: Chance, claim: Json, edges: Edges) -> date:
    if not claim["lines"]:
        return edges.service_date() + days(chance.integer(0, 60))
    served = date.fromisoformat(max(line["service_date"] for line in claim["lines"]))
    if chance.percent(8):
        return chance.pick(edges.received) if edges.received else served
    if chance.percent(10):
        return served + days(chance.pick((90, 91, 90, 30, 31, 89, 180, 181, 365, -1)))
    return served + days(chance.pick((2, 5, 2, 9, 0, 14, 21, 1, 3, 25)))


def _original(chance: Chance, patient_id: str, edges: Edges, mischief: int, plans: Sequence[str]) -> Json:
    plan_id = chance.pick(plans)
    if chance.percent(mischief // 3):
        plan_id = chance.pick(("HMO", "NO-SUCH-PLAN"))
    payers = {"PPO": "HP001", "HMO": "HP002"}
    share = {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 0}
    if chance.percent(40):
        share = {
            "copay_cents": chance.pick((0, 2000, 2501, 50000)),
            "deductible_remaining_cents": chance.pick((0, 10000, 33333, 50000, 70001)),
            "coinsurance_bp": chance.pick((0, 2000, 3333, 1, 5000, 10000)),
        }
        if chance.percent(mischief):
            share[chance.pick(tuple(share))] = chance.pick((-100, 20000))
    lines: list[Json] = []
    for number in range(1, chance.pick((1, 1, 1, 2, 3)) + 1):
        lines.append(_line(chance, number, edges, mischief, lines))
    if chance.percent(8):
        lines.reverse()  # in no order
    return {
        "type": "claim-received",
        "patient_id": patient_id,
        "plan_id": plan_id,
        "payer_id": payers.get(plan_id, "HP009") if not chance.percent(mischief // 4) else "HP009",
        "frequency_code": "1",
        "original_claim_id": None,
        "billing_npi": NPIS[0] if not chance.percent(25) else chance.pick(NPIS),
        "rendering_npi": NPIS[0],
        "ordering_npi": None,
        "order_id": chance.pick(("O1", "O2", UNKNOWN_ORDER)) if chance.percent(mischief) else None,
        "form_type": "CMS-1500",
        "cost_share": share,
        "lines": lines,
    }


def _line(chance: Chance, number: int, edges: Edges, mischief: int, lines: list[Json]) -> Json:
    served = edges.service_date()
    if lines and chance.percent(85):
        served = date.fromisoformat(lines[-1]["service_date"]) + days(chance.pick((0, 0, 30, -30, 0, 31)))
    edges.served.append(served)
    line: Json = {
        "line_number": number,
        "procedure_code": chance.pick(("S0354", "S0354", "S0354", "S0353", "S0353", "J9271")),
        "modifiers": chance.pick(([], [], [], ["GT"], ["25", "GT"], ["GT", "25"])),
        "service_date": iso(served),
        "service_date_to": iso(served),
        "units": 1 if not chance.percent(12) else chance.pick((2, 3, 7)),
        "charge_cents": chance.pick((35000, 40000, 27500, 33333, 10001, 99999, 1)),
        "diagnosis_codes": ["C50911"],
        "place_of_service": "11",
    }
    if chance.percent(mischief // 2):
        match chance.integer(0, 2):
            case 0:
                line["units"] = chance.pick((0, -1))
            case 1:
                line["charge_cents"] = chance.pick((0, -500))
            case 2:
                line["service_date_to"] = iso(served + days(chance.pick((1, -1))))
    return line


def _conflicting(chance: Chance, facts: History, mischief: int) -> History:
    """Facts of known identity and version with another content."""
    others: History = []
    for fact in facts:
        if not chance.percent(mischief // 3):
            continue
        other = copy.deepcopy(fact)
        match fact["type"]:
            case "pathway-selected":
                other["max_months"] += 1
            case "treatment-started":
                other["onset_date"] = iso(date.fromisoformat(other["onset_date"]) + days(1))
            case "claim-received":
                other["received_date"] = iso(date.fromisoformat(other["received_date"]) + days(1))
            case "member-eligibility" | "provider-agreement":
                other["spans"] = other["spans"][1:] if other["spans"] else []
            case "readjudication-requested":
                other["reason"] = "another reason"
        if fact["type"] != "readjudication-requested":
            other["event_id"] += "-other"
        others.append(other)
    return others


def _repeats(chance: Chance, facts: History) -> History:
    """Facts delivered again, as they were or by another publisher under another event id; and an event id used twice."""
    again: History = []
    for fact in facts:
        if chance.percent(6):
            again.append(copy.deepcopy(fact))
            if chance.percent(40) and fact["type"] != "readjudication-requested":
                again[-1]["event_id"] += "-again"
    if facts and chance.percent(10):
        one, other = chance.pick(facts), chance.pick(facts)
        if "readjudication-requested" not in (one["type"], other["type"]):
            one["event_id"] = other["event_id"]
    return again


def _arrival(chance: Chance, facts: History) -> History:
    """Any order: as written, claims as they were received, mixed up by some late facts, or wholly shuffled."""
    kind = chance.pick(("written", "received", "late", "shuffled"))
    if kind == "shuffled":
        return chance.shuffled(facts)
    arrived = list(facts)
    if kind == "received":  # what an orderly day looks like: most claims settle last
        arrived.sort(key=lambda fact: str(fact.get("received_date", "")))
    if kind == "late":
        for _ in range(chance.integer(1, 5)):
            arrived.append(arrived.pop(chance.integer(0, len(arrived) - 1)))
    return arrived


# ---------------------------------------------------------------------------------------------------------------------
# Policies


def policy_profile(chance: Chance) -> Json:
    """P0, or a profile with some of the switches of rules.md section 7 set otherwise."""
    if chance.percent(50):
        return dict(P0)
    return {
        "gap_after_s0353_days": chance.pick((30, 31, 28, 0)),
        "gap_between_s0354_days": chance.pick((30, 28, 31, 1)),
        "s0353_scope": chance.pick(("patient", "order")),
        "calendar_month_cap": chance.percent(50),
        "s0353_uses_month": chance.percent(50),
        "unknown_eligibility": chance.pick(("eligible", "deny")) if chance.percent(30) else "eligible",
        "no_order": chance.pick(("DENIED", "BUNDLED")),
        "ordering_provider_tested": chance.percent(50),
        "default_filing_limit_days": chance.pick((90, 30)),
        "pend_limit_days": 20,
        "plans": chance.pick(({"PPO": "HP001"}, {"PPO": "HP001", "HMO": "HP002"})),
    }


def policy(chance: Chance) -> list[Json]:
    """One profile, or two that follow each other on a date inside the histories."""
    first = policy_profile(chance)
    if chance.percent(80):
        return [first]
    later = policy_profile(chance)
    return [first, {**later, "effective_from": iso(chance.pick(ANCHORS) + days(chance.pick(STEPS)))}]


# ---------------------------------------------------------------------------------------------------------------------
# The two ways in


def seeded_history(seed: int | str, **options: Any) -> History:
    """The history of a seed."""
    return history(Seeded(seed), **options)


@st.composite
def histories(draw: st.DrawFn, /, **options: Any) -> History:
    """Histories that Hypothesis can shrink. They are smaller than the seeded ones: it is the variety that finds things."""
    return history(Drawn(draw), **{"most_claims": 5, **options})


def same_fact(one: Json, other: Json) -> bool:
    """Whether two facts are the same by identity, version and content."""
    return identity(one) == identity(other) and content(one) == content(other)
