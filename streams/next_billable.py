"""From when an S-code can be billed, asked of a list of facts: as the command and the console do it."""

from collections.abc import Iterable
from typing import Any

from streams.adjudication.days import Day, iso
from streams.adjudication.facts import S_CODES, Fact, ProviderAgreement
from streams.adjudication.intake import FIRST_DAY, LAST_RECEIVED_DAY, is_npi
from streams.adjudication.next_billable import NextBillable, next_billable
from streams.adjudication.offline import OfflineEngine
from streams.adjudication.policy import Policy


class BadQuestion(ValueError):
    """A question without an answer; the message says what to correct."""


class UnknownPatient(BadQuestion):
    """Nothing is on record of the patient: more likely a token with a slip in it than a patient who has no day."""

    def __init__(self) -> None:
        super().__init__("nothing is on record of this patient: check the token, or wait until its events have arrived")


def ask(
    facts: Iterable[Fact],
    policy: Policy,
    *,
    patient_id: str,
    procedure_code: str,
    billing_npi: str,
    asked_from: Day,
    plan_id: str | None = None,
) -> NextBillable:
    """Fold the facts and ask. All of the patient's facts must be among them, and the agreements of every provider in them.

    Facts of other patients are passed over. Without a plan it is the only one of the policy. Raises BadQuestion.
    """
    if procedure_code not in S_CODES:
        raise BadQuestion(f"the code must be one of {', '.join(sorted(S_CODES))}")
    if not is_npi(billing_npi):
        raise BadQuestion("the NPI must have 10 digits, the first 1 or 2, and a right check digit")
    if not FIRST_DAY <= asked_from <= LAST_RECEIVED_DAY:
        raise BadQuestion("the date must lie between 0001-01-01 and 9998-12-31")
    engine = OfflineEngine(policy)
    mine = (fact for fact in facts if isinstance(fact, ProviderAgreement) or fact.patient_id == patient_id)
    for _ in engine.fold_all(mine):
        pass
    record = engine.records.get(patient_id)
    if record is None:
        raise UnknownPatient
    return next_billable(
        record, procedure_code, billing_npi, plan_id or only_plan(policy), asked_from, engine.agreements, policy
    )


def only_plan(policy: Policy) -> str:
    """The policy's plan, where it has one. Raises BadQuestion where it has several."""
    plans = sorted({plan for profile in policy.profiles for plan in profile.plans})
    if len(plans) != 1:
        raise BadQuestion(f"name the plan: the policy has {', '.join(plans) or 'none'}")
    return plans[0]


def to_json(answer: NextBillable) -> dict[str, Any]:
    """An answer as a JSON object; dates are ISO local dates."""
    return {
        "patient_id": answer.patient_id,
        "procedure_code": answer.procedure_code,
        "billing_npi": answer.billing_npi,
        "plan_id": answer.plan_id,
        "from": iso(answer.asked_from),
        "payable_from": _iso(answer.payable_from),
        "order_id": answer.order_id,
        "months_left": answer.months_left,
        "fee_cents": answer.fee_cents,
        "denies": list(answer.denies),
        "missing": list(answer.missing),
        "obstacles": [
            {**obstacle._asdict(), "from_date": iso(obstacle.from_date), "to_date": _iso(obstacle.to_date)}
            for obstacle in answer.obstacles
        ],
        "policy": answer.policy._asdict(),
    }


def _iso(day: Day | None) -> str | None:
    return None if day is None else iso(day)
