"""The core as the tests see it: JSON facts in, JSON decisions out, whatever its own values look like inside."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from streams.adjudication.agreements import Agreements
from streams.adjudication.days import day_from_iso
from streams.adjudication.decisions import PolicyRef
from streams.adjudication.fold import fold
from streams.adjudication.policy import Policy, PolicyProfile
from streams.adjudication.record import PatientRecord
from streams.events import decision_to_json, fact_from_json, notice_to_json
from tests.oracle.oracle import P0, Json

HISTORY_FIELDS = ("version", "decision_id", "supersedes", "paid_before_cents", "change_cents", "caused_by")


def core_policy(profiles: Sequence[Json]) -> Policy:
    """The core's policy for the oracle's switches."""
    return Policy(tuple(_profile(number, profile) for number, profile in enumerate(profiles, start=1)))


def _profile(version: int, profile: Json) -> PolicyProfile:
    begins = profile.get("effective_from")
    return PolicyProfile(
        ref=PolicyRef("TEST", version),
        effective_from=None if begins is None else day_from_iso(begins),
        gap_after_s0353_days=profile["gap_after_s0353_days"],
        gap_between_s0354_days=profile["gap_between_s0354_days"],
        s0353_scope=profile["s0353_scope"],
        calendar_month_cap=profile["calendar_month_cap"],
        s0353_uses_month=profile["s0353_uses_month"],
        unknown_eligibility_eligible=profile["unknown_eligibility"] == "eligible",
        no_order_outcome=profile["no_order"],
        ordering_provider_tested=profile["ordering_provider_tested"],
        default_filing_limit_days=profile["default_filing_limit_days"],
        pend_limit_days=profile["pend_limit_days"],
        plans=profile["plans"],
    )


class Published(NamedTuple):
    """What one fact led to."""

    fact: Json
    decisions: list[dict[str, Any]]
    notices: list[dict[str, Any]]
    refused: str | None  # WRONG_PAYER or CONFLICT
    changed: bool = False  # whether the core says that the patient's record is another one now


class Core:
    """Patients' records and agreements, fed with JSON facts one after the other."""

    def __init__(self, profiles: Sequence[Json] = (P0,), *, incremental: bool = True) -> None:
        self.policy = core_policy(profiles)
        self.incremental = incremental
        self.agreements = Agreements()
        self.records: dict[str, PatientRecord] = {}
        self.current: dict[tuple[str, str, int], dict[str, Any]] = {}  # the newest version of every line

    def take(self, fact: Json) -> Published:
        """Fold one fact, an agreement too. Without `incremental` the patient is settled anew for every fact."""
        value = fact_from_json(dict(fact))
        if fact["type"] == "provider-agreement":
            refusal = self.agreements.admit(value)  # type: ignore[arg-type]
            return Published(fact, [], [], refusal and refusal.reason)
        record = self.records.setdefault(fact["patient_id"], PatientRecord(fact["patient_id"]))
        if not self.incremental:
            record.settlement = None
        step = fold(record, value, self.agreements, self.policy)  # type: ignore[arg-type]
        decisions = [decision_to_json(decision) for decision in step.decisions]
        for decision in decisions:
            self.current[decision["patient_id"], decision["claim_id"], decision["line_number"]] = decision
        notices = [notice_to_json(notice) for notice in step.notices]
        return Published(fact, decisions, notices, step.refusal and step.refusal.reason, step.changed)

    def take_all(self, facts: Iterable[Json]) -> list[Published]:
        """Fold a history: its agreements first, then the patients' facts in order."""
        facts = list(facts)
        first = [fact for fact in facts if fact["type"] == "provider-agreement"]
        rest = [fact for fact in facts if fact["type"] != "provider-agreement"]
        return [self.take(fact) for fact in first + rest]

    def current_decisions(self, *, history: bool = True) -> list[dict[str, Any]]:
        """The current decision of every line by patient, claim and line, with or without the history fields."""
        kept = [decision for _, decision in sorted(self.current.items())]
        return kept if history else [without_history(decision) for decision in kept]


def without_history(decision: Json) -> dict[str, Any]:
    """A decision without the fields that tell how it came about (rules.md section 1)."""
    return {field: value for field, value in decision.items() if field not in HISTORY_FIELDS}


def row(decision: Json) -> list[Any]:
    """A decision in the form of the worked cases (rules.md section 8)."""
    fields = ("claim_id", "line_number", "outcome", "reason", "allowed_cents", "paid_cents", "adjustments")
    return [decision[field] for field in fields]
