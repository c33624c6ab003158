"""From charge to paid: one step for each adjustment, with its code and what it means in our words."""

from typing import NamedTuple

from projections.console.words import adjustment_words
from streams.adjudication.decisions import PAID, Decision
from streams.adjudication.facts import Cents

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
        words = adjustment_words(adjustment.group, adjustment.carc, adjustment.rarcs)
        code = f"{adjustment.group}-{'/'.join((adjustment.carc, *adjustment.rarcs))}"
        told.append(Step(words, code, adjustment.cents, left, "owed" if adjustment.group == "PR" else "cut"))
    assert left == decision.paid_cents, "a waterfall that does not end at what is paid"
    return (*told, Step("Paid", "", left, left, "paid"))
