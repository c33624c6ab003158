"""Claims of X12 837P files (005010X222A1) as claim-received events.

docs/importing.md has the mapping, element by element. What the guide finds wrong rejects a claim where the event is made from
it (`_READ`), and is noted elsewhere: a bad fax number must not cost a claim, a bad charge must. What is wrong with a billing
provider, a subscriber or a patient rejects all claims under it, and no others.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO, NamedTuple

from streams.adjudication.days import Day, day_from_iso
from streams.adjudication.facts import ORIGINAL, REPLACEMENT, S_CODES, VOID, Claim, ClaimLine
from streams.adjudication.intake import is_npi
from streams.importers.report import NOTE, FileReport, Part, Problem
from streams.importers.sound import why_refused
from streams.importers.terms import MOST_LINES, PATIENT_CONTROL_NUMBER, Terms, number_of
from streams.importers.x12 import (
    Envelopes,
    Group,
    Interchange,
    NotX12,
    Segment,
    TransactionSet,
    read_envelopes,
    read_segments,
    shown_number,
)
from streams.importers.x12_guide import Found, Guide

FORM_TYPE = "837P"

MOST_PROBLEMS = 100  # of one claim, or of one loop above it

_READ: dict[str, frozenset[str]] = {  # segment of a loop -> the elements from which events are made; none: all
    "BHT": frozenset(("BHT06",)),
    "2000A/HL": frozenset(),
    "2010AA/NM1": frozenset(("NM108", "NM109")),
    "2000A/CUR": frozenset(("CUR02",)),
    "2000B/HL": frozenset(),
    "2000B/SBR": frozenset(("SBR03",)),
    "2010BA/NM1": frozenset(("NM108", "NM109")),
    "2010BB/NM1": frozenset(("NM108", "NM109")),
    "2000C/HL": frozenset(),
    "2010CA/NM1": frozenset(("NM104",)),
    "2010CA/DMG": frozenset(("DMG01", "DMG02")),
    "2300/CLM": frozenset(("CLM01", "CLM02", "CLM05-1", "CLM05-3")),
    "2300/REF[F8]": frozenset(("REF02",)),
    "2300/REF[G1]": frozenset(("REF02",)),
    "2300/HI": frozenset(),
    "2310B/NM1": frozenset(("NM108", "NM109")),
    "2400/LX": frozenset(),
    "2400/SV1": frozenset(
        (
            *("SV101", "SV101-1", "SV101-2", "SV101-3", "SV101-4", "SV101-5", "SV101-6", "SV102", "SV103", "SV104"),
            *("SV105", "SV107", "SV107-1", "SV107-2", "SV107-3", "SV107-4"),
        )
    ),
    "2400/DTP[472]": frozenset(("DTP02", "DTP03")),
    "2400/REF[G1]": frozenset(("REF02",)),
    "2420A/NM1": frozenset(("NM108", "NM109")),
    "2420E/NM1": frozenset(("NM108", "NM109")),
}
_READ_KEYS = frozenset(name.rpartition("/")[2].partition("[")[0] for name in _READ)
_READ_QUALIFIERS = {
    "NM1": frozenset(("85", "IL", "PR", "QC", "82", "DK")),
    "REF": frozenset(("F8", "G1")),
    "DTP": frozenset(("472",)),
}
_ENVELOPE = frozenset(("ISA", "GS", "ST", "SE", "GE", "IEA"))
_NO_FIELD = "claim-received has no field for it"
_DIAGNOSES = {"ABK": "ICD-10", "ABF": "ICD-10", "BK": "ICD-9", "BF": "ICD-9"}
_AMOUNT = re.compile(r"(-?)([0-9]{0,15})(?:\.([0-9]{1,2})0*)?")
_OTHER_SEPARATOR = re.compile(r"[0-9]{2}[^A-Za-z0-9]B[^A-Za-z0-9][0-9]")  # of CLM05: place of service, B, frequency
_WHOLE = re.compile(r"-?[0-9]{1,15}(?:\.0*)?")


def read_837p(
    file: BinaryIO,
    terms: Terms,
    report: FileReport,
    *,
    refuse_tests: bool = False,
    accept_wrong_counts: bool = False,
    component_separator: str | None = None,
) -> Iterator[Claim]:
    """The good claims of a file, in its order. What is wrong goes into the report; nothing is raised for it.

    The file must be seekable: it is read twice. With `refuse_tests` interchanges marked as tests (ISA15 is not P) are
    rejected; with `accept_wrong_counts` what SE01, GE01 and IEA01 miscount is only noted; `component_separator` stands for a wrong
    ISA16.
    """
    envelopes = read_envelopes(file)
    if accept_wrong_counts:
        _note_wrong_counts(envelopes)
    usable = list(_report_envelopes(envelopes, report, refuse_tests))
    file.seek(0)
    waiting = iter(usable)
    following = next(waiting, None)
    reader: _SetReader | None = None
    try:
        for segment in read_segments(file, component_separator):
            if following is None and reader is None:
                break
            if reader is None and following and segment.number == following.transaction_set.segment_number:
                reader, following = _SetReader(following, terms, report), next(waiting, None)
            if reader is not None:
                yield from reader.read(segment)
                if segment.id == "SE":
                    reader.report_set()
                    reader = None
    except NotX12:
        return  # as the first reading found; the sets before it are whole


_WRONG_COUNTS = frozenset(("IK5-4", "AK9-5", "TA1-021"))


def _note_wrong_counts(envelopes: Envelopes) -> None:
    for interchange in envelopes.interchanges:
        _note(interchange.problems)
        for group in interchange.groups:
            _note(group.problems)
            for transaction_set in group.sets:
                _note(transaction_set.problems)


def _note(problems: list[Problem]) -> None:
    problems[:] = [problem._replace(rejects=problem.code not in _WRONG_COUNTS) for problem in problems]


class _UsableSet(NamedTuple):
    interchange: Interchange
    group: Group
    transaction_set: TransactionSet
    name: str


def _report_envelopes(envelopes: Envelopes, report: FileReport, refuse_tests: bool) -> Iterator[_UsableSet]:
    """The transaction sets that are whole."""
    if envelopes.end:
        report.unusable = True
        report.name(Part("file", "", [envelopes.end], rejected=True))
    for interchange in envelopes.interchanges:
        sets = sum(len(group.sets) for group in interchange.groups)
        if interchange.is_test:
            sentence = "the interchange is marked as a test (ISA15)" + (
                "; tests are not published without --accept-tests" if refuse_tests else ""
            )
            interchange.problems.append(Problem("TA1-020", sentence, "ISA", "ISA15", rejects=refuse_tests))
        if not interchange.groups and not interchange.problems:
            interchange.problems.append(Problem("TA1-024", "there is no functional group in it", "ISA"))
        rejected = any(problem.rejects for problem in interchange.problems)
        if interchange.problems:
            report.name(Part("interchange", shown_number(interchange.control_number), interchange.problems, rejected))
        if rejected:
            report.rejected_sets += max(sets, 1)
            continue
        for group in interchange.groups:
            rejected = any(problem.rejects for problem in group.problems)
            if group.problems:
                report.name(Part("group", shown_number(group.control_number), group.problems, rejected))
            if rejected:
                report.rejected_sets += max(len(group.sets), 1)
                continue
            for transaction_set in group.sets:
                numbers = (interchange.control_number, group.control_number, transaction_set.control_number)
                name = "/".join(shown_number(number) for number in numbers)
                rejected = any(problem.rejects for problem in transaction_set.problems)
                if transaction_set.problems:
                    report.name(Part("transaction set", name, transaction_set.problems, rejected))
                if rejected:
                    report.rejected_sets += 1
                else:
                    yield _UsableSet(interchange, group, transaction_set, name)


@dataclass
class _Level:
    """A loop of the hierarchy: what was read in it, what is wrong with it, and the loop that it is in."""

    name: str  # such as 2000B
    above: "_Level | None"
    number: str = ""  # HL01
    read: dict[str, Segment] = field(default_factory=dict)  # the first segment of each kind, such as 2010AA/NM1
    positions: dict[str, int] = field(default_factory=dict)  # of the same, in the transaction set
    problems: list[Problem] = field(default_factory=list)
    unnamed_problems: int = 0
    named: int = 0  # of the problems are in the report
    claims: int = 0  # in it, and in the loops in it

    def add(self, problem: Problem) -> None:
        """A rejecting problem is always kept: it decides."""
        if len(self.problems) < MOST_PROBLEMS or (problem.rejects and not self.rejected):
            self.problems.append(problem)
        else:
            self.unnamed_problems += 1

    @property
    def rejected(self) -> bool:
        return any(problem.rejects for problem in self.problems)

    def upwards(self) -> Iterator["_Level"]:
        level: _Level | None = self
        while level:
            yield level
            level = level.above

    def find(self, key: str) -> Segment | None:
        return next((level.read[key] for level in self.upwards() if key in level.read), None)


@dataclass
class _Line:
    """A service line of a claim as it stands in the file."""

    read: dict[str, Segment]
    positions: dict[str, int]


@dataclass
class _Claim(_Level):
    """A claim while it is read."""

    ordinal: int = 0  # in the transaction set
    repeat: int = 0  # among the claims of the set with the same CLM01
    position: int = 0
    diagnoses: list[Segment] = field(default_factory=list)
    lines: list[_Line] = field(default_factory=list)
    lines_left_out: int = 0


class _SetReader:
    """Reads one transaction set whose envelope holds."""

    def __init__(self, usable: _UsableSet, terms: Terms, report: FileReport) -> None:
        self._usable = usable
        self._terms = terms
        self._report = report
        self._guide = Guide()
        self._set = _Level("set", None)
        self._innermost: _Level = self._set
        self._claims = 0
        self._repeats: Counter[str] = Counter()
        self._part = Part("transaction set", usable.name, [], rejected=False)

    def read(self, segment: Segment) -> Iterator[Claim]:
        """Take the next segment; the answer is the claim that it ends, if that is good."""
        placed = self._guide.place(segment)
        for found in placed.missing:
            self._level_of(found.loops).add(self._judged(found))
        if segment.id in ("HL", "CLM", "SE"):
            yield from self._claim_ended()
            if segment.id != "CLM":
                self._leave_levels(segment)
            self._open(segment)
        for found in placed.found:
            self._innermost.add(self._judged(found, unknown=not placed.loop and segment.id not in _ENVELOPE))
        self._keep(segment, placed.loop, placed.key)

    def report_set(self) -> None:
        """Name the set in the report if it has something to say."""
        self._name_level(self._set)
        if self._claims == 0 and not self._set.rejected:
            self._part.problems.append(Problem(NOTE, "there is no claim in it", rejects=False))
        if self._part.problems:
            self._part.rejected = any(problem.rejects for problem in self._part.problems)
            if self._part.rejected and not self._claims:
                self._report.rejected_sets += 1
            self._report.name(self._part)

    def _judged(self, found: Found, unknown: bool = False) -> Problem:
        """Whether a violation of the guide is one of what events are made from."""
        problem = found.problem
        loop = found.loops[-1] if found.loops else ""
        segment_id = found.key.partition("[")[0]
        if unknown or problem.code in ("IK3-1", "IK3-8"):
            # at a wrong place, or with a wrong qualifier: what it says would be lost
            qualifier = found.key.partition("[")[2].rstrip("]")
            rejects = segment_id in _READ_KEYS and qualifier in _READ_QUALIFIERS.get(segment_id, (qualifier,))
            if (
                segment_id == "DMG" and "2300" in found.loops
            ):  # as 4010 had it for other payers' members; a patient's stands above
                rejects = False
        else:
            elements = _READ.get(_read_name(loop, found.key))
            rejects = elements is not None and (not problem.element or not elements or problem.element in elements)
            if problem.code == "IK3-4":  # once too often is no reason where each is read, as lines and claims are
                rejects = rejects and loop not in ("2300", "2400", "2000A", "2000B", "2000C")
        return problem._replace(rejects=rejects)

    def _level_of(self, loops: tuple[str, ...]) -> _Level:
        """The open level that a loop belongs to."""
        wanted = next((name for name in ("2300", "2000C", "2000B", "2000A") if name in loops), "set")
        levels = list(self._innermost.upwards())
        return next((level for level in levels if level.name == wanted), levels[0] if wanted == "2300" else levels[-1])

    def _open(self, segment: Segment) -> None:
        if segment.id == "HL":
            self._open_level(segment)
        elif segment.id == "CLM":
            self._claims += 1
            self._repeats[segment.element(1)] += 1
            above = next(level for level in self._innermost.upwards() if level.name != "2300")
            opened = _Claim(
                "2300",
                above,
                ordinal=self._claims,
                repeat=self._repeats[segment.element(1)],
                position=self._guide.position,
            )
            self._innermost = opened
            for level in above.upwards():
                level.claims += 1
            if _OTHER_SEPARATOR.fullmatch(segment.element(5)) and not segment.component(5, 2):
                sentence = (
                    "looks to have components that another character parts than ISA16 says; if the sender's ISA is wrong, name "
                    "the character with --component-separator"
                )
                opened.add(self._problem(NOTE, sentence, segment, "2300", "CLM05")._replace(rejects=False))
            if above.name not in ("2000B", "2000C"):
                opened.add(self._problem("IK3-1", "stands under no subscriber (HL with 22 or 23)", segment, "2300"))
        else:
            self._innermost = self._set

    def _open_level(self, segment: Segment) -> None:
        code = segment.element(3)
        name, parents = {
            "20": ("2000A", ("set",)),
            "22": ("2000B", ("2000A",)),
            "23": ("2000C", ("2000B",)),
        }.get(code, ("", ()))
        above = next((level for level in self._innermost.upwards() if level.name in parents), self._set)
        opened = _Level(name or "2000?", above, number=segment.element(1))
        self._innermost = opened
        if not name:
            opened.add(self._problem("IK4-7", "must be 20, 22 or 23", segment, "", "HL03"))
        elif above.name not in parents or (above is not self._set and segment.element(2) != above.number):
            opened.add(self._problem("IK4-7", "must be the HL01 of the level above", segment, name, "HL02"))

    def _keep(self, segment: Segment, loop: str, key: str) -> None:
        """Remember what events are made of; count what they have no field for."""
        name = _read_name(loop, key)
        if name not in _READ:
            if segment.id not in _ENVELOPE and segment.id not in ("PER", "N3", "N4") and loop:
                self._report.not_mapped[f"{loop} {key}", _NO_FIELD] += 1
            return
        level = self._innermost
        if isinstance(level, _Claim):
            if name == "2400/LX":
                if len(level.lines) < MOST_LINES:
                    level.lines.append(_Line({}, {}))
                else:
                    level.lines_left_out += 1
                    if level.lines_left_out == 1:
                        level.add(
                            self._problem("IK3-4", f"a claim may have at most {MOST_LINES} lines", segment, "2400")
                        )
            if loop in ("2400", "2420A", "2420E"):
                if level.lines and not level.lines_left_out:
                    level.lines[-1].read.setdefault(name, segment)
                    level.lines[-1].positions.setdefault(name, self._guide.position)
                return
            if name == "2300/HI":
                level.diagnoses.append(segment)
        level.read.setdefault(name, segment)
        level.positions.setdefault(name, self._guide.position)
        if name == "BHT" and segment.element(6) not in ("CH", ""):
            self._set.add(
                self._problem(
                    "IK4-7", "must be CH: encounters and subrogation demands are not billed", segment, "", "BHT06"
                )
            )

    def _claim_ended(self) -> Iterator[Claim]:
        """The claim that was read until now, if there is one and it is good."""
        ended = self._innermost
        if not isinstance(ended, _Claim):
            return
        assert ended.above is not None, "a claim is in a loop"
        self._innermost = ended.above
        made = _ClaimMaker(ended, self._usable, self._terms, self._report)
        claim = made.claim()
        for level in ended.above.upwards():
            self._name_level(level)
        rejected = any(level.rejected for level in ended.upwards())
        part = Part("claim", str(ended.ordinal), ended.problems, rejected, made.claim_id)
        if rejected:
            self._report.rejected_claims += 1
            if not ended.rejected:
                reason = "rejected for what is wrong in the loops above it"
                part.problems.append(Problem("IK3-8", reason, "CLM", "", "2300", ended.position))
        if ended.unnamed_problems:
            self._report.not_named += ended.unnamed_problems
        if part.problems:
            self._report.name(part)
        if claim is not None and not rejected:
            self._report.imported += 1
            for sentence in made.assumed:
                self._report.assumed[sentence] += 1
            yield claim

    def _name_level(self, level: _Level) -> None:
        """Put into the report what is wrong with a level and not there yet."""
        found, level.named = level.problems[level.named :], len(level.problems)
        self._report.not_named += level.unnamed_problems
        level.unnamed_problems = 0
        if level is self._set:
            self._part.problems.extend(found)
        elif found:
            rejected = any(problem.rejects for problem in found)
            self._report.name(Part("loop", f"{level.name} of {self._part.name}", found, rejected))

    def _leave_levels(self, at: Segment) -> None:
        """A loop may end without a claim: then what is wrong in it stood in the claim's place, and is not lost in silence."""
        stays = {"22": ("2000A",), "23": ("2000A", "2000B")}.get(at.element(3), ()) if at.id == "HL" else ()
        for level in self._innermost.upwards():
            if level is not self._set and level.name not in stays:
                if level.rejected and not level.claims:
                    self._report.rejected_claims += 1
                    level.claims = 1  # counted
                self._name_level(level)

    def _problem(self, code: str, sentence: str, segment: Segment, loop: str, element: str = "") -> Problem:
        return Problem(code, sentence, segment.shown_id, element, loop, self._guide.position, segment.number)


class _ClaimMaker:
    """Makes an event of what was read of a claim."""

    def __init__(self, read: _Claim, usable: _UsableSet, terms: Terms, report: FileReport) -> None:
        self._read = read
        self._usable = usable
        self._terms = terms
        self._report = report
        self.assumed: list[str] = []
        interchange, group, transaction_set, _ = usable
        control_number = self._text("2300/CLM", 1)
        self._number = number_of(
            interchange.sender,
            interchange.made_at,
            interchange.control_number,
            group.control_number,
            transaction_set.control_number,
            control_number,
            str(read.repeat),
        )
        self.claim_id = control_number if terms.claim_number == PATIENT_CONTROL_NUMBER else self._number

    def claim(self) -> Claim | None:
        """The event, or None where something rejects the claim."""
        if any(level.rejected for level in self._read.upwards()):
            return None
        read = self._read
        received = self._received_date()
        payer_id = self._identifier("2010BB/NM1", ("PI", "XV"))
        frequency = self._component("2300/CLM", 5, 3)
        if frequency not in (ORIGINAL, REPLACEMENT, VOID):
            self._reject("IK4-7", "must be 1 (original), 7 (replacement) or 8 (void)", "2300/CLM", "CLM05-3")
        original = self._text("2300/REF[F8]", 2) or None
        if frequency in (REPLACEMENT, VOID) and original is None:
            self._note(
                "a replacement or void without REF*F8 names no original: it is decided as a bad reference", "2300/CLM"
            )
        self._check_currency()
        lines = self._lines()
        self._check_total()
        claim = Claim(
            event_id=f"837p-{self._number}",
            patient_id=self._patient_id(payer_id),
            plan_id=self._plan_id(payer_id, received),
            payer_id=payer_id,
            claim_id=self.claim_id,
            frequency_code=frequency,
            original_claim_id=original,
            patient_control_number=self._text("2300/CLM", 1),
            billing_npi=self._npi("2010AA/NM1", read.find("2010AA/NM1"), mandatory=True) or "",
            rendering_npi=self._of_claim_or_lines("2310B/NM1", "2420A/NM1"),
            ordering_npi=self._of_claim_or_lines("", "2420E/NM1"),
            order_id=self._of_claim_or_lines("2300/REF[G1]", "2400/REF[G1]"),
            received_date=received,
            form_type=FORM_TYPE,
            cost_share=self._terms.cost_share,
            lines=tuple(lines),
        )
        if claim.patient_id in self._terms.cost_share_of:
            claim = claim._replace(cost_share=self._terms.cost_share_of[claim.patient_id])
        else:
            share = self._terms.cost_share
            self.assumed.append(
                f"cost share taken as copay {share.copay_cents} cents, deductible remaining "
                f"{share.deductible_remaining_cents} cents, coinsurance {share.coinsurance_bp} basis points: an 837P has none"
            )
        if self._text("2000B/SBR", 1) not in ("P", ""):
            self.assumed.append(
                "another payer comes first (SBR01): decided as if it had paid nothing, an event has no field for it"
            )
        if read.rejected:
            return None
        if sentence := why_refused(claim):
            self._reject("IK3-8", sentence, "2300/CLM")
            return None
        return claim

    def _received_date(self) -> Day:
        if self._terms.received_date is not None:
            return self._terms.received_date
        day = _day(self._usable.group.date)
        if day is None:
            self._reject(
                "IK4-8", "must be a date (CCYYMMDD), or give the day of receipt with --received-date", "GS", "GS04"
            )
            return 0
        self.assumed.append("received date taken from GS04, the day on which the sender made the group")
        return day

    def _patient_id(self, payer_id: str) -> str:
        member_id = self._identifier("2010BA/NM1", ("MI", "II"))
        dependent = next((level for level in self._read.upwards() if level.name == "2000C"), None)
        if dependent is None:
            token = self._terms.tokens.subscriber(payer_id, member_id)
            if not token:
                self._reject(
                    "IK4-1", "must be the member id: there is none, or no letter or digit in it", "2010BA/NM1", "NM109"
                )
            return token
        born = _day(self._text("2010CA/DMG", 2))
        birth_date = "" if born is None else _iso(born)
        token = self._terms.tokens.dependent(payer_id, member_id, birth_date, self._text("2010CA/NM1", 4))
        if not token:
            self._reject(
                "IK4-1",
                "a dependent's token needs the subscriber's member id, the birth date (DMG02), the first name (NM104) and a key",
                "2010CA/NM1",
            )
        return token

    def _plan_id(self, payer_id: str, received: Day) -> str:
        plans = self._terms.plans(payer_id, self._text("2000B/SBR", 3), received)
        if len(plans) > 1:
            self._reject(
                "IK4-7",
                "is of a payer with several plans: name the group's with --group GROUP=PLAN",
                "2000B/SBR",
                "SBR03",
            )
        elif not plans:
            self._note(
                "the policy has no plan of this payer: the worker will refuse the claim as WRONG_PAYER", "2010BB/NM1"
            )
            return payer_id
        return plans[0]

    def _lines(self) -> list[ClaimLine]:
        diagnoses = self._diagnoses()
        lines = []
        for line in self._read.lines:
            made = self._line(line, diagnoses)
            if made is not None:
                lines.append(made)
        return lines

    def _line(self, line: _Line, diagnoses: list[str]) -> ClaimLine | None:
        """An event's line; None where it is rejected or left out."""
        service = line.read.get("2400/SV1")
        number = _whole(line.read["2400/LX"].element(1))
        if service is None or number is None:  # the guide has said so
            self._reject("IK4-6", "must be a number", "2400/LX", "LX01", line)
            return None
        code = service.component(1, 2).upper()
        qualifier = service.component(1, 1)
        if qualifier != "HC" and code in S_CODES:
            self._reject("IK4-7", "must be HC: S0353 and S0354 are codes of HCPCS", "2400/SV1", "SV101-1", line)
            return None
        if qualifier != "HC":
            self._left_out(line, "its procedure code is not of HCPCS (SV101-1 is not HC)")
            return None
        units = _whole(service.element(4))
        if units is None:
            if code not in S_CODES and service.element(4):
                self._left_out(line, "its quantity is no whole number, and the rules do not decide its procedure code")
            else:
                self._reject("IK4-6", "must be a whole number of units", "2400/SV1", "SV104", line)
            return None
        if service.element(3) != "UN" and code in S_CODES:
            self._reject("IK4-7", "must be UN: S0353 and S0354 are billed by units", "2400/SV1", "SV103", line)
        charge = _cents(service.element(2))
        dates = self._dates(line)
        if charge is None:
            self._reject("IK4-6", "must be an amount in dollars and whole cents", "2400/SV1", "SV102", line)
        if charge is None or dates is None:
            return None
        return ClaimLine(
            line_number=number,
            procedure_code=code,
            modifiers=tuple(
                modifier.upper() for component in range(3, 7) if (modifier := service.component(1, component))
            ),
            service_date=dates[0],
            service_date_to=dates[1],
            units=units,
            charge_cents=charge,
            diagnosis_codes=tuple(self._pointed_at(line, service, diagnoses)),
            place_of_service=service.element(5) or self._component("2300/CLM", 5, 1),
        )

    def _dates(self, line: _Line) -> tuple[Day, Day] | None:
        segment = line.read.get("2400/DTP[472]")
        if segment is not None:
            first, _, last = segment.element(3).partition("-")
            form = segment.element(2)
            from_day = _day(first)
            to_day = _day(last) if form == "RD8" else from_day
            if form in ("D8", "RD8") and (form == "RD8" or not last) and from_day is not None and to_day is not None:
                return from_day, to_day
        self._reject("IK4-8", "must be a date (D8) or two of them (RD8)", "2400/DTP[472]", "DTP03", line)
        return None

    def _diagnoses(self) -> list[str]:
        found = []
        for segment in self._read.diagnoses:
            for position in range(1, len(segment.elements) + 1):
                kind, code = segment.component(position, 1), segment.component(position, 2)
                if kind in _DIAGNOSES and code:
                    found.append(code.replace(".", "").upper())
                    if _DIAGNOSES[kind] != "ICD-10":
                        self._note("the diagnoses are of ICD-9", "2300/HI", f"HI{position:02}")
        return found

    def _pointed_at(self, line: _Line, service: Segment, diagnoses: list[str]) -> Iterator[str]:
        for component in range(1, 5):
            pointer = service.component(7, component)
            if not pointer:
                continue
            place = _whole(pointer)
            if place is None or not 0 < place <= len(diagnoses):
                self._reject(
                    "IK4-7", "must point at a diagnosis of the claim's HI", "2400/SV1", f"SV107-{component}", line
                )
            else:
                yield diagnoses[place - 1]

    def _check_currency(self) -> None:
        if self._text("2000A/CUR", 2) not in ("USD", ""):
            self._reject("IK4-7", "must be USD: charges in another currency cannot be decided", "2000A/CUR", "CUR02")

    def _check_total(self) -> None:
        """The claim's charge is the sum of its lines', else one of them is not what the sender meant."""
        total = _cents(self._text("2300/CLM", 2))
        charges = [_cents(line.read["2400/SV1"].element(2)) for line in self._read.lines if "2400/SV1" in line.read]
        if total is None:
            self._reject("IK4-6", "must be an amount in dollars and whole cents", "2300/CLM", "CLM02")
        elif all(charge is not None for charge in charges) and total != sum(charge or 0 for charge in charges):
            self._reject("IK4-7", "must be the sum of the lines' charges (SV102)", "2300/CLM", "CLM02")

    def _of_claim_or_lines(self, claim_key: str, line_key: str) -> str | None:
        """What a claim says, or what all of its lines in the program say instead, where they agree."""
        of_claim = self._value(claim_key, self._read.read.get(claim_key))
        program = [line for line in self._read.lines if _code(line) in S_CODES] or self._read.lines
        of_lines = {self._value(line_key, line.read.get(line_key), line) or of_claim for line in program}
        if len(of_lines) > 1:
            self._note(
                f"the lines differ in {line_key}, and the event has one value: that of the claim is taken, if there is one",
                claim_key or "2300/CLM",
            )
            return of_claim
        return next(iter(of_lines), of_claim)

    def _value(self, key: str, segment: Segment | None, line: _Line | None = None) -> str | None:
        if segment is None:
            return None
        if key.endswith("/NM1"):
            return self._npi(key, segment, mandatory=False, line=line)
        return segment.element(2) or None

    def _npi(self, key: str, segment: Segment | None, *, mandatory: bool, line: _Line | None = None) -> str | None:
        if segment is None or (not segment.element(9) and not mandatory):
            if mandatory:
                self._reject("IK3-3", "the billing provider is missing", key)
            return None
        if segment.element(8) != "XX" or not is_npi(segment.element(9)):
            self._reject("IK4-7", "must be an NPI (XX) with a right check digit", key, "NM109", line)
            return None
        return segment.element(9)

    def _identifier(self, key: str, qualifiers: tuple[str, ...]) -> str:
        segment = self._read.find(key)
        if segment is None or segment.element(8) not in qualifiers or not segment.element(9):
            self._reject("IK4-1", f"must be an id with the qualifier {' or '.join(qualifiers)}", key, "NM109")
            return ""
        return segment.element(9)

    def _text(self, key: str, position: int) -> str:
        segment = self._read.find(key)
        return segment.element(position) if segment else ""

    def _component(self, key: str, position: int, component: int) -> str:
        segment = self._read.find(key)
        return segment.component(position, component) if segment else ""

    def _left_out(self, line: _Line, why: str) -> None:
        self._note(f"the line is not in the event: {why}", "2400/SV1", "", line)

    def _reject(self, code: str, sentence: str, key: str, element: str = "", line: _Line | None = None) -> None:
        self._read.add(self._problem(code, sentence, key, element, line, rejects=True))

    def _note(self, sentence: str, key: str, element: str = "", line: _Line | None = None) -> None:
        self._read.add(self._problem(NOTE, sentence, key, element, line, rejects=False))

    def _problem(
        self, code: str, sentence: str, key: str, element: str, line: _Line | None, *, rejects: bool
    ) -> Problem:
        loop, _, segment = key.rpartition("/")
        place = line or next((level for level in self._read.upwards() if key in level.read), None)
        found = place.read.get(key) if place else None
        position = place.positions.get(key) if place else None
        number = found.number if found else None
        return Problem(code, sentence, segment.partition("[")[0], element, loop, position, number, rejects)


def _read_name(loop: str, key: str) -> str:
    """2300/HI: how `_READ` calls a segment. The guide knows several HI by their qualifiers; all with diagnoses are read."""
    if key.startswith("HI["):
        key = "HI" if key[3:].rstrip("]") in _DIAGNOSES else key
    return f"{loop}/{key}" if loop else key


def _code(line: _Line) -> str:
    service = line.read.get("2400/SV1")
    return service.component(1, 2).upper() if service else ""


def _cents(text: str) -> int | None:
    """350, 350.5, 350.00 and .5 as cents; None for what is no amount in whole cents."""
    found = _AMOUNT.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        return None
    cents = int(found[2] or 0) * 100 + int((found[3] or "").ljust(2, "0"))
    return -cents if found[1] else cents


def _whole(text: str) -> int | None:
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else None


def _day(text: str) -> Day | None:
    """The day of CCYYMMDD."""
    if len(text) != 8 or not text.isascii() or not text.isdigit():
        return None
    try:
        return day_from_iso(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    except ValueError:
        return None


def _iso(day: Day) -> str:
    return date.fromordinal(day + date(1970, 1, 1).toordinal()).isoformat()
