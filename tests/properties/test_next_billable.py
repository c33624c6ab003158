"""The answered date is right: a claim for it is PAID by the fold, and on no day before it, from the asked one on."""

import pickle
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.adjudication.agreements import span_on
from streams.adjudication.days import Day, day_from_iso, iso
from streams.adjudication.fold import fold
from streams.adjudication.next_billable import NextBillable, next_billable
from streams.adjudication.policy import Policy
from streams.adjudication.record import PatientRecord
from streams.events import fact_from_json
from tests.core import Core
from tests.facts import claim, line
from tests.oracle.oracle import Json
from tests.properties.volume import drawn
from tests.strategies import NPIS, Drawn, history, policy

LAST_ID = "~~~"  # sorts behind every id of the histories
DAYS_AFTER_NONE = 500


@drawn
@given(data=st.data())
def test_a_claim_for_the_answered_date_is_paid_and_none_before_it(data: st.DataObject) -> None:
    chance = Drawn(data.draw)
    profiles: list[Json] = policy(chance)
    plans = tuple(profiles[0]["plans"])
    core = Core(profiles)
    core.take_all(history(chance, plans=plans))
    for record in core.records.values():
        code, npi = chance.pick(("S0354", "S0353")), chance.pick(NPIS)
        plan_id = chance.pick((*plans, "NO-SUCH-PLAN") if chance.percent(5) else plans)
        asked = day_from_iso((date(2023, 12, 1) + timedelta(days=chance.integer(0, 480))).isoformat())
        before = _frozen(record)
        answer = next_billable(record, code, npi, plan_id, asked, core.agreements, core.policy)
        assert _frozen(record) == before, "the record is left as it is"
        trial = _Trial(record, core, code, npi, plan_id)
        if answer.payable_from is not None:
            assert answer.payable_from >= asked
            assert trial.outcome(answer.payable_from) == "PAID"
            _months_are_those_of_the_order(answer, trial)
        end = asked + DAYS_AFTER_NONE if answer.payable_from is None else answer.payable_from
        for day in range(asked, end):
            assert trial.outcome(day) != "PAID", f"payable on {iso(day)}: {answer}"
        _obstacles_fill_the_time(answer, trial)


class _Trial:
    """The claim that docs/spec/events.md section 6 describes, folded into a copy of the record."""

    def __init__(self, record: PatientRecord, core: Core, code: str, npi: str, plan_id: str) -> None:
        self._frozen = _frozen(record)
        self._agreements, self._policy = core.agreements, core.policy
        self._code, self._npi, self._plan_id = code, npi, plan_id
        self._newest = max((c.received_date for c in record.claims.values()), default=None)
        assert all(claim_id < LAST_ID for claim_id in record.claims)

    def outcome(self, day: Day) -> str:
        return self.outcome_and_reason(day)[0]

    def outcome_and_reason(self, day: Day) -> tuple[str, str]:
        received = day if self._newest is None else max(day, self._newest)
        span = span_on(self._agreements.standing(self._npi), self._plan_id, day)
        fee = 0 if span is None else span.s0353_fee_cents if self._code == "S0353" else span.s0354_fee_cents
        billed = claim(
            LAST_ID,
            [line(1, self._code, iso(day), charge_cents=max(fee, 1))],
            iso(received),
            plan_id=self._plan_id,
            payer_id=self._policy.on(received).plans.get(self._plan_id, "NONE"),
            billing_npi=self._npi,
        )
        record: PatientRecord = pickle.loads(self._frozen)
        fact: Any = fact_from_json({**billed, "patient_id": record.patient_id})
        step = fold(record, fact, self._agreements, self._policy)
        if step.refusal is not None:
            return "REFUSED", step.refusal.reason
        ruling = record.positions[LAST_ID, 1].ruling
        return ruling.outcome, ruling.reason


def _frozen(record: PatientRecord) -> bytes:
    kept, record.settlement = record.settlement, None
    try:
        return pickle.dumps(record)
    finally:
        record.settlement = kept


def _months_are_those_of_the_order(answer: NextBillable, trial: _Trial) -> None:
    assert answer.months_left is not None
    assert answer.procedure_code == "S0353" or answer.months_left > 0


def _obstacles_fill_the_time(answer: NextBillable, trial: _Trial) -> None:
    """Without a gap from the asked day to the payable one, each with the reason that the fold gives."""
    next_day: Day | None = answer.asked_from
    for obstacle in answer.obstacles:
        assert obstacle.from_date == next_day
        assert trial.outcome_and_reason(obstacle.from_date) == (obstacle.outcome, obstacle.reason)
        if obstacle.to_date is not None:
            assert trial.outcome_and_reason(obstacle.to_date) == (obstacle.outcome, obstacle.reason)
        next_day = None if obstacle.to_date is None else obstacle.to_date + 1
    assert next_day == answer.payable_from
    assert (answer.missing == ()) == (answer.payable_from is not None)


def test_a_patient_of_whom_nothing_is_known_has_no_day() -> None:
    core = Core()
    policy: Policy = core.policy
    answer = next_billable(PatientRecord("pt-1"), "S0354", NPIS[0], "PPO", 19_800, core.agreements, policy)
    assert answer.payable_from is None
    assert answer.missing == ("an agreement of the billing provider with the plan",)
