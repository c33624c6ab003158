"""FHIR Claims: what becomes of each element, what rejects, and that what has no field is reported."""

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.adjudication import intake
from streams.adjudication.days import day_from_iso
from streams.adjudication.facts import Claim
from streams.importers.fhir import LARGEST_RESOURCE_BYTES, NPI, read_fhir
from streams.importers.member_tokens import MemberTokens
from streams.importers.report import FileReport, Problem
from streams.importers.terms import Terms
from streams.policy_files import load_policy
from tests.unit.importers.x12_files import NPI as BILLING
from tests.unit.importers.x12_files import OTHER_NPI

TERMS = Terms(MemberTokens(b"k" * 32), load_policy())


def coded(code: str, system: str = "http://example.org/codes") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def npi(number: str) -> dict[str, Any]:
    return {"identifier": {"system": NPI, "value": number}}


def resource(**changes: Any) -> dict[str, Any]:
    claim = {
        "resourceType": "Claim",
        "id": "c1",
        "identifier": [{"system": "urn:clinic", "value": "PCN-A"}],
        "status": "active",
        "type": coded("professional"),
        "use": "claim",
        "patient": {"reference": "Patient/p1", "identifier": {"value": "MEM-0001"}, "display": "Jane Doe"},
        "created": "2024-01-12T23:30:00-07:00",
        "insurer": {"identifier": {"value": "HP001"}},
        "provider": npi(BILLING),
        "priority": coded("normal"),
        "careTeam": [{"sequence": 1, "provider": npi(OTHER_NPI), "role": coded("rendering")}],
        "diagnosis": [
            {"sequence": 1, "diagnosisCodeableConcept": coded("C50.911")},
            {"sequence": 2, "diagnosisCodeableConcept": coded("Z51.11")},
        ],
        "insurance": [
            {"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/v1"}, "preAuthRef": ["O1"]},
        ],
        "item": [
            {
                "sequence": 1,
                "productOrService": coded("S0353", "http://terminology.hl7.org/CodeSystem/HCPCS"),
                "modifier": [coded("25")],
                "servicedDate": "2024-01-08",
                "locationCodeableConcept": coded("11"),
                "quantity": {"value": 1},
                "unitPrice": {"value": Decimal("400.00"), "currency": "USD"},
                "net": {"value": Decimal("400.00"), "currency": "USD"},
                "diagnosisSequence": [2, 1],
            }
        ],
        "total": {"value": 400, "currency": "USD"},
    }
    return {name: value for name, value in {**claim, **changes}.items() if value is not None}


def item(**changes: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in {**resource()["item"][0], **changes}.items() if value is not None}]


def read(*resources: Any, terms: Terms = TERMS) -> tuple[list[Claim], FileReport]:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one, default=float) for one in resources)
    report = FileReport("claims.json")
    return list(read_fhir(io.BytesIO(text.encode()), terms, report)), report


def problems(report: FileReport) -> list[Problem]:
    return [problem for part in report.parts for problem in part.problems]


def test_every_field_of_the_event() -> None:
    (claim,), report = read(resource())
    assert problems(report) == []
    assert claim.patient_id == TERMS.tokens.subscriber("HP001", "MEM0001"), "the token that an 837P makes, too"
    assert (claim.plan_id, claim.payer_id, claim.patient_control_number) == ("PPO", "HP001", "PCN-A")
    assert (claim.billing_npi, claim.rendering_npi, claim.ordering_npi, claim.order_id) == (
        BILLING,
        OTHER_NPI,
        None,
        "O1",
    )
    assert (claim.frequency_code, claim.original_claim_id) == ("1", None)
    assert claim.received_date == day_from_iso("2024-01-12"), "as the writer's calendar had it"
    (line,) = claim.lines
    assert line == (
        1,
        "S0353",
        ("25",),
        day_from_iso("2024-01-08"),
        day_from_iso("2024-01-08"),
        1,
        40000,
        ("Z5111", "C50911"),
        "11",
    )


def test_what_has_no_field_is_reported_and_never_with_its_value() -> None:
    more = {"text": {"status": "generated", "div": "<div>Jane</div>"}, "accident": {"date": "2024-01-01"}}
    _, report = read(resource(**more))
    left = dict(report.not_mapped.keys())
    assert {"Claim.text", "Claim.accident.date", "Claim.patient.display", "Claim.priority.coding.code"} <= left.keys()
    assert "narrative" in left["Claim.text"]
    said = json.dumps(report.in_json()) + "\n".join(report.in_words(notes=True))
    assert "Jane" not in said
    assert "2024-01-01" not in said


def test_a_bundle_resolves_what_its_claims_refer_to() -> None:
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": resource(
                    patient={"reference": "Patient/p1"},
                    provider={"reference": "urn:uuid:2"},
                    insurer={"reference": "Organization/o1"},
                ),
            },
            {
                "fullUrl": "urn:uuid:2",
                "resource": {"resourceType": "Organization", "identifier": [npi(BILLING)["identifier"]]},
            },
            {"resource": {"resourceType": "Organization", "id": "o1", "identifier": [{"value": "HP001"}]}},
            {
                "resource": {
                    "resourceType": "Patient",
                    "id": "p1",
                    "birthDate": "2010-05-06",
                    "name": [{"given": ["Tom"]}],
                }
            },
            {
                "resource": {
                    "resourceType": "Coverage",
                    "id": "v1",
                    "subscriberId": "MEM0001",
                    "relationship": coded("child"),
                    "class": [{"type": coded("plan"), "value": "HMO"}],
                }
            },
        ],
    }
    for text in (json.dumps(bundle, default=float), json.dumps(bundle, default=float, indent=2)):
        (claim,), report = read(text)
        assert not report.found_problems
        assert claim.patient_id == TERMS.tokens.dependent("HP001", "MEM0001", "2010-05-06", "TOM")
        assert (claim.plan_id, claim.payer_id, claim.billing_npi) == ("HMO", "HP001", BILLING)


def test_replacements_and_cancellations_name_the_number_that_the_original_got() -> None:
    prior = [{"relationship": coded("prior"), "claim": {"identifier": {"system": "urn:clinic", "value": "PCN-A"}}}]
    claims, _ = read(
        resource(),
        resource(identifier=[{"system": "urn:clinic", "value": "PCN-B"}], related=prior),
        resource(status="cancelled"),
    )
    original, replacement, void = claims
    assert (replacement.frequency_code, replacement.original_claim_id) == ("7", original.claim_id)
    assert (void.frequency_code, void.original_claim_id) == ("8", original.claim_id)
    assert len({claim.claim_id for claim in claims}) == 3
    (by_payers_number,), _ = read(resource(related=[{"relationship": coded("prior"), "reference": {"value": "ICN1"}}]))
    assert by_payers_number.original_claim_id == "ICN1"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"status": "draft"}, "Claim.status"),
        ({"use": "preauthorization"}, "Claim.use"),
        ({"type": coded("pharmacy")}, "Claim.type"),
        ({"insurer": {"display": "x"}}, "Claim.insurer"),
        ({"patient": {"reference": "Patient/p1"}}, "Claim.patient"),
        ({"provider": npi("1234567890")}, "Claim.provider.identifier"),
        ({"provider": None}, "Claim.provider"),
        ({"insurance": None}, "Claim.insurance"),
        ({"created": "2024-01"}, "Claim.created"),
        ({"total": {"value": 399}}, "Claim.total"),
        ({"item": "x"}, "Claim.item"),
        ({"item": item(sequence=None)}, "Claim.item[0].sequence"),
        ({"item": item(quantity={"value": 1.5})}, "Claim.item[0].quantity.value"),
        ({"item": item(quantity={"value": "1"})}, "Claim.item[0].quantity.value"),
        ({"item": item(net={"value": 1.005})}, "Claim.item[0].net"),
        ({"item": item(net={"value": 1, "currency": "EUR"})}, "Claim.item[0].net.currency"),
        ({"item": item(net=None, unitPrice=None)}, "Claim.item[0].net"),
        ({"item": item(servicedDate="2024-02-30")}, "Claim.item[0].serviced"),
        ({"item": item(diagnosisSequence=[9])}, "Claim.item[0].diagnosisSequence[0]"),
        ({"id": None, "identifier": None}, "Claim.identifier"),
    ],
)
def test_a_bad_claim_is_rejected_by_path_and_the_good_one_beside_it_is_not(changes: dict[str, Any], path: str) -> None:
    claims, report = read(resource(**changes), resource(id="good"))
    assert len(claims) == 1
    (problem,) = problems(report)
    assert problem.element == path
    assert report.rejected_claims == 1


def test_items_that_an_event_cannot_hold_are_left_out_and_noted() -> None:
    other = {**item()[0], "sequence": 2, "productOrService": coded("X", "urn:local")}
    (claim,), report = read(resource(item=[*item(), other]))
    assert len(claim.lines) == 1
    assert "not in the event" in problems(report)[0].sentence


@pytest.mark.parametrize(
    "text",
    ["[]", "nope", '{"a": NaN}', "[" * 100_000, '{"resourceType": "Claim"', '{"a": ' + "9" * 5000 + "}", "\ud800"],
)
def test_what_is_no_resource_is_said_to_be(text: str) -> None:
    report = FileReport("f")
    assert list(read_fhir(io.BytesIO(text.encode(errors="surrogatepass")), TERMS, report)) == []
    assert report.unusable


def test_an_endless_resource_is_refused_before_it_fills_the_memory() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            return self.read(size or 0)

        def read(self, size: int = -1, /) -> bytes:
            assert size > 0, "a limit must be asked for"
            self.given += size
            return b"[" * min(size, 1000) if self.given <= size else b"[" * size

    endless = Endless()
    report = FileReport("f")
    assert list(read_fhir(endless, TERMS, report)) == []  # type: ignore[arg-type]
    assert report.unusable
    assert endless.given < 3 * LARGEST_RESOURCE_BYTES


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["2024-01-08", "#a", "MB", 1e300, -1, 10**30]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*resource(), "coding", "code", "value", "reference", "identifier", "é"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_a_resource_is_a_report_or_a_valid_event(data: st.DataObject) -> None:
    claim = json.loads(json.dumps(resource(contained=[{"resourceType": "Patient", "id": "a"}]), default=float))
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = claim
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
                place[key] = data.draw(JSON)
                break
            place = place[key]
    wrapped = (
        claim
        if data.draw(st.booleans())
        else {"resourceType": "Bundle", "entry": [{"resource": claim}, data.draw(JSON)]}
    )
    claims, report = read(json.dumps(wrapped))
    for made in claims:
        intake.check(made)
    assert list(report.in_words(notes=True))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    report = FileReport("f")
    list(read_fhir(io.BytesIO(data), TERMS, report))
    assert report.in_json()
