"""X12 interchanges: delimiters, segments and envelopes.

A file is read twice. `read_envelopes` looks at control numbers and counts alone, because they stand behind what they vouch for:
no claim of a transaction set whose end is damaged may be used. The claims are then read from the sets that are whole.

Why not with pyx12's reader (4.0.0), whose guide we use: it ends without a word at an empty segment (`~~`) and at a segment of
more than 8 KB, keeps the first interchange's delimiters for those that follow, and ends with an IndexError at a trailer
without its header.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from streams.importers.report import Problem

LARGEST_SEGMENT_BYTES = 64 * 1024  # the longest that the guide allows has about 2 KB
MOST_SETS = 100_000  # of a file: what is remembered of each between the two readings takes about 400 bytes
MOST_CLAIMS = 100_000  # of a set, of which the guide recommends 5,000: their numbers are remembered
_READ_BYTES = 64 * 1024
_ISA_BYTES = 106
_ISA_ELEMENTS_END_AT = (3, 6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103)
_BETWEEN_SEGMENTS = b"\r\n\t \x00\x1a"  # line ends, and what mainframes and DOS fill the end of a file with
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DIGITS = re.compile(r"[0-9]{1,9}")
_SEGMENT_ID = re.compile(r"[A-Z][A-Z0-9]{1,2}")
_CONTROL_NUMBER = re.compile(r"[A-Za-z0-9]{1,9}")

GUIDES = ("005010X222", "005010X222A1", "005010X222A2")  # of the 837P; all three are checked against A1


class NotX12(Exception):
    """What is read is no X12 interchange, or none any more. The sentence holds none of its content."""

    def __init__(self, code: str, segment_number: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code  # such as TA1-022
        self.segment_number = segment_number  # in the file, counted from 1
        self.sentence = sentence


class Delimiters(NamedTuple):
    """What an interchange says in its ISA about how it is written."""

    element: str
    component: str
    segment: str


class Segment(NamedTuple):
    """A segment as it stands in the file."""

    id: str
    elements: tuple[str, ...]
    number: int  # in the file, counted from 1
    delimiters: Delimiters

    def element(self, position: int) -> str:
        """The element at a position counted from 1, such as 2 for NM102; empty where the segment ends before it."""
        return self.elements[position - 1].strip() if position <= len(self.elements) else ""

    def component(self, position: int, component: int) -> str:
        """A component of a composite element, such as (5, 3) for CLM05-3; empty where there is none."""
        components = self.element(position).split(self.delimiters.component)
        return components[component - 1].strip() if component <= len(components) else ""

    @property
    def shown_id(self) -> str:
        """The id for a report; of what is no id nothing is shown, it may be anything."""
        return self.id if _SEGMENT_ID.fullmatch(self.id) else "?"

    @property
    def text(self) -> str:
        """The segment without its terminator."""
        return self.delimiters.element.join((self.id, *self.elements))


@dataclass(slots=True)
class TransactionSet:
    """What an envelope says of a transaction set (ST to SE), and whether it holds."""

    control_number: str
    segment_number: int  # of its ST, in the file
    guide: str
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """A functional group (GS to GE)."""

    control_number: str
    date: str  # GS04: when the sender made it
    guide: str
    problems: list[Problem] = field(default_factory=list)
    sets: list[TransactionSet] = field(default_factory=list)


@dataclass(slots=True)
class Interchange:
    """An interchange (ISA to IEA)."""

    sender: str  # ISA05 and ISA06
    control_number: str
    made_at: str  # ISA09 and ISA10
    is_test: bool
    problems: list[Problem] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


class Envelopes(NamedTuple):
    """All interchanges of a file, as far as it can be read."""

    interchanges: list[Interchange]
    end: Problem | None  # why the reading ended before the end of the file


def read_segments(file: BinaryIO, component: str | None = None) -> Iterator[Segment]:
    """The segments of a file, which may hold several interchanges, each with its own delimiters. Raises NotX12.

    With `component` the components are parted by this character, whatever ISA16 says.
    """
    source = _Bytes(file)
    source.skip(_BYTE_ORDER_MARK)
    number = 0
    delimiters: Delimiters | None = None
    while source.skip_any(_BETWEEN_SEGMENTS):
        number += 1
        if source.starts_with(b"ISA"):
            head = source.take(_ISA_BYTES)
            delimiters = _delimiters(head, number)
            if component is not None:
                delimiters = delimiters._replace(component=component)
            text = head[:-1].decode("latin-1")
            yield Segment("ISA", tuple(text.split(delimiters.element)[1:]), number, delimiters)
            continue
        if delimiters is None:
            raise NotX12(
                "TA1-022",
                number,
                "an interchange must begin with ISA; this is no X12 file, or something stands between two interchanges",
            )
        line = source.until(delimiters.segment.encode(), number)
        segment_id, *elements = _text(line).split(delimiters.element)
        yield Segment(segment_id.strip(), tuple(elements), number, delimiters)
        if segment_id == "IEA":
            delimiters = None


def read_envelopes(file: BinaryIO) -> Envelopes:
    """Check the control numbers and counts of all envelopes of a file. What is wrong is in the problems of each."""
    checking = _Checking()
    end = None
    try:
        for segment in read_segments(file):
            checking.read(segment)
        checking.end_of_file()
    except NotX12 as error:
        end = Problem(error.code, error.sentence, segment_number=error.segment_number)
        checking.cut_off(end)
    if not checking.interchanges and end is None:
        end = Problem("TA1-022", "the file is empty: it may have been cut off on its way")
    return Envelopes(checking.interchanges, end)


class _Checking:
    """The envelopes that are open, and what was counted in them."""

    def __init__(self) -> None:
        self.interchanges: list[Interchange] = []
        self._interchange: Interchange | None = None
        self._group: Group | None = None
        self._set: TransactionSet | None = None
        self._segments = 0  # in the open set, with its ST
        self._claims = 0  # in the open set
        self._sets = 0
        self._numbers: dict[str, set[tuple[str, ...]]] = {"ISA": set(), "GS": set(), "ST": set()}

    def read(self, segment: Segment) -> None:
        self._segments += 1
        match segment.id:
            case "ISA":
                self._open_interchange(segment)
            case "GS":
                self._open_group(segment)
            case "ST":
                self._open_set(segment)
            case "SE":
                self._close_set(segment)
            case "GE":
                self._close_group(segment)
            case "IEA":
                self._close_interchange(segment)
            case "CLM" if self._set is not None:
                self._count_claim(segment, self._set)
            case "TA1" if self._group is None:
                pass  # an acknowledgement that travels with the interchange
            case _ if self._set is None:
                self._stray(segment, "stands outside of a transaction set (ST to SE)")

    def end_of_file(self) -> None:
        self._missing_trailers(("IEA", "GE", "SE"))

    def cut_off(self, problem: Problem) -> None:
        """The rest of the file cannot be read: what is open is not whole."""
        if self._interchange:
            self._interchange.problems.append(problem)

    def _open_interchange(self, segment: Segment) -> None:
        self._missing_trailers(("IEA", "GE", "SE"), segment)
        sender = f"{segment.element(5)}/{segment.element(6)}"
        made_at = f"{segment.element(9)} {segment.element(10)}"
        opened = Interchange(sender, segment.element(13), made_at, is_test=segment.element(15) != "P")
        if not _DIGITS.fullmatch(opened.control_number) or len(opened.control_number) != 9:
            opened.problems.append(_at(segment, "TA1-018", "the control number must have 9 digits", "ISA13"))
        if segment.element(12) != "00501":
            opened.problems.append(_at(segment, "TA1-017", "the version must be 00501", "ISA12"))
        if self._is_repeated("ISA", (sender, made_at, opened.control_number)):
            opened.problems.append(
                _at(
                    segment,
                    "TA1-025",
                    "the control number stands twice in this file; send an interchange once",
                    "ISA13",
                )
            )
        self.interchanges.append(opened)
        self._interchange = opened

    def _open_group(self, segment: Segment) -> None:
        self._missing_trailers(("GE", "SE"), segment)
        if self._interchange is None:
            return
        opened = Group(segment.element(6), segment.element(4), segment.element(8))
        if segment.element(1) != "HC":
            opened.problems.append(_at(segment, "AK9-1", "the group must be of health care claims, HC", "GS01"))
        elif opened.guide not in GUIDES:
            opened.problems.append(
                _at(segment, "AK9-2", f"the version must be one of the 837P: {', '.join(GUIDES)}", "GS08")
            )
        if self._is_repeated("GS", (str(len(self.interchanges)), opened.control_number)):
            opened.problems.append(_at(segment, "AK9-6", "the control number stands twice in this interchange", "GS06"))
        self._interchange.groups.append(opened)
        self._group = opened

    def _open_set(self, segment: Segment) -> None:
        self._missing_trailers(("SE",), segment)
        self._segments = 1
        self._claims = 0
        self._sets += 1
        if self._sets > MOST_SETS:
            raise NotX12(
                "TA1-024",
                segment.number,
                f"the file has more than {MOST_SETS:,} transaction sets; split it between two interchanges",
            )
        if self._group is None:
            self._stray(segment, "stands outside of a functional group (GS to GE)")
            return
        opened = TransactionSet(segment.element(2), segment.number, segment.element(3))
        if segment.element(1) != "837":
            opened.problems.append(_at(segment, "IK5-1", "the transaction set must be an 837", "ST01"))
        elif opened.guide and opened.guide not in GUIDES:
            opened.problems.append(
                _at(segment, "IK5-I6", f"the implementation guide must be one of the 837P: {', '.join(GUIDES)}", "ST03")
            )
        if not opened.control_number:
            opened.problems.append(_at(segment, "IK5-7", "the control number is missing", "ST02"))
        place = (str(len(self.interchanges)), self._group.control_number, opened.control_number)
        if self._is_repeated("ST", place):
            opened.problems.append(_at(segment, "IK5-23", "the control number stands twice in this group", "ST02"))
        self._group.sets.append(opened)
        self._set = opened

    def _count_claim(self, segment: Segment, in_set: TransactionSet) -> None:
        self._claims += 1
        if self._claims == MOST_CLAIMS + 1:
            sentence = f"the set has more than {MOST_CLAIMS:,} claims; the guide recommends at most 5,000 in one"
            in_set.problems.append(_at(segment, "IK5-5", sentence))

    def _close_set(self, segment: Segment) -> None:
        closed, self._set = self._set, None
        if closed is None:
            self._stray(segment, "ends a transaction set that has not begun")
            return
        if _number(segment.element(1)) != self._segments:
            closed.problems.append(
                _at(segment, "IK5-4", f"the set has {self._segments} segments, SE01 says otherwise", "SE01")
            )
        if segment.element(2) != closed.control_number:
            closed.problems.append(_at(segment, "IK5-3", "the control number is not that of the ST", "SE02"))

    def _close_group(self, segment: Segment) -> None:
        self._missing_trailers(("SE",), segment)
        closed, self._group = self._group, None
        if closed is None:
            self._stray(segment, "ends a functional group that has not begun")
            return
        if _number(segment.element(1)) != len(closed.sets):
            closed.problems.append(
                _at(segment, "AK9-5", f"the group has {len(closed.sets)} transaction sets, GE01 says otherwise", "GE01")
            )
        if segment.element(2) != closed.control_number:
            closed.problems.append(_at(segment, "AK9-4", "the control number is not that of the GS", "GE02"))

    def _close_interchange(self, segment: Segment) -> None:
        self._missing_trailers(("GE", "SE"), segment)
        closed, self._interchange = self._interchange, None
        if closed is None:
            return
        if _number(segment.element(1)) != len(closed.groups):
            closed.problems.append(
                _at(
                    segment,
                    "TA1-021",
                    f"the interchange has {len(closed.groups)} groups, IEA01 says otherwise",
                    "IEA01",
                )
            )
        if segment.element(2) != closed.control_number:
            closed.problems.append(_at(segment, "TA1-001", "the control number is not that of the ISA", "IEA02"))

    def _missing_trailers(self, trailers: tuple[str, ...], at: Segment | None = None) -> None:
        """Close what is open and should have been closed before `at`, or before the end of the file."""
        number = at.number if at else None
        if "SE" in trailers and self._set:
            self._set.problems.append(Problem("IK5-2", "its SE is missing", "SE", segment_number=number))
            self._set = None
        if "GE" in trailers and self._group:
            self._group.problems.append(Problem("AK9-3", "its GE is missing", "GE", segment_number=number))
            self._group = None
        if "IEA" in trailers and self._interchange:
            self._interchange.problems.append(
                Problem(
                    "TA1-023",
                    "its IEA is missing: the file was cut off, have it sent again",
                    "IEA",
                    segment_number=number,
                )
            )
            self._interchange = None

    def _stray(self, segment: Segment, sentence: str) -> None:
        if self._interchange and not any(problem.code == "TA1-022" for problem in self._interchange.problems):
            self._interchange.problems.append(_at(segment, "TA1-022", sentence))

    def _is_repeated(self, kind: str, place: tuple[str, ...]) -> bool:
        known = self._numbers[kind]
        repeated = place in known
        known.add(place)
        return repeated


class _Bytes:
    """A file, read piece by piece: no more than a segment and a piece are held."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = b""
        self._at = 0

    def skip(self, prefix: bytes) -> None:
        if self.starts_with(prefix):
            self._at += len(prefix)

    def skip_any(self, filling: bytes) -> bool:
        """Go on to the first byte that is none of these. The answer is whether there is one."""
        while self._fill(1):
            while self._at < len(self._held):
                if self._held[self._at] not in filling:
                    return True
                self._at += 1
        return False

    def starts_with(self, prefix: bytes) -> bool:
        return self._fill(len(prefix)) and self._held.startswith(prefix, self._at)

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end of the file."""
        self._fill(count)
        taken = self._held[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def until(self, terminator: bytes, number: int) -> bytes:
        """The bytes up to a terminator, or to the end of the file. Raises NotX12 where they are too many."""
        searched = self._at
        while (end := self._held.find(terminator, searched)) < 0:
            if len(self._held) - self._at > LARGEST_SEGMENT_BYTES:
                raise NotX12(
                    "TA1-022",
                    number,
                    f"a segment has more than {LARGEST_SEGMENT_BYTES:,} bytes; its terminator is not that of the ISA",
                )
            held = len(self._held) - self._at
            if not self._fill(held + 1):
                line, self._at = self._held[self._at :], len(self._held)
                return line
            searched = self._at + held
        line, self._at = self._held[self._at : end], end + 1
        return line

    def _fill(self, count: int) -> bool:
        """Hold as many bytes from here on, if the file has them."""
        while len(self._held) - self._at < count:
            piece = self._file.read(_READ_BYTES)
            if not piece:
                return False
            self._held, self._at = self._held[self._at :] + piece, 0
        return True


def _delimiters(head: bytes, number: int) -> Delimiters:
    """What an ISA says. Raises NotX12 where it is none: its elements have fixed widths."""
    if len(head) < _ISA_BYTES:
        raise NotX12("TA1-023", number, "the file ends inside of the ISA, which has 106 bytes with its terminator")
    element, component, segment = head[3:4], head[104:105], head[105:106]
    if any(head[at : at + 1] != element for at in _ISA_ELEMENTS_END_AT) or head.count(element) != len(
        _ISA_ELEMENTS_END_AT
    ):
        raise NotX12(
            "TA1-022", number, "the ISA must have 16 elements of their fixed widths, 106 bytes with its terminator"
        )
    found = (element, component, segment)
    if len(set(found)) != 3 or any(not one.isascii() or one.isalnum() or one == b" " for one in found):
        raise NotX12(
            "TA1-026",
            number,
            "the delimiters of the ISA must be three different characters, no letters, digits or spaces",
        )
    return Delimiters(element.decode(), component.decode(), segment.decode())


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def shown_number(control_number: str) -> str:
    """A control number for a report; of what is none nothing is shown."""
    return control_number if _CONTROL_NUMBER.fullmatch(control_number) else "?"


def _number(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _at(segment: Segment, code: str, sentence: str, element: str = "") -> Problem:
    return Problem(code, sentence, segment.shown_id, element=element, segment_number=segment.number)
