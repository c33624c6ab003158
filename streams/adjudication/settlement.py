"""Settling a patient's lines, one after the other in their settling order (rules.md sections 2 to 4)."""

from bisect import bisect_left, bisect_right, insort

from .agreements import Agreements
from .days import Day, same_calendar_month
from .decisions import DENIED, PAID, Adjustment
from .edits import BilledLine, CountedLine, Finding, decide, signature, voided
from .facts import ORIGINAL, S0353, S_CODES, Claim, ProviderAgreement
from .live import Place, call_the_roll
from .policy import Policy
from .pricing import Price, price
from .record import LineKey, PatientRecord, Ruling

Rulings = dict[LineKey, Ruling]
Decided = list[tuple[BilledLine, Finding]]


class Settlement:
    """The state of a settling: what the lines settled so far leave behind for the next one.

    It is kept after the last line, so that a claim that settles after all others can be decided against it alone
    (`settle_last`). It answers the questions of `edits.Settling`.
    """

    def __init__(self, record: PatientRecord, agreements: Agreements, policy: Policy) -> None:
        self.orders = record.orders
        self.starts = record.starts
        self.eligibility = record.eligibility
        self.expired = record.expired
        self.signatures: dict[tuple[object, ...], str] = {}
        self.last_place: Place | None = None  # of the line that settles last
        self._policy = policy
        self._reference = agreements
        self._agreements: dict[str, ProviderAgreement | None] = {}  # used by a line, as they stood then
        self._counted: dict[str, list[CountedLine]] = {}  # by code, sorted
        self._months: dict[tuple[str, str], int] = {}  # (code, order id) -> counted lines

    # -- the questions of the edits

    def agreement(self, npi: str) -> ProviderAgreement | None:
        if npi not in self._agreements:
            self._agreements[npi] = self._reference.standing(npi)
        return self._agreements[npi]

    def counted_within(self, code: str, day: Day, gap_days: int) -> list[CountedLine]:
        """The counted lines of a code that are fewer than `gap_days` away from a day, either way."""
        counted = self._counted.get(code)
        if not counted:
            return []
        low = bisect_right(counted, day - gap_days, key=_service_date)
        high = bisect_left(counted, day + gap_days, key=_service_date)
        return counted[low:high]

    def counted(self) -> list[CountedLine]:
        """All counted lines, S0353 first."""
        return [line for code in sorted(self._counted) for line in self._counted[code]]

    def counted_s0353(self, order_id: str | None) -> CountedLine | None:
        """The counted S0353 of the patient, or of one governing order."""
        for counted in self._counted.get(S0353, ()):
            if order_id is None or counted.order_id == order_id:
                return counted
        return None

    def counted_in_month(self, code: str, day: Day) -> CountedLine | None:
        """A counted line of a code in the calendar month of a day."""
        for counted in self.counted_within(code, day, 31):
            if same_calendar_month(counted.service_date, day):
                return counted
        return None

    def months_used(self, order_id: str, with_s0353: bool) -> int:
        """How many of an order's months are used up."""
        used = self._months.get(("S0354", order_id), 0)
        return used + self._months.get((S0353, order_id), 0) if with_s0353 else used

    # -- one line after the other

    def settle(self, billed: BilledLine) -> Finding:
        """Decide the next line and remember what the later ones need to know of it."""
        finding = decide(billed, self)
        if finding.outcome != DENIED or finding.edit > 10:
            # setdefault: a line denied as a duplicate does not come here, so an earlier line is never displaced
            self.signatures.setdefault(signature(billed), f"{billed.claim.claim_id}/{billed.line.line_number}")
        if finding.outcome == PAID:
            assert finding.order_id is not None, "a paid line has a governing order"
            code = billed.line.procedure_code
            line = billed.line
            counted = CountedLine(
                line.service_date, billed.claim.claim_id, line.line_number, finding.order_id, billed.claim.billing_npi
            )
            insort(self._counted.setdefault(code, []), counted)
            self._months[code, finding.order_id] = self._months.get((code, finding.order_id), 0) + 1
        return finding

    def billed(self, claim: Claim, bad_reference: str | None) -> list[BilledLine]:
        """The lines of a claim that are in scope, in the hands of the profile of its received date."""
        profile = self._policy.on(claim.received_date)
        return [
            BilledLine(claim, line, profile, bad_reference) for line in claim.lines if line.procedure_code in S_CODES
        ]

    def passes_under(self, agreements: Agreements, policy: Policy) -> bool:
        """Whether every agreement used so far is still the newest and the policy the same."""
        return (
            self._policy is policy
            and self._reference is agreements
            and all(agreements.standing(npi) is used for npi, used in self._agreements.items())
        )


def _service_date(counted: CountedLine) -> Day:
    return counted.service_date


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
            rulings[claim_id, billed.line.line_number] = _ruling(billed, finding)

    queue = [
        (billed.line.procedure_code, *place, billed.line.line_number, claim_id, billed)
        for claim_id, place in roll.places.items()
        for billed in settlement.billed(record.claims[claim_id], roll.bad_references.get(claim_id))
    ]
    # S0353 lines settle in a first pass, S0354 lines in a second: the order of the codes' letters.
    queue.sort(key=lambda entry: entry[:5])
    rulings.update(_priced([(entry[5], settlement.settle(entry[5])) for entry in queue]))
    settlement.last_place = max(roll.places.values(), default=None)
    return settlement, rulings


def settle_last(record: PatientRecord, claim: Claim, agreements: Agreements, policy: Policy) -> Rulings | None:
    """Decide a claim against what is settled already, or None where the patient must be settled anew.

    A claim changes no other line's ruling if it is an original that nothing names, its lines settle last, it has no S0353 that is
    counted (an S0354 settled before it might be too near), and everything used so far stands as it did.
    """
    settlement = record.settlement
    if (
        settlement is None
        or claim.frequency_code != ORIGINAL
        or claim.claim_id in record.named
        or (settlement.last_place is not None and (claim.received_date, claim.claim_id) <= settlement.last_place)
        or not settlement.passes_under(agreements, policy)
    ):
        return None
    decided: Decided = []
    for billed in sorted(
        settlement.billed(claim, None), key=lambda billed: (billed.line.procedure_code, billed.line.line_number)
    ):
        finding = settlement.settle(billed)
        if finding.outcome == PAID and billed.line.procedure_code == S0353:
            return None
        decided.append((billed, finding))
    settlement.last_place = (claim.received_date, claim.claim_id)
    return _priced(decided)


def _priced(decided: Decided) -> Rulings:
    """The rulings of settled lines. The deductible is used up across a claim's paid lines in line-number order."""
    rulings = {
        (billed.claim.claim_id, billed.line.line_number): _ruling(billed, finding)
        for billed, finding in decided
        if finding.outcome != PAID
    }
    deductible_used: dict[str, int] = {}
    paid = [
        (billed.claim.claim_id, billed.line.line_number, billed, finding)
        for billed, finding in decided
        if finding.outcome == PAID
    ]
    for claim_id, line_number, billed, finding in sorted(paid, key=lambda entry: entry[:2]):
        cost_share, line = billed.claim.cost_share, billed.line
        used = deductible_used.get(claim_id, 0)
        left = max(cost_share.deductible_remaining_cents, 0) - used
        priced = price(line.charge_cents, line.units, billed.fee_cents, cost_share, left)
        deductible_used[claim_id] = used + priced.deductible_used_cents
        owed = priced.allowed_cents - priced.paid_cents
        said = finding._replace(because=(*finding.because, priced.paid_cents, owed))
        rulings[claim_id, line_number] = _ruling(billed, said, priced)
    return rulings


def _ruling(billed: BilledLine, finding: Finding, priced: Price | None = None) -> Ruling:
    adjustments = priced.adjustments if priced is not None else ()
    if finding.codes is not None:
        adjustments = (Adjustment(*finding.codes, billed.line.charge_cents),)
    return Ruling(
        finding.outcome,
        finding.reason,
        finding.order_id,
        priced.allowed_cents if priced is not None else 0,
        priced.paid_cents if priced is not None else 0,
        adjustments,
        finding.next_payable_date,
        finding.because,
        billed.profile.ref,
        billed.agreements,
    )
