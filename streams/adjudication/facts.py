"""What the engine is told: the facts of rules.md section 1, as frozen values.

Every fact is a NamedTuple: frozen, cheap to make and to compare, and stored by position. `event_id` comes first in each,
because a fact's content is all of its fields *but* `event_id` (rules.md section 1): `content(fact)` is the rest of the tuple.

Dates are `Day` numbers (days.py), instants are microseconds since the epoch in UTC, money is integer cents.
"""

from typing import Any, Final, NamedTuple

from .days import Day

Cents = int
Micros = int

SELECTED: Final = "SELECTED"
WITHDRAWN: Final = "WITHDRAWN"
STARTED: Final = "STARTED"
CANCELLED: Final = "CANCELLED"

ORIGINAL: Final = "1"
REPLACEMENT: Final = "7"
VOID: Final = "8"

S0353: Final = "S0353"  # initial treatment planning, once
S0354: Final = "S0354"  # care coordination of an established patient
S_CODES = frozenset((S0353, S0354))


class PathwaySelection(NamedTuple):
    """An order: the regimen that an oncologist selected for a patient. Of one `order_id` the highest `order_version` stands."""

    event_id: str
    patient_id: str
    plan_id: str
    program_id: str
    order_id: str
    order_version: int
    status: str  # SELECTED or WITHDRAWN
    withdrawn_from: Day | None  # the first day on which a WITHDRAWN order is no longer in effect
    ordering_npi: str
    regimen_code: str
    on_pathway: bool
    effective_from: Day
    effective_to: Day | None  # inclusive; None is open
    max_months: int  # how many S0354 may be counted under this order; 0 is valid
    selected_at: Micros


class TreatmentStart(NamedTuple):
    """The onset of an order's treatment. Of one `order_id` the highest `version` stands; CANCELLED counts as not received."""

    event_id: str
    patient_id: str
    order_id: str
    version: int
    status: str  # STARTED or CANCELLED
    onset_date: Day
    recorded_at: Micros


class CostShare(NamedTuple):
    """The member's cost share as it stood when the claim was received (rules.md section 4)."""

    copay_cents: Cents  # applies to each paid line
    deductible_remaining_cents: Cents  # used up across the claim's paid lines
    coinsurance_bp: int  # basis points: 2000 = 20 %


class ClaimLine(NamedTuple):
    """One service line of a claim."""

    line_number: int
    procedure_code: str
    modifiers: tuple[str, ...]
    service_date: Day
    service_date_to: Day
    units: int
    charge_cents: Cents
    diagnosis_codes: tuple[str, ...]
    place_of_service: str


class Claim(NamedTuple):
    """A claim with its lines: an original (1), a replacement (7) or a void (8)."""

    event_id: str
    patient_id: str
    plan_id: str
    payer_id: str
    claim_id: str  # the payer's claim number
    frequency_code: str
    original_claim_id: str | None
    patient_control_number: str
    billing_npi: str
    rendering_npi: str | None
    ordering_npi: str | None  # informative: edit 10 looks at the governing order's
    order_id: str | None  # the order that the claim cites, if any
    received_date: Day  # plan-local
    form_type: str
    cost_share: CostShare
    lines: tuple[ClaimLine, ...]


class EligibilitySpan(NamedTuple):
    """A time in which the member is covered by a plan."""

    plan_id: str
    effective_from: Day
    effective_to: Day | None  # inclusive; None is open


class MemberEligibility(NamedTuple):
    """All of a member's eligible spans; the highest version stands. No spans at all is a valid record."""

    event_id: str
    patient_id: str
    version: int
    spans: tuple[EligibilitySpan, ...]


class PendExpired(NamedTuple):
    """The sweep's word that a pended claim ran out of time (rules.md section 5)."""

    event_id: str
    patient_id: str
    claim_id: str


class ReadjudicationRequested(NamedTuple):
    """Decide this patient again under the agreements and the policy of now. Its identity is its `event_id`."""

    event_id: str
    patient_id: str
    requested_by: str
    reason: str
    agreements_through: tuple[tuple[int, int], ...] | None  # (partition, offset) of provider-agreement, sorted


class AgreementSpan(NamedTuple):
    """A time in which a provider is in network and participating for a plan."""

    plan_id: str
    effective_from: Day
    effective_to: Day | None  # inclusive; None is open
    filing_limit_days: int
    s0353_fee_cents: Cents
    s0354_fee_cents: Cents


class ProviderAgreement(NamedTuple):
    """All agreement spans of a provider; of one NPI the highest version stands."""

    event_id: str
    npi: str
    version: int
    spans: tuple[AgreementSpan, ...]


PatientFact = PathwaySelection | TreatmentStart | Claim | MemberEligibility | PendExpired | ReadjudicationRequested
Fact = PatientFact | ProviderAgreement


def content(fact: Fact) -> tuple[Any, ...]:
    """All fields but `event_id`: what two facts of one identity and version must agree on (rules.md section 1)."""
    return fact[1:]
