"""FHIR R4 Claim resources as claim-received events: single resources, Bundles, and NDJSON.

docs/importing.md has the mapping. What is read of a resource is marked as it is read; all that is left over is reported by its path
and the reason, so nothing is dropped in silence. The JSON is read here and not by fhir.resources 8.3: that has models of R5,
R4B and STU3 but none of R4, brings pydantic (37 MB and 26 MB of memory), and does not tell which elements nobody looked at.
"""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, BinaryIO, TypeVar

from schemas import json_form
from streams.adjudication.days import Day
from streams.adjudication.facts import ORIGINAL, REPLACEMENT, S_CODES, VOID, Claim, ClaimLine, CostShare
from streams.adjudication.intake import is_npi
from streams.importers.fhir_json import BadValue, Place, Unreadable, read_resources
from streams.importers.fhir_references import References, identifier_in
from streams.importers.report import NOTE, FileReport, Part, Problem
from streams.importers.sound import why_refused
from streams.importers.terms import MOST_LINES, PATIENT_CONTROL_NUMBER, Terms, number_of

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")

FORM_TYPE = "FHIR Claim"
MOST_PROBLEMS = 100  # of one claim
MOST_LEFTOVERS = 1_000  # different paths without a field that are remembered of a file
NPI = "http://hl7.org/fhir/sid/us-npi"
HCPCS = frozenset(
    (
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "https://www.cms.gov/Medicare/Coding/MedHCPCSGenInfo",
        "https://bluebutton.cms.gov/resources/codesystem/hcpcs",
        "http://terminology.hl7.org/CodeSystem/HCPCS",
        "http://terminology.hl7.org/CodeSystem/HCPCS-all-codes",
        "urn:oid:2.16.840.1.113883.6.285",
        "http://www.ama-assn.org/go/cpt",
        "urn:oid:2.16.840.1.113883.6.12",
    )
)
ICD_10 = frozenset(
    ("http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10", "urn:oid:2.16.840.1.113883.6.90")
)
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T.*)?", re.DOTALL)
_REASONS = {
    "text": "a narrative for people; it may hold patient data and is never read",
    "contained": "of contained resources only identifiers, birth date and first given name are read",
    "meta": "about the copy of the resource, not the claim",
    "extension": "no extension is known here",
    "modifierExtension": "no extension is known here",
    "detail": "an event's line has no details; the item's own charge counts",
    "adjudication": "deciding is the worker's part",
}
_NOT_LOOKED_INTO = frozenset(_REASONS)
_NO_FIELD = "claim-received has no field for it"
_RENDERING = frozenset(("rendering", "performing", "primary"))
_ORDERING = frozenset(("ordering", "prescribing"))


def read_fhir(
    file: BinaryIO,
    terms: Terms,
    report: FileReport,
    *,
    references: References | None = None,
    member_systems: frozenset[str] = frozenset(),
) -> Iterator[Claim]:
    """The good claims of a file, in its order. What is wrong goes into the report; nothing is raised for it.

    The file must be seekable. `references` has resources of other files that its claims may refer to; identifiers of
    `member_systems` are member ids, as those of type MB are.
    """
    number = 0
    try:
        for line_number, resource in read_resources(file):
            if isinstance(resource, Unreadable):
                report.bad_lines += 1
                problem = Problem("UNREADABLE", str(resource), position=line_number)
                report.name(Part("line", f"{line_number:,}", [problem], rejected=True))
                continue
            for claim, around in _claims(resource, references, report):
                number += 1
                name = f"{number:,}" if line_number is None else f"{number:,} in line {line_number:,}"
                maker = _ClaimMaker(claim, around, terms, member_systems)
                yield from _imported(maker, number, name, report)
    except Unreadable as error:
        report.unusable = True
        report.name(Part("file", "", [Problem("UNREADABLE", str(error), position=number + 1)], rejected=True))


def _claims(
    resource: dict[str, Any], others: References | None, report: FileReport
) -> Iterator[tuple[dict[str, Any], References]]:
    """The Claim resources in a resource, each with what it may refer to."""
    kind = resource.get("resourceType")
    if kind == "Claim":
        yield resource, others or References()
    elif kind == "Bundle":
        entries = resource.get("entry")
        entries = entries if isinstance(entries, list) else []
        around = References.of_bundle(entries, others)
        for entry in entries:
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(inner, dict) and inner.get("resourceType") == "Claim":
                yield inner, around
            else:
                _leave(report, "Bundle.entry", "it is no Claim; it is read where a claim refers to it")
    else:
        name = kind if isinstance(kind, str) and kind.isascii() and kind.isalpha() and len(kind) < 40 else "?"
        _leave(report, f"resource {name}", "only Claim is imported, alone or in a Bundle")


def _leave(report: FileReport, what: str, why: str) -> None:
    if (what, why) in report.not_mapped or len(report.not_mapped) < MOST_LEFTOVERS:
        report.not_mapped[what, why] += 1
    else:
        report.not_mapped["more paths", _NO_FIELD] += 1


def _imported(maker: "_ClaimMaker", number: int, name: str, report: FileReport) -> Iterator[Claim]:
    claim = maker.claim()
    problems = [problem._replace(position=number) for problem in maker.problems]
    rejected = any(problem.rejects for problem in problems)
    if claim is not None and not rejected and (sentence := why_refused(claim)):
        problems.append(Problem("INVALID", sentence, position=number))
        rejected = True
    report.not_named += maker.unnamed_problems
    if problems:
        report.name(Part("claim", name, problems, rejected, maker.claim_id or None))
    if rejected or claim is None:
        report.rejected_claims += 1
        return
    for path, element in maker.root.left_over(_NOT_LOOKED_INTO):
        _leave(report, path, _REASONS.get(element, _NO_FIELD))
    for sentence in maker.assumed:
        report.assumed[sentence] += 1
    report.imported += 1
    yield claim


class _ClaimMaker:
    """Makes an event of a Claim, and goes on after an error: a sender learns all that is wrong at once."""

    def __init__(
        self, resource: dict[str, Any], around: References, terms: Terms, member_systems: frozenset[str]
    ) -> None:
        self._taken: set[tuple[int, str]] = set()
        self.root = Place(resource, "Claim", self._taken)
        self._around = around
        self._terms = terms
        self._member_systems = member_systems
        self.claim_id = ""
        self.problems: list[Problem] = []
        self.unnamed_problems = 0
        self.assumed: list[str] = []

    def claim(self) -> Claim | None:
        """The event; None where it is none of a claim that is billed. What rejects it is in `problems`."""
        terms = self._terms
        status = self._or(self._billed_status, "")
        if not status:
            return None
        number, control_number = self._or(self._numbers, ("", ""))
        frequency, original, numbered = self._or(
            partial(self._reference, status, number, control_number), (ORIGINAL, None, number)
        )
        by_provider = terms.claim_number == PATIENT_CONTROL_NUMBER and status == "active"
        self.claim_id = control_number if by_provider else numbered
        received = self._or(self._received_date, 0)
        coverage, order_id = self._or(self._insurance, (None, None))
        payer_id = self._or(partial(self._payer_id, coverage), "")
        patient_id = self._or(partial(self._patient_id, payer_id, coverage), "")
        plan_id = self._or(partial(self._plan_id, coverage, payer_id, received), "")
        billing_npi = self._or(self._billing_npi, "")
        rendering, ordering = self._or(self._care_team, (None, None))
        lines = self._or(self._lines, ())
        return Claim(
            event_id=f"fhir-{numbered}",
            patient_id=patient_id,
            plan_id=plan_id,
            payer_id=payer_id,
            claim_id=self.claim_id,
            frequency_code=frequency,
            original_claim_id=original,
            patient_control_number=control_number,
            billing_npi=billing_npi,
            rendering_npi=rendering,
            ordering_npi=ordering,
            order_id=order_id,
            received_date=received,
            form_type=FORM_TYPE,
            cost_share=self._cost_share(patient_id),
            lines=tuple(lines),
        )

    def _or(self, read: Callable[[], T], otherwise: Otherwise) -> T | Otherwise:
        """What is read, or something in its place when that is bad: then the claim is rejected, but read on."""
        try:
            return read()
        except BadValue as error:
            self._add(Problem("INVALID", error.sentence, element=error.path))
            return otherwise

    def _billed_status(self) -> str:
        """The status of a professional claim that is billed, or was."""
        status = self.root.text("status")
        if status not in ("active", "cancelled"):
            raise BadValue("Claim.status", "must be active or cancelled")
        if self.root.text("use") != "claim":
            raise BadValue("Claim.use", "must be claim; pre-authorizations and predeterminations are not billed")
        if "professional" not in self.root.codes("type"):
            raise BadValue("Claim.type", "must be professional")
        return status

    def _numbers(self) -> tuple[str, str]:
        """The number that is made of the claim's identity, and the provider's own number of it."""
        identifiers = self.root.items("identifier")
        logical = self.root.text("id")
        for identifier in identifiers[:1]:
            system, value = identifier.text("system"), identifier.text("value")
            if value:
                return number_of("fhir", system, value), value
        if not logical:
            raise BadValue("Claim.identifier", "must have a value, or the resource an id: a claim needs an identity")
        return number_of("fhir", "id", logical), logical

    def _reference(self, status: str, number: str, control_number: str) -> tuple[str, str | None, str]:
        """The frequency code, the claim that is replaced or void, and the claim's own number."""
        own = self._terms.claim_number == PATIENT_CONTROL_NUMBER
        if status == "cancelled":
            return VOID, control_number if own else number, number_of("fhir", "cancelled", number)
        for related in self.root.items("related"):
            if not {"prior", "replaces"}.intersection(related.codes("relationship")):
                continue
            payers_number = related.get("reference").text("value")
            if payers_number:
                return REPLACEMENT, payers_number, number
            target = related.get("claim")
            system, value = identifier_in(target)
            found = self._resolved(target)
            if not value and found:
                for identifier in found.items("identifier")[:1]:
                    system, value = identifier.text("system"), identifier.text("value")
            if value:
                return REPLACEMENT, value if own else number_of("fhir", system, value), number
            literal = target.text("reference").rpartition("/")[2]
            if literal:
                return REPLACEMENT, literal if own else number_of("fhir", "id", literal), number
            raise BadValue(target.path, "must name the claim that is replaced")
        return ORIGINAL, None, number

    def _received_date(self) -> Day:
        created = self.root.text("created")
        if self._terms.received_date is not None:
            return self._terms.received_date
        for info in self.root.items("supportingInfo"):
            if "clmrecvddate" in info.codes("category") and info.get("timingDate"):
                return _day(info.text("timingDate"), f"{info.path}.timingDate")
        self.assumed.append("received date taken from Claim.created, the day on which the resource was made")
        return _day(created, "Claim.created")

    def _insurance(self) -> tuple[Place | None, str | None]:
        """The coverage that the claim is for, as far as it can be found, and the order that it cites."""
        insurances = self.root.items("insurance")
        focal = next((one for one in insurances if one.flag("focal")), insurances[0] if len(insurances) == 1 else None)
        if focal is None:
            raise BadValue("Claim.insurance", "must have one that is focal")
        if len(insurances) > 1:
            self._note("Claim.insurance", "other insurances are not coordinated: the event is for the focal one alone")
        orders = focal.texts("preAuthRef")
        if len(orders) > 1:
            self._note(f"{focal.path}.preAuthRef", "an event cites one order; the first is taken")
        return self._resolved(focal.get("coverage")), orders[0] if orders else None

    def _payer_id(self, coverage: Place | None) -> str:
        payer_id = self._identifier(self.root.get("insurer"))
        if not payer_id and coverage:
            payer_id = next(filter(None, map(self._identifier, coverage.items("payor")[:1])), "")
        if not payer_id:
            raise BadValue(
                "Claim.insurer",
                "must be an identifier of the payer, or refer to an Organization with one, and so may Coverage.payor"
                f"{self._not_found(self.root.get('insurer'))}",
            )
        return payer_id

    def _patient_id(self, payer_id: str, coverage: Place | None) -> str:
        tokens = self._terms.tokens
        reference = self.root.get("patient")
        patient = self._resolved(reference)
        subscriber_id = coverage.text("subscriberId") if coverage else ""
        relationships = coverage.codes("relationship") if coverage else []
        if subscriber_id and relationships and "self" not in relationships:
            names = patient.items("name") if patient else []
            given = names[0].texts("given") if names else []
            born = patient.text("birthDate") if patient else ""
            token = tokens.dependent(
                payer_id, subscriber_id, born if _DATE.fullmatch(born) else "", given[0] if given else ""
            )
            if not token:
                raise BadValue(
                    "Claim.patient",
                    "a dependent's token needs Coverage.subscriberId, Patient.birthDate, Patient.name[0].given[0] and a key"
                    f"{self._not_found(reference)}",
                )
            return token
        member_id = subscriber_id or reference.get("identifier").text("value")
        for owner in (coverage, patient):
            if owner and not member_id:
                member_id = next(filter(None, map(self._member_id, owner.items("identifier"))), "")
        token = tokens.subscriber(payer_id, member_id) if member_id else ""
        if not token:
            raise BadValue(
                "Claim.patient",
                "must have a member id: Coverage.subscriberId, patient.identifier, or an identifier of the Coverage or the "
                f"Patient of type MB or a --member-id-system{self._not_found(reference)}",
            )
        return token

    def _member_id(self, identifier: Place) -> str:
        """The value of an identifier that is a member id; empty for another."""
        if "MB" in identifier.codes("type") or identifier.text("system") in self._member_systems:
            return identifier.text("value")
        return ""

    def _plan_id(self, coverage: Place | None, payer_id: str, received: Day) -> str:
        classes = coverage.items("class") if coverage else []
        named = {code: one for one in classes for code in one.codes("type")}
        group = named["group"].text("value") if "group" in named else ""
        if "plan" in named and not self._terms.plan_id and group not in self._terms.plan_of_group:
            plan = named["plan"].text("value")
            if plan:
                return plan
        plans = self._terms.plans(payer_id, group, received)
        if len(plans) > 1:
            raise BadValue(
                "Coverage.class", "is of a payer with several plans: name the group's with --group GROUP=PLAN"
            )
        if not plans and payer_id:
            self._note(
                "Claim.insurer", "the policy has no plan of this payer: the worker will refuse the claim as WRONG_PAYER"
            )
        return plans[0] if plans else payer_id

    def _cost_share(self, patient_id: str) -> CostShare:
        share = self._terms.cost_share_of.get(patient_id)
        if share is not None:
            return share
        share = self._terms.cost_share
        self.assumed.append(
            f"cost share taken as copay {share.copay_cents} cents, deductible remaining "
            f"{share.deductible_remaining_cents} cents, coinsurance {share.coinsurance_bp} basis points: "
            "a FHIR Claim has none"
        )
        return share

    def _billing_npi(self) -> str:
        provider = self.root.get("provider")
        npi = self._npi(provider)
        if npi is None:
            raise BadValue(
                "Claim.provider", f"must be an NPI, or refer to a resource with one{self._not_found(provider)}"
            )
        return npi

    def _diagnoses(self) -> dict[int, str]:
        """The codes of the claim's diagnoses by their sequence; of several codings that of ICD-10."""
        found = {}
        for diagnosis in self.root.items("diagnosis"):
            sequence = diagnosis.whole("sequence")
            codings = [one for one in diagnosis.get("diagnosisCodeableConcept").items("coding") if one.text("code")]
            coding = next((one for one in codings if one.text("system") in ICD_10), codings[0] if codings else None)
            if sequence is None or coding is None:
                continue
            if coding.text("system") not in ICD_10:
                self._note(diagnosis.path, "the diagnosis is not of ICD-10; its code is taken as it is")
            found[sequence] = coding.text("code").replace(".", "").upper()
        return found

    def _care_team(self) -> tuple[str | None, str | None]:
        """The rendering and the ordering provider's NPI, of those whom the lines in the program name, if they name any."""
        items = self.root.items("item")
        program = [item for item in items if _codes_of(item) & S_CODES] or items
        named = {sequence for item in program for sequence in item.wholes("careTeamSequence")}
        found: dict[str, str | None] = {}
        for member in self.root.items("careTeam"):
            codes = set(member.codes("role"))
            if named and member.whole("sequence") not in named:
                continue
            for role, names in (("rendering", _RENDERING), ("ordering", _ORDERING)):
                if not names.intersection(codes):
                    continue
                npi = self._npi(member.get("provider"))
                if role in found and found[role] != npi:
                    self._note(member.path, f"an event has one {role} provider; the first is taken")
                found.setdefault(role, npi)
        return found.get("rendering"), found.get("ordering")

    def _lines(self) -> list[ClaimLine]:
        items = self.root.items("item")
        if len(items) > MOST_LINES:
            raise BadValue("Claim.item", f"may have at most {MOST_LINES} items")
        diagnoses = self._diagnoses()
        before = len(self.problems)
        made = [self._or(partial(self._line, item, diagnoses), None) for item in items]
        lines = [line for line in made if line is not None]
        if len(self.problems) == before:  # else its sum says nothing
            self._check_total(lines)
        return lines

    def _line(self, item: Place, diagnoses: dict[int, str]) -> ClaimLine | None:
        """An event's line; None where it is left out."""
        number = item.whole("sequence")
        if number is None:
            raise BadValue(f"{item.path}.sequence", "is missing")
        codings = item.get("productOrService").items("coding")
        coding = next((one for one in codings if one.text("system") in HCPCS), None)
        code = coding.text("code").upper() if coding else ""
        if not code:
            if _codes_of(item) & S_CODES:
                raise BadValue(
                    f"{item.path}.productOrService", "S0353 and S0354 must be codings of HCPCS, with its system"
                )
            self._note(item.path, "the item is not in the event: its productOrService has no HCPCS or CPT code")
            return None
        units = item.get("quantity").number("value")
        if units is None:
            units = Decimal(1)
        if not abs(units) < 10**15 or units != units.to_integral_value():
            if code in S_CODES:
                raise BadValue(f"{item.path}.quantity.value", "must be a whole number of units")
            self._note(
                item.path,
                "the item is not in the event: its quantity is no whole number, and the rules do not decide its code",
            )
            return None
        served = item.text("servicedDate")
        period = item.get("servicedPeriod")
        first = _day(served or period.text("start"), f"{item.path}.serviced")
        last = _day(served or period.text("end") or period.text("start"), f"{item.path}.serviced")
        places = item.codes("locationCodeableConcept")
        pointed = []
        for index, pointer in enumerate(item.wholes("diagnosisSequence")):
            if pointer not in diagnoses:
                raise BadValue(
                    f"{item.path}.diagnosisSequence[{index}]", "must be the sequence of a diagnosis with a code"
                )
            pointed.append(diagnoses[pointer])
        return ClaimLine(
            line_number=number,
            procedure_code=code,
            modifiers=tuple(
                one.text("code").upper() for modifier in item.items("modifier") for one in modifier.items("coding")[:1]
            ),
            service_date=first,
            service_date_to=last,
            units=int(units),
            charge_cents=self._charge(item, units),
            diagnosis_codes=tuple(pointed),
            place_of_service=places[0] if places else "",
        )

    def _charge(self, item: Place, units: Decimal) -> int:
        net = _dollars(item.get("net"))
        if net is None:
            price = _dollars(item.get("unitPrice"))
            factor = item.number("factor")
            if price is None:
                raise BadValue(f"{item.path}.net", "is missing, and so is a unitPrice")
            if factor is not None and not abs(factor) < 10**6:
                raise BadValue(f"{item.path}.factor", "must be below a million")
            net = price * units * (Decimal(1) if factor is None else factor)
        cents = net * 100
        if not abs(cents) < 10**15 or cents != cents.to_integral_value():
            raise BadValue(f"{item.path}.net", "must be an amount in whole cents")
        return int(cents)

    def _check_total(self, lines: list[ClaimLine]) -> None:
        total = _dollars(self.root.get("total"))
        complete = len(lines) == len(self.root.items("item"))
        if total is not None and complete and total * 100 != sum(line.charge_cents for line in lines):
            raise BadValue("Claim.total", "must be the sum of the items' charges")

    def _npi(self, reference: Place) -> str | None:
        """The NPI of a provider; None where none is stated. Raises BadValue for one that is wrong."""
        system, npi = identifier_in(reference)
        path = f"{reference.path}.identifier"
        if system != NPI:
            found = self._resolved(reference)
            npi = ""
            for identifier in self._identifiers_behind(found) if found else ():
                if identifier.text("system") == NPI:
                    npi, path = identifier.text("value"), identifier.path
                    break
        if not npi:
            return None
        if not is_npi(npi):
            raise BadValue(path, "must be an NPI with a right check digit")
        return npi

    def _identifiers_behind(self, found: Place) -> Iterator[Place]:
        """The identifiers of a provider, and of the practitioner and the organization of a PractitionerRole."""
        yield from found.items("identifier")
        for inner in (found.get("practitioner"), found.get("organization")):
            if inner:
                yield inner.get("identifier")
            behind = self._resolved(inner)
            if behind:
                yield from behind.items("identifier")

    def _identifier(self, reference: Place) -> str:
        """The identifier's value in a reference, or of the resource that it means."""
        _, value = identifier_in(reference)
        found = self._resolved(reference)
        if not value and found:
            value = next((text for one in found.items("identifier") if (text := one.text("value"))), "")
        return value

    def _resolved(self, reference: Place) -> Place | None:
        """The resource that a reference means: contained, in the Bundle, or in another file."""
        literal = reference.text("reference")
        if literal.startswith("#"):
            return next((one for one in self.root.items("contained") if one.text("id") == literal[1:]), None)
        found = self._around.find(literal) if literal else None
        return None if found is None else Place(found, str(found.get("resourceType")), self._taken)

    def _not_found(self, reference: Place) -> str:
        """What to do about a reference to a resource that is not here."""
        if reference.get("reference") and self._resolved(reference) is None:
            return "; the resource that it refers to is not in the file: name the file that has it with --resources"
        return ""

    def _note(self, path: str, sentence: str) -> None:
        self._add(Problem(NOTE, sentence, element=path, rejects=False))

    def _add(self, problem: Problem) -> None:
        """Keep a problem, once. The first that rejects is always kept: it decides."""
        if problem in self.problems:
            return
        if len(self.problems) < MOST_PROBLEMS or (problem.rejects and not any(one.rejects for one in self.problems)):
            self.problems.append(problem)
        else:
            self.unnamed_problems += 1


def _codes_of(item: Place) -> frozenset[str]:
    """The codes of an item, in whatever system."""
    return frozenset(code.upper() for code in item.codes("productOrService"))


def _dollars(money: Place) -> Decimal | None:
    """An amount; None where there is none. Raises BadValue for another currency."""
    value = money.number("value")
    if value is not None and money.text("currency") not in ("USD", ""):
        raise BadValue(f"{money.path}.currency", "must be USD")
    if value is not None and not (value.is_finite() and abs(value) < 10**13):
        raise BadValue(f"{money.path}.value", "must be an amount below ten million millions")
    return value


def _day(text: str, path: str) -> Day:
    """The day of a FHIR date or dateTime, as its writer's calendar had it. Raises BadValue."""
    found = _DATE.fullmatch(text)
    try:
        return json_form.day_from_iso(found[1] if found else "")
    except json_form.FieldError:
        raise BadValue(path, "must be a full date, such as 2024-02-29") from None
