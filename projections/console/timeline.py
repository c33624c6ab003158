"""A patient's timeline as an SVG picture and as sentences: pure functions from facts and decisions.

The picture uses attributes and classes alone, because the pages' content security policy allows no inline styles.
"""

from collections.abc import Iterable
from datetime import date
from html import escape
from typing import NamedTuple

from streams.adjudication.days import Day, day_from_iso, iso
from streams.adjudication.decisions import PAID
from streams.adjudication.facts import STARTED, WITHDRAWN
from streams.adjudication.record import PatientRecord

GAP_DAYS = 30
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 1000, 150, 24, 34, 34


class LineMark(NamedTuple):
    """A claim line on the timeline."""

    ref: str
    code: str
    service_date: Day
    outcome: str
    reason: str
    focus: bool  # the line that the page is about


class Picture(NamedTuple):
    svg: str
    sentences: tuple[str, ...]  # the same, in order of time


def draw(record: PatientRecord, lines: Iterable[LineMark], gap_days: int = GAP_DAYS) -> Picture:
    """Orders with their spans, treatment starts, the claim lines, and the days after a paid line that are closed to S0354."""
    marks = sorted(lines, key=lambda mark: (mark.service_date, mark.ref))
    orders = sorted(record.orders.values(), key=lambda order: (order.effective_from, order.order_id))
    starts = [start for start in record.starts.values() if start.status == STARTED]
    days = [mark.service_date for mark in marks]
    days += [order.effective_from for order in orders] + [start.onset_date for start in starts]
    if not days:
        return Picture("", ())
    counted = [mark for mark in marks if mark.outcome == PAID]
    first = min(days) - 20
    last = max([*days, *(mark.service_date + gap_days for mark in counted)]) + 30

    def x(day: Day) -> float:
        inside = min(max(day, first), last)
        return round(_LEFT + (inside - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT), 1)

    rows = [*(f"Order {order.order_id}" for order in orders), "S0353", "S0354", f"{gap_days}-day windows"]
    height = _TOP + _ROW * len(rows) + 12
    out = [
        f'<svg class="timeline" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="timeline-title" '
        f'xmlns="http://www.w3.org/2000/svg"><title id="timeline-title">Timeline from {iso(first)} to {iso(last)}; '
        "the same follows in words</title>"
    ]
    out += [
        f'<line class="grid" x1="{x(month)}" x2="{x(month)}" y1="{_TOP - 8}" y2="{height - 8}"/>'
        for month in _months(first, last)
    ]
    step = 1 if last - first < 330 else 2 if last - first < 700 else 6
    for number, month in enumerate(_months(first, last)):
        if number % step == 0:
            out.append(f'<text class="axis" x="{x(month) + 3}" y="14">{iso(month)[:7]}</text>')
    y_of = {}
    for number, name in enumerate(rows):
        y_of[name] = _TOP + _ROW * number + _ROW // 2
        out.append(f'<text class="lane" x="0" y="{y_of[name] + 4}">{escape(_short(name))}</text>')
    said: list[tuple[Day, str]] = []
    for order in orders:
        y = y_of[f"Order {order.order_id}"]
        ended = order.effective_to
        if order.status == WITHDRAWN and order.withdrawn_from is not None:
            ended = min(ended, order.withdrawn_from - 1) if ended is not None else order.withdrawn_from - 1
        kind = "on" if order.on_pathway else "off"
        begin, end = x(order.effective_from), x(last if ended is None else max(ended, order.effective_from))
        out.append(
            f'<rect class="order {kind}" x="{begin}" y="{y - 9}" width="{max(end - begin, 3):.1f}" height="18" rx="4"/>'
        )
        until = "open" if ended is None else iso(ended)
        withdrawn = ", withdrawn" if order.status == WITHDRAWN else ""
        said.append((order.effective_from, f"order {order.order_id}, {kind} the pathway, until {until}{withdrawn}"))
        start = record.starts.get(order.order_id)
        if start is not None and start.status == STARTED:
            at = x(start.onset_date)
            out.append(f'<path class="start" d="M{at} {y - 12}l9 12l-9 12l-9-12z"/>')
            said.append((start.onset_date, f"treatment starts under order {order.order_id}"))
    window = y_of[f"{gap_days}-day windows"]
    for mark in counted:
        begin, end = x(mark.service_date), x(mark.service_date + gap_days)
        out.append(f'<rect class="window" x="{begin}" y="{window - 8}" width="{end - begin:.1f}" height="16" rx="3"/>')
    for mark in marks:
        at, y = x(mark.service_date), y_of[mark.code]
        if mark.focus:
            out.append(f'<line class="focus" x1="{at}" x2="{at}" y1="{_TOP - 8}" y2="{height - 8}"/>')
            out.append(f'<circle class="ring" cx="{at}" cy="{y}" r="13"/>')
        out.append(_mark(mark.outcome, at, y))
        closes = f"; no S0354 until {iso(mark.service_date + gap_days)}" if mark.outcome == PAID else ""
        here = " (this line)" if mark.focus else ""
        said.append((mark.service_date, f"{mark.code} on claim line {mark.ref}{here}: {mark.outcome.lower()}{closes}"))
    out.append("</svg>")
    said.sort(key=lambda entry: entry[0])
    return Picture("".join(out), tuple(f"{iso(day)}: {words}" for day, words in said))


def _mark(outcome: str, x: float, y: int) -> str:
    """Each outcome has a shape of its own, not a colour alone."""
    if outcome == PAID:
        return f'<circle class="mark paid" cx="{x}" cy="{y}" r="7"/>'
    if outcome == "PENDED":
        return f'<circle class="mark pended" cx="{x}" cy="{y}" r="6"/>'
    if outcome == "BUNDLED":
        return f'<rect class="mark bundled" x="{x - 6}" y="{y - 6}" width="12" height="12"/>'
    return f'<path class="mark {outcome.lower()}" d="M{x - 6} {y - 6}l12 12m0-12l-12 12"/>'


def _months(first: Day, last: Day) -> list[Day]:
    at = date.fromisoformat(iso(first))
    months: list[Day] = []
    year, month = at.year, at.month
    while True:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        day = day_from_iso(f"{year:04d}-{month:02d}-01")
        if day > last:
            return months
        months.append(day)


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"
