"""Hypothesis strategies for any event that the contract allows, plausible or not: what the outside forms must carry."""

from typing import TypeVar

from hypothesis import strategies as st

from streams.adjudication import decisions, facts, intake

T = TypeVar("T")


def with_check_digit(nine_digits: int) -> str:
    """The NPI that begins with these nine digits."""
    return next(npi for digit in range(10) if intake.is_npi(npi := f"{nine_digits}{digit}"))


def tuples(
    items: st.SearchStrategy[T], min_size: int = 0, unique_by: object = None
) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(items, min_size=min_size, max_size=3, unique_by=unique_by).map(tuple)  # type: ignore[arg-type]


texts = st.text(max_size=8)
ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
npis = st.integers(100_000_000, 299_999_999).map(with_check_digit)
days = st.integers(intake.FIRST_DAY, intake.LAST_DAY)
open_days = st.none() | days
instants = st.integers(intake.FIRST_DAY * 86_400_000_000, (intake.LAST_DAY + 1) * 86_400_000_000 - 1)
longs = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)

selections = st.builds(
    facts.PathwaySelection,
    event_id=ids,
    patient_id=ids,
    plan_id=ids,
    program_id=ids,
    order_id=ids,
    order_version=counts,
    status=st.just(facts.SELECTED),
    withdrawn_from=open_days,
    ordering_npi=npis,
    regimen_code=texts,
    on_pathway=st.booleans(),
    effective_from=days,
    effective_to=open_days,
    max_months=counts,
    selected_at=instants,
)
starts = st.builds(
    facts.TreatmentStart,
    event_id=ids,
    patient_id=ids,
    order_id=ids,
    version=counts,
    status=st.sampled_from((facts.STARTED, facts.CANCELLED)),
    onset_date=days,
    recorded_at=instants,
)
lines = st.builds(
    facts.ClaimLine,
    line_number=longs,
    procedure_code=texts,
    modifiers=tuples(texts),
    service_date=days,
    service_date_to=days,
    units=longs,
    charge_cents=longs,
    diagnosis_codes=tuples(texts),
    place_of_service=texts,
)
claims = st.builds(
    facts.Claim,
    event_id=ids,
    patient_id=ids,
    plan_id=ids,
    payer_id=texts,
    claim_id=ids,
    frequency_code=st.sampled_from((facts.ORIGINAL, facts.REPLACEMENT, facts.VOID)),
    original_claim_id=st.none() | ids,
    patient_control_number=texts,
    billing_npi=npis,
    rendering_npi=st.none() | npis,
    ordering_npi=st.none() | npis,
    order_id=st.none() | ids,
    received_date=st.integers(intake.FIRST_DAY, intake.LAST_RECEIVED_DAY),
    form_type=texts,
    cost_share=st.builds(facts.CostShare, longs, longs, longs),
    lines=tuples(lines, min_size=1, unique_by=lambda line: line.line_number),
)
eligibilities = st.builds(
    facts.MemberEligibility,
    event_id=ids,
    patient_id=ids,
    version=counts,
    spans=tuples(st.builds(facts.EligibilitySpan, ids, days, open_days)),
)
expiries = st.builds(facts.PendExpired, event_id=ids, patient_id=ids, claim_id=ids)
requests = st.builds(
    facts.ReadjudicationRequested,
    event_id=ids,
    patient_id=ids,
    requested_by=texts,
    reason=texts,
    agreements_through=st.none()
    | st.dictionaries(st.integers(0, 2**31 - 1), counts, max_size=3).map(
        lambda offsets: tuple(sorted(offsets.items()))
    ),
)
agreements = st.builds(
    facts.ProviderAgreement,
    event_id=ids,
    npi=npis,
    version=counts,
    spans=tuples(
        st.builds(facts.AgreementSpan, ids, days, open_days, counts, counts, counts),
        unique_by=lambda span: span.plan_id,
    ),
)
any_fact = st.one_of(selections, starts, claims, eligibilities, expiries, requests, agreements)

policies = st.builds(decisions.PolicyRef, texts, longs)
adjustments = st.builds(
    decisions.Adjustment,
    group=st.sampled_from(("CO", "OA", "PI", "PR")),
    carc=st.from_regex(r"\A[1-9][0-9]{0,2}\Z"),
    rarcs=tuples(st.from_regex(r"\A(M|N|MA)[0-9]{1,3}\Z")),
    cents=longs,
)
any_decision = st.builds(
    decisions.Decision,
    decision_id=texts,
    patient_id=ids,
    claim_id=ids,
    line_number=longs,
    version=longs,
    supersedes=st.none() | texts,
    outcome=st.sampled_from(decisions.OUTCOMES),
    reason=texts,
    procedure_code=texts,
    service_date=days,
    billing_npi=npis,
    order_id=st.none() | ids,
    charge_cents=longs,
    allowed_cents=longs,
    paid_cents=longs,
    paid_before_cents=longs,
    change_cents=longs,
    member_owes_cents=longs,
    adjustments=tuples(adjustments),
    next_payable_date=open_days,
    explanation=texts,
    evidence=tuples(st.builds(decisions.Evidence, texts, texts, texts)),
    policy=policies,
    agreements=tuples(st.builds(decisions.AgreementRef, npis, longs)),
    caused_by=ids,
)
any_notice = st.builds(
    decisions.EligibilityNotice,
    patient_id=ids,
    order_id=ids,
    order_version=longs,
    eligible=st.booleans(),
    reason=texts,
    explanation=texts,
    procedure_codes=tuples(texts),
    effective_from=days,
    effective_to=open_days,
    max_months=longs,
    s0353_fee_cents=st.none() | longs,
    s0354_fee_cents=st.none() | longs,
    policy=policies,
    caused_by=ids,
)
