"""What a payable line pays (rules.md section 4; FAQ "How much is the reimbursement for the S-codes?": the lesser of billed charges,
and member cost shares where the benefit plan has them)."""

from mypy_extensions import mypyc_attr

from .decisions import Adjustment
from .facts import Cents, CostShare
from .making import new


@mypyc_attr(acyclic=True)
class Price:
    """The money of one paid line. charge = paid + the sum of the adjustments."""

    __slots__ = ("adjustments", "allowed_cents", "deductible_used_cents", "paid_cents")

    def __init__(
        self,
        allowed_cents: Cents,
        paid_cents: Cents,
        deductible_used_cents: Cents,
        adjustments: tuple[Adjustment, ...],
    ) -> None:
        self.allowed_cents = allowed_cents
        self.paid_cents = paid_cents
        self.deductible_used_cents = deductible_used_cents
        self.adjustments = adjustments  # of more than 0 cents, sorted by their written form


def half_up(numerator: int, denominator: int) -> int:
    """numerator / denominator, rounded half-up to a whole number. Both are non-negative, the denominator positive."""
    return (2 * numerator + denominator) // (2 * denominator)


def unit_charge(charge_cents: Cents, units: int) -> Cents:
    """The charge of the one unit that is payable, half-up to the cent."""
    return half_up(charge_cents, units)


def price(
    charge_cents: Cents, units: int, fee_cents: Cents, cost_share: CostShare, deductible_left_cents: Cents
) -> Price:
    """Price one payable line. `deductible_left_cents` is what the claim's earlier paid lines left of the deductible."""
    unit = unit_charge(charge_cents, units)
    allowed = min(unit, fee_cents)
    copay = min(max(cost_share.copay_cents, 0), allowed)
    deductible = min(max(deductible_left_cents, 0), allowed - copay)
    rest = allowed - copay - deductible
    coinsurance = min(half_up(rest * max(cost_share.coinsurance_bp, 0), 10_000), rest)
    paid = rest - coinsurance

    # In the order of their written form: "CO-119..." < "CO-45" < "PR-1" < "PR-2" < "PR-3".
    adjustments: list[Adjustment] = []
    if charge_cents != unit:
        adjustments.append(new(Adjustment, ("CO", "119", ("N362",), charge_cents - unit)))
    if unit != allowed:
        adjustments.append(new(Adjustment, ("CO", "45", (), unit - allowed)))
    if deductible:
        adjustments.append(new(Adjustment, ("PR", "1", (), deductible)))
    if coinsurance:
        adjustments.append(new(Adjustment, ("PR", "2", (), coinsurance)))
    if copay:
        adjustments.append(new(Adjustment, ("PR", "3", (), copay)))
    # Invariant 3 of rules.md section 6, guarded in production.
    assert 0 <= paid <= allowed <= min(fee_cents, unit), "a price out of bounds"
    adjusted = 0
    for adjustment in adjustments:
        adjusted += adjustment.cents
    assert charge_cents == paid + adjusted, "a price that does not add up"
    return Price(allowed, paid, deductible, tuple(adjustments))
