"""What an import says about its input: which parts were rejected and which only noted, where, and why.

The codes of an 837P are those of its acknowledgements: TA1 for the interchange, AK9 for the group, IK5 for the transaction
set, IK3 for a segment and IK4 for an element (999, 005010X231A1). So a sender knows them, and a 999 can be made of the report.
No sentence holds a value that was found in the file.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST_NAMED = 1_000  # problems of a file that are named one by one; the others are counted
NOTE = "NOTE"  # no violation of the guide: what the event could not hold, or what was taken where the file says nothing

ACCEPTED, NOTED, REJECTED = "A", "E", "R"  # as IK501 says it: accepted, accepted although errors are noted, rejected


class Problem(NamedTuple):
    """One thing that is wrong, or worth knowing."""

    code: str  # such as IK4-7; NOTE where there is none
    sentence: str  # what is expected, or what was done; never the value found
    segment: str = ""  # such as CLM
    element: str = ""  # such as CLM05-3; of FHIR the path, such as Claim.item[0].quantity
    loop: str = ""  # such as 2300
    position: int | None = None  # in the transaction set, counted from 1 (IK302); of FHIR the resource in its file
    segment_number: int | None = None  # in the file, counted from 1
    rejects: bool = True  # whether the part that it stands in was rejected for it

    def in_words(self) -> str:
        """The problem on one line."""
        place = self.segment
        if self.position is not None and self.segment:
            place += f" at {self.position}"
        elif self.segment_number is not None:
            place = f"{place} at segment {self.segment_number} of the file".strip()
        if self.loop:
            place += f" ({self.loop})"
        where = " ".join(part for part in (place, self.element) if part)
        return f"{self.code}  {where}: {self.sentence}" if where else f"{self.code}  {self.sentence}"

    def in_json(self) -> dict[str, Any]:
        """The problem as a JSON object, without what is not known."""
        named = self._asdict()
        return {name: value for name, value in named.items() if value not in ("", None)}


@dataclass
class Part:
    """An interchange, a group, a transaction set, a claim or a resource that has problems."""

    kind: str
    name: str  # its control number or its number in the file; never an id of a person
    problems: list[Problem]
    rejected: bool
    claim_id: str | None = None
    parts: list["Part"] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return REJECTED if self.rejected else NOTED if self.problems or self.parts else ACCEPTED

    def in_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": self.kind, "name": self.name, "verdict": self.verdict}
        if self.claim_id:
            found["claim_id"] = self.claim_id
        found["problems"] = [problem.in_json() for problem in self.problems]
        if self.parts:
            found["parts"] = [part.in_json() for part in self.parts]
        return found


@dataclass
class FileReport:
    """What became of a file."""

    file: str
    imported: int = 0
    rejected_claims: int = 0
    rejected_sets: int = 0  # transaction sets of which no claim was read
    bad_lines: int = 0  # of NDJSON: no resource could be read of them
    unusable: bool = False  # it could not be read to its end
    parts: list[Part] = field(default_factory=list)
    not_mapped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (what, why): how often
    assumed: Counter[str] = field(default_factory=Counter)  # sentence: for how many claims
    named: int = 0
    not_named: int = 0

    def name(self, part: Part, inside: Part | None = None) -> None:
        """Add a part with its problems, as long as there is room."""
        room = MOST_NAMED - self.named
        if room <= 0:
            self.not_named += len(part.problems)
            return
        if len(part.problems) > room:
            self.not_named += len(part.problems) - room
            del part.problems[room:]
        self.named += len(part.problems)
        (self.parts if inside is None else inside.parts).append(part)

    @property
    def found_problems(self) -> bool:
        return bool(self.rejected_claims or self.rejected_sets or self.bad_lines or self.unusable)

    def in_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "imported": self.imported,
            "rejected_claims": self.rejected_claims,
            "rejected_sets": self.rejected_sets,
            "bad_lines": self.bad_lines,
            "read_to_its_end": not self.unusable,
            "parts": [part.in_json() for part in self.parts],
            "problems_not_named": self.not_named,
            "not_mapped": [
                {"what": what, "why": why, "count": count} for (what, why), count in sorted(self.not_mapped.items())
            ],
            "assumed": dict(sorted(self.assumed.items())),
        }

    def in_words(self, *, notes: bool) -> Iterator[str]:
        """The report line by line; without `notes` only what was rejected, and how much else there is to see."""
        hidden = 0
        for depth, part in _flat(self.parts):
            shown = [problem for problem in part.problems if notes or problem.rejects]
            hidden += len(part.problems) - len(shown)
            if not shown and not part.rejected:
                continue
            claim = f" ({part.claim_id})" if part.claim_id else ""
            verdict = "rejected" if part.rejected else "accepted, with notes"
            yield f"{self.file}: {'  ' * depth}{f'{part.kind} {part.name}'.strip()}{claim}: {verdict}"
            for problem in shown:
                yield f"{self.file}: {'  ' * depth}  {problem.in_words()}"
        if self.not_named:
            yield f"{self.file}: {self.not_named:,} more problems, not named"
        if notes:
            for (what, why), count in sorted(self.not_mapped.items()):
                yield f"{self.file}: not mapped: {what} ({counted(count, 'time')}): {why}"
        elif hidden or self.not_mapped:
            yield (
                f"{self.file}: {counted(hidden, 'note')}, {counted(len(self.not_mapped), 'kind')} of data without a field "
                "in the event: --notes shows them, --report FILE has them all"
            )
        for sentence, count in sorted(self.assumed.items()):
            yield f"{self.file}: {counted(count, 'claim')}: {sentence}"
        yield f"{self.file}: {self._outcome()}"

    def _outcome(self) -> str:
        said = [counted(self.imported, "claim") + " imported"]
        if self.rejected_claims:
            said.append(counted(self.rejected_claims, "claim") + " rejected")
        if self.rejected_sets:
            said.append(counted(self.rejected_sets, "transaction set") + " rejected as a whole")
        if self.bad_lines:
            said.append(counted(self.bad_lines, "line") + " that could not be read")
        if self.unusable:
            said.append("not read to its end")
        return ", ".join(said)


def in_json(files: list[FileReport], more: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a whole import."""
    return {
        "imported": sum(file.imported for file in files),
        "rejected_claims": sum(file.rejected_claims for file in files),
        "rejected_sets": sum(file.rejected_sets for file in files),
        **more,
        "files": [file.in_json() for file in files],
    }


def _flat(parts: list[Part], depth: int = 0) -> Iterator[tuple[int, Part]]:
    for part in parts:
        yield depth, part
        yield from _flat(part.parts, depth + 1)


def counted(number: int, noun: str) -> str:
    """1 claim, 2 claims."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
