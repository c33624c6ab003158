"""Facts with defaults, for tests that are about one thing: a line served on the onset is paid in full."""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

PATIENT = "pt-0001"
NPI = "1234567893"
OTHER_NPI = "1098765435"


def agreement(npi: str = NPI, version: int = 1, spans: Sequence[Json] | None = None, **span_fields: Any) -> Json:
    """An agreement; without `spans` it has one, open since long ago, with `span_fields` set otherwise."""
    standing = [agreement_span(**span_fields)] if spans is None else list(spans)
    return {
        "type": "provider-agreement",
        "event_id": f"agreement-{npi}-{version}",
        "npi": npi,
        "version": version,
        "spans": standing,
    }


def agreement_span(**fields: Any) -> Json:
    return {
        "plan_id": "PPO",
        "effective_from": "2020-01-01",
        "effective_to": None,
        "filing_limit_days": 90,
        "s0353_fee_cents": 35000,
        "s0354_fee_cents": 35000,
        **fields,
    }


def order(order_id: str = "O1", order_version: int = 1, **fields: Any) -> Json:
    return {
        "type": "pathway-selected",
        "event_id": f"order-{order_id}-{order_version}",
        "patient_id": PATIENT,
        "plan_id": "PPO",
        "program_id": "MOP",
        "order_id": order_id,
        "order_version": order_version,
        "status": "SELECTED",
        "withdrawn_from": None,
        "ordering_npi": NPI,
        "regimen_code": "R001",
        "on_pathway": True,
        "effective_from": "2024-01-02",
        "effective_to": "2024-12-31",
        "max_months": 6,
        "selected_at": "2024-01-02T15:00:00Z",
        **fields,
    }


def start(order_id: str = "O1", version: int = 1, onset_date: str = "2024-01-08", **fields: Any) -> Json:
    return {
        "type": "treatment-started",
        "event_id": f"start-{order_id}-{version}",
        "patient_id": PATIENT,
        "order_id": order_id,
        "version": version,
        "status": "STARTED",
        "onset_date": onset_date,
        "recorded_at": "2024-01-08T20:00:00Z",
        **fields,
    }


def line(line_number: int, procedure_code: str, service_date: str, **fields: Any) -> Json:
    return {
        "line_number": line_number,
        "procedure_code": procedure_code,
        "modifiers": [],
        "service_date": service_date,
        "service_date_to": service_date,
        "units": 1,
        "charge_cents": 35000,
        "diagnosis_codes": ["C50911"],
        "place_of_service": "11",
        **fields,
    }


def claim(claim_id: str, lines: Sequence[Json], received_date: str | None = None, **fields: Any) -> Json:
    """A claim, received by default on the last of its lines' service dates."""
    return {
        "type": "claim-received",
        "event_id": f"claim-{claim_id}",
        "patient_id": PATIENT,
        "plan_id": "PPO",
        "payer_id": "HP001",
        "claim_id": claim_id,
        "frequency_code": "1",
        "original_claim_id": None,
        "patient_control_number": f"PCN-{claim_id}",
        "billing_npi": NPI,
        "rendering_npi": NPI,
        "ordering_npi": None,
        "order_id": None,
        "received_date": received_date or max(line["service_date"] for line in lines),
        "form_type": "CMS-1500",
        "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 0},
        "lines": list(lines),
        **fields,
    }


def s_line(claim_id: str, procedure_code: str, service_date: str, **fields: Any) -> Json:
    """A claim of one S-code line; `fields` are the claim's."""
    return claim(claim_id, [line(1, procedure_code, service_date)], **fields)


def eligibility(version: int = 1, *spans: tuple[str, str | None], plan_id: str = "PPO") -> Json:
    return {
        "type": "member-eligibility",
        "event_id": f"eligibility-{version}",
        "patient_id": PATIENT,
        "version": version,
        "spans": [{"plan_id": plan_id, "effective_from": begins, "effective_to": ends} for begins, ends in spans],
    }


def pend_expired(claim_id: str) -> Json:
    return {
        "type": "pend-expired",
        "event_id": f"expired-{claim_id}",
        "patient_id": PATIENT,
        "claim_id": claim_id,
    }


def readjudication(event_id: str = "readjudication-1", patient_id: str = PATIENT) -> Json:
    return {
        "type": "readjudication-requested",
        "event_id": event_id,
        "patient_id": patient_id,
        "requested_by": "ops",
        "reason": "agreement changed",
        "agreements_through": None,
    }
