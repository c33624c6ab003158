"""FHIR Claims: what becomes of each element, what rejects, and that what has no field is reported."""

import io
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.adjudication import intake
from streams.adjudication.days import day_from_iso
from streams.adjudication.facts import Claim
from streams.importers import fhir_json, fhir_references
from streams.importers.fhir import NPI, read_fhir
from streams.importers.fhir_references import References
from streams.importers.member_tokens import MemberTokens
from streams.importers.report import FileReport, Problem
from streams.importers.terms import MOST_LINES, Terms
from streams.policy_files import load_policy
from streams.runtime.dead_letters import MAX_RECORD_BYTES
from tests.unit.importers.x12_files import NPI as BILLING
from tests.unit.importers.x12_files import OTHER_NPI

TERMS = Terms(MemberTokens(b"k" * 32), load_policy())


ICD_10 = "http://hl7.org/fhir/sid/icd-10-cm"


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
            {"sequence": 1, "diagnosisCodeableConcept": coded("C50.911", ICD_10)},
            {"sequence": 2, "diagnosisCodeableConcept": coded("Z51.11", ICD_10)},
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


def read(*resources: Any, terms: Terms = TERMS, **options: Any) -> tuple[list[Claim], FileReport]:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one, default=float) for one in resources)
    report = FileReport("claims.json")
    return list(read_fhir(io.BytesIO(text.encode()), terms, report, **options)), report


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


def test_all_that_is_wrong_with_a_claim_is_said_at_once() -> None:
    bad_items = [
        *item(servicedDate="2024-02-30"),
        *item(sequence=2, diagnosisSequence=[9]),
        *item(sequence=3, productOrService=coded("S0354", "urn:local")),
    ]
    changes = {"insurer": None, "provider": None, "created": "2024", "item": bad_items, "patient": {}}
    claims, report = read(resource(**changes))
    assert claims == []
    assert [problem.element for problem in problems(report)] == [
        "Claim.created",
        "Claim.insurer",
        "Claim.patient",
        "Claim.provider",
        "Claim.item[0].serviced",
        "Claim.item[1].diagnosisSequence[0]",
        "Claim.item[2].productOrService",
    ]
    assert {problem.position for problem in problems(report)} == {1}


def test_the_providers_that_the_lines_of_the_program_name_count() -> None:
    team = [
        {"sequence": 1, "provider": npi(BILLING), "role": coded("rendering")},
        {"sequence": 2, "provider": npi(OTHER_NPI), "role": coded("rendering")},
    ]
    visit = item(sequence=2, productOrService=coded("99214", "http://www.ama-assn.org/go/cpt"), careTeamSequence=[1])
    (claim,), report = read(resource(careTeam=team, item=[*item(careTeamSequence=[2]), *visit], total=None))
    assert (claim.rendering_npi, problems(report)) == (OTHER_NPI, [])


def test_of_several_codings_that_of_icd_10_is_taken() -> None:
    both = {
        "coding": [{"system": "http://snomed.info/sct", "code": "254837009"}, coded("C50.911", ICD_10)["coding"][0]]
    }
    diagnoses = [{"sequence": 1, "diagnosisCodeableConcept": both}]
    (claim,), report = read(resource(diagnosis=diagnoses, item=item(diagnosisSequence=[1])))
    assert (claim.lines[0].diagnosis_codes, problems(report)) == (("C50911",), [])
    diagnoses = [{"sequence": 1, "diagnosisCodeableConcept": coded("254837009", "http://snomed.info/sct")}]
    (claim,), report = read(resource(diagnosis=diagnoses, item=item(diagnosisSequence=[1])))
    assert "not of ICD-10" in problems(report)[0].sentence


def test_a_bulk_export_is_imported_with_the_files_of_what_its_claims_refer_to() -> None:
    claim = resource(
        patient={"reference": "Patient/p1"},
        insurer=None,
        provider={"reference": f"Practitioner?identifier={NPI}|{BILLING}"},
        careTeam=[{"sequence": 1, "provider": {"reference": "PractitionerRole/r1"}, "role": coded("rendering")}],
        insurance=[
            {"sequence": 1, "focal": True, "coverage": {"reference": "http://server/fhir/Coverage/v1/_history/2"}}
        ],
    )
    _, report = read(claim)
    assert [problem.element for problem in problems(report)] == ["Claim.insurer", "Claim.patient"]
    assert "--resources" in problems(report)[1].sentence
    references = References()
    for other in (
        {"resourceType": "Patient", "id": "p1", "identifier": [{"type": coded("MB"), "value": "MEM0001"}]},
        {
            "resourceType": "Bundle",
            "entry": [
                {"resource": {"resourceType": "Coverage", "id": "v1", "payor": [{"reference": "Organization/o1"}]}},
                {"resource": {"resourceType": "Observation", "id": "o1"}},
            ],
        },
        {"resourceType": "Organization", "id": "o1", "identifier": [{"value": "HP001"}]},
        {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/d1"}},
        {"resourceType": "Practitioner", "id": "d1", "identifier": [npi(OTHER_NPI)["identifier"]]},
    ):
        references.keep_all(other)
    (made,), report = read(claim, references=references)
    assert problems(report) == []
    assert (made.billing_npi, made.rendering_npi, made.payer_id) == (BILLING, OTHER_NPI, "HP001")
    assert made.patient_id == TERMS.tokens.subscriber("HP001", "MEM0001")


def test_member_ids_may_be_known_by_their_system() -> None:
    patient = {"resourceType": "Patient", "id": "a", "identifier": [{"system": "urn:ssn", "value": "1"}]}
    patient["identifier"].append({"system": "urn:plan:members", "value": "mem-0001"})  # type: ignore[attr-defined]
    claim = resource(patient={"reference": "#a"}, contained=[patient])
    claims, report = read(claim)
    assert (claims, problems(report)[0].element) == ([], "Claim.patient")
    (made,), _ = read(claim, member_systems=frozenset(("urn:plan:members",)))
    assert made.patient_id == TERMS.tokens.subscriber("HP001", "MEM0001")


def test_an_absolute_reference_means_no_resource_of_another_server() -> None:
    organization = {"resourceType": "Organization", "id": "o1", "identifier": [{"value": "HP001"}]}
    for full_url, imported in (("http://a/Organization/o1", 0), ("http://b/Organization/o1", 1), (None, 1)):
        entries = [
            {"resource": resource(insurer={"reference": "http://b/Organization/o1"})},
            {"fullUrl": full_url, "resource": organization},
        ]
        claims, _ = read({"resourceType": "Bundle", "entry": entries})
        assert len(claims) == imported


def test_more_resources_than_can_be_held_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir_references, "MOST_RESOURCES", 2)
    references = References()
    for number in range(2):
        references.keep_all({"resourceType": "Patient", "id": f"p{number}"})
    with pytest.raises(fhir_references.TooManyResources):
        references.keep_all({"resourceType": "Patient", "id": "p2"})


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_bad_line_of_ndjson_costs_no_other(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir_json, "LARGEST_RESOURCE_BYTES", 3_000)
    for bad in ('{"resourceType": "Claim", ', "[1]", '{"a": "' + "x" * 9_000 + '"}', "\ufffe\x00"):
        lines: list[Any] = [resource(), resource(id="c2")]
        lines.insert(at, bad)
        claims, report = read(*lines)
        assert len(claims) == 2
        assert (report.bad_lines, report.unusable, report.found_problems) == (1, False, True)
        (problem,) = problems(report)
        assert (problem.code, problem.position) == ("UNREADABLE", at + 1)
    _, report = read(resource(), resource(status="draft"))
    assert [part.name for part in report.parts] == ["2 in line 2"], "an NDJSON file is looked up by line"


def test_an_event_that_a_worker_would_refuse_for_its_size_is_rejected_here() -> None:
    large = item()
    large[0]["modifier"] = [{"coding": [{"code": "x" * MAX_RECORD_BYTES}]}]
    claims, report = read(resource(item=large))
    assert claims == []
    assert "TOO_LARGE" in problems(report)[0].sentence
    claims, report = read(resource(item=item() * (MOST_LINES + 1)))
    assert (claims, problems(report)[0].element) == ([], "Claim.item")


def test_xml_is_known() -> None:
    _, report = read('<Claim xmlns="http://hl7.org/fhir"/>')
    assert "XML" in problems(report)[0].sentence


def test_items_that_an_event_cannot_hold_are_left_out_and_noted() -> None:
    other = {**item()[0], "sequence": 2, "productOrService": coded("X", "urn:local")}
    (claim,), report = read(resource(item=[*item(), other]))
    assert len(claim.lines) == 1
    assert "not in the event" in problems(report)[0].sentence


@pytest.mark.parametrize(
    "text",
    ["", "[]", "nope", '{"a": NaN}', "[" * 100_000, '{"resourceType": "Claim"', '{"a": ' + "9" * 5000 + "}", "\ud800"],
)
def test_what_is_no_resource_is_said_to_be(text: str) -> None:
    report = FileReport("f")
    assert list(read_fhir(io.BytesIO(text.encode(errors="surrogatepass")), TERMS, report)) == []
    assert report.unusable


@pytest.mark.parametrize("before", ["", '{"resourceType": "Claim"}\n'])
def test_an_endless_resource_is_refused_before_it_fills_the_memory(
    before: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fhir_json, "LARGEST_RESOURCE_BYTES", 100_000)
    path = tmp_path / "endless"
    path.write_text(before + '{"a": "' + "x" * 10_000_000)
    report = FileReport("f")
    tracemalloc.start()
    with path.open("rb") as file:
        assert list(read_fhir(file, TERMS, report)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.unusable or report.bad_lines == 1
    assert peak < 1_000_000


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


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["resourceType", "id", "identifier", "entry", "resource", "fullUrl"]), JSON)
    ),
    st.text(max_size=12)
    | st.sampled_from(["Patient/#a", "http://s/Patient/#a/_history/1", "Practitioner?identifier=a|b"]),
)
def test_any_resources_can_be_referred_to(resources: list[dict[str, Any]], reference: str) -> None:
    others = References()
    for one in resources:
        for kind in ("Patient", "Practitioner", "Bundle"):
            others.keep_all({**one, "resourceType": kind})
    found = References.of_bundle(resources, others).find(reference)
    assert found is None or isinstance(found, dict)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    report = FileReport("f")
    list(read_fhir(io.BytesIO(data), TERMS, report))
    assert report.in_json()
