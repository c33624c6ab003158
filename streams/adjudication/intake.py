"""What makes a fact invalid: values that the rules cannot work with (events.md section 5).

What the rules *deny* is never invalid: units or a charge below 1, a service date after the receipt, a reference to nowhere,
no months, no spans, spans that end before they begin. Nor is what they refuse themselves: a plan or payer that the
policy does not know.
"""

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any, Final

from .days import Day
from .facts import (
    CANCELLED,
    ORIGINAL,
    REPLACEMENT,
    SELECTED,
    STARTED,
    VOID,
    WITHDRAWN,
    AgreementSpan,
    Claim,
    EligibilitySpan,
    Fact,
    MemberEligibility,
    Micros,
    PathwaySelection,
    PendExpired,
    ProviderAgreement,
    ReadjudicationRequested,
    TreatmentStart,
)
from .memo import Memo

_EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY: Final[Day] = date.min.toordinal() - _EPOCH  # 0001-01-01 and 9999-12-31: what an ISO date can name
LAST_DAY: Final[Day] = date.max.toordinal() - _EPOCH
LAST_RECEIVED_DAY: Final[Day] = date(9998, 12, 31).toordinal() - _EPOCH
"""A line is counted only if it was served by the day of receipt; so the next payable date, a gap of days after a counted line, is
still a date that can be written for any gap of up to a year."""

# What a fact may hold at most: far more than anybody needs, and little enough that what it leads to fits where it has to go. Kafka
# takes records of a mebibyte, of four for the patient table; a fact whose outputs no topic takes would stop its partition for good.
MAX_ID_CHARACTERS: Final = 256
"""An id is a number or a token of some 50 characters in X12, 64 in FHIR. A decision or a notice repeats it, in its sentence and in
its evidence, too."""
MAX_REASON_CHARACTERS: Final = 1_000
"""Of why a patient is to be decided again, which the table keeps with each request."""
MAX_LINES: Final = 999
"""As many as X12 allows for an institutional claim (837I; a professional one, 837P, has 50). They are decided in one go, and every
other lane of the worker waits meanwhile."""
MAX_SPANS: Final = 200
"""A new span every month for sixteen years. The table keeps all versions of a member's eligibility in one value."""
MAX_PARTITIONS: Final = 10_000
"""Of provider-agreement, that a request names: as many as a topic may have here (streams/settings.py)."""

_DAY_MICROS: Final[Micros] = 86_400_000_000
_FIRST_MICROS: Final[Micros] = FIRST_DAY * _DAY_MICROS
_END_MICROS: Final[Micros] = (LAST_DAY + 1) * _DAY_MICROS

_FREQUENCIES: Final = frozenset((ORIGINAL, REPLACEMENT, VOID))
_ORDER_STATUSES: Final = frozenset((SELECTED, WITHDRAWN))
_START_STATUSES: Final = frozenset((STARTED, CANCELLED))


class InvalidFact(Exception):
    """A fact with a value that the rules cannot work with."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}")
        self.field = field  # such as lines[0].service_date
        self.sentence = sentence  # what is expected; never the value found


def check(fact: Fact) -> None:
    """Raises `InvalidFact` if the rules cannot work with a value of the fact."""
    _CHECKS[type(fact)](fact)


def is_npi(text: str) -> bool:
    """Whether a text is a National Provider Identifier: 10 digits, the first 1 or 2, the last a Luhn check digit over the others
    with the prefix 80840 of health identifiers in the United States."""
    return _NPIS.of(text)


def _is_npi(text: str) -> bool:
    if len(text) != 10 or not text.isascii() or not text.isdigit() or text[0] not in "12":
        return False
    digits = [int(digit) for digit in text]
    doubled = sum(2 * digit - 9 if digit > 4 else 2 * digit for digit in digits[0::2])
    return (24 + doubled + sum(digits[1::2])) % 10 == 0  # 24 is what the prefix adds


_NPIS: Final = Memo(_is_npi, 65_536)


def _claim(claim: Claim) -> None:
    (
        event_id,
        patient_id,
        plan_id,
        payer_id,
        claim_id,
        frequency_code,
        original_claim_id,
        patient_control_number,
        billing_npi,
        rendering_npi,
        ordering_npi,
        order_id,
        received_date,
        form_type,
        _cost_share,
        lines,
    ) = claim
    if not (event_id and patient_id and claim_id and plan_id):
        _refuse_empty(claim, "event_id", "patient_id", "plan_id", "claim_id")
    if (
        "\0" in patient_id
        or "\0" in claim_id
        or "\0" in plan_id
        or (original_claim_id is not None and "\0" in original_claim_id)
        or (order_id is not None and "\0" in order_id)
    ):
        _refuse_zero_bytes(claim, "patient_id", "claim_id", "plan_id", "original_claim_id", "order_id")
    together = len(event_id) + len(patient_id) + len(plan_id) + len(payer_id) + len(claim_id)
    together += len(original_claim_id or "") + len(patient_control_number) + len(order_id or "") + len(form_type)
    if together > MAX_ID_CHARACTERS:  # hardly ever; then one of them may be, by itself
        _refuse_long(claim, "event_id", "patient_id", "plan_id", "payer_id", "claim_id", "original_claim_id")
        _refuse_long(claim, "patient_control_number", "order_id", "form_type")
    if frequency_code not in _FREQUENCIES:
        raise InvalidFact("frequency_code", "must be 1 (original), 7 (replacement) or 8 (void)")
    if not is_npi(billing_npi):
        _refuse_npi("billing_npi", billing_npi)
    if rendering_npi is not None and not is_npi(rendering_npi):
        _refuse_npi("rendering_npi", rendering_npi)
    if ordering_npi is not None and not is_npi(ordering_npi):
        _refuse_npi("ordering_npi", ordering_npi)
    if not FIRST_DAY <= received_date <= LAST_RECEIVED_DAY:
        raise InvalidFact("received_date", "must be a date between 0001-01-01 and 9998-12-31")
    if len(lines) > MAX_LINES:
        raise InvalidFact("lines", f"must not be more than {MAX_LINES}")
    numbers = set()
    for index, line in enumerate(lines):
        numbers.add(line.line_number)
        if not (FIRST_DAY <= line.service_date <= LAST_DAY and FIRST_DAY <= line.service_date_to <= LAST_DAY):
            _refuse_days(line, "service_date", "service_date_to", within=f"lines[{index}].")
    if len(numbers) != len(lines):
        raise InvalidFact("lines", "must not have two lines with one line_number")
    if not lines and frequency_code != VOID:
        raise InvalidFact("lines", "must have a line; only a void may have none")


def _selection(selection: PathwaySelection) -> None:
    (
        event_id,
        patient_id,
        plan_id,
        program_id,
        order_id,
        order_version,
        status,
        withdrawn_from,
        ordering_npi,
        regimen_code,
        _on_pathway,
        effective_from,
        effective_to,
        max_months,
        selected_at,
    ) = selection
    if not (event_id and patient_id and plan_id and program_id and order_id):
        _refuse_empty(selection, "event_id", "patient_id", "plan_id", "program_id", "order_id")
    if "\0" in patient_id or "\0" in plan_id or "\0" in order_id:
        _refuse_zero_bytes(selection, "patient_id", "plan_id", "order_id")
    together = len(event_id) + len(patient_id) + len(plan_id) + len(program_id) + len(order_id) + len(regimen_code)
    if together > MAX_ID_CHARACTERS:
        _refuse_long(selection, "event_id", "patient_id", "plan_id", "program_id", "order_id", "regimen_code")
    if order_version < 0 or max_months < 0:
        _refuse_negative(selection, "order_version", "max_months")
    if status not in _ORDER_STATUSES:
        raise InvalidFact("status", "must be SELECTED or WITHDRAWN")
    if status == WITHDRAWN and withdrawn_from is None:
        raise InvalidFact("withdrawn_from", "must be the first day without the order when the status is WITHDRAWN")
    if not is_npi(ordering_npi):
        _refuse_npi("ordering_npi", ordering_npi)
    for day in (withdrawn_from, effective_from, effective_to):
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            _refuse_days(selection, "withdrawn_from", "effective_from", "effective_to")
    _refuse_instant("selected_at", selected_at)


def _start(start: TreatmentStart) -> None:
    event_id, patient_id, order_id, version, status, onset_date, recorded_at = start
    if not (event_id and patient_id and order_id):
        _refuse_empty(start, "event_id", "patient_id", "order_id")
    if "\0" in patient_id or "\0" in order_id:
        _refuse_zero_bytes(start, "patient_id", "order_id")
    if len(event_id) + len(patient_id) + len(order_id) > MAX_ID_CHARACTERS:
        _refuse_long(start, "event_id", "patient_id", "order_id")
    if version < 0:
        _refuse_negative(start, "version")
    if status not in _START_STATUSES:
        raise InvalidFact("status", "must be STARTED or CANCELLED")
    if not FIRST_DAY <= onset_date <= LAST_DAY:
        _refuse_days(start, "onset_date")
    _refuse_instant("recorded_at", recorded_at)


def _eligibility(eligibility: MemberEligibility) -> None:
    _refuse_empty(eligibility, "event_id", "patient_id")
    _refuse_zero_bytes(eligibility, "patient_id")
    _refuse_long(eligibility, "event_id", "patient_id")
    _refuse_negative(eligibility, "version")
    _refuse_many_spans(eligibility)
    for index, span in enumerate(eligibility.spans):
        _span(f"spans[{index}].", span)


def _agreement(agreement: ProviderAgreement) -> None:
    _refuse_empty(agreement, "event_id")
    _refuse_long(agreement, "event_id")
    _refuse_negative(agreement, "version")
    _refuse_many_spans(agreement)
    if not is_npi(agreement.npi):
        _refuse_npi("npi", agreement.npi)
    for index, span in enumerate(agreement.spans):
        _span(f"spans[{index}].", span)
        _refuse_negative(span, "filing_limit_days", "s0353_fee_cents", "s0354_fee_cents", within=f"spans[{index}].")
    covering = sorted(
        (span.plan_id, span.effective_from, _last(span))
        for span in agreement.spans
        if span.effective_from <= _last(span)
    )
    for (plan, _, last), (next_plan, first, _) in pairwise(covering):
        if plan == next_plan and first <= last:
            raise InvalidFact(
                "spans", "must not overlap within one plan; a span's effective_to is its last day, inclusive"
            )


def _pend_expired(expired: PendExpired) -> None:
    _refuse_empty(expired, "event_id", "patient_id", "claim_id")
    _refuse_zero_bytes(expired, "patient_id", "claim_id")
    _refuse_long(expired, "event_id", "patient_id", "claim_id")


def _request(request: ReadjudicationRequested) -> None:
    _refuse_empty(request, "event_id", "patient_id")
    _refuse_zero_bytes(request, "patient_id")
    _refuse_long(request, "event_id", "patient_id", "requested_by")
    if len(request.reason) > MAX_REASON_CHARACTERS:
        raise InvalidFact("reason", f"must not be longer than {MAX_REASON_CHARACTERS:,} characters")
    through = request.agreements_through or ()
    if len(through) > MAX_PARTITIONS:
        raise InvalidFact("agreements_through", f"must not name more than {MAX_PARTITIONS:,} partitions")
    if any(not 0 <= partition < 1 << 31 or offset < 0 for partition, offset in through):
        raise InvalidFact("agreements_through", "must have partitions and offsets from 0 upwards, as Kafka counts them")
    if any(one >= other for (one, _), (other, _) in pairwise(through)):
        raise InvalidFact("agreements_through", "must name each partition once, in ascending order")


_CHECKS: Final[dict[type, Callable[[Any], None]]] = {
    Claim: _claim,
    PathwaySelection: _selection,
    TreatmentStart: _start,
    MemberEligibility: _eligibility,
    ProviderAgreement: _agreement,
    PendExpired: _pend_expired,
    ReadjudicationRequested: _request,
}


def _span(within: str, span: EligibilitySpan | AgreementSpan) -> None:
    _refuse_empty(span, "plan_id", within=within)
    _refuse_long(span, "plan_id", within=within)
    _refuse_days(span, "effective_from", "effective_to", within=within)


def _last(span: AgreementSpan) -> Day:
    return LAST_DAY if span.effective_to is None else span.effective_to


def _refuse_empty(value: Any, *fields: str, within: str = "") -> None:
    for field in fields:
        if getattr(value, field) == "":
            raise InvalidFact(within + field, "must not be empty")


def _refuse_zero_bytes(value: Any, *fields: str) -> None:
    """Ids with a zero byte in them: keys of the patient table and the hash of a decision use it to
    part one id from the next."""
    for field in fields:
        if "\0" in (getattr(value, field) or ""):
            raise InvalidFact(field, "must not hold the character U+0000")


def _refuse_long(value: Any, *fields: str, within: str = "") -> None:
    for field in fields:
        if len(getattr(value, field) or "") > MAX_ID_CHARACTERS:
            raise InvalidFact(within + field, f"must not be longer than {MAX_ID_CHARACTERS} characters")


def _refuse_many_spans(value: MemberEligibility | ProviderAgreement) -> None:
    if len(value.spans) > MAX_SPANS:
        raise InvalidFact("spans", f"must not be more than {MAX_SPANS}")


def _refuse_negative(value: Any, *fields: str, within: str = "") -> None:
    for field in fields:
        if getattr(value, field) < 0:
            raise InvalidFact(within + field, "must not be negative")


def _refuse_days(value: Any, *fields: str, within: str = "") -> None:
    for field in fields:
        day = getattr(value, field)
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise InvalidFact(within + field, "must be a date between 0001-01-01 and 9999-12-31")


def _refuse_instant(field: str, micros: Micros) -> None:
    if not _FIRST_MICROS <= micros < _END_MICROS:
        raise InvalidFact(field, "must be an instant between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z")


def _refuse_npi(field: str, npi: str) -> None:
    if len(npi) != 10 or not npi.isascii() or not npi.isdigit() or npi[0] not in "12":
        raise InvalidFact(field, "must be an NPI: 10 digits, the first 1 or 2")
    raise InvalidFact(field, "must be an NPI; this one fails its check digit")
