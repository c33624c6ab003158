"""From charge to paid: one step for each adjustment, with its code and what it means in our words."""

from typing import NamedTuple

from streams.adjudication.decisions import PAID, Decision
from streams.adjudication.facts import Cents

_WORDS = {
    ("CO", "119", "N362"): "more than one unit was billed; one is payable",
    ("CO", "45", ""): "above the agreed fee",
    ("PR", "1", ""): "deductible, owed by the member",
    ("PR", "2", ""): "coinsurance, owed by the member",
    ("PR", "3", ""): "copay, owed by the member",
}
_ORDER = ("119", "45", "3", "1", "2")  # as the rules take them off (rules.md section 4)


class Step(NamedTuple):
    label: str
    code: str
    cents: Cents  # what is taken off; for charge and paid, the amount itself
    left_cents: Cents  # after this step
    kind: str  # charge, cut, owed or paid


def steps(decision: Decision) -> tuple[Step, ...]:
    """The steps; none where nothing is priced (pended, voided)."""
    if not decision.adjustments and decision.outcome != PAID:
        return ()
    left = decision.charge_cents
    told = [Step("Charge", "", left, left, "charge")]
    rank = {carc: number for number, carc in enumerate(_ORDER)}
    for adjustment in sorted(decision.adjustments, key=lambda a: rank.get(a.carc, 9)):
        left -= adjustment.cents
        words = _WORDS.get(
            (adjustment.group, adjustment.carc, "/".join(adjustment.rarcs)), "the whole charge is written off"
        )
        if adjustment.group == "PR" and decision.outcome != PAID:
            words = "the whole charge is the member's" if decision.member_owes_cents else words
        code = f"{adjustment.group}-{'/'.join((adjustment.carc, *adjustment.rarcs))}"
        told.append(Step(words, code, adjustment.cents, left, "owed" if adjustment.group == "PR" else "cut"))
    assert left == decision.paid_cents, "a waterfall that does not end at what is paid"
    return (*told, Step("Paid", "", left, left, "paid"))
