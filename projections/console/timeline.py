"""A patient's timeline as SVG pictures and as sentences: pure functions from facts and decisions.

Two pictures of the same: a wide one with the names beside the rows, and one for a phone with the names above them, so that neither
needs scrolling. They use attributes and classes alone, because the pages' content security policy allows no inline styles.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from html import escape
from typing import Final, NamedTuple, Protocol

from streams.adjudication.days import Day, day_from_iso, iso
from streams.adjudication.decisions import PAID
from streams.adjudication.facts import S0353, STARTED, WITHDRAWN, PathwaySelection
from streams.adjudication.record import PatientRecord

LONGEST_DAYS: Final = 550
"""A longer history is shown around the line that the page is about: further apart, days cannot be told from one another."""

_MOST_SENTENCES = 200
_BEFORE_DAYS, _AFTER_DAYS = 20, 30


class LineMark(NamedTuple):
    """A claim line on the timeline."""

    ref: str
    code: str
    service_date: Day
    outcome: str
    focus: bool  # the line that the page is about
    stands_in_its_way: bool = False


class Gaps(NamedTuple):
    """How many days a counted line keeps S0354 away, by its own code, as the policy has it."""

    after_s0353_days: int
    between_s0354_days: int

    def of(self, code: str) -> int:
        return self.after_s0353_days if code == S0353 else self.between_s0354_days


class Picture(NamedTuple):
    wide: str  # SVG; empty where there is nothing to draw
    narrow: str
    sentences: tuple[str, ...]  # the same, in order of time
    left_out: int  # lines that lie outside of what is drawn


class _Layout(NamedTuple):
    """The measures of a picture, in its own units."""

    name: str
    width: int
    left: int
    right: int
    top: int
    row: int
    names_above: bool
    months: int  # that have a name, at most


_WIDE = _Layout("wide", 1000, 160, 24, 34, 36, False, 12)
_NARROW = _Layout("narrow", 340, 6, 6, 26, 50, True, 4)


class _Bar(NamedTuple):
    """A stretch of days."""

    css: str
    begin: Day
    end: Day  # exclusive
    height: int


class _Row(NamedTuple):
    name: str
    bars: tuple[_Bar, ...] = ()
    starts: tuple[Day, ...] = ()
    code: str = ""  # of the claim lines in it


def draw(record: PatientRecord, lines: Iterable[LineMark], gaps: Gaps, *, whole: bool = False) -> Picture:
    """Orders, coverage, treatment starts, claim lines, and the days around a paid line that are closed to S0354."""
    marks = sorted(lines, key=lambda mark: (mark.service_date, mark.ref))
    extent = _extent(record, marks, gaps)
    if extent is None:
        return Picture("", "", (), 0)
    first, last = extent if whole else _around(extent, marks)
    shown = [mark for mark in marks if first <= mark.service_date <= last]
    rows = _rows(record, shown, gaps, first, last)
    wide, narrow = (_picture(layout, rows, shown, first, last) for layout in (_WIDE, _NARROW))
    return Picture(wide, narrow, _sentences(record, shown, gaps, first, last), len(marks) - len(shown))


def _extent(record: PatientRecord, marks: list[LineMark], gaps: Gaps) -> tuple[Day, Day] | None:
    days = [mark.service_date for mark in marks]
    days += [order.effective_from for order in record.orders.values()]
    days += [start.onset_date for start in record.starts.values() if start.status == STARTED]
    if not days:
        return None
    closed = [mark.service_date + gaps.of(mark.code) for mark in marks if mark.outcome == PAID]
    return min(days) - _BEFORE_DAYS, max([*days, *closed]) + _AFTER_DAYS


def _around(extent: tuple[Day, Day], marks: list[LineMark]) -> tuple[Day, Day]:
    first, last = extent
    if last - first <= LONGEST_DAYS:
        return extent
    middle = next((mark.service_date for mark in marks if mark.focus), last)
    begin = min(max(first, middle - LONGEST_DAYS // 2), last - LONGEST_DAYS)
    return begin, begin + LONGEST_DAYS


def _rows(record: PatientRecord, marks: list[LineMark], gaps: Gaps, first: Day, last: Day) -> list[_Row]:
    rows = []
    for order in _orders(record, first, last):
        ended = _last_day(order)
        end = last + 1 if ended is None else max(ended + 1, order.effective_from + 1)
        started = record.starts.get(order.order_id)
        onset = (started.onset_date,) if started is not None and started.status == STARTED else ()
        kind = "order on" if order.on_pathway else "order off"
        rows.append(_Row(f"Order {order.order_id}", (_Bar(kind, order.effective_from, end, 18),), onset))
    if record.eligibility is not None:
        spans = tuple(
            _Bar("covered", it.effective_from, last + 1 if it.effective_to is None else it.effective_to + 1, 10)
            for it in record.eligibility.spans
        )
        rows.append(_Row("Coverage", spans))
    windows = []
    for mark in marks:
        if mark.outcome == PAID:
            gap = gaps.of(mark.code)
            windows.append(_Bar("before", mark.service_date - gap + 1, mark.service_date, 4))
            windows.append(_Bar("window", mark.service_date, mark.service_date + gap, 16))
    both = {gaps.after_s0353_days, gaps.between_s0354_days}
    name = f"{gaps.between_s0354_days}-day windows" if len(both) == 1 else "Windows"
    return [*rows, _Row("S0353", code="S0353"), _Row("S0354", code="S0354"), _Row(name, tuple(windows))]


def _orders(record: PatientRecord, first: Day, last: Day) -> list[PathwaySelection]:
    """Those that can be seen, in order of time."""
    seen = [
        order
        for order in record.orders.values()
        if order.effective_from <= last and ((ended := _last_day(order)) is None or ended >= first)
    ]
    return sorted(seen, key=lambda order: (order.effective_from, order.order_id))


def _last_day(order: PathwaySelection) -> Day | None:
    """The last day of an order's span, also where it was withdrawn; None: open."""
    ended = order.effective_to
    if order.status == WITHDRAWN and order.withdrawn_from is not None:
        withdrawn = order.withdrawn_from - 1
        return withdrawn if ended is None else min(ended, withdrawn)
    return ended


# -- the pictures


def _picture(layout: _Layout, rows: list[_Row], marks: list[LineMark], first: Day, last: Day) -> str:
    height = layout.top + layout.row * len(rows) + 26

    def x(day: Day) -> float:
        inside = min(max(day, first), last)
        return round(layout.left + (inside - first) / (last - first) * (layout.width - layout.left - layout.right), 1)

    def y(number: int) -> int:
        return layout.top + layout.row * number + (layout.row - 18 if layout.names_above else layout.row // 2)

    title = f"timeline-{layout.name}"
    out = [
        f'<svg class="timeline {layout.name}" viewBox="0 0 {layout.width} {height}" role="img" aria-labelledby="{title}" '
        f'xmlns="http://www.w3.org/2000/svg"><title id="{title}">Timeline from {iso(first)} to {iso(last)}; '
        "the same follows in words</title>"
    ]
    out += _months_of(layout, x, first, last, height)
    y_of = {}
    for number, row in enumerate(rows):
        y_of[row.code or row.name] = y(number)
        out.append(_name(layout, row.name, y(number)))
        for bar in row.bars:
            if bar.end > first and bar.begin <= last:
                begin, wide = x(bar.begin), max(x(bar.end) - x(bar.begin), 3)
                out.append(
                    f'<rect class="{bar.css}" x="{begin}" y="{y(number) - bar.height // 2}" width="{wide:.1f}" '
                    f'height="{bar.height}" rx="{min(4, bar.height // 2)}"/>'
                )
        for onset in row.starts:
            if first <= onset <= last:
                out.append(f'<path class="start" d="M{x(onset)} {y(number) - 12}l9 12l-9 12l-9-12z"/>')
    focus = next((mark for mark in marks if mark.focus), None)
    for mark, beside in _spread(marks):
        at, line_y = x(mark.service_date), y_of[mark.code] + beside
        if mark.focus:
            out.append(f'<line class="focus" x1="{at}" x2="{at}" y1="{layout.top - 8}" y2="{height - 20}"/>')
            out.append(f'<circle class="ring" cx="{at}" cy="{line_y}" r="13"/>')
        elif mark.stands_in_its_way:
            out.append(f'<circle class="ring way" cx="{at}" cy="{line_y}" r="12"/>')
        out.append(_mark(mark.outcome, at, line_y))
    if focus is not None:
        out += _distance(focus, marks, x, height - 14, layout)
    return "".join([*out, "</svg>"])


def _spread(marks: list[LineMark]) -> Iterator[tuple[LineMark, int]]:
    """Lines of one code and day would hide one another: each, and how far above or below the row it is drawn."""
    together: dict[tuple[str, Day], list[LineMark]] = {}
    for mark in marks:
        together.setdefault((mark.code, mark.service_date), []).append(mark)
    for same in together.values():
        step = min(14, 28 // max(1, len(same) - 1))
        for number, mark in enumerate(same):
            yield mark, step * number - step * (len(same) - 1) // 2


def _months_of(layout: _Layout, x: "_Scale", first: Day, last: Day, height: int) -> list[str]:
    months = _months(first, last)
    out = [
        f'<line class="grid" x1="{x(month)}" x2="{x(month)}" y1="{layout.top - 8}" y2="{height - 22}"/>'
        for month in months[:: max(1, len(months) // 24)]
    ]
    step = -(-len(months) // layout.months)
    room = 52 if layout.names_above else 56
    named = [month for month in months[:: max(1, step)] if x(month) + room <= layout.width]
    return out + [f'<text class="axis" x="{x(month) + 3}" y="14">{iso(month)[:7]}</text>' for month in named]


def _name(layout: _Layout, name: str, y: int) -> str:
    short = escape(name if len(name) <= 21 else name[:20] + "…")
    above = y - 18 if layout.names_above else y + 4
    return f'<text class="lane" x="{layout.left if layout.names_above else 0}" y="{above}">{short}</text>'


def _distance(focus: LineMark, marks: list[LineMark], x: "_Scale", y: int, layout: _Layout) -> list[str]:
    """The days between the line and the nearest one that stands in its way."""
    blocking = [mark for mark in marks if mark.stands_in_its_way]
    if not blocking:
        return []
    nearest = min(blocking, key=lambda mark: abs(mark.service_date - focus.service_date))
    days = abs(nearest.service_date - focus.service_date)
    begin, end = sorted((x(nearest.service_date), x(focus.service_date)))
    words = f"{days} day{'' if days == 1 else 's'}"
    # beside the stretch, on the side that has room: between the lines it would not fit where they are close
    at, anchor = (end + 6, "start") if end + 60 < layout.width else (begin - 6, "end")
    return [
        f'<path class="distance" d="M{begin} {y - 5}v10m0-5H{end}m0-5v10"/>',
        f'<text class="days" x="{at}" y="{y + 5}" text-anchor="{anchor}">{words}</text>',
    ]


def _mark(outcome: str, x: float, y: int) -> str:
    """Each outcome has a shape of its own, not a colour alone."""
    if outcome == PAID:
        return f'<circle class="mark paid" cx="{x}" cy="{y}" r="7"/>'
    if outcome == "PENDED":
        return f'<circle class="mark pended" cx="{x}" cy="{y}" r="6"/>'
    if outcome == "BUNDLED":
        return f'<rect class="mark bundled" x="{x - 6}" y="{y - 6}" width="12" height="12"/>'
    if outcome == "VOIDED":
        return f'<path class="mark voided" d="M{x - 6} {y}h12"/>'
    return f'<path class="mark denied" d="M{x - 6} {y - 6}l12 12m0-12l-12 12"/>'


class _Scale(Protocol):
    """From a day to where it lies in the picture."""

    def __call__(self, day: Day) -> float: ...


def _months(first: Day, last: Day) -> list[Day]:
    """The first day of each month in between."""
    at = date.fromisoformat(iso(first))
    months: list[Day] = []
    year, month = at.year, at.month
    while True:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        day = day_from_iso(f"{year:04d}-{month:02d}-01")
        if day > last:
            return months
        months.append(day)


# -- the words


def _sentences(record: PatientRecord, marks: list[LineMark], gaps: Gaps, first: Day, last: Day) -> tuple[str, ...]:
    said: list[tuple[Day, str]] = []
    for order in _orders(record, first, last):
        ended = _last_day(order)
        until = "open" if ended is None else iso(ended)
        withdrawn = ", withdrawn" if order.status == WITHDRAWN else ""
        kind = "on" if order.on_pathway else "off"
        said.append((order.effective_from, f"order {order.order_id}, {kind} the pathway, until {until}{withdrawn}"))
        start = record.starts.get(order.order_id)
        if start is not None and start.status == STARTED:
            said.append((start.onset_date, f"treatment starts under order {order.order_id}"))
    for span in record.eligibility.spans if record.eligibility is not None else ():
        until = "open" if span.effective_to is None else iso(span.effective_to)
        said.append((span.effective_from, f"covered by plan {span.plan_id}, until {until}"))
    for mark in marks:
        gap = gaps.of(mark.code)
        closes = ""
        if mark.outcome == PAID:
            closes = f"; no S0354 from {iso(mark.service_date - gap + 1)} to {iso(mark.service_date + gap - 1)}"
        here = " (this line)" if mark.focus else " (stands in its way)" if mark.stands_in_its_way else ""
        said.append((mark.service_date, f"{mark.code} on claim line {mark.ref}{here}: {mark.outcome.lower()}{closes}"))
    said.sort(key=lambda entry: entry[0])
    told = tuple(f"{iso(day)}: {words}" for day, words in said[:_MOST_SENTENCES])
    rest = len(said) - len(told)
    return (*told, f"and {rest} more") if rest else told
