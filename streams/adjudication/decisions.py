"""What the engine says: decisions, eligibility notices and refusals, as frozen values. Field by field as in events.md section 4."""

from typing import Final, NamedTuple

from .days import Day
from .facts import Cents

PAID: Final = "PAID"
DENIED: Final = "DENIED"
BUNDLED: Final = "BUNDLED"
PENDED: Final = "PENDED"
VOIDED: Final = "VOIDED"
OUTCOMES = (PAID, DENIED, BUNDLED, PENDED, VOIDED)

WRONG_PAYER: Final = "WRONG_PAYER"
CONFLICT: Final = "CONFLICT"


class Adjustment(NamedTuple):
    """One claim adjustment: group code, CARC, remark codes (RARC) and the amount that it takes off the charge."""

    group: str  # CO, OA, PI or PR
    carc: str
    rarcs: tuple[str, ...]
    cents: Cents

    def __str__(self) -> str:
        return f"{self.group}-{'/'.join((self.carc, *self.rarcs))}:{self.cents}"


class Evidence(NamedTuple):
    """A thing on record that a decision rests on."""

    kind: str  # claim-line, claim, order, agreement or eligibility
    ref: str  # A/1 for a claim line, else the id; an NPI for an agreement
    says: str


class PolicyRef(NamedTuple):
    """The policy profile that decided."""

    id: str
    version: int


class AgreementRef(NamedTuple):
    """A provider agreement that a decision used. A provider without any agreement on record is not named."""

    npi: str
    version: int


Because = tuple[str | int | None, ...]
"""The bare values that a decision's sentence is made of (edits.explain)."""


class Ruling(NamedTuple):
    """How a line is decided, without its history: two equal rulings say the same, word for word.

    The words themselves (explanation and evidence) are a function of the line, the reason and `because` (edits.explain).
    """

    outcome: str
    reason: str
    order_id: str | None
    allowed_cents: Cents
    paid_cents: Cents
    adjustments: tuple[Adjustment, ...]
    next_payable_date: Day | None
    because: Because
    policy: PolicyRef
    agreements: tuple[AgreementRef, ...]


class Position(NamedTuple):
    """The newest published version of a line's decision."""

    version: int
    decision_id: str
    ruling: Ruling


class Decision(NamedTuple):
    """One version of one claim line's decision; the highest version of a line is its current decision.

    The history fields (`decision_id`, `version`, `supersedes`, `paid_before_cents`, `change_cents`, `caused_by`) tell how it
    came about and may depend on the order of arrival; nothing else may (rules.md section 1).
    """

    decision_id: str  # 32 hex digits, made from what it decides
    patient_id: str
    claim_id: str
    line_number: int
    version: int  # 1, 2, 3 ... without a gap
    supersedes: str | None  # decision_id of the version before
    outcome: str
    reason: str
    procedure_code: str
    service_date: Day
    billing_npi: str
    order_id: str | None  # the order that governed, or that stood in the way
    charge_cents: Cents
    allowed_cents: Cents
    paid_cents: Cents
    paid_before_cents: Cents
    change_cents: Cents  # paid_cents - paid_before_cents: the money to move
    member_owes_cents: Cents
    adjustments: tuple[Adjustment, ...]  # sorted by their written form
    next_payable_date: Day | None  # the first date from which *this* edit would no longer deny
    explanation: str
    evidence: tuple[Evidence, ...]
    policy: PolicyRef
    agreements: tuple[AgreementRef, ...]  # sorted by NPI
    caused_by: str  # event_id of the fact that led to this version


class EligibilityNotice(NamedTuple):
    """What a pathway selection entitles to, published for every version of an order that stands (rules.md section 5)."""

    patient_id: str
    order_id: str
    order_version: int
    eligible: bool
    reason: str  # ELIGIBLE, WITHDRAWN, OFF_PATHWAY, ORDERING_NOT_IN_NETWORK or NOT_ELIGIBLE
    explanation: str
    procedure_codes: tuple[str, ...]  # what may be billed; empty unless eligible
    effective_from: Day
    effective_to: Day | None
    max_months: int
    s0353_fee_cents: Cents | None  # None where the ordering provider has no span of the plan
    s0354_fee_cents: Cents | None
    policy: PolicyRef
    caused_by: str


class Refusal(NamedTuple):
    """Why a well-formed fact is not taken into the patient's record: WRONG_PAYER or CONFLICT (events.md section 5)."""

    reason: str
    sentence: str  # names fields, never values: it ends up in logs and dead letters
