"""The timeline as a pure function: what is drawn, what is said, and what is left out of a long history."""

import re
from typing import Any
from xml.etree import ElementTree

from projections.console.timeline import LONGEST_DAYS, Gaps, LineMark, Picture, draw
from streams.adjudication.days import Day, day_from_iso
from streams.adjudication.record import PatientRecord
from streams.events import fact_from_json
from tests.facts import PATIENT, eligibility, order, start

GAPS = Gaps(30, 30)


def day(text: str) -> Day:
    return day_from_iso(text)


def record(*facts: dict[str, Any]) -> PatientRecord:
    kept = PatientRecord(PATIENT)
    for told in facts:
        fact: Any = fact_from_json(told)
        {"pathway-selected": kept.keep_order, "treatment-started": kept.keep_start, "member-eligibility": kept.keep_eligibility}[
            told["type"]
        ](fact)  # fmt: skip
    return kept


def mark(ref: str, code: str, on: str, outcome: str = "PAID", **fields: bool) -> LineMark:
    return LineMark(ref, code, day(on), outcome, fields.get("focus", False), fields.get("in_the_way", False))


def count(picture: Picture, css: str) -> tuple[int, int]:
    """How often a class is drawn, in the wide and in the narrow picture, both of which are well-formed."""
    found = []
    for svg in (picture.wide, picture.narrow):
        ElementTree.fromstring(svg)
        found.append(len(re.findall(rf'class="{css}"', svg)))
    return found[0], found[1]


def test_a_patient_of_whom_nothing_is_known_has_no_picture() -> None:
    assert draw(PatientRecord(PATIENT), [], GAPS) == Picture("", "", (), 0)


def test_the_line_the_one_in_its_way_and_the_days_between() -> None:
    lines = [
        mark("A/1", "S0353", "2024-01-08", in_the_way=True),
        mark("B/1", "S0354", "2024-02-06", "DENIED", focus=True),
    ]
    picture = draw(record(order(), start(), eligibility(1, ("2020-01-01", None))), lines, GAPS)
    for css in ("order on", "covered", "start", "ring", "ring way", "mark paid", "mark denied", "window", "distance"):
        assert count(picture, css) == (1, 1), css
    assert ">29 days<" in picture.wide
    assert picture.sentences == (
        "2020-01-01: covered by plan PPO, until open",
        "2024-01-02: order O1, on the pathway, until 2024-12-31",
        "2024-01-08: treatment starts under order O1",
        "2024-01-08: S0353 on claim line A/1 (stands in its way): paid; no S0354 from 2023-12-10 to 2024-02-06",
        "2024-02-06: S0354 on claim line B/1 (this line): denied",
    )


def test_the_closed_days_are_the_policys() -> None:
    lines = [mark("A/1", "S0353", "2024-01-08"), mark("B/1", "S0354", "2024-03-08")]
    said = draw(record(order()), lines, Gaps(10, 20)).sentences
    assert "2024-01-08: S0353 on claim line A/1: paid; no S0354 from 2023-12-30 to 2024-01-17" in said
    assert "2024-03-08: S0354 on claim line B/1: paid; no S0354 from 2024-02-18 to 2024-03-27" in said


def test_an_order_that_was_withdrawn_ends_the_day_before() -> None:
    withdrawn = order(status="WITHDRAWN", withdrawn_from="2024-03-01", on_pathway=False)
    picture = draw(record(withdrawn), [], GAPS)
    assert picture.sentences == ("2024-01-02: order O1, off the pathway, until 2024-02-29, withdrawn",)
    assert count(picture, "order off") == (1, 1)


def test_a_long_history_is_shown_around_the_line() -> None:
    lines = [mark(f"C{n}/1", "S0354", f"{2010 + n}-06-01", focus=n == 7) for n in range(14)]
    history = record(order(effective_from="2010-01-01", effective_to=None))
    near = draw(history, lines, GAPS)
    assert near.left_out == 13
    assert count(near, "ring") == (1, 1)
    assert any("C7/1 (this line)" in said for said in near.sentences)
    whole = draw(history, lines, GAPS, whole=True)
    assert whole.left_out == 0
    assert count(whole, "mark paid") == (14, 14)
    first, last = re.search(r"from ([0-9-]+) to ([0-9-]+);", near.wide).groups()  # type: ignore[union-attr]
    assert day(last) - day(first) == LONGEST_DAYS


def test_lines_of_one_day_are_drawn_beside_one_another() -> None:
    lines = [mark(f"A/{n}", "S0354", "2024-02-06", "DENIED") for n in range(1, 4)]
    picture = draw(record(order()), lines, GAPS)
    places = re.findall(r'<path class="mark denied" d="M([0-9.-]+) ([0-9.-]+)', picture.wide)
    assert len(set(places)) == 3
    assert len({x for x, _ in places}) == 1


def test_ids_are_text_in_the_picture() -> None:
    picture = draw(record(order(order_id="<x>&\"'")), [], GAPS)
    assert count(picture, "order on") == (1, 1)
    assert "<x>" not in picture.wide + picture.narrow
