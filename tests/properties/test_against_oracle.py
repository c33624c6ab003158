"""The core and the oracle agree, line by line, on random histories; and the histories reach every reason."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.core import Core, row
from tests.oracle.oracle import Current, Json, admitted, answer, decide_patient, standing, standing_agreements
from tests.properties.volume import drawn, seeds
from tests.strategies import Drawn, History, Seeded, history, policy, seeded_history

REASONS = {
    1: {"INVALID_UNITS", "INVALID_CHARGE", "INVALID_SERVICE_DATE", "DOS_AFTER_RECEIPT", "INVALID_ORIGINAL_REFERENCE"},
    2: {"DUPLICATE"},
    3: {"NOT_ELIGIBLE"},
    4: {"UNTIMELY"},
    5: {"NOT_IN_NETWORK"},
    6: {"AUTH_MISMATCH", "NO_PATHWAY_AT_DOS"},
    7: {"OFF_PATHWAY", "AWAIT_TREATMENT_START", "NO_TREATMENT_START", "BEFORE_ONSET"},
    8: {"AFTER_SPAN"},
    9: {"OFF_PATHWAY"},
    10: {"ORDERING_NOT_IN_NETWORK"},
    11: {"S0353_ONCE"},
    12: {"WITHIN_30_OF_S0353"},
    13: {"WITHIN_30_OF_S0354", "CALENDAR_MONTH"},
    14: {"MAX_MONTHS"},
    15: {"PAID"},
    0: {"VOIDED"},
}
CODES = {
    *("CO-16/M53", "CO-16/M79", "CO-16/M52", "CO-110", "CO-16/N152", "OA-18", "PR-26", "PR-27", "PR-200", "PR-31"),
    *("CO-29", "PI-242", "CO-284", "CO-197", "CO-234/N390", "CO-97/M15", "CO-272/N351", "CO-302/N351", "CO-243"),
    *("CO-149/N117", "CO-149/N117/N472", "CO-272/N357", "CO-119/M86", "CO-198/N640"),
    *("CO-45", "CO-119/N362", "PR-1", "PR-2", "PR-3"),
}


def seeded_world(seed: int) -> tuple[History, Sequence[Json]]:
    """The history and the policy of a seed: P0 for one half, other switches for the other."""
    profiles = policy(Seeded(f"policy {seed}"))
    return seeded_history(seed, plans=tuple(profiles[0]["plans"])), profiles


@drawn
@given(data=st.data())
def test_line_by_line_on_drawn_histories(data: st.DataObject) -> None:
    chance = Drawn(data.draw)
    profiles = policy(chance)
    _compare(history(chance, most_claims=6, plans=tuple(profiles[0]["plans"])), profiles)


def test_line_by_line_on_seeded_histories() -> None:
    for seed in seeds():
        facts, profiles = seeded_world(seed)
        try:
            _compare(facts, profiles)
        except AssertionError as error:
            raise AssertionError(f"core and oracle differ on seed {seed}") from error


def test_fact_by_fact_while_agreements_change() -> None:
    """The next fact of a patient decides under the agreements of now; an agreement, a repeat, a late lower version and a
    refused fact change nothing."""
    for seed in seeds(0.1):
        facts, profiles = seeded_world(seed)
        core = Core(profiles)
        so_far: History = []
        expected: dict[str, list[Any]] = {}
        for fact in facts:
            core.take(fact)
            next_fact = _is_next_fact(fact, so_far, profiles)
            so_far.append(fact)
            if next_fact:
                on_record, _ = admitted(so_far, profiles)
                agreements = standing_agreements(f for f in on_record if f["type"] == "provider-agreement")
                patient_id = fact["patient_id"]
                of_patient = [f for f in on_record if f.get("patient_id") == patient_id]
                expected[patient_id] = _rows(decide_patient(patient_id, of_patient, agreements, profiles))
            wanted = [decided for _, of_patient in sorted(expected.items()) for decided in of_patient]
            assert _core_rows(core) == wanted, f"seed {seed}, fact {fact['event_id']}"


def test_the_histories_reach_every_reason() -> None:
    """And how often; `pytest -s` shows the table."""
    reached: Counter[tuple[int, str, str]] = Counter()
    codes: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    count = 0
    for seed in seeds():
        facts, profiles = seeded_world(seed)
        came_to = answer(facts, profiles)
        count += 1
        refused.update(refusal.reason for refusal in came_to.refused)
        for decision in came_to.current:
            reached[decision.edit, decision.outcome, decision.reason] += 1
            codes.update(adjustment.rpartition(":")[0] for adjustment in decision.adjustments)
    print(f"{sum(reached.values())} current decisions of {count} histories; refused: {dict(refused)}")
    for (edit, outcome, reason), times in sorted(reached.items()):
        print(f"  edit {edit:2}  {outcome:8} {reason:28} {times:6}")
    assert {(edit, reason) for edit, reasons in REASONS.items() for reason in reasons} == {
        (e, r) for e, _, r in reached
    }
    assert set(codes) == CODES
    assert {outcome for _, outcome, _ in reached} == {"PAID", "DENIED", "BUNDLED", "PENDED", "VOIDED"}
    assert set(refused) == {"WRONG_PAYER", "CONFLICT"}


def _compare(facts: History, profiles: Sequence[Json]) -> None:
    core = Core(profiles)
    published = core.take_all(facts)
    came_to = answer(facts, profiles)
    assert _core_rows(core) == _rows(came_to.current)
    refused = [(step.fact["event_id"], step.refused) for step in published if step.refused is not None]
    assert refused == [(refusal.fact["event_id"], refusal.reason) for refusal in came_to.refused]


def _rows(current: Iterable[Current]) -> list[list[Any]]:
    """What is compared of the oracle's decisions."""
    return [[d.patient_id, *d.row, d.next_payable_date, d.member_owes_cents, d.order_id] for d in current]


def _core_rows(core: Core) -> list[list[Any]]:
    """The same of the core's."""
    return [
        [d["patient_id"], *row(d), d["next_payable_date"], d["member_owes_cents"], d["order_id"]]
        for d in core.current_decisions()
    ]


def _is_next_fact(fact: Json, so_far: History, profiles: Sequence[Json]) -> bool:
    """Whether a fact decides its patient anew: a patient's, not refused, not known, and not below the version that stands."""
    if fact["type"] == "provider-agreement":
        return False
    before, _ = admitted(so_far, profiles)
    after, _ = admitted([*so_far, fact], profiles)
    if len(after) == len(before):
        return False
    of_patient = [f for f in after if f.get("patient_id") == fact["patient_id"]]
    stands = standing(of_patient)
    match fact["type"]:
        case "pathway-selected":
            return stands.orders[fact["order_id"]] is fact
        case "treatment-started":
            return stands.starts[fact["order_id"]] is fact
        case "member-eligibility":
            return stands.eligibility is fact
    return True
