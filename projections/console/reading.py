"""What the pages need from the ledger, each page from one state of it."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, or_, select

from projections.console.timeline import Gaps, LineMark, Picture, draw
from projections.console.waterfall import Step, steps
from projections.console.words import EVENTS, reason_name
from projections.ledger.patients import patient_facts
from projections.ledger.rows import as_day, clean
from projections.ledger.tables import (
    adjustments,
    claim_lines,
    dead_letters,
    decision_versions,
    facts,
    patient_timeline,
    pends,
    positions,
)
from streams.adjudication.agreements import Agreements
from streams.adjudication.days import iso
from streams.adjudication.decisions import PAID, Adjustment, AgreementRef, Decision, Evidence, PolicyRef
from streams.adjudication.facts import Cents, Fact, PatientFact, ProviderAgreement
from streams.adjudication.fold import fold
from streams.adjudication.policy import Policy
from streams.adjudication.record import LineKey, PatientRecord
from streams.adjudication.trace import Trace, trace
from streams.display import dollars
from streams.events import HISTORY_FIELDS
from streams.topics import BILLING_DECISIONS
from streams.verification.refold import decided_under

_MOST_CAUSED = 200


class Cause(NamedTuple):
    """An event that led to a version of a decision: what it is, and where it stands."""

    words: str
    place: tuple[str, int, int]  # topic, partition, offset


class Support(NamedTuple):
    """A thing on record that the decision rests on, and the decision to look at where it is a line."""

    kind: str
    ref: str
    says: str
    decision_id: str | None


class Version(NamedTuple):
    """One version of the line's decision."""

    decision: Decision
    changed: tuple[str, ...]  # what differs from the version before, in words: "outcome: paid, before denied"
    published_at: Any
    place: tuple[str, int, int]  # topic, partition, offset
    causes: tuple[Cause, ...]  # the facts that carry its event id


class Proof(NamedTuple):
    """What a fresh fold of the patient's facts gives, held against what is on record."""

    equal: bool
    lines: int
    facts: int
    difference: str  # the first one; empty when equal


class LinePage(NamedTuple):
    current: Decision
    asked_version: int
    support: tuple[Support, ...]
    steps: tuple[Step, ...]
    trace: Trace | None
    picture: Picture
    versions: tuple[Version, ...]  # newest first
    proof: Proof
    facts: list[Fact]
    plan_id: str


def event_at(connection: Connection, topic: str, partition: int, offset: int) -> Any | None:
    """The fact at a place of the log."""
    f = facts.c
    place = (f.kafka_topic == topic, f.kafka_partition == partition, f.kafka_offset == offset)
    return connection.execute(select(facts).where(*place)).first()


def refusal_of(connection: Connection, topic: str, partition: int, offset: int) -> Any | None:
    """The dead letter of an event that was refused: `reason` and `sentence`, which holds no values. None: it was taken in."""
    d = dead_letters.c
    place = (d.source_topic == topic, d.source_partition == partition, d.source_offset == offset)
    return connection.execute(select(d.reason, d.sentence).where(*place)).first()


def caused_by(connection: Connection, event: Mapping[str, Any]) -> list[Any]:
    """The decisions that an event led to, first those that take money back, as they were published."""
    v = decision_versions.c
    if not event.get("patient_id"):
        return []  # an agreement decides nothing by itself
    query = select(decision_versions).where(
        v.caused_by == clean(event["event_id"]), v.patient_id == clean(event["patient_id"])
    )
    return list(connection.execute(query.order_by(v.kafka_partition, v.kafka_offset).limit(_MOST_CAUSED)))


def decision_at(connection: Connection, partition: int, offset: int) -> Decision | None:
    """The decision at a place of the log."""
    v = decision_versions.c
    query = select(decision_versions).where(
        v.kafka_topic == BILLING_DECISIONS, v.kafka_partition == partition, v.kafka_offset == offset
    )
    row = connection.execute(query).first()
    return None if row is None else _decisions(connection, [row])[0]


def overview(connection: Connection, as_of: date | None, pend_limit_days: int) -> dict[str, Any]:
    """The figures of the first page."""
    c = claim_lines.c
    money = connection.execute(
        select(
            c.outcome,
            func.count().label("lines"),
            func.sum(c.charge_cents).label("charge_cents"),
            func.sum(c.paid_cents).label("paid_cents"),
        )
        .group_by(c.outcome)
        .order_by(func.count().desc())
    ).all()
    count = func.count()
    reasons = connection.execute(
        select(c.reason, c.outcome, count.label("lines"), func.sum(c.charge_cents).label("charge_cents"))
        .where(c.outcome.in_(("DENIED", "BUNDLED")))
        .group_by(c.reason, c.outcome)
        .order_by(count.desc(), c.reason)
        .limit(8)
    ).all()
    if as_of is None:  # the index of the received dates answers this; without the condition all facts would be read
        as_of = connection.scalar(select(func.max(facts.c.received_date)).where(facts.c.received_date.is_not(None)))
    waiting = connection.execute(select(pends.c.received_date, pends.c.charge_cents)).all()
    return {
        "money": money,
        "reasons": reasons,
        "as_of": as_of,
        "ages": _ages(((row.received_date, row.charge_cents) for row in waiting), as_of, pend_limit_days),
        "newest": newest_decisions(connection, {}, 12),
    }


def _ages(
    pended: Iterable[tuple[date | None, Cents]], as_of: date | None, limit_days: int
) -> dict[str, tuple[int, Cents]]:
    """Lines and charges by age: thirds of the time that a pend may last, and those that are past it."""
    ends = sorted({limit_days // 3, 2 * limit_days // 3, limit_days})
    begins = [0, *(end + 1 for end in ends[:-1])]
    names = [f"{first} to {last} days" for first, last in zip(begins, ends, strict=True)]
    ages = dict.fromkeys((*names, f"more than {limit_days} days, the limit"), (0, 0))
    for received, charge_cents in pended:
        age = 0 if as_of is None or received is None else (as_of - received).days
        if age >= 0:  # else it was not received yet on the asked day
            name = list(ages)[bisect_left(ends, age)]
            lines, cents = ages[name]
            ages[name] = (lines + 1, cents + charge_cents)
    return ages


def log_positions(connection: Connection) -> dict[tuple[str, int], int]:
    """The offset that the ledger reads next, of each partition."""
    return {(row.kafka_topic, row.kafka_partition): row.next_offset for row in connection.execute(select(positions))}


def newest_decisions(connection: Connection, behind: Mapping[int, int], limit: int) -> list[Any]:
    """The last decisions, oldest first; with `behind` (partition to offset), only those from these offsets on."""
    v = decision_versions.c
    query = select(decision_versions)
    if behind:
        query = query.where(
            v.kafka_topic == BILLING_DECISIONS,
            or_(
                *(
                    and_(v.kafka_partition == partition, v.kafka_offset >= offset)
                    for partition, offset in behind.items()
                )
            ),
        )
    query = query.order_by(v.published_at.desc(), v.kafka_partition, v.kafka_offset.desc()).limit(limit)
    return list(connection.execute(query))[::-1]


def patient_of(connection: Connection, decision_id: str) -> str | None:
    """Whom a decision is about. None: no such decision."""
    v = decision_versions.c
    return connection.scalar(select(v.patient_id).where(v.decision_id == decision_id))


def line_page(connection: Connection, decision_id: str, policy: Policy, *, whole_time: bool = False) -> LinePage | None:
    """Everything about the line that a decision is about, whichever of its versions was named. None: no such decision.

    With `whole_time` the timeline shows all of the patient's history, however long.
    """
    v = decision_versions.c
    named = connection.execute(select(decision_versions).where(v.decision_id == decision_id)).first()
    if named is None:
        return None
    rows = connection.execute(
        select(decision_versions)
        .where(v.patient_id == named.patient_id, v.claim_id == named.claim_id, v.line_number == named.line_number)
        .order_by(v.version)
    ).all()
    history = _decisions(connection, rows)
    t = patient_timeline.c
    events: dict[str, list[Cause]] = {}
    for row in connection.execute(
        select(t.event_id, t.kind, t.ref, t.kafka_topic, t.kafka_partition, t.kafka_offset).where(
            t.patient_id == named.patient_id, t.event_id.in_({row.caused_by for row in rows}), t.refused.is_(None)
        )
    ):
        words = (
            f"{EVENTS.get(row.kind, row.kind)} {row.ref or ''}".strip() if row.ref != row.event_id else EVENTS[row.kind]
        )
        place = (row.kafka_topic, row.kafka_partition, row.kafka_offset)
        events.setdefault(row.event_id, []).append(Cause(words, place))
    versions = []
    for number, (row, decision) in enumerate(zip(rows, history, strict=True)):
        place = (row.kafka_topic, row.kafka_partition, row.kafka_offset)
        changed = _changes(history[number - 1], decision) if number else ()
        versions.append(Version(decision, changed, row.published_at, place, tuple(events.get(row.caused_by, ()))))
    current = history[-1]
    key = (current.claim_id, current.line_number)
    lines = _decisions(connection, _current_rows(connection, named.patient_id))
    on_record = patient_facts(connection, named.patient_id)
    record, agreements, fresh = _refold(named.patient_id, on_record, lines, policy)
    claim = record.claims.get(current.claim_id)
    pages = {("claim-line", f"{it.claim_id}/{it.line_number}"): it.decision_id for it in lines}
    pages |= {("claim", it.claim_id): it.decision_id for it in reversed(lines)}
    blocking = {it.ref for it in current.evidence if it.kind == "claim-line"} if current.outcome != PAID else set()
    marks = [
        LineMark(ref := f"{it.claim_id}/{it.line_number}", it.procedure_code, it.service_date, it.outcome,
                 (it.claim_id, it.line_number) == key, ref in blocking)
        for it in lines
    ]  # fmt: skip
    profile = policy.on(claim.received_date if claim is not None else current.service_date)
    gaps = Gaps(profile.gap_after_s0353_days, profile.gap_between_s0354_days)
    return LinePage(
        current,
        named.version,
        tuple(Support(*it, pages.get((it.kind, it.ref))) for it in current.evidence),
        steps(current),
        trace(record, agreements, policy, key),
        draw(record, marks, gaps, whole=whole_time),
        tuple(reversed(versions)),
        _prove(lines, fresh, len(on_record)),
        on_record,
        claim.plan_id if claim is not None else "",
    )


def _current_rows(connection: Connection, patient_id: str) -> list[Any]:
    current = select(claim_lines.c.decision_id).where(claim_lines.c.patient_id == patient_id)
    v = decision_versions.c
    query = select(decision_versions).where(v.decision_id.in_(current)).order_by(v.claim_id, v.line_number)
    return list(connection.execute(query))


def _decisions(connection: Connection, rows: Any) -> list[Decision]:
    """Rows of `decision_versions` as the decisions that they were made from."""
    found: dict[str, list[Adjustment]] = {row.decision_id: [] for row in rows}
    for row in connection.execute(
        select(adjustments).where(adjustments.c.decision_id.in_(found)).order_by(adjustments.c.number)
    ):
        rarcs = tuple(row.rarcs.split("/")) if row.rarcs else ()
        found[row.decision_id].append(Adjustment(row.group_code, row.carc, rarcs, row.cents))
    return [_decision(row._mapping, tuple(found[row.decision_id])) for row in rows]


def _decision(row: Mapping[str, Any], adjusted: tuple[Adjustment, ...]) -> Decision:
    special: dict[str, Any] = {
        "service_date": as_day(row["service_date"]),
        "next_payable_date": None if row["next_payable_date"] is None else as_day(row["next_payable_date"]),
        "adjustments": adjusted,
        "evidence": tuple(Evidence(**evidence) for evidence in row["evidence"]),
        "policy": PolicyRef(row["policy_id"], row["policy_version"]),
        "agreements": tuple(AgreementRef(**agreement) for agreement in row["agreements"]),
    }
    return Decision(**{name: special[name] if name in special else row[name] for name in Decision._fields})


def _refold(
    patient_id: str, on_record: list[Fact], current: list[Decision], policy: Policy
) -> tuple[PatientRecord, Agreements, dict[LineKey, Decision]]:
    """The patient folded from nothing, then decided under the agreement versions that the current decisions name."""
    known = Agreements()
    gathered = PatientRecord(patient_id)
    rest: list[PatientFact] = []
    for fact in on_record:
        if isinstance(fact, ProviderAgreement):
            known.admit(fact)
        else:
            rest.append(fact)
    for fact in rest:
        fold(gathered, fact, known, policy)
    named = Agreements()
    for ref in {ref for decision in current for ref in decision.agreements}:
        agreement = known.version(ref.npi, ref.version)
        if agreement is not None:
            named.admit(agreement)
    expectation = decided_under(gathered, named, policy)
    return expectation.record, named, expectation.decisions


def _prove(current: list[Decision], fresh: Mapping[LineKey, Decision], fact_count: int) -> Proof:
    on_record = {(decision.claim_id, decision.line_number): decision for decision in current}
    for key in sorted(on_record.keys() | fresh.keys()):
        ref = f"{key[0]}/{key[1]}"
        if key not in on_record:
            return Proof(False, len(on_record), fact_count, f"{ref} should have a decision, and the ledger has none")
        if key not in fresh:
            return Proof(False, len(on_record), fact_count, f"{ref} has a decision that the facts do not lead to")
        for name, a, b in zip(Decision._fields, on_record[key], fresh[key], strict=True):
            if name not in HISTORY_FIELDS and a != b:
                words = f"{ref}: {name} is {_said(a)} on record, and {_said(b)} by a fresh fold"
                return Proof(False, len(on_record), fact_count, words)
    return Proof(True, len(on_record), fact_count, "")


def _said(value: Any) -> str:
    return "nothing" if value is None else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


_CHANGING: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "outcome": ("outcome", str.lower),
    "reason": ("reason", reason_name),
    "paid_cents": ("paid", dollars),
    "allowed_cents": ("allowed", dollars),
    "member_owes_cents": ("the member owes", dollars),
    "charge_cents": ("charge", dollars),
    "adjustments": ("adjustments", lambda its: ", ".join(str(it).rpartition(":")[0] for it in its) or "none"),
    "order_id": ("order", lambda it: it or "none"),
    "next_payable_date": ("payable from", lambda it: "no date" if it is None else iso(it)),
    "policy": ("policy", lambda it: f"{it.id} version {it.version}"),
    "agreements": ("agreements", lambda its: ", ".join(f"{it.npi} version {it.version}" for it in its) or "none"),
    "evidence": ("rests on", lambda its: "; ".join(f"{it.kind} {it.ref}: {it.says}" for it in its) or "nothing"),
    "procedure_code": ("code", str),
    "service_date": ("service date", iso),
    "billing_npi": ("billing NPI", str),
}
"""What may differ between two versions, how a person calls it and how it is written. The sentences stand beside them anyway."""


def _changes(before: Decision, after: Decision) -> tuple[str, ...]:
    return tuple(
        f"{name}: {write(b)}, before {write(a)}"
        for field, (name, write) in _CHANGING.items()
        if (a := getattr(before, field)) != (b := getattr(after, field))
    )
