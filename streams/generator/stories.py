"""What happens to patients. Each story says in its first line what is to be learnt from it.

A story is told once for every patient that is drawn for it, in proportion to its weight, and lasts about `days` days.
In a history with at least as many patients as there are stories each is told, so that every outcome and every reason of
the rules is there: a story that exists for a reason fixes the dates and codes that lead to it, and leaves the rest to
the seed.
"""

from collections.abc import Callable
from typing import NamedTuple

from streams.adjudication.days import Day
from streams.adjudication.facts import (
    CANCELLED,
    REPLACEMENT,
    S0353,
    S0354,
    VOID,
    WITHDRAWN,
    Claim,
    PathwaySelection,
)

from .catalogue import ADMINISTRATOR, FEES_CHANGE, LONG_AGO, LONGEST_FILING_LIMIT_DAYS
from .patient import Patient

Tell = Callable[[Patient], None]


class Story(NamedTuple):
    """A course of events and how common it is."""

    name: str
    weight: int
    days: int
    begins: Day | None  # the same first day for everybody; None: any day that lets it end within the year
    tell: Tell


STORIES: list[Story] = []


def story(*, weight: int, days: int, begins: Day | None = None) -> Callable[[Tell], Tell]:
    """Enter a function into the cast."""

    def enter(tell: Tell) -> Tell:
        STORIES.append(Story(tell.__name__, weight, days, begins, tell))
        return tell

    return enter


def _planned(patient: Patient, *, max_months: int | None = None, for_days: int = 364) -> tuple[PathwaySelection, Day]:
    """How most stories begin: a pathway is selected, treatment starts, is reported soon, and S0353 billed for that day."""
    order = patient.select(max_months=max_months, for_days=for_days)
    onset = patient.start(order, reported_after=patient.rng.randint(0, 2)).onset_date
    patient.bill(S0353, onset)
    return order, onset


# As it should be


@story(weight=24, days=230)
def textbook(patient: Patient) -> None:
    """Planned at the onset, coordinated monthly while treatment lasts."""
    patient.enrol()
    order = patient.select()
    onset = patient.start(order).onset_date
    patient.bill(S0353, onset)
    patient.infuse(onset + 14)
    patient.coordinate(onset, months=patient.rng.randint(2, 6))


@story(weight=8, days=140)
def short_course(patient: Patient) -> None:
    """A few cycles before surgery. Nothing is on record about eligibility, so the member is taken as eligible."""
    _, onset = _planned(patient)
    patient.coordinate(onset, months=patient.rng.randint(1, 3))


@story(weight=4, days=40)
def planning_only(patient: Patient) -> None:
    """Planned, then treated elsewhere."""
    patient.enrol()
    _planned(patient)


@story(weight=5, days=250)
def second_line_of_therapy(patient: Patient) -> None:
    """The regimen is changed: a second order governs from its onset, and S0353 is not paid again for it."""
    patient.enrol()
    _, onset = _planned(patient)
    changed_on = patient.coordinate(onset, months=2) + 21
    second = patient.select(changed_on)
    begun = patient.start(second, reported_after=1).onset_date
    patient.coordinate(begun, months=3)


# Not a pathway


@story(weight=16, days=190)
def off_pathway_course(patient: Patient) -> None:
    """OFF_PATHWAY: the regimen is not a pathway; planning and coordination are part of what it costs."""
    patient.enrol()
    patient.leave_pathway()
    _, onset = _planned(patient)
    patient.coordinate(onset, months=patient.rng.randint(1, 4))


@story(weight=3, days=60)
def off_pathway_never_started(patient: Patient) -> None:
    """OFF_PATHWAY: bundled without waiting for a start that would change nothing."""
    patient.enrol()
    patient.leave_pathway()
    order = patient.select()
    patient.bill(S0353, order.effective_from + 7)


# Waiting for the start


@story(weight=9, days=120)
def start_reported_late(patient: Patient) -> None:
    """PENDED, then PAID: the claims arrive before the infusion center reports the start."""
    patient.enrol()
    order = patient.select()
    onset = patient.working_day(order.effective_from + 7)
    patient.bill(S0353, onset, received_after=3)
    patient.start(order, onset, reported_after=patient.rng.randint(6, 20))
    patient.coordinate(onset, months=2)


@story(weight=6, days=40)
def start_never_reported(patient: Patient) -> None:
    """AWAIT_TREATMENT_START: the claim still waits at the end of the history."""
    patient.enrol()
    order = patient.select()
    patient.bill(S0353, order.effective_from + 7)


@story(weight=6, days=60)
def pend_ran_out(patient: Patient) -> None:
    """NO_TREATMENT_START: nobody reported a start while the claim was pended."""
    patient.enrol()
    order = patient.select()
    patient.expire(patient.bill(S0353, order.effective_from + 7))


@story(weight=3, days=70)
def start_reported_after_the_pend_ran_out(patient: Patient) -> None:
    """Denied when the pend ran out, PAID by the start that arrives later."""
    patient.enrol()
    order = patient.select()
    claim = patient.bill(S0353, order.effective_from + 7, received_after=4)
    patient.expire(claim, after=21)
    patient.start(order, claim.lines[0].service_date, reported_after=34)


@story(weight=3, days=60)
def start_cancelled(patient: Patient) -> None:
    """PAID, then taken back: the start turns out not to have happened, and the line waits again."""
    patient.enrol()
    order = patient.select()
    start = patient.start(order, order.effective_from + 5, reported_after=0)
    patient.bill(S0353, start.onset_date, received_after=4)
    patient.send(patient.again(start)._replace(version=2, status=CANCELLED), start.onset_date + 25)


@story(weight=3, days=150)
def start_corrected(patient: Patient) -> None:
    """BEFORE_ONSET after a correction: treatment began ten days later than first reported, S0353 was billed too early."""
    patient.enrol()
    order = patient.select()
    start = patient.start(order, order.effective_from + 5, reported_after=0)
    patient.bill(S0353, start.onset_date, received_after=4)
    onset = start.onset_date + 10
    patient.send(patient.again(start)._replace(version=2, onset_date=onset), start.onset_date + 25)
    patient.bill(S0353, onset, received_after=30)
    patient.coordinate(onset, months=2)


@story(weight=4, days=90)
def billed_before_onset(patient: Patient) -> None:
    """BEFORE_ONSET: the planning visit is billed, but S-codes are payable from the onset of treatment."""
    patient.enrol()
    order = patient.select()
    onset = patient.start(order, order.effective_from + 12, reported_after=1).onset_date
    patient.bill(S0353, onset - 6)
    patient.coordinate(onset, months=1)


# The order in the way


@story(weight=6, days=40)
def never_asked(patient: Patient) -> None:
    """NO_PATHWAY_AT_DOS: billed without any order."""
    patient.enrol()
    patient.bill(S0353, patient.begins + 5)


@story(weight=3, days=80)
def order_arrives_last(patient: Patient) -> None:
    """Denied for want of an order, then PAID: the portal was down and its order arrives after start and claim."""
    patient.enrol()
    order = patient.select(patient.begins, reported_after=40)
    start = patient.start(order, patient.begins + 6, reported_after=0)
    patient.bill(S0353, start.onset_date)


@story(weight=5, days=160)
def order_withdrawn(patient: Patient) -> None:
    """NO_PATHWAY_AT_DOS: the order was withdrawn, and the coordination after that day is no longer payable."""
    patient.enrol()
    order, onset = _planned(patient)
    last_day = patient.coordinate(onset, months=2)
    withdrawn = patient.again(order)._replace(order_version=2, status=WITHDRAWN, withdrawn_from=last_day + 10)
    patient.send(withdrawn, last_day + 10)
    patient.bill(S0354, last_day + 32)


@story(weight=5, days=160)
def order_ran_out(patient: Patient) -> None:
    """AFTER_SPAN: coordination goes on after the last day of the order."""
    patient.enrol()
    _, onset = _planned(patient, for_days=75)
    patient.coordinate(onset, months=1)
    patient.bill(S0354, onset + 100)


@story(weight=3, days=190)
def order_extended(patient: Patient) -> None:
    """AFTER_SPAN, then PAID: a new version of the order covers the months that were billed too late."""
    patient.enrol()
    order, onset = _planned(patient, for_days=75)
    last_day = patient.coordinate(onset, months=3)
    extended = patient.again(order)._replace(order_version=2, effective_to=order.effective_from + 182)
    patient.send(extended, last_day + 25)


@story(weight=3, days=80)
def wrong_order_cited(patient: Patient) -> None:
    """AUTH_MISMATCH: the claim cites an order that is not the patient's."""
    patient.enrol()
    order = patient.select()
    onset = patient.start(order, reported_after=0).onset_date
    patient.submit(patient.claim(S0353, onset)._replace(order_id=f"{order.order_id}-X"))


@story(weight=4, days=170)
def right_order_cited(patient: Patient) -> None:
    """A claim may cite its order."""
    patient.enrol()
    order = patient.select()
    onset = patient.start(order).onset_date
    patient.submit(patient.claim(S0353, onset)._replace(order_id=order.order_id))
    patient.coordinate(onset, months=3)


# Too often, too soon


@story(weight=6, days=130)
def planned_twice(patient: Patient) -> None:
    """S0353_ONCE: the patient moves to another practice, which plans and bills anew."""
    patient.enrol()
    _, onset = _planned(patient)
    others = [practice for practice in patient.network.practices if practice is not patient.practice]
    patient.see(patient.rng.choice(others))
    patient.bill(S0353, onset + 45)
    patient.coordinate(onset + 45, months=1)


@story(weight=7, days=140)
def coordinated_too_soon(patient: Patient) -> None:
    """WITHIN_30_OF_S0353: the first S0354 comes with the second cycle, 21 to 29 days after S0353."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.bill(S0354, onset + patient.rng.randint(21, 29))
    patient.coordinate(onset, months=2)


@story(weight=12, days=200)
def billed_every_four_weeks(patient: Patient) -> None:
    """WITHIN_30_OF_S0354: billed every 28 days, so that every other S0354 is two days too early."""
    patient.enrol()
    _, onset = _planned(patient)
    first = onset + 33
    for cycle in range(4):
        patient.bill(S0354, first + 28 * cycle)


@story(weight=7, days=210)
def more_months_than_allowed(patient: Patient) -> None:
    """MAX_MONTHS: the instructions allowed three months of coordination."""
    patient.enrol()
    _, onset = _planned(patient, max_months=3)
    patient.coordinate(onset, months=5)


# Member and network


@story(weight=4, days=150)
def gap_in_coverage(patient: Patient) -> None:
    """NOT_ELIGIBLE: no coverage between two spans, just when the second month is coordinated."""
    first_span_ends = patient.begins + 60
    patient.enrol((LONG_AGO, first_span_ends), (first_span_ends + 46, None))
    _, onset = _planned(patient)
    patient.bill(S0354, onset + 32)
    patient.bill(S0354, first_span_ends + 20)


@story(weight=5, days=100)
def lost_coverage(patient: Patient) -> None:
    """NOT_ELIGIBLE: coverage ends, enrollment reports it late, and what was paid is taken back."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.bill(S0354, onset + 35, received_after=4)
    patient.enrol((LONG_AGO, onset + 20), version=2, on=onset + 70)


@story(weight=3, days=60)
def covered_too_late(patient: Patient) -> None:
    """NOT_ELIGIBLE: coverage begins the month after."""
    patient.enrol((patient.begins + 40, None))
    _planned(patient)


@story(weight=2, days=110)
def covered_in_retrospect(patient: Patient) -> None:
    """NOT_ELIGIBLE, then PAID: enrollment corrects itself and covers the patient from an earlier day."""
    patient.enrol((patient.begins + 50, None))
    _, onset = _planned(patient)
    patient.enrol(version=2, on=onset + 40)
    patient.coordinate(onset, months=1)


@story(weight=5, days=230)
def forgotten_claim(patient: Patient) -> None:
    """UNTIMELY: sent after the practice's filing limit. A late one within the limit pays."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.bill(S0354, onset + 31, received_after=80)
    patient.bill(S0354, onset + 70, received_after=LONGEST_FILING_LIMIT_DAYS + patient.rng.randint(1, 30))


@story(weight=4, days=110)
def billed_by_a_stranger(patient: Patient) -> None:
    """NOT_IN_NETWORK: a practice without an agreement bills for a patient of another."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.bill(S0354, onset + 35, practice=patient.rng.choice(patient.network.strangers))


@story(weight=4, days=80)
def ordered_by_a_stranger(patient: Patient) -> None:
    """ORDERING_NOT_IN_NETWORK: the oncologist who selected the regimen does not participate, the practice does."""
    patient.enrol()
    patient.oncologist = patient.rng.choice(patient.network.strangers).oncologists[0]
    _planned(patient)


@story(weight=3, days=110, begins=FEES_CHANGE - 40)
def practice_leaves_the_network(patient: Patient) -> None:
    """NOT_IN_NETWORK: paid while the practice took part, not after it left in the middle of the year."""
    patient.see(patient.network.leaver)
    patient.enrol()
    order = patient.select()
    onset = patient.start(order, order.effective_from + 8, reported_after=1).onset_date
    patient.bill(S0353, onset)
    patient.bill(S0354, onset + 40)


# Mistakes on the claim


def _successor(patient: Patient, claim: Claim, frequency_code: str = REPLACEMENT) -> Claim:
    """A replacement or a void of a claim, received three weeks after it, otherwise the same."""
    fresh = patient.claim(S0354, claim.received_date, received_after=21)
    return fresh._replace(
        frequency_code=frequency_code,
        original_claim_id=claim.claim_id,
        billing_npi=claim.billing_npi,
        rendering_npi=claim.rendering_npi,
        order_id=claim.order_id,
        form_type=claim.form_type,
        cost_share=claim.cost_share,
        lines=claim.lines,
    )


def _with_first_line(claim: Claim, **changes: object) -> Claim:
    return claim._replace(lines=(claim.lines[0]._replace(**changes), *claim.lines[1:]))  # type: ignore[arg-type]


@story(weight=1, days=110)
def no_units(patient: Patient) -> None:
    """INVALID_UNITS: a line with 0 units."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.submit(_with_first_line(patient.claim(S0354, onset + 33), units=0))
    patient.coordinate(onset + 33, months=1)


@story(weight=1, days=110)
def no_charge(patient: Patient) -> None:
    """INVALID_CHARGE: a line that asks for nothing."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.submit(_with_first_line(patient.claim(S0354, onset + 33), charge_cents=0))
    patient.coordinate(onset + 33, months=1)


@story(weight=1, days=110)
def whole_month_on_one_line(patient: Patient) -> None:
    """INVALID_SERVICE_DATE: the month of coordination is written as a span of dates."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.submit(_with_first_line(patient.claim(S0354, onset + 33, received_after=40), service_date_to=onset + 62))
    patient.coordinate(onset + 33, months=1)


@story(weight=1, days=90)
def billed_ahead(patient: Patient) -> None:
    """DOS_AFTER_RECEIPT: billed two days before the service."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.bill(S0354, onset + 33, received_after=-2)


@story(weight=5, days=150)
def mistake_corrected(patient: Patient) -> None:
    """A mistake on the claim, which the practice notices: the original is VOIDED, its replacement PAID."""
    patient.enrol()
    _, onset = _planned(patient)
    claim = patient.claim(S0354, onset + 33)
    mistake = patient.rng.choice(({"units": 0}, {"charge_cents": 0}, {"service_date_to": onset + 62}))
    patient.submit(_with_first_line(claim, **mistake))
    patient.submit(_successor(patient, claim))
    patient.coordinate(onset + 33, months=1)


@story(weight=2, days=110)
def replaces_nothing(patient: Patient) -> None:
    """INVALID_ORIGINAL_REFERENCE: a replacement that forgets to say what it replaces, then one that names itself."""
    patient.enrol()
    _, onset = _planned(patient)
    nameless = patient.claim(S0354, onset + 31)
    patient.submit(nameless._replace(frequency_code=REPLACEMENT))
    circular = patient.claim(S0354, onset + 65)
    patient.submit(circular._replace(frequency_code=REPLACEMENT, original_claim_id=circular.claim_id))


@story(weight=6, days=120)
def billed_again(patient: Patient) -> None:
    """DUPLICATE: no payment seen yet, so the practice sends the same line on a new claim."""
    patient.enrol()
    _, onset = _planned(patient)
    claim = patient.bill(S0354, onset + 32)
    repeated = patient.claim(S0354, claim.received_date, received_after=25)
    patient.submit(repeated._replace(rendering_npi=claim.rendering_npi, form_type=claim.form_type, lines=claim.lines))


@story(weight=5, days=160)
def charge_corrected(patient: Patient) -> None:
    """VOIDED and PAID: a mistyped charge is set right by a replacement, which takes the original's place."""
    patient.enrol()
    order = patient.select()
    onset = patient.start(order, reported_after=1).onset_date
    claim = patient.claim(S0353, onset)
    patient.submit(_with_first_line(claim, charge_cents=3_500))
    patient.submit(_successor(patient, claim))
    patient.coordinate(onset, months=2)


@story(weight=2, days=110)
def corrected_twice(patient: Patient) -> None:
    """A replacement is replaced in turn; the first correction was no better than the claim."""
    patient.enrol()
    _, onset = _planned(patient)
    claim = patient.claim(S0354, onset + 31)
    patient.submit(_with_first_line(claim, units=3))
    first = _with_first_line(_successor(patient, claim), units=2)
    patient.submit(first)
    second = _successor(patient, claim)
    patient.submit(second._replace(original_claim_id=first.claim_id, received_date=first.received_date + 14))


@story(weight=5, days=140)
def claim_voided(patient: Patient) -> None:
    """VOIDED: billed for the wrong patient and taken back; what it had used up is free again."""
    patient.enrol()
    _, onset = _planned(patient)
    mistaken = patient.bill(S0354, onset + 31)
    patient.submit(_successor(patient, mistaken, VOID))
    patient.bill(S0354, onset + 40, received_after=45)


@story(weight=1, days=120)
def void_arrives_first(patient: Patient) -> None:
    """VOIDED: intake publishes the void before the claim that it names."""
    patient.enrol()
    _, onset = _planned(patient)
    mistaken = patient.claim(S0354, onset + 31, received_after=4)
    void = _successor(patient, mistaken, VOID)
    patient.send(void, void.received_date)
    patient.send(mistaken, void.received_date + 5)


@story(weight=2, days=110)
def two_units(patient: Patient) -> None:
    """PAID for one unit: two were billed for one month."""
    patient.enrol()
    _, onset = _planned(patient)
    patient.bill(S0354, onset + 34, units=2)


@story(weight=2, days=110)
def planned_and_coordinated_on_one_claim(patient: Patient) -> None:
    """WITHIN_30_OF_S0353: both codes for the same day on one claim."""
    patient.enrol()
    order = patient.select()
    onset = patient.start(order, reported_after=1).onset_date
    claim = patient.claim(S0353, onset)
    extra = claim.lines[0]._replace(line_number=len(claim.lines) + 1, procedure_code=S0354)
    patient.submit(claim._replace(lines=(*claim.lines, extra)))
    patient.coordinate(onset, months=2)


# Refused


@story(weight=2, days=80)
def sent_to_the_administrator(patient: Patient) -> None:
    """Refused as WRONG_PAYER, then sent to the plan and PAID."""
    patient.enrol()
    order = patient.select()
    onset = patient.start(order, reported_after=1).onset_date
    astray = patient.claim(S0353, onset)._replace(payer_id=ADMINISTRATOR)
    patient.submit(astray)
    patient.bill(S0353, onset, received_after=30)


@story(weight=1, days=80)
def two_contents_of_one_claim(patient: Patient) -> None:
    """Refused as CONFLICT: intake reuses a claim number for other content; the first stands."""
    patient.enrol()
    _, onset = _planned(patient)
    claim = patient.claim(S0354, onset + 35)
    patient.send(claim, claim.received_date)
    other = _with_first_line(patient.again(claim), charge_cents=claim.lines[0].charge_cents + 5_000)
    patient.send(other, claim.received_date + 12)


@story(weight=1, days=80)
def two_contents_of_one_start(patient: Patient) -> None:
    """Refused as CONFLICT: two systems report the same version of a start with different days; the first stands."""
    patient.enrol()
    order = patient.select()
    start = patient.start(order, reported_after=0)
    patient.send(patient.again(start)._replace(onset_date=start.onset_date + 3), start.onset_date + 12)
    patient.bill(S0353, start.onset_date)


# Odds and ends


@story(weight=2, days=160)
def asked_to_decide_again(patient: Patient) -> None:
    """Operators ask for the patient to be decided again; nothing has changed, so nothing is published."""
    patient.enrol()
    _, onset = _planned(patient)
    last_day = patient.coordinate(onset, months=2)
    patient.ask_again(last_day + 30)


@story(weight=2, days=100)
def versions_overtake_each_other(patient: Patient) -> None:
    """The second version of an order arrives before the first, which then has no effect."""
    patient.enrol()
    order = patient.select(reported_after=30)
    newer = patient.again(order)._replace(order_version=2, effective_to=order.effective_from + 182)
    patient.send(newer, order.effective_from + 1)
    onset = patient.start(order, order.effective_from + 6, reported_after=1).onset_date
    patient.bill(S0353, onset)
    patient.coordinate(onset, months=1)
