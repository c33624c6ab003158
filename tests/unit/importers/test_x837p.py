"""837P files: what becomes of each element, what rejects what, and that nothing else is lost with it."""

import io
import json
from typing import Any

import pytest

from streams.adjudication.days import day_from_iso
from streams.adjudication.facts import Claim
from streams.importers import x12 as envelopes
from streams.importers.member_tokens import MemberTokens
from streams.importers.report import FileReport, Problem
from streams.importers.terms import PATIENT_CONTROL_NUMBER, Terms
from streams.importers.x837p import read_837p
from streams.policy_files import load_policy
from tests.unit.importers import x12_files as x12

TERMS = Terms(MemberTokens(b"k" * 32), load_policy())


def read(text: str | bytes, terms: Terms = TERMS, **options: Any) -> tuple[list[Claim], FileReport]:
    report = FileReport("claims.837")
    data = text.encode() if isinstance(text, str) else text
    return list(read_837p(io.BytesIO(data), terms, report, **options)), report


def problems(report: FileReport, *, rejecting: bool = True) -> list[Problem]:
    def all_of(parts: list[Any]) -> Any:
        for part in parts:
            yield from part.problems
            yield from all_of(part.parts)

    return [problem for problem in all_of(report.parts) if problem.rejects or not rejecting]


def rejected_with(text: str, code: str, element: str = "") -> FileReport:
    claims, report = read(text)
    assert claims == []
    assert (code, element) in [(problem.code, problem.element) for problem in problems(report)], report.parts
    return report


def test_every_field_of_the_event() -> None:
    providers = f"NM1*DN*1*REFERRER*ANN****XX*{x12.NPI}|NM1*82*1*DOCTOR*DAN****XX*{x12.OTHER_NPI}"
    lines = [
        x12.line(
            1, "HC:S0353:25:59", "400.00", "1", "20240108", pointer="2:1", after=f"NM1*DK*1*ORDER*ORA****XX*{x12.NPI}"
        ),
        x12.line(2, "HC:99214", "99.5", "2.0", "20240108-20240109", place="22"),
    ]
    text = x12.one_claim(
        charge="499.5", frequency="7", references="REF*G1*O1|REF*F8*OLD1", lines=lines, providers=providers
    )
    (claim,), report = read(text)
    assert not report.found_problems
    assert claim.patient_id == TERMS.tokens.subscriber("HP001", "mem-0001")
    assert (claim.plan_id, claim.payer_id, claim.form_type) == ("PPO", "HP001", "837P")
    assert (claim.frequency_code, claim.original_claim_id, claim.order_id) == ("7", "OLD1", "O1")
    assert claim.patient_control_number == "PCN-A"
    assert (claim.billing_npi, claim.rendering_npi, claim.ordering_npi) == (x12.NPI, x12.OTHER_NPI, x12.NPI)
    assert claim.received_date == day_from_iso("2024-01-12")
    first, second = claim.lines
    assert (first.procedure_code, first.modifiers, first.units, first.charge_cents) == ("S0353", ("25", "59"), 1, 40000)
    assert (first.diagnosis_codes, first.place_of_service) == (("Z5111", "C50911"), "11")
    assert (second.procedure_code, second.units, second.charge_cents, second.place_of_service) == (
        "99214",
        2,
        9950,
        "22",
    )
    assert (second.service_date, second.service_date_to) == (day_from_iso("2024-01-08"), day_from_iso("2024-01-09"))


def test_the_same_file_makes_the_same_events_and_another_interchange_others() -> None:
    text = x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), x12.claim("A"), x12.claim("A")))
    again, _ = read(text)
    once, _ = read(text.replace("~", "~\r\n"))
    assert once == again
    assert len({claim.claim_id for claim in once}) == 2, "two claims with one patient control number are two claims"
    other, _ = read(text.replace("*000000001", "*000000002"))
    assert {claim.event_id for claim in other}.isdisjoint(claim.event_id for claim in once)


def test_a_claim_keeps_its_number_when_another_is_taken_out_of_the_file() -> None:
    claims = [x12.claim("A"), x12.claim("B"), x12.claim("B"), x12.claim("C")]
    whole, _ = read(x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), *claims)))
    fewer, _ = read(x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), *claims[1:])))
    assert fewer == whole[1:]


def test_a_set_of_too_many_claims_is_rejected_before_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelopes, "MOST_CLAIMS", 2)
    for count, imported in ((2, 2), (3, 0)):
        body = [x12.claim(str(number)) for number in range(count)]
        claims, report = read(x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), *body)))
        assert len(claims) == imported
        assert ("IK5-5" in [problem.code for problem in problems(report)]) == (imported == 0)


def test_members_are_told_apart_and_nothing_of_them_leaves() -> None:
    family = x12.subscriber(leaf=False)
    body = [*family, *x12.patient(3, first="TOM"), *x12.claim("A"), *x12.patient(4, first="ANN"), *x12.claim("B")]
    claims, report = read(x12.interchange(x12.transaction_set(x12.billing(), body, x12.subscriber(5), x12.claim("C"))))
    assert len({claim.patient_id for claim in claims}) == 3
    assert claims[0].patient_id == TERMS.tokens.dependent("HP001", "MEM0001", "2010-05-06", "tom")
    said = repr(claims) + json.dumps(report.in_json()) + "\n".join(report.in_words(notes=True))
    for secret in ("DOE", "JANE", "TOM", "ANN", "MEM0001", "20100506", "2010-05-06", "OAK", "987654321"):
        assert secret not in said


def test_what_stands_where_an_id_should_is_not_shown() -> None:
    text = x12.one_claim().replace("~N3*1 MAIN ST", "~JANE DOE*1 MAIN ST", 1).replace("*0001", "*JANE DOE")
    _, report = read(text)
    said = json.dumps(report.in_json()) + "\n".join(report.in_words(notes=True))
    assert "IK3-1" in said
    assert "JANE" not in said


def test_delimiters_are_those_of_each_isa() -> None:
    plain = x12.one_claim()
    other = plain.replace("*", "|").replace(":", ">").replace("~", "\n").replace("000000001", "000000002")
    claims, _ = read(plain + other)
    assert [claim.lines[0].procedure_code for claim in claims] == ["S0353", "S0353"]


def test_several_sets_and_interchanges_and_one_bad_claim_among_them() -> None:
    good, bad = x12.claim("A"), x12.claim("B", lines=[x12.line(1, date="20240230")])
    one = x12.transaction_set(x12.billing(), x12.subscriber(), good, bad, x12.claim("C"), control="0001")
    two = x12.transaction_set(x12.billing(), x12.subscriber(), x12.claim("D"), control="0002")
    claims, report = read(x12.interchange(one, two) + "\r\n" + x12.interchange(one, control=2))
    assert [claim.patient_control_number for claim in claims] == ["A", "C", "D", "A", "C"]
    assert (report.imported, report.rejected_claims, report.rejected_sets) == (5, 2, 0)
    (problem, _) = problems(report)
    assert (problem.code, problem.loop, problem.element, problem.position) == ("IK4-8", "2400", "DTP03", 27)


@pytest.mark.parametrize(
    ("broken", "code", "element"),
    [
        ("~CLM*PCN-A*400***11:B:1*", "~CLM*PCN-A*399***11:B:1*", "IK4-7|CLM02"),
        (":B:1*", ":B:5*", "IK4-7|CLM05-3"),
        ("*XX*1234567893~N3", "*XX*1234567894~N3", "IK4-7|NM109"),
        ("*PI*HP001", "*PI*", "IK4-1|NM109"),
        ("*MI*MEM0001", "", "IK4-1|NM109"),
        ("HC:S0353*400*UN*1*", "HC:S0353*400*UN*1.5*", "IK4-6|SV104"),
        ("HC:S0353*400*UN*1*", "HC:S0353*400*MJ*1*", "IK4-7|SV103"),
        ("HC:S0353*400*UN*1***1", "HC:S0353*400*UN*1***3", "IK4-7|SV107-1"),
        ("HI*ABK:C50911*ABF:Z5111~", "", "IK3-3|"),
        ("DTP*472*D8*20240108~", "", "IK3-3|"),
        ("*CH~", "*RP~", "IK4-7|BHT06"),
        ("HL*2*1*22", "HL*2*7*22", "IK4-7|HL02"),
        ("HC:S0353*400*UN*1*", "ER:S0353*400*UN*1*", "IK4-7|SV101-1"),
        ("HL*1**20*1~", "HL*1**20*1~CUR*85*CAD~", "IK4-7|CUR02"),
        ("*20240112*0930*1*X*", "*20241350*0930*1*X*", "IK4-8|GS04"),
    ],
)
def test_what_the_event_is_made_of_rejects_its_claim(broken: str, code: str, element: str) -> None:
    text = x12.one_claim()
    assert broken in text
    text = text.replace(broken, code, 1)
    segments = text[text.index("~ST*") : text.index("~SE*")].count("~") + 1
    text = text.replace(text[text.index("SE*") : text.index("*0001~GE")], f"SE*{segments}")
    code, element = element.split("|")
    report = rejected_with(text, code, element)
    assert report.rejected_claims == 1


def test_an_error_elsewhere_is_noted_and_the_claim_is_imported() -> None:
    (_,), report = read(x12.one_claim().replace("N4*DENVER*CO*802010000~REF", "N4*D*CO*802010000~REF", 1))
    assert problems(report) == []
    assert ("IK4-4", "N401") in [(problem.code, problem.element) for problem in problems(report, rejecting=False)]


def test_a_reference_at_a_wrong_place_rejects_because_it_would_be_lost() -> None:
    rejected_with(x12.one_claim(frequency="7", diagnoses="HI*ABK:C50911", providers="REF*F8*OLD1"), "IK3-1")


def test_the_birth_date_of_another_payers_member_in_a_claim_is_noted() -> None:
    (_,), report = read(x12.one_claim(providers="SBR*S*18*******CI|DMG*D8*19430501*F"))
    assert ("IK3-1", "DMG") in [(problem.code, problem.segment) for problem in problems(report, rejecting=False)]


def test_a_bad_billing_provider_rejects_the_claims_under_it_and_no_others() -> None:
    bad = [*x12.billing(1, npi="1234567890"), *x12.subscriber(2, 1), *x12.claim("A"), *x12.claim("B")]
    good = [*x12.billing(3), *x12.subscriber(4, 3), *x12.claim("C")]
    wrong_npi = x12.interchange(x12.transaction_set(bad, good))
    no_npi = wrong_npi.replace("*XX*1234567890", "*ZZ*1234567890")
    for text in (wrong_npi, no_npi):
        claims, report = read(text)
        assert [claim.patient_control_number for claim in claims] == ["C"]
        assert report.rejected_claims == 2


def test_lines_that_an_event_cannot_hold_are_left_out_and_noted() -> None:
    lines = [x12.line(1), x12.line(2, "HC:J9035", "10", "2.5"), x12.line(3, "ER:1", "5")]
    (claim,), report = read(x12.one_claim(charge="415", lines=lines))
    assert [line.line_number for line in claim.lines] == [1]
    assert [
        problem.position for problem in problems(report, rejecting=False) if "not in the event" in problem.sentence
    ] == [24, 27]


def test_denials_are_the_rules_part() -> None:
    lines = [x12.line(1, charge="0", units="0", date="20240108-20240110")]
    (claim,), _ = read(x12.one_claim(charge="0", lines=lines))
    assert (claim.lines[0].units, claim.lines[0].charge_cents) == (0, 0)
    (void,), report = read(x12.one_claim(frequency="8"))
    assert void.original_claim_id is None
    assert "names no original" in " ".join(problem.sentence for problem in problems(report, rejecting=False))


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("IEA*1*000000001~", "", "TA1-023"),
        ("IEA*1*", "IEA*2*", "TA1-021"),
        ("IEA*1*000000001", "IEA*1*000000002", "TA1-001"),
        ("GE*1*1~", "", "AK9-3"),
        ("GE*1*1", "GE*2*1", "AK9-5"),
        ("GE*1*1", "GE*1*2", "AK9-4"),
        ("GS*HC*", "GS*HP*", "AK9-1"),
        ("X*005010X222A1", "X*005010X223A2", "AK9-2"),
        ("*0001~GE", "*0002~GE", "IK5-3"),
        ("N3*1 MAIN ST~", "", "IK5-4"),
        ("ST*837*", "ST*835*", "IK5-1"),
        ("~ST*", "~ZZ*1~ST*", "TA1-022"),
    ],
)
def test_a_damaged_envelope_rejects_what_it_vouches_for(before: str, after: str, code: str) -> None:
    text = x12.one_claim()
    assert before in text
    claims, report = read(text.replace(before, after, 1))
    assert claims == []
    assert code in [problem.code for problem in problems(report)]
    assert report.rejected_sets == 1


def test_a_file_cut_off_keeps_the_interchanges_before() -> None:
    whole = x12.one_claim()
    second = x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), x12.claim()), control=2)
    for end in range(len(whole) + 20, len(whole) + len(second) - 12, 7):
        claims, report = read((whole + second)[:end])
        assert len(claims) == 1
        assert report.found_problems, "half an interchange is never silently left out"


def test_what_is_no_x12_is_said_to_be() -> None:
    for text in ("", "\r\n", "hello", "ISA*00*", x12.one_claim() + "and more", "ISA" + "*" * 200):
        _, report = read(text)
        assert report.unusable


def test_repeated_control_numbers_are_refused() -> None:
    one = x12.transaction_set(x12.billing(), x12.subscriber(), x12.claim())
    claims, report = read(x12.interchange(one, one))
    assert len(claims) == 1
    assert [problem.code for problem in problems(report)] == ["IK5-23"]
    claims, report = read(x12.one_claim() * 2)
    assert len(claims) == 1
    assert [problem.code for problem in problems(report)] == ["TA1-025"]


def test_tests_are_marked_and_refused_when_they_would_be_published() -> None:
    text = x12.interchange(x12.transaction_set(x12.billing(), x12.subscriber(), x12.claim()), usage="T")
    assert len(read(text)[0]) == 1
    claims, report = read(text, refuse_tests=True)
    assert claims == []
    assert [problem.code for problem in problems(report)] == ["TA1-020"]


def test_wrong_counts_can_be_accepted() -> None:
    text = x12.one_claim().replace("GE*1*1", "GE*3*1").replace("IEA*1*", "IEA*4*")
    assert read(text)[0] == []
    assert len(read(text, accept_wrong_counts=True)[0]) == 1


def test_a_wrong_component_separator_in_the_isa_is_suspected_and_can_be_said() -> None:
    text = x12.one_claim().replace(":", ">").replace("*P*>~", "*P*:~")
    claims, report = read(text)
    assert claims == []
    assert "--component-separator" in " ".join(problem.sentence for problem in problems(report, rejecting=False))
    (claim,), report = read(text, component_separator=">")
    assert claim == read(x12.one_claim())[0][0]


def test_that_another_payer_comes_first_is_said() -> None:
    (_,), report = read(x12.one_claim().replace("SBR*P*", "SBR*S*"))
    assert any("another payer comes first" in sentence for sentence in report.assumed)
    (_,), report = read(x12.one_claim())
    assert not any("another payer" in sentence for sentence in report.assumed)


def test_each_subscribers_problem_is_named_or_counted() -> None:
    body = x12.billing()
    for hl in range(2, 1_202):
        body += [*x12.subscriber(hl, member=""), *x12.claim(str(hl))]
    claims, report = read(x12.interchange(x12.transaction_set(body)))
    assert (claims, report.rejected_claims) == ([], 1_200)
    assert len(problems(report)) + report.not_named == 3 * 1_200, "two of each subscriber, and its claim's"
    assert {problem.element for problem in problems(report)} >= {"NM109"}, (
        "the reasons are named, not what follows alone"
    )


def test_what_stands_in_the_place_of_a_claim_is_no_silent_loss() -> None:
    body = [
        *x12.subscriber(),
        *x12.claim("A"),
        *x12.subscriber(3),
        *x12.claim("B"),
        *x12.subscriber(4),
        *x12.claim("C"),
    ]
    text = x12.interchange(x12.transaction_set(x12.billing(), body)).replace("CLM*B*", "CLN*B*")
    claims, report = read(text)
    assert [claim.patient_control_number for claim in claims] == ["A", "C"]
    assert (report.rejected_claims, report.found_problems) == (1, True)
    assert {("IK3-1", "CLN"), ("IK3-1", "SV1")} <= {
        (problem.code, problem.segment) for problem in problems(report, rejecting=False)
    }


def test_the_plans_terms() -> None:
    text = x12.one_claim()
    terms = Terms(
        MemberTokens(None),
        load_policy(),
        plan_of_group={"G1": "HMO"},
        received_date=7,
        claim_number=PATIENT_CONTROL_NUMBER,
    )
    (claim,), report = read(text, terms)
    assert (claim.patient_id, claim.plan_id, claim.received_date, claim.claim_id) == ("MEM0001", "HMO", 7, "PCN-A")
    assert not any("GS04" in sentence for sentence in report.assumed)
    (claim,), report = read(text.replace("*PI*HP001", "*PI*HP999"))
    assert claim.plan_id == "HP999", "an unknown payer's claim goes on to the worker, which refuses it as WRONG_PAYER"
    assert "WRONG_PAYER" in " ".join(problem.sentence for problem in problems(report, rejecting=False))


def test_lines_that_disagree_leave_the_claims_value() -> None:
    lines = [
        x12.line(1, charge="1", after=f"NM1*82*1*A*B****XX*{x12.NPI}"),
        x12.line(2, "HC:S0354", "1", after=f"NM1*82*1*A*B****XX*{x12.OTHER_NPI}"),
    ]
    (claim,), report = read(x12.one_claim(charge="2", lines=lines))
    assert claim.rendering_npi is None
    assert "the lines differ in 2420A/NM1" in " ".join(
        problem.sentence for problem in problems(report, rejecting=False)
    )
