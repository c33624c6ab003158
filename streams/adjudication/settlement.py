"""Settling a patient's lines, one after the other in their settling order (rules.md sections 2 to 4)."""

from collections.abc import Mapping

from mypy_extensions import mypyc_attr

from .agreements import Agreements
from .decisions import DENIED, PAID, Adjustment, Because, Ruling
from .edits import BilledLine, Finding, decide, voided
from .facts import ORIGINAL, S0353, S0354, Cents, Claim
from .live import Place, Roll, call_the_roll
from .making import new
from .policy import Policy
from .pricing import price
from .record import LineKey, PatientRecord
from .settling import CountedLine, Settling

Rulings = dict[LineKey, Ruling]
Decided = list[tuple[BilledLine, Finding]]


@mypyc_attr(acyclic=True)
class Settlement(Settling):
    """Settles one line after the other.

    It is kept after the last line, so that a claim that settles after all others can be decided against it alone
    (`settle_last`).
    """

    def __init__(self, record: PatientRecord, agreements: Agreements, policy: Policy) -> None:
        super().__init__(record, agreements)
        self.last_place: Place | None = None  # of the line that settles last
        self.gaps_measured = False  # whether an S0354 came as far as edit 12, which looks at counted S0353
        self._policy = policy

    def settle(self, billed: BilledLine) -> Finding:
        """Decide the next line and remember what the later ones need to know of it."""
        finding = decide(billed, self)
        if finding.edit > 10 and billed.line.procedure_code == S0354:
            self.gaps_measured = True
        if finding.outcome != DENIED or finding.edit > 10:
            # setdefault: a line denied as a duplicate does not come here, so an earlier line is never displaced
            self.signatures.setdefault(billed.signature, f"{billed.claim.claim_id}/{billed.line.line_number}")
        if finding.outcome == PAID:
            assert finding.order_id is not None, "a paid line has a governing order"
            claim, line = billed.claim, billed.line
            self.count(
                line.procedure_code,
                CountedLine(line.service_date, claim.claim_id, line.line_number, finding.order_id, claim.billing_npi),
            )
        return finding

    def billed(self, claim: Claim, bad_reference: str | None) -> list[BilledLine]:
        """The lines of a claim that are in scope, in the hands of the profile of its received date."""
        profile = self._policy.on(claim.received_date)
        return [
            BilledLine(claim, line, profile, bad_reference)
            for line in claim.lines
            if line.procedure_code in (S0353, S0354)
        ]

    def passes_under(self, agreements: Agreements, policy: Policy) -> bool:
        """Whether every agreement used so far is still the newest and the policy the same."""
        return self._policy is policy and self.rests_on(agreements)


def settle_patient(record: PatientRecord, agreements: Agreements, policy: Policy) -> Rulings:
    """Settle all lines of a patient anew and keep the settlement for the next claim."""
    record.settlement, rulings = settle_anew(record, agreements, policy)
    return rulings


def settle_anew(record: PatientRecord, agreements: Agreements, policy: Policy) -> tuple[Settlement, Rulings]:
    """Settle all lines of a patient, and leave the record as it is."""
    settlement = Settlement(record, agreements, policy)
    roll = call_the_roll(record.claims)
    rulings: Rulings = {}
    for claim_id, taken in roll.out.items():
        finding = voided(*taken)
        for billed in settlement.billed(record.claims[claim_id], None):
            rulings[claim_id, billed.line.line_number] = _unpaid(billed, finding)

    queue = in_settling_order(settlement, record.claims, roll)
    rulings.update(_priced([(billed, settlement.settle(billed)) for billed in queue]))
    settlement.last_place = max(roll.places.values(), default=None)
    return settlement, rulings


def in_settling_order(settlement: Settlement, claims: Mapping[str, Claim], roll: Roll) -> list[BilledLine]:
    """The lines of the live claims, in the order in which they settle (rules.md section 2)."""
    queue = [
        (billed.line.procedure_code, *place, billed.line.line_number, claim_id, billed)
        for claim_id, place in roll.places.items()
        for billed in settlement.billed(claims[claim_id], roll.bad_references.get(claim_id))
    ]
    # S0353 lines settle in a first pass, S0354 lines in a second: the order of the codes' letters.
    queue.sort(key=lambda entry: entry[:5])
    return [entry[5] for entry in queue]


def settle_last(record: PatientRecord, claim: Claim, agreements: Agreements, policy: Policy) -> Rulings | None:
    """Decide a claim against what is settled already, or None where the patient must be settled anew.

    A claim changes no other line's ruling if it is an original that nothing names, its lines settle last, it has no S0353 that is
    counted after an S0354 has been measured against those before, and everything used so far stands as it did. A patient's first
    claim is settled against nothing.
    """
    settlement = record.settlement if len(record.claims) > 1 else Settlement(record, agreements, policy)
    if (
        settlement is None
        or claim.frequency_code != ORIGINAL
        or claim.claim_id in record.named
        or (settlement.last_place is not None and (claim.received_date, claim.claim_id) <= settlement.last_place)
        or not settlement.passes_under(agreements, policy)
    ):
        return None
    decided: Decided = []
    lines = settlement.billed(claim, None)
    if len(lines) > 1:
        lines.sort(key=lambda billed: (billed.line.procedure_code, billed.line.line_number))
    for billed in lines:
        finding = settlement.settle(billed)
        if finding.outcome == PAID and billed.line.procedure_code == S0353 and settlement.gaps_measured:
            return None
        decided.append((billed, finding))
    settlement.last_place = (claim.received_date, claim.claim_id)
    record.settlement = settlement
    return _priced(decided)


def _priced(decided: Decided) -> Rulings:
    """The rulings of settled lines. The deductible is used up across a claim's paid lines in line-number order."""
    if len(decided) > 1:
        decided = sorted(decided, key=_claim_and_line)
    rulings: Rulings = {}
    deductible_used: dict[str, int] = {}
    for billed, finding in decided:
        claim_id, line = billed.claim.claim_id, billed.line
        if finding.outcome != PAID:
            rulings[claim_id, line.line_number] = _unpaid(billed, finding)
            continue
        cost_share = billed.claim.cost_share
        used = deductible_used.get(claim_id, 0)
        left = max(cost_share.deductible_remaining_cents, 0) - used
        priced = price(line.charge_cents, line.units, billed.fee_cents, cost_share, left)
        deductible_used[claim_id] = used + priced.deductible_used_cents
        because = (*finding.because, priced.paid_cents, priced.allowed_cents - priced.paid_cents)
        rulings[claim_id, line.line_number] = _ruling(
            billed, finding, priced.allowed_cents, priced.paid_cents, priced.adjustments, because
        )
    return rulings


def _claim_and_line(entry: tuple[BilledLine, Finding]) -> LineKey:
    billed, _ = entry
    return (billed.claim.claim_id, billed.line.line_number)


def _unpaid(billed: BilledLine, finding: Finding) -> Ruling:
    adjustments: tuple[Adjustment, ...] = ()
    if finding.codes is not None:
        codes = finding.codes
        adjustments = (new(Adjustment, (codes.group, codes.carc, codes.rarcs, billed.line.charge_cents)),)
    return _ruling(billed, finding, 0, 0, adjustments, finding.because)


def _ruling(
    billed: BilledLine,
    finding: Finding,
    allowed_cents: Cents,
    paid_cents: Cents,
    adjustments: tuple[Adjustment, ...],
    because: Because,
) -> Ruling:
    return new(
        Ruling,
        (
            finding.outcome,
            finding.reason,
            finding.order_id,
            allowed_cents,
            paid_cents,
            adjustments,
            finding.next_payable_date,
            because,
            billed.profile.ref,
            billed.agreements,
        ),
    )
