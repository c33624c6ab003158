"""Finding lines: what a person typed, and the address of what was found.

An address ends in histories, bookmarks and other people's logs. So what is typed is sent in a form, and the address of the lines
that are found names a decision among them ("the lines of that one's patient"), never a patient, a claim or an order.
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, select, tuple_

from projections.console.words import reasons_like
from projections.ledger.rows import clean
from projections.ledger.tables import claim_lines, decision_versions, patient_timeline

PAGE_LINES: Final = 50
FIELDS: Final = ("claim", "patient", "order", "provider", "reason")
SAID_OPENLY: Final = ("provider", "reason")
"""Fields whose value is about no patient, and may stand in an address."""

_columns = claim_lines.c
_NEWEST_FIRST: Final = (_columns.service_date, _columns.claim_id, _columns.line_number, _columns.patient_id)


class Lines(NamedTuple):
    """A page of current lines, newest service first."""

    rows: list[Any]
    more: bool  # whether another page follows


class Found(NamedTuple):
    """Where what was typed is known: in which field, and as what."""

    field: str
    condition: ColumnElement[bool]


def condition_of(field: str, text: str) -> ColumnElement[bool]:
    """What a line must fulfil to be found by a text in a field."""
    if field == "claim":
        claim_id, _, number = text.rpartition("/")
        if claim_id and number.isascii() and number.isdigit() and len(number) < 10:
            return (_columns.claim_id == text) | and_(
                _columns.claim_id == claim_id, _columns.line_number == int(number)
            )
        return _columns.claim_id == text
    if field == "reason":
        return _columns.reason.in_(reasons_like(text) or (text.upper().replace(" ", "_"),))
    column = {"patient": _columns.patient_id, "order": _columns.order_id, "provider": _columns.billing_npi}[field]
    return column == text


def find(connection: Connection, text: str, field: str) -> Found | None:
    """The first field that knows the text, of all or of the one that was chosen."""
    typed = clean(text)
    for name in (field,) if field in FIELDS else FIELDS:
        condition = condition_of(name, typed)
        if connection.execute(select(_columns.decision_id).where(condition).limit(1)).first() is not None:
            return Found(name, condition)
    return None


def condition_beside(connection: Connection, field: str, decision_id: str) -> ColumnElement[bool] | None:
    """The lines of the same claim, patient or order as a decision's; None: no such decision, or it names no order."""
    name = {"claim": "claim_id", "patient": "patient_id", "order": "order_id"}.get(field)
    if name is None:
        return None
    v = decision_versions.c
    value = connection.scalar(select(v[name]).where(v.decision_id == decision_id))
    return None if value is None else _columns[name] == value


def lines(
    connection: Connection, condition: ColumnElement[bool] | None, outcome: str = "", after: str | None = None
) -> Lines:
    """A page of lines that fulfil a condition; with `after`, those that follow the line of that decision."""
    query = select(claim_lines)
    if condition is not None:
        query = query.where(condition)
    if outcome:
        query = query.where(_columns.outcome == outcome)
    if after is not None:
        v = decision_versions.c  # also a version that is superseded by now says where its line stands
        place = select(v.service_date, v.claim_id, v.line_number, v.patient_id).where(v.decision_id == after)
        last = connection.execute(place).first()
        if last is None:
            return Lines([], False)
        query = query.where(_columns.service_date <= last.service_date, tuple_(*_NEWEST_FIRST) < tuple_(*last))
    query = query.order_by(*(column.desc() for column in _NEWEST_FIRST)).limit(PAGE_LINES + 1)
    found = list(connection.execute(query))
    return Lines(found[:PAGE_LINES], len(found) > PAGE_LINES)


def events_named(connection: Connection, text: str) -> list[Any]:
    """Events about a claim or an order, also those that were refused or led to no decision."""
    t = patient_timeline.c
    return list(
        connection.execute(select(patient_timeline).where(t.ref == clean(text)).order_by(t.published_at).limit(20))
    )
