"""The generated year: the same everywhere, in order of arrival, and with every outcome and reason in it."""

import hashlib
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise

import pytest

from streams.adjudication.decisions import OUTCOMES, PAID
from streams.adjudication.facts import Claim, Fact, PathwaySelection, ProviderAgreement
from streams.adjudication.offline import OfflineEngine
from streams.generator import history
from streams.generator.catalogue import YEAR_BEGINS, check_digit
from streams.generator.stories import STORIES
from streams.policy_files import load_policy

REASONS = {
    *("INVALID_UNITS", "INVALID_CHARGE", "INVALID_SERVICE_DATE", "DOS_AFTER_RECEIPT", "INVALID_ORIGINAL_REFERENCE"),
    *("DUPLICATE", "NOT_ELIGIBLE", "UNTIMELY", "NOT_IN_NETWORK", "AUTH_MISMATCH", "NO_PATHWAY_AT_DOS", "OFF_PATHWAY"),
    *("AWAIT_TREATMENT_START", "NO_TREATMENT_START", "BEFORE_ONSET", "AFTER_SPAN", "ORDERING_NOT_IN_NETWORK"),
    *("S0353_ONCE", "WITHIN_30_OF_S0353", "WITHIN_30_OF_S0354", "MAX_MONTHS", "PAID", "VOIDED"),
}


@cache
def facts(patients: int, seed: int) -> tuple[Fact, ...]:
    return tuple(history(patients, seed))


@pytest.mark.parametrize("seed", [0, 1, 2, 7, 42, 1_000_003])
def test_a_history_of_200_patients_reaches_every_outcome_every_reason_and_both_refusals(seed: int) -> None:
    engine = OfflineEngine(load_policy())
    refusals = Counter(
        folded.step.refusal.reason for folded in engine.fold_all(facts(200, seed)) if folded.step.refusal is not None
    )
    rulings = [position.ruling for record in engine.records.values() for position in record.positions.values()]
    outcomes = Counter(ruling.outcome for ruling in rulings)

    assert REASONS - {ruling.reason for ruling in rulings} == set()
    assert set(outcomes) == set(OUTCOMES)
    assert set(refusals) == {"WRONG_PAYER", "CONFLICT"}
    assert 0.6 <= outcomes[PAID] / len(rulings) <= 0.78, "about two thirds are paid"


def test_some_decisions_are_changed_by_later_facts() -> None:
    engine = OfflineEngine(load_policy())
    published = sum(len(folded.step.decisions) for folded in engine.fold_all(facts(200, 1)))
    lines = sum(len(record.positions) for record in engine.records.values())
    assert published > lines * 1.05


def test_the_same_seed_gives_the_same_facts_whatever_the_hash_seed() -> None:
    def digest(hash_seed: str) -> str:
        program = "from streams.generator import history; print(*history(60, 3), sep='\\n')"
        done = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True
        )
        return hashlib.sha256(done.stdout).hexdigest()

    assert digest("1") == digest("2")
    assert facts(60, 3) == tuple(history(60, 3)) != facts(60, 4)


def test_agreements_come_first_and_some_are_changed() -> None:
    kinds = [type(fact) is ProviderAgreement for fact in facts(200, 1)]
    assert kinds == sorted(kinds, reverse=True)
    assert {fact.version for fact in facts(200, 1) if isinstance(fact, ProviderAgreement)} == {1, 2}


def test_facts_arrive_in_the_order_of_their_days() -> None:
    orders = [
        fact.effective_from for fact in facts(400, 1) if isinstance(fact, PathwaySelection) and fact.order_version == 1
    ]
    assert min(orders) > YEAR_BEGINS
    assert max(orders) < YEAR_BEGINS + 365
    # late orders are the exception, so neighbours are in order nearly always
    assert sum(one > other for one, other in pairwise(orders)) < len(orders) / 10
    patients = [fact.patient_id for fact in facts(400, 1) if isinstance(fact, Claim)]
    assert sum(one == other for one, other in pairwise(patients)) < len(patients) / 10, "patients are interleaved"


def test_some_facts_arrive_twice_as_the_same_event_and_as_another() -> None:
    events: dict[tuple[object, ...], list[str]] = {}
    for fact in facts(200, 1):
        events.setdefault((type(fact), *fact[1:]), []).append(fact.event_id)
    repeats = [event_ids for event_ids in events.values() if len(event_ids) > 1]
    assert any(len(set(event_ids)) == 1 for event_ids in repeats)
    assert any(len(set(event_ids)) > 1 for event_ids in repeats)


def test_npis_pass_their_check_digit() -> None:
    assert check_digit(123456789) == 3  # the example in the standard
    npis = {fact.npi for fact in facts(200, 1) if isinstance(fact, ProviderAgreement)}
    npis |= {fact.billing_npi for fact in facts(200, 1) if isinstance(fact, Claim)}
    for npi in npis:
        assert len(npi) == 10
        assert check_digit(int(npi[:9])) == int(npi[9])


def test_patients_are_opaque_tokens_one_for_each() -> None:
    patients = {fact.patient_id for fact in facts(400, 1) if isinstance(fact, Claim)}
    assert len(patients) == 400
    assert all(len(patient) == 13 and patient.startswith("pt-") for patient in patients)


def test_claims_are_coded_as_practices_code_them() -> None:
    claims = [fact for fact in facts(200, 1) if isinstance(fact, Claim) and fact.lines]
    codes = {line.procedure_code for claim in claims for line in claim.lines}
    assert {"S0353", "S0354", "96413"} < codes
    alone = sum(len(claim.lines) == 1 for claim in claims)
    assert 0.1 < alone / len(claims) < 0.5, "an S-code mostly comes along with chemotherapy"
    weekends = sum((claim.lines[0].service_date + 3) % 7 > 4 for claim in claims)
    assert weekends / len(claims) < 0.2


@pytest.mark.parametrize("patients", [1, 5, len(STORIES) - 1])
def test_a_small_history_is_a_history_too(patients: int) -> None:
    assert len({fact.patient_id for fact in facts(patients, 9) if not isinstance(fact, ProviderAgreement)}) == patients


def test_every_story_says_what_it_is_for_and_fits_into_the_year() -> None:
    for story in STORIES:
        assert story.tell.__doc__, story.name
        assert story.weight > 0
        assert story.days < 365
