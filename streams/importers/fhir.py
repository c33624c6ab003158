"""FHIR R4 Claim resources as claim-received events: single resources, Bundles, and NDJSON.

docs/importing.md has the mapping. What is read of a resource is marked as it is read; all that is left over is reported by its path
and the reason, so nothing is dropped in silence. The JSON is read here and not by fhir.resources 8.3: that has models of R5,
R4B and STU3 but none of R4, brings pydantic (37 MB and 26 MB of memory), and does not tell which elements nobody looked at.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Final

from schemas import json_form
from streams.adjudication.days import Day
from streams.adjudication.facts import ORIGINAL, REPLACEMENT, S_CODES, VOID, Claim, ClaimLine
from streams.adjudication.intake import InvalidFact, check, is_npi
from streams.importers.report import NOTE, FileReport, Part, Problem
from streams.importers.terms import PATIENT_CONTROL_NUMBER, Terms, number_of

FORM_TYPE = "FHIR Claim"
LARGEST_RESOURCE_BYTES = 64 * 1024 * 1024  # of a Bundle or of a line of NDJSON: it is held whole, times about five
MOST_LEFTOVERS = 1_000  # different paths without a field that are remembered of a file
NPI = "http://hl7.org/fhir/sid/us-npi"
HCPCS = frozenset(
    (
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "https://www.cms.gov/Medicare/Coding/MedHCPCSGenInfo",
        "http://terminology.hl7.org/CodeSystem/HCPCS",
        "urn:oid:2.16.840.1.113883.6.285",
        "http://www.ama-assn.org/go/cpt",
    )
)
_MISSING: Final = object()
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
_NO_FIELD = "claim-received has no field for it"
_RENDERING = frozenset(("rendering", "performing", "primary"))
_ORDERING = frozenset(("ordering", "prescribing"))


class _Unreadable(Exception):
    """A resource that cannot be read; the sentence holds none of its content."""


class _Rejected(Exception):
    """A claim that cannot be imported, for a value at a path."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path
        self.sentence = sentence


def read_fhir(file: BinaryIO, terms: Terms, report: FileReport) -> Iterator[Claim]:
    """The good claims of a file, in its order. What is wrong goes into the report; nothing is raised for it."""
    number = 0
    try:
        for resource in _resources(file):
            for claim, around in _claims(resource, report):
                number += 1
                yield from _imported(claim, around, number, terms, report)
    except _Unreadable as error:
        report.unusable = True
        report.name(Part("file", "", [Problem("UNREADABLE", str(error), position=number + 1)], rejected=True))


def _resources(file: BinaryIO) -> Iterator[Any]:
    """The resource of a file, or those of its lines. Raises _Unreadable."""
    first = file.readline(LARGEST_RESOURCE_BYTES + 1)
    try:
        resource = _parsed(first)
    except _Unreadable:
        rest = file.read(LARGEST_RESOURCE_BYTES + 1)
        yield _parsed(first + rest)
        return
    if resource is not None:
        yield resource
    line_number = 1
    while line := file.readline(LARGEST_RESOURCE_BYTES + 1):
        line_number += 1
        try:
            resource = _parsed(line)
        except _Unreadable as error:
            raise _Unreadable(f"line {line_number}: {error}") from None
        if resource is not None:
            yield resource


def _parsed(data: bytes) -> Any:
    """A JSON object; None for a blank line. Amounts come as Decimal. Raises _Unreadable."""
    if len(data) > LARGEST_RESOURCE_BYTES:
        raise _Unreadable(f"a resource has more than {LARGEST_RESOURCE_BYTES:,} bytes; split it, or use NDJSON")
    try:
        text = data.decode().removeprefix("\ufeff")
        if not text.strip():
            return None
        found = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise _Unreadable("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _Unreadable(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError, InvalidOperation):
        raise _Unreadable("is nested too deeply, or holds a number with too many digits") from None
    if not isinstance(found, dict):
        raise _Unreadable("must be a JSON object with a resourceType")
    return found


def _no_constant(_: str) -> Any:
    raise ValueError


class _Around:
    """The resources that a claim's references may mean: those of its Bundle."""

    def __init__(self, entries: list[Any]) -> None:
        self._known: dict[str, Any] = {}
        for entry in entries:
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(resource, dict):
                continue
            for name in (entry.get("fullUrl"), f"{resource.get('resourceType')}/{resource.get('id')}"):
                if isinstance(name, str):
                    self._known.setdefault(name, resource)

    def find(self, reference: str) -> Any:
        return self._known.get(reference)


def _claims(resource: dict[str, Any], report: FileReport) -> Iterator[tuple[dict[str, Any], _Around]]:
    """The Claim resources in a resource, each with what is around it."""
    kind = resource.get("resourceType")
    if kind == "Claim":
        yield resource, _Around([])
    elif kind == "Bundle":
        entries = resource.get("entry")
        entries = entries if isinstance(entries, list) else []
        around = _Around(entries)
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


def _imported(
    resource: dict[str, Any], around: _Around, number: int, terms: Terms, report: FileReport
) -> Iterator[Claim]:
    maker = _ClaimMaker(resource, around, terms)
    problems = maker.problems
    claim = None
    try:
        claim = maker.claim()
        check(claim)
    except _Rejected as error:
        problems.append(Problem("INVALID", error.sentence, element=error.path, position=number))
    except InvalidFact as error:
        problems.append(Problem("INVALID", f"the event's {error.field} {error.sentence}", position=number))
    rejected = any(problem.rejects for problem in problems)
    if problems:
        report.name(Part("claim", str(number), problems, rejected, None if claim is None else claim.claim_id))
    if rejected or claim is None:
        report.rejected_claims += 1
        return
    for path, name in maker.root.left_over():
        _leave(report, path, _REASONS.get(name, _NO_FIELD))
    for sentence in maker.assumed:
        report.assumed[sentence] += 1
    report.imported += 1
    yield claim


class _Json:
    """A place in a resource, which remembers what was read of it."""

    def __init__(self, value: Any, path: str, taken: set[tuple[int, str]]) -> None:
        self.value = value
        self.path = path
        self._taken = taken

    def __bool__(self) -> bool:
        return self.value is not _MISSING

    def get(self, name: str) -> "_Json":
        """An element; nothing is there where this is no object or has none of that name."""
        value = self.value.get(name, _MISSING) if isinstance(self.value, dict) else _MISSING
        return _Json(_MISSING if value is None else value, f"{self.path}.{name}", self._taken)

    def items(self, name: str) -> list["_Json"]:
        """The items of a repeating element."""
        found = self.get(name)
        if not found:
            return []
        if not isinstance(found.value, list):
            raise _Rejected(found.path, "must be a JSON array")
        return [_Json(one, f"{found.path}[{index}]", self._taken) for index, one in enumerate(found.value)]

    def text(self, name: str) -> str:
        """A string; empty where there is none."""
        found = self.get(name)
        if not found:
            return ""
        if not isinstance(found.value, str):
            raise _Rejected(found.path, "must be a string")
        self.take(name)
        return found.value.strip()

    def number(self, name: str) -> Decimal | None:
        found = self.get(name)
        if not found:
            return None
        if isinstance(found.value, bool) or not isinstance(found.value, int | Decimal):
            raise _Rejected(found.path, "must be a number")
        self.take(name)
        return Decimal(found.value)

    def whole(self, name: str) -> int | None:
        number = self.number(name)
        if number is None:
            return None
        if not -(10**15) < number < 10**15 or number != number.to_integral_value():
            raise _Rejected(f"{self.path}.{name}", "must be a whole number")
        return int(number)

    def flag(self, name: str) -> bool:
        found = self.get(name)
        if found:
            self.take(name)
        return found.value is True

    def take(self, name: str) -> None:
        """Mark an element as read."""
        self._taken.add((id(self.value), name))

    def left_over(self) -> Iterator[tuple[str, str]]:
        """What nobody read: (path without indices, its first name below the claim that says why)."""
        stack: list[tuple[Any, str, str]] = [(self.value, self.path, "")]
        while stack:
            value, path, reason = stack.pop()
            if isinstance(value, dict):
                for name, inner in value.items():
                    if (id(value), name) in self._taken or name == "resourceType":
                        continue
                    safe = name if name.isascii() and name.replace("_", "").isalnum() and len(name) < 64 else "?"
                    if safe in _REASONS:
                        yield f"{path}.{safe}", safe
                    else:
                        stack.append((inner, f"{path}.{safe}", reason or safe))
            elif isinstance(value, list):
                stack.extend((inner, path, reason) for inner in value)
            else:
                yield path, reason


class _ClaimMaker:
    """Makes an event of a Claim."""

    def __init__(self, resource: dict[str, Any], around: _Around, terms: Terms) -> None:
        self._taken: set[tuple[int, str]] = set()
        self.root = _Json(resource, "Claim", self._taken)
        self._around = around
        self._terms = terms
        self.problems: list[Problem] = []
        self.assumed: list[str] = []

    def claim(self) -> Claim:
        """The event. Raises _Rejected."""
        root, terms = self.root, self._terms
        status = root.text("status")
        if status not in ("active", "cancelled"):
            raise _Rejected("Claim.status", "must be active or cancelled")
        if root.text("use") != "claim":
            raise _Rejected("Claim.use", "must be claim; pre-authorizations and predeterminations are not billed")
        if "professional" not in [coding.text("code") for coding in root.get("type").items("coding")]:
            raise _Rejected("Claim.type", "must be professional")
        number, control_number = self._numbers()
        frequency, original, numbered = self._reference(status, number, control_number)
        claim_id = control_number if terms.claim_number == PATIENT_CONTROL_NUMBER and status == "active" else numbered
        received = self._received_date()
        payer_id = self._identifier(root.get("insurer"))
        if not payer_id:
            raise _Rejected("Claim.insurer", "must be an identifier of the payer, or refer to an Organization with one")
        coverage, orders = self._insurance()
        patient_id = self._patient_id(payer_id, coverage)
        diagnoses = self._diagnoses()
        rendering, ordering = self._care_team()
        lines = [line for item in root.items("item") if (line := self._line(item, diagnoses)) is not None]
        self._check_total(lines)
        billing_npi = self._npi(root.get("provider"))
        if billing_npi is None:
            raise _Rejected("Claim.provider", "must be an NPI, or refer to a resource with one")
        share = terms.cost_share_of.get(patient_id)
        if share is None:
            share = terms.cost_share
            self.assumed.append(
                f"cost share taken as copay {share.copay_cents} cents, deductible remaining "
                f"{share.deductible_remaining_cents} cents, coinsurance {share.coinsurance_bp} basis points: "
                "a FHIR Claim has none"
            )
        return Claim(
            event_id=f"fhir-{numbered}",
            patient_id=patient_id,
            plan_id=self._plan_id(coverage, payer_id, received),
            payer_id=payer_id,
            claim_id=claim_id,
            frequency_code=frequency,
            original_claim_id=original,
            patient_control_number=control_number,
            billing_npi=billing_npi,
            rendering_npi=rendering,
            ordering_npi=ordering,
            order_id=orders[0] if orders else None,
            received_date=received,
            form_type=FORM_TYPE,
            cost_share=share,
            lines=tuple(lines),
        )

    def _numbers(self) -> tuple[str, str]:
        """The number that is made of the claim's identity, and the provider's own number of it."""
        identifiers = self.root.items("identifier")
        logical = self.root.text("id")
        for identifier in identifiers[:1]:
            system, value = identifier.text("system"), identifier.text("value")
            if value:
                return number_of("fhir", system, value), value
        if not logical:
            raise _Rejected("Claim.identifier", "must have a value, or the resource an id: a claim needs an identity")
        return number_of("fhir", "id", logical), logical

    def _reference(self, status: str, number: str, control_number: str) -> tuple[str, str | None, str]:
        """The frequency code, the claim that is replaced or void, and the claim's own number."""
        if status == "cancelled":
            own = self._terms.claim_number == PATIENT_CONTROL_NUMBER
            return VOID, control_number if own else number, number_of("fhir", "cancelled", number)
        for related in self.root.items("related"):
            codes = [coding.text("code") for coding in related.get("relationship").items("coding")]
            if not {"prior", "replaces"}.intersection(codes):
                continue
            payers_number = related.get("reference").text("value")
            if payers_number:
                return REPLACEMENT, payers_number, number
            target = related.get("claim")
            system, value = target.get("identifier").text("system"), target.get("identifier").text("value")
            found = self._resolved(target)
            if not value and found:
                for identifier in found.items("identifier")[:1]:
                    system, value = identifier.text("system"), identifier.text("value")
            if value:
                own = self._terms.claim_number == PATIENT_CONTROL_NUMBER
                return REPLACEMENT, value if own else number_of("fhir", system, value), number
            literal = target.text("reference").rpartition("/")[2]
            if literal:
                own = self._terms.claim_number == PATIENT_CONTROL_NUMBER
                return REPLACEMENT, literal if own else number_of("fhir", "id", literal), number
            raise _Rejected(target.path, "must name the claim that is replaced")
        return ORIGINAL, None, number

    def _received_date(self) -> Day:
        created = self.root.text("created")
        if self._terms.received_date is not None:
            return self._terms.received_date
        for info in self.root.items("supportingInfo"):
            codes = [coding.text("code") for coding in info.get("category").items("coding")]
            if "clmrecvddate" in codes and info.get("timingDate"):
                return _day(info.text("timingDate"), f"{info.path}.timingDate")
        self.assumed.append("received date taken from Claim.created, the day on which the resource was made")
        return _day(created, "Claim.created")

    def _insurance(self) -> tuple[_Json | None, list[str]]:
        """The coverage that the claim is for, as far as it is in the Bundle or contained, and the orders that it cites."""
        insurances = self.root.items("insurance")
        focal = next((one for one in insurances if one.flag("focal")), insurances[0] if len(insurances) == 1 else None)
        if focal is None:
            raise _Rejected("Claim.insurance", "must have one that is focal")
        if len(insurances) > 1:
            self._note("Claim.insurance", "other insurances are not coordinated: the event is for the focal one alone")
        orders = []
        for index, order in enumerate(_strings(focal, "preAuthRef")):
            if index:
                self._note(f"{focal.path}.preAuthRef[{index}]", "an event cites one order; the first is taken")
            else:
                orders.append(order)
        return self._resolved(focal.get("coverage")), orders

    def _patient_id(self, payer_id: str, coverage: _Json | None) -> str:
        tokens = self._terms.tokens
        reference = self.root.get("patient")
        patient = self._resolved(reference)
        member_id = coverage.text("subscriberId") if coverage else ""
        relationships = (
            [coding.text("code") for coding in coverage.get("relationship").items("coding")] if coverage else []
        )
        if member_id and relationships and "self" not in relationships:
            names = patient.items("name") if patient else []
            given = _strings(names[0], "given") if names else []
            born = patient.text("birthDate") if patient else ""
            token = tokens.dependent(
                payer_id, member_id, born if _DATE.fullmatch(born) else "", given[0] if given else ""
            )
            if not token:
                raise _Rejected(
                    "Claim.patient",
                    "a dependent's token needs Coverage.subscriberId, Patient.birthDate, Patient.name[0].given[0] and a key",
                )
            return token
        if not member_id:
            member_id = reference.get("identifier").text("value")
        if not member_id and patient:
            member_id = next(
                (
                    identifier.text("value")
                    for identifier in patient.items("identifier")
                    if "MB" in [coding.text("code") for coding in identifier.get("type").items("coding")]
                ),
                "",
            )
        token = tokens.subscriber(payer_id, member_id) if member_id else ""
        if not token:
            raise _Rejected(
                "Claim.patient",
                "must have a member id: Coverage.subscriberId, patient.identifier, or a Patient.identifier of type MB",
            )
        return token

    def _plan_id(self, coverage: _Json | None, payer_id: str, received: Day) -> str:
        classes = coverage.items("class") if coverage else []
        named = {code: one for one in classes for code in (c.text("code") for c in one.get("type").items("coding"))}
        group = named["group"].text("value") if "group" in named else ""
        if "plan" in named and not self._terms.plan_id and group not in self._terms.plan_of_group:
            plan = named["plan"].text("value")
            if plan:
                return plan
        plans = self._terms.plans(payer_id, group, received)
        if len(plans) > 1:
            raise _Rejected(
                "Coverage.class", "is of a payer with several plans: name the group's with --group GROUP=PLAN"
            )
        if not plans:
            self._note(
                "Claim.insurer", "the policy has no plan of this payer: the worker will refuse the claim as WRONG_PAYER"
            )
            return payer_id
        return plans[0]

    def _diagnoses(self) -> dict[int, str]:
        found = {}
        for diagnosis in self.root.items("diagnosis"):
            sequence = diagnosis.whole("sequence")
            code = next(
                (c.text("code") for c in diagnosis.get("diagnosisCodeableConcept").items("coding")),
                "",
            )
            if sequence is not None and code:
                found[sequence] = code.replace(".", "").upper()
        return found

    def _care_team(self) -> tuple[str | None, str | None]:
        """The rendering and the ordering provider's NPI."""
        found: dict[str, str | None] = {}
        for member in self.root.items("careTeam"):
            codes = {coding.text("code") for coding in member.get("role").items("coding")}
            for role, names in (("rendering", _RENDERING), ("ordering", _ORDERING)):
                if not names.intersection(codes):
                    continue
                npi = self._npi(member.get("provider"))
                if role in found and found[role] != npi:
                    self._note(member.path, f"an event has one {role} provider; the first is taken")
                found.setdefault(role, npi)
        return found.get("rendering"), found.get("ordering")

    def _line(self, item: _Json, diagnoses: dict[int, str]) -> ClaimLine | None:
        number = item.whole("sequence")
        if number is None:
            raise _Rejected(f"{item.path}.sequence", "is missing")
        codings = item.get("productOrService").items("coding")
        coding = next((one for one in codings if one.text("system") in HCPCS), None)
        code = coding.text("code").upper() if coding else ""
        if not code:
            self._note(item.path, "the item is not in the event: its productOrService has no HCPCS or CPT code")
            return None
        units = item.get("quantity").number("value")
        if units is None:
            units = Decimal(1)
        if not abs(units) < 10**15 or units != units.to_integral_value():
            if code in S_CODES:
                raise _Rejected(f"{item.path}.quantity.value", "must be a whole number of units")
            self._note(
                item.path,
                "the item is not in the event: its quantity is no whole number, and the rules do not decide its code",
            )
            return None
        served = item.text("servicedDate")
        period = item.get("servicedPeriod")
        first = _day(served or period.text("start"), f"{item.path}.serviced")
        last = _day(served or period.text("end") or period.text("start"), f"{item.path}.serviced")
        places = item.get("locationCodeableConcept").items("coding")
        pointed = []
        for index, pointer in enumerate(_wholes(item, "diagnosisSequence")):
            if pointer not in diagnoses:
                raise _Rejected(
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
            place_of_service=places[0].text("code") if places else "",
        )

    def _charge(self, item: _Json, units: Decimal) -> int:
        net = _dollars(item.get("net"))
        if net is None:
            price = _dollars(item.get("unitPrice"))
            factor = item.number("factor")
            if price is None:
                raise _Rejected(f"{item.path}.net", "is missing, and so is a unitPrice")
            if factor is not None and not abs(factor) < 10**6:
                raise _Rejected(f"{item.path}.factor", "must be below a million")
            net = price * units * (Decimal(1) if factor is None else factor)
        cents = net * 100
        if not abs(cents) < 10**15 or cents != cents.to_integral_value():
            raise _Rejected(f"{item.path}.net", "must be an amount in whole cents")
        return int(cents)

    def _check_total(self, lines: list[ClaimLine]) -> None:
        total = _dollars(self.root.get("total"))
        complete = len(lines) == len(self.root.items("item"))
        if total is not None and complete and total * 100 != sum(line.charge_cents for line in lines):
            raise _Rejected("Claim.total", "must be the sum of the items' charges")

    def _npi(self, reference: _Json) -> str | None:
        """The NPI of a provider; None where none is stated. Raises _Rejected for one that is wrong."""
        identifiers = [reference.get("identifier")]
        found = self._resolved(reference)
        if found:
            identifiers.extend(found.items("identifier"))
            for inner in (found.get("practitioner"), found.get("organization")):  # of a PractitionerRole
                identifiers.append(inner.get("identifier"))
                behind = self._resolved(inner)
                identifiers.extend(behind.items("identifier") if behind else [])
        for identifier in identifiers:
            if identifier.text("system") == NPI:
                npi = identifier.text("value")
                if not is_npi(npi):
                    raise _Rejected(identifier.path, "must be an NPI with a right check digit")
                return npi
        return None

    def _identifier(self, reference: _Json) -> str:
        """The identifier's value in a reference, or of the resource that it means."""
        value = reference.get("identifier").text("value")
        found = self._resolved(reference)
        if not value and found:
            value = next((text for one in found.items("identifier") if (text := one.text("value"))), "")
        return value

    def _resolved(self, reference: _Json) -> _Json | None:
        """The resource that a reference means, contained or in the Bundle."""
        literal = reference.text("reference")
        if literal.startswith("#"):
            return next((one for one in self.root.items("contained") if one.text("id") == literal[1:]), None)
        found = self._around.find(literal) if literal else None
        return None if found is None else _Json(found, str(found.get("resourceType")), self._taken)

    def _note(self, path: str, sentence: str) -> None:
        self.problems.append(Problem(NOTE, sentence, element=path, rejects=False))


def _strings(place: _Json, name: str) -> list[str]:
    found = [one.value for one in place.items(name)]
    if not all(isinstance(one, str) for one in found):
        raise _Rejected(f"{place.path}.{name}", "must be an array of strings")
    place.take(name)
    return found


def _wholes(place: _Json, name: str) -> list[int]:
    found = [one.value for one in place.items(name)]
    if not all(type(one) is int for one in found):
        raise _Rejected(f"{place.path}.{name}", "must be an array of whole numbers")
    place.take(name)
    return found


def _dollars(money: _Json) -> Decimal | None:
    """An amount; None where there is none. Raises _Rejected for another currency."""
    value = money.number("value")
    if value is not None and money.text("currency") not in ("USD", ""):
        raise _Rejected(f"{money.path}.currency", "must be USD")
    if value is not None and not (value.is_finite() and abs(value) < 10**13):
        raise _Rejected(f"{money.path}.value", "must be an amount below ten million millions")
    return value


def _day(text: str, path: str) -> Day:
    """The day of a FHIR date or dateTime, as its writer's calendar had it. Raises _Rejected."""
    found = _DATE.fullmatch(text)
    try:
        return json_form.day_from_iso(found[1] if found else "")
    except json_form.FieldError:
        raise _Rejected(path, "must be a full date, such as 2024-02-29") from None
