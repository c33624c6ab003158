"""One patient's file: every fact that is sent about them, and when it arrives.

The verbs of `Patient` are what a story is told with. Each makes a fact, posts it and gives it back, so that a later
fact can refer to it or correct it. What a story does not say is drawn from the seed.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple, TypeVar

from streams.adjudication.days import Day, iso
from streams.adjudication.facts import (
    ORIGINAL,
    S0353,
    S0354,
    SELECTED,
    STARTED,
    Claim,
    ClaimLine,
    CostShare,
    EligibilitySpan,
    MemberEligibility,
    PathwaySelection,
    PatientFact,
    PendExpired,
    ReadjudicationRequested,
    TreatmentStart,
)

from .catalogue import LONG_AGO, OFF_PATHWAY, ON_PATHWAY, PAYER, PLAN, PROGRAM, Network, Practice

SECONDS_PER_DAY = 86_400
_MICROS_PER_SECOND = 1_000_000
_OPENING_SECONDS = 7 * 3600  # facts are sent between 07:00 and 19:00
_WORKING_SECONDS = 12 * 3600

# How often the post misbehaves. None of it may change an answer.
_RETRIED = 0.015  # a publisher missed an acknowledgement and sends the same event again
_RESENT = 0.010  # a system sends the same content again as a new event
_BACKLOG = 0.04  # intake sits on a claim for days
_START_REPORTED_LATE = 0.08

AnyFact = TypeVar(
    "AnyFact", PathwaySelection, TreatmentStart, Claim, MemberEligibility, PendExpired, ReadjudicationRequested
)

_NO_COST_SHARE = CostShare(0, 0, 0)


class Arrival(NamedTuple):
    """A fact on its way; arrivals sort by time, and never by their fact."""

    at_seconds: int  # since the epoch
    patient: int
    number: int
    fact: PatientFact


class Patient:
    """A member of the plan with cancer, from the day on which their story begins."""

    def __init__(self, number: int, patient_id: str, rng: Random, network: Network, begins: Day) -> None:
        self.id = patient_id
        self.rng = rng
        self.network = network
        self.begins = begins
        self.practice = rng.choice(network.practices)
        self.oncologist = rng.choice(self.practice.oncologists)
        self.regimen = rng.choice(ON_PATHWAY)
        self.diagnosis = rng.choice(self.regimen.diagnosis_codes)
        self.arrivals: list[Arrival] = []
        self._number = number
        self._events = self._orders = self._claims = 0
        self._copay_cents, self._deductible_cents, self._coinsurance_bp = _draw_cost_share(rng)

    # What happens to the patient

    def enrol(self, *spans: tuple[Day, Day | None], version: int = 1, on: Day | None = None) -> MemberEligibility:
        """Enrollment reports in which spans of days the plan covers the patient; by default, for years."""
        covered = tuple(EligibilitySpan(PLAN, first, last) for first, last in spans or ((LONG_AGO, None),))
        record = MemberEligibility(self._event_id(), self.id, version, covered)
        return self.send(record, self.begins if on is None else on)

    def see(self, practice: Practice) -> None:
        """From now on another practice looks after the patient."""
        self.practice = practice
        self.oncologist = self.rng.choice(practice.oncologists)

    def leave_pathway(self) -> None:
        """The oncologist prefers a regimen that is not a pathway, for the same cancer where there is one."""
        fitting = [regimen for regimen in OFF_PATHWAY if self.diagnosis in regimen.diagnosis_codes]
        self.regimen = self.rng.choice(fitting or OFF_PATHWAY)
        if self.diagnosis not in self.regimen.diagnosis_codes:
            self.diagnosis = self.rng.choice(self.regimen.diagnosis_codes)

    def select(
        self, on: Day | None = None, *, max_months: int | None = None, for_days: int = 364, reported_after: int = 0
    ) -> PathwaySelection:
        """The oncologist selects the patient's regimen in the portal; the order holds from that day."""
        day = self.begins if on is None else on
        self._orders += 1
        order = PathwaySelection(
            event_id=self._event_id(),
            patient_id=self.id,
            plan_id=PLAN,
            program_id=PROGRAM,
            order_id=f"MOP-{self._number:06d}-{self._orders}",
            order_version=1,
            status=SELECTED,
            withdrawn_from=None,
            ordering_npi=self.oncologist,
            regimen_code=self.regimen.code,
            on_pathway=self.regimen.on_pathway,
            effective_from=day,
            effective_to=day + for_days,
            max_months=self.regimen.max_months if max_months is None else max_months,
            selected_at=self._time_of_day(day) * _MICROS_PER_SECOND,
        )
        return self.send(order, day + reported_after)

    def start(
        self, order: PathwaySelection, on: Day | None = None, *, reported_after: int | None = None
    ) -> TreatmentStart:
        """Treatment begins, some days after the selection; the report mostly follows within two days."""
        onset = self.working_day(order.effective_from + self.rng.randint(3, 12)) if on is None else on
        if reported_after is None:
            late = self.rng.random() < _START_REPORTED_LATE
            reported_after = self.rng.randint(8, 30) if late else self.rng.randint(0, 2)
        recorded = onset + reported_after
        recorded_at = self._time_of_day(recorded) * _MICROS_PER_SECOND
        start = TreatmentStart(self._event_id(), self.id, order.order_id, 1, STARTED, onset, recorded_at)
        return self.send(start, recorded)

    def claim(
        self, code: str, on: Day, *, received_after: int | None = None, units: int = 1, practice: Practice | None = None
    ) -> Claim:
        """The claim for one S-code on a day, mostly along with the chemotherapy of that day; not sent yet."""
        rng = self.rng
        practice = practice or self.practice
        self._claims += 1
        if received_after is None:
            received_after = rng.randint(2, 18)
        received = on + received_after
        charge = practice.s0353_charge_cents if code == S0353 else practice.s0354_charge_cents
        place = "11" if rng.random() < 0.8 else "19"
        diagnoses = (self.diagnosis, "Z5111")
        lines = [ClaimLine(1, code, (), on, on, units, charge * max(units, 1), diagnoses, place)]
        if rng.random() < 0.75:  # else the S-code comes on a claim of its own
            lines.extend(self._chemotherapy(on, 2, diagnoses, place))
        return Claim(
            event_id=self._event_id(),
            patient_id=self.id,
            plan_id=PLAN,
            payer_id=PAYER,
            claim_id=f"{iso(received)[2:].replace('-', '')}{self._number:06d}{self._claims:02d}",
            frequency_code=ORIGINAL,
            original_claim_id=None,
            patient_control_number=f"PCN{self._number:06d}{self._claims:02d}",
            billing_npi=practice.npi,
            rendering_npi=practice.oncologists[0],
            ordering_npi=self.oncologist,
            order_id=None,
            received_date=received,
            form_type="CMS-1500" if place == "11" else "UB-04",
            cost_share=self._cost_share(),
            lines=tuple(lines),
        )

    def bill(
        self, code: str, on: Day, *, received_after: int | None = None, units: int = 1, practice: Practice | None = None
    ) -> Claim:
        """The practice sends that claim."""
        return self.submit(self.claim(code, on, received_after=received_after, units=units, practice=practice))

    def submit(self, claim: Claim) -> Claim:
        """The plan receives a claim; its intake publishes it that day, or days later when there is a backlog."""
        backlog = self.rng.randint(1, 20) if self.rng.random() < _BACKLOG else 0
        return self.send(claim, claim.received_date + backlog)

    def coordinate(self, after: Day, months: int) -> Day:
        """S0354 in each of some months after a day, 30 to 34 days apart; the last day of service comes back."""
        day = after
        for _ in range(months):
            day = self.working_day(day + self.rng.randint(30, 33))
            self.bill(S0354, day)
        return day

    def infuse(self, on: Day) -> None:
        """Chemotherapy is given and billed on a day without an S-code: none of the program's business."""
        claim = self.claim(S0354, on)
        lines = self._chemotherapy(on, 1, claim.lines[0].diagnosis_codes, claim.lines[0].place_of_service)
        self.submit(claim._replace(lines=tuple(lines)))

    def expire(self, claim: Claim, after: int = 21) -> PendExpired:
        """The sweep gives up waiting for the treatment start, days after the claim was received."""
        return self.send(PendExpired(self._event_id(), self.id, claim.claim_id), claim.received_date + after)

    def ask_again(self, on: Day) -> ReadjudicationRequested:
        """An operator asks for the patient to be decided again."""
        asked = "provider asked for a second look"
        return self.send(ReadjudicationRequested(self._event_id(), self.id, "operations", asked, None), on)

    # How it is told

    def send(self, fact: AnyFact, on: Day) -> AnyFact:
        """Post a fact; it arrives on that day, at times more than once."""
        at_seconds = self._time_of_day(on)
        self._arrive(at_seconds, fact)
        mishap = self.rng.random()
        if mishap < _RETRIED:
            self._arrive(at_seconds + self.rng.randint(1, 90), fact)
        elif mishap < _RETRIED + _RESENT:
            self._arrive(at_seconds + self.rng.randint(1, 6) * SECONDS_PER_DAY, self.again(fact))
        return fact

    def again(self, fact: AnyFact) -> AnyFact:
        """The same fact as a new event, to be changed by `_replace` into its correction."""
        return fact._replace(event_id=self._event_id())

    def working_day(self, day: Day) -> Day:
        """That day, or the Monday after it for nearly every Saturday and Sunday."""
        weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
        return day + 7 - weekday if weekday > 4 and self.rng.random() < 0.9 else day

    def _arrive(self, at_seconds: int, fact: PatientFact) -> None:
        self.arrivals.append(Arrival(at_seconds, self._number, len(self.arrivals), fact))

    def _time_of_day(self, day: Day) -> int:
        return day * SECONDS_PER_DAY + _OPENING_SECONDS + int(self.rng.random() * _WORKING_SECONDS)

    def _event_id(self) -> str:
        self._events += 1
        return f"{self._number:06d}-{self._events:03d}"

    def _chemotherapy(self, on: Day, first_line: int, diagnoses: tuple[str, ...], place: str) -> Iterator[ClaimLine]:
        yield ClaimLine(first_line, "96413", (), on, on, 1, 42_000, diagnoses, place)
        for number, drug in enumerate(self.regimen.drugs, first_line + 1):
            modifiers = ("JZ",) if self.rng.random() < 0.5 else ()
            yield ClaimLine(number, drug.code, modifiers, on, on, drug.units, drug.charge_cents, diagnoses, place)

    def _cost_share(self) -> CostShare:
        """What the member owes as it stands; a deductible is soon used up by the chemotherapy."""
        if not (self._copay_cents or self._deductible_cents or self._coinsurance_bp):
            return _NO_COST_SHARE
        now = CostShare(self._copay_cents, self._deductible_cents, self._coinsurance_bp)
        self._deductible_cents = max(0, self._deductible_cents - 60_000)
        return now


def _draw_cost_share(rng: Random) -> tuple[int, int, int]:
    """Copay, deductible remaining and coinsurance of the member's benefit plan."""
    kind = rng.random()
    if kind < 0.60:
        return 0, 0, 0
    if kind < 0.75:
        return rng.choice((2_000, 3_000, 4_000)), 0, 0
    if kind < 0.90:
        return 0, 0, rng.choice((1_000, 2_000))
    return 0, rng.choice((25_000, 50_000, 90_000)), rng.choice((1_000, 2_000))
