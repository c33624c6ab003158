"""The implementation guide of the 837P (005010X222A1), as pyx12 knows it: where a segment stands, and what is wrong with it.

pyx12 (BSD, one small dependency) holds the guide as data and walks it. It is asked two things of a segment: which loop it
belongs to, and whether it and its elements are as the guide wants them. Reading the file is our part (x12.py says why), and so
are the sentences: pyx12's hold the values that it found.

Not asked are pyx12's lists of external codes (states, places of service and others): they age with its releases, and a new
place of service must not cost a claim. What neither we nor pyx12 check: notes of the guide that stand only in words, such as
when a situational segment is required.
"""

from functools import cache, lru_cache
from typing import Any, NamedTuple

from pyx12 import map_if
from pyx12.codes import list_external_codesets
from pyx12.map_walker import walk_tree
from pyx12.params import ParamsBase
from pyx12.segment import Segment as Pyx12Segment

from streams.importers.report import Problem
from streams.importers.x12 import Delimiters, Segment

_REPEATED_CHARACTERS = 200  # a segment up to this length may be one that comes again and again
_MAP = "837.5010.X222.A1.xml"
_GROUP_START = "/ISA_LOOP/GS_LOOP/GS"

_SEGMENT_SENTENCES = {
    "1": "is not known here: the guide has no such segment at this place, or its qualifier or its order is wrong",
    "2": "is not used by the guide here",
    "3": "is mandatory and missing",
    "4": "begins its loop once more than the guide allows",
    "5": "stands once more than the guide allows",
}
_ELEMENT_SENTENCES = {
    "1": "is mandatory and missing",
    "2": "is missing; the elements beside it ask for it",
    "3": "is one element more than the segment has",
    "4": "is shorter than the guide allows",
    "5": "is longer than the guide allows",
    "6": "has a character that its type does not allow",
    "7": "is none of the guide's codes",
    "8": "is not a date that exists in its format",
    "9": "is not a time",
    "10": "excludes an element that is there, or is not used",
}


class Placed(NamedTuple):
    """A segment in its place."""

    loop: str  # such as 2300; empty where the guide does not know the segment
    key: str  # the segment, with its qualifier where the guide tells segments apart by it: NM1, REF[F8]
    missing: list["Found"]  # what should have come before it
    found: list["Found"]  # what is wrong with it


class Found(NamedTuple):
    """A problem, and where it belongs."""

    loops: tuple[str, ...]  # from the outermost to the innermost: ("2000A", "2000B", "2300")
    key: str
    problem: Problem


class Guide:
    """Follows one transaction set, from its ST to its SE."""

    def __init__(self) -> None:
        self._walker = walk_tree()
        self._walker.counter = _Counts()
        self._walker.forceWalkCounterToLoopStart("/ISA_LOOP", "/ISA_LOOP/ISA")
        self._walker.forceWalkCounterToLoopStart("/ISA_LOOP/GS_LOOP", _GROUP_START)
        self._node = _guide().getnodebypath(_GROUP_START)
        self.position = 0  # of the last segment, in the set

    def place(self, segment: Segment) -> Placed:
        """The place of the next segment."""
        self.position += 1
        text = segment.text
        try:
            data = _pyx12_segment(text, segment.delimiters)
            node, _, _, walked = self._walker.walk_errors(self._node, data, self.position, segment.number, None)
            if node is None:
                elements = []
            elif len(text) > _REPEATED_CHARACTERS:
                elements = node.is_valid_errors(data)[1]
            else:
                elements = _elements_in_error(_Same(node), text, segment.delimiters)
        except Exception:  # noqa: BLE001 - whatever a hostile segment brings up in pyx12 is a segment in error
            problem = self._problem("IK3-8", "cannot be checked against the guide", segment, segment.shown_id)
            return Placed("", segment.id, [], [Found(_loops(self._node), segment.id, problem)])
        if node is None:
            problem = self._problem("IK3-1", _SEGMENT_SENTENCES["1"], segment, segment.shown_id)
            return Placed("", _qualified(segment), [], [Found(_loops(self._node), _qualified(segment), problem)])
        self._node = node
        loops = _loops(node)
        key = _key(node)
        missing: list[Found] = []
        found: list[Found] = []
        for error in walked:
            at = error.map_node if error.map_node is not None else node
            at_loops = _loops(at)
            sentence = _SEGMENT_SENTENCES.get(error.err_cde, "is in error")
            if error.err_cde == "3":
                sentence += f" ({at.name})"
            problem = self._problem(
                f"IK3-{error.err_cde}", sentence, segment, _segment_id(at), loop=_innermost(at_loops)
            )
            (missing if error.err_cde == "3" else found).append(Found(at_loops, _key(at), problem))
        for error in elements:
            element = _element(segment.id, error.refdes)
            sentence = _ELEMENT_SENTENCES.get(error.err_cde, "is in error")
            problem = self._problem(
                f"IK4-{error.err_cde}", sentence, segment, segment.id, loop=_innermost(loops), element=element
            )
            found.append(Found(loops, key, problem))
        return Placed(_innermost(loops), key, missing, found)

    def _problem(
        self, code: str, sentence: str, segment: Segment, segment_id: str, *, loop: str = "", element: str = ""
    ) -> Problem:
        return Problem(code, sentence, segment_id, element, loop, self.position, segment.number, rejects=False)


class _Counts:
    """How often each loop and segment stands in the loops that are open: pyx12's counter, which walks all counts at each loop's
    begin and writes every path anew each time it is asked: 27 % of the time of an import."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def reset_to_node(self, path: Any) -> None:
        """Forget what was counted below a loop."""
        below = _path(path) + "/"
        for key in [key for key in self._counts if key.startswith(below)]:
            del self._counts[key]

    def increment(self, path: Any) -> None:
        key = _path(path)
        self._counts[key] = self._counts.get(key, 0) + 1

    def get_count(self, path: Any) -> int:
        return self._counts.get(_path(path), 0)


_paths: dict[int, tuple[Any, str]] = {}  # of the guide's nodes, a few thousand, which live as long as the guide


def _path(path: Any) -> str:
    if isinstance(path, str):
        return path
    known = _paths.get(id(path))
    if known is None:
        known = _paths[id(path)] = (path, path.format())
    return known[1]


class _Same:
    """A node of the guide as a key."""

    __slots__ = ("node",)

    def __init__(self, node: Any) -> None:
        self.node = node

    def __hash__(self) -> int:
        return id(self.node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.node is other.node


@lru_cache(maxsize=4_096)
def _elements_in_error(at: _Same, text: str, delimiters: Delimiters) -> list[Any]:
    """What is wrong with a segment's elements. Payers, diagnoses, services and dates repeat: half the time of an import is here."""
    found: list[Any] = at.node.is_valid_errors(_pyx12_segment(text, delimiters))[1]
    return found


def _pyx12_segment(text: str, delimiters: Delimiters) -> Pyx12Segment:
    return Pyx12Segment(text, delimiters.segment, delimiters.element, delimiters.component)


@cache
def _guide() -> Any:
    parameters = ParamsBase()
    parameters.set("exclude_external_codes", ",".join(name for name, _ in list_external_codesets()))
    return map_if.load_map_file(_MAP, parameters)


def _loops(node: Any) -> tuple[str, ...]:
    """The loops around a node that have a number in the guide."""
    return tuple(part for part in node.get_path().split("/") if part[:1].isdigit())


def _innermost(loops: tuple[str, ...]) -> str:
    return loops[-1] if loops else ""


def _key(node: Any) -> str:
    """REF[F8]: the last part of a segment's path; of a loop that of its first segment."""
    if not node.is_segment():
        first = node.get_first_seg()
        return _key(first) if first is not None else str(node.id)
    return str(node.get_path().rpartition("/")[2])


def _segment_id(node: Any) -> str:
    return _key(node).partition("[")[0]


def _qualified(segment: Segment) -> str:
    """How the guide would call a segment that it does not know here, by the qualifier in its first element."""
    return f"{segment.id}[{segment.component(1, 1)}]" if segment.elements else segment.id


def _element(segment_id: str, reference: object) -> str:
    """CLM05-3 of pyx12's CLM05-03, and SV109 of its 09."""
    text = str(reference or "")
    if not text.startswith(segment_id):
        text = f"{segment_id}{text:0>2}" if text else ""
    element, dash, component = text.partition("-")
    return f"{element}{dash}{component.lstrip('0')}"
