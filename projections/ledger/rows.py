"""What a committed record writes into the ledger: pure functions from records to rows.

A row is made from its own record alone, never from what was read before, so that rows do not depend on the order in which topics
and partitions are read. What relates rows of several topics to one another is a view.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from streams.adjudication.days import Day
from streams.adjudication.decisions import Decision, EligibilityNotice
from streams.adjudication.facts import (
    REPLACEMENT,
    VOID,
    Claim,
    Fact,
    MemberEligibility,
    PathwaySelection,
    PendExpired,
    ProviderAgreement,
    ReadjudicationRequested,
    TreatmentStart,
)
from streams.agents.intake import Refused, accept
from streams.events import action_from_avro, decision_from_avro, fact_to_json, notice_from_avro
from streams.runtime.dead_letters import (
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    SENTENCE_HEADER,
    TOPIC_HEADER,
)
from streams.runtime.processor import InputRecord
from streams.topics import BILLING_DECISIONS, DEAD_LETTER_ACTIONS, DEAD_LETTERS, ELIGIBILITY_NOTICES

Row = dict[str, Any]

_EPOCH = date(1970, 1, 1).toordinal()


class PublishedDecision(NamedTuple):
    """A decision and where it stands."""

    decision: Decision
    record: InputRecord


class Rows(NamedTuple):
    """What a batch of records says, sorted by what it is about."""

    facts: list[Row]
    decisions: list[PublishedDecision]
    notices: list[Row]
    dead_letters: list[Row]
    actions: list[Row]


def rows_of(records: Iterable[InputRecord], partitions: Mapping[str, int]) -> Rows:
    """The rows of a batch. `partitions`: how many each topic has. Raises Unreadable where a record that only a worker writes is
    none of a worker's."""
    rows = Rows([], [], [], [], [])
    for record in records:
        if record.topic == BILLING_DECISIONS:
            rows.decisions.append(PublishedDecision(decision_from_avro(record.value), record))
        elif record.topic == ELIGIBILITY_NOTICES:
            rows.notices.append(_notice(record))
        elif record.topic == DEAD_LETTERS:
            rows.dead_letters.append(_dead_letter(record))
        elif record.topic == DEAD_LETTER_ACTIONS:
            rows.actions.append(_action(record))
        else:
            fact = accept(record, partitions[record.topic])
            if not isinstance(fact, Refused):  # what is refused has a dead letter, or will have one
                rows.facts.append(_fact(fact, record))
    return rows


# -- facts


def _fact(fact: Fact, record: InputRecord) -> Row:
    described = _DESCRIBE[type(fact)](fact)
    return {
        **_position(record),
        "patient_id": None if isinstance(fact, ProviderAgreement) else clean(fact.patient_id),
        "event_id": clean(fact.event_id),
        "ref": None if described.ref is None else clean(described.ref),
        "version": described.version,
        "status": described.status,
        "from_date": as_date(described.from_day),
        "to_date": as_date(described.to_day),
        "received_date": as_date(described.received_day),
        "event": fact_to_json(fact),
    }


class _Described(NamedTuple):
    """What the columns of `facts` say of a fact."""

    ref: str | None = None
    version: int | None = None
    status: str | None = None
    from_day: Day | None = None
    to_day: Day | None = None
    received_day: Day | None = None


def _claim(claim: Claim) -> _Described:
    served = [line.service_date for line in claim.lines]
    status = {REPLACEMENT: "REPLACEMENT", VOID: "VOID"}.get(claim.frequency_code, "ORIGINAL")
    return _Described(
        claim.claim_id,
        status=status,
        from_day=min(served, default=None),
        to_day=max(served, default=None),
        received_day=claim.received_date,
    )


def _spans(fact: MemberEligibility | ProviderAgreement) -> tuple[Day | None, Day | None]:
    """From the first span's first day to the last one's last; None is open, or no span at all."""
    ends = [span.effective_to for span in fact.spans]
    closed = [end for end in ends if end is not None]
    first = min((span.effective_from for span in fact.spans), default=None)
    return first, max(closed, default=None) if len(closed) == len(ends) else None


_DESCRIBE: dict[type, Callable[[Any], _Described]] = {
    Claim: _claim,
    PathwaySelection: lambda f: _Described(f.order_id, f.order_version, f.status, f.effective_from, f.effective_to),
    TreatmentStart: lambda f: _Described(f.order_id, f.version, f.status, f.onset_date),
    MemberEligibility: lambda f: _Described(None, f.version, None, *_spans(f)),
    PendExpired: lambda f: _Described(f.claim_id),
    ReadjudicationRequested: lambda f: _Described(f.event_id),
    ProviderAgreement: lambda f: _Described(f.npi, f.version, None, *_spans(f)),
}


# -- decisions


def version_row(published: PublishedDecision) -> Row:
    """The row of `decision_versions`."""
    decision, record = published
    return {
        **_line(decision),
        "supersedes": decision.supersedes,
        "paid_before_cents": decision.paid_before_cents,
        "change_cents": decision.change_cents,
        "evidence": [evidence._asdict() for evidence in decision.evidence],
        "policy_id": clean(decision.policy.id),
        "policy_version": decision.policy.version,
        "agreements": [agreement._asdict() for agreement in decision.agreements],
        "caused_by": clean(decision.caused_by),
        **_position(record),
    }


def line_row(published: PublishedDecision) -> Row:
    """The row of `claim_lines`, when this is the newest version."""
    return {**_line(published.decision), "decided_at": _instant(published.record.timestamp_ms)}


def _line(decision: Decision) -> Row:
    return {
        "decision_id": decision.decision_id,
        "patient_id": clean(decision.patient_id),
        "claim_id": clean(decision.claim_id),
        "line_number": decision.line_number,
        "version": decision.version,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "procedure_code": decision.procedure_code,
        "service_date": as_date(decision.service_date),
        "billing_npi": decision.billing_npi,
        "order_id": None if decision.order_id is None else clean(decision.order_id),
        "charge_cents": decision.charge_cents,
        "allowed_cents": decision.allowed_cents,
        "paid_cents": decision.paid_cents,
        "member_owes_cents": decision.member_owes_cents,
        "next_payable_date": as_date(decision.next_payable_date),
        "explanation": clean(decision.explanation),
    }


def adjustment_rows(decision: Decision) -> list[Row]:
    """The rows of `adjustments`."""
    return [
        {
            "decision_id": decision.decision_id,
            "number": number,
            "group_code": adjustment.group,
            "carc": adjustment.carc,
            "rarcs": "/".join(adjustment.rarcs),
            "cents": adjustment.cents,
        }
        for number, adjustment in enumerate(decision.adjustments, start=1)
    ]


def provider_month_rows(published: Iterable[PublishedDecision]) -> list[Row]:
    """What the decisions add to `provider_months`, sorted by its key. A decision that moves no money adds nothing."""
    months: dict[tuple[str, str, str], Row] = defaultdict(
        lambda: {"payments": 0, "paid_cents": 0, "take_backs": 0, "taken_back_cents": 0}
    )
    for decision, record in published:
        if decision.change_cents == 0:
            continue
        posted, served = _instant(record.timestamp_ms), as_date(decision.service_date)
        assert served is not None, "a decision has a service date"
        month = months[decision.billing_npi, posted.strftime("%Y-%m") if posted else "", served.isoformat()[:7]]
        if decision.change_cents > 0:
            month["payments"] += 1
            month["paid_cents"] += decision.change_cents
        else:
            month["take_backs"] += 1
            month["taken_back_cents"] -= decision.change_cents
    names = ("billing_npi", "posted_month", "service_month")
    return [dict(zip(names, key, strict=True)) | month for key, month in sorted(months.items())]


# -- notices and dead letters


def _notice(record: InputRecord) -> Row:
    notice: EligibilityNotice = notice_from_avro(record.value)
    return {
        **_position(record),
        "patient_id": clean(notice.patient_id),
        "order_id": clean(notice.order_id),
        "order_version": notice.order_version,
        "eligible": notice.eligible,
        "reason": notice.reason,
        "explanation": clean(notice.explanation),
        "procedure_codes": list(notice.procedure_codes),
        "effective_from": as_date(notice.effective_from),
        "effective_to": as_date(notice.effective_to),
        "max_months": notice.max_months,
        "s0353_fee_cents": notice.s0353_fee_cents,
        "s0354_fee_cents": notice.s0354_fee_cents,
        "policy_id": clean(notice.policy.id),
        "policy_version": notice.policy.version,
        "caused_by": clean(notice.caused_by),
    }


def _dead_letter(record: InputRecord) -> Row:
    headers = {name: _as_text(value) for name, value in record.headers}  # the last of a name counts
    return {
        **_position(record),
        "record_key": None if record.key is None else _as_text(record.key),
        "value_bytes": None if record.value is None else len(record.value),
        "reason": headers.get(REASON_HEADER, ""),
        "sentence": headers.get(SENTENCE_HEADER, ""),
        "source_topic": headers.get(TOPIC_HEADER),
        "source_partition": _as_number(headers.get(PARTITION_HEADER)),
        "source_offset": _as_number(headers.get(OFFSET_HEADER)),
        "event_id": headers.get("ce_id"),
        "headers": [[clean(name), _as_text(value)] for name, value in record.headers],
    }


def _action(record: InputRecord) -> Row:
    action = action_from_avro(record.value)
    return {
        **_position(record),
        "event_id": clean(action.event_id),
        "source_topic": clean(action.topic),
        "source_partition": action.partition,
        "source_offset": action.offset,
        "action": clean(action.action),
        "acted_by": clean(action.acted_by),
        "acted_at": _instant(action.acted_at // 1000),
        "because": clean(action.because),
        "corrected": action.corrected,
        "sent_partition": action.sent_partition,
        "sent_offset": action.sent_offset,
    }


# -- values


def _position(record: InputRecord) -> Row:
    return {
        "kafka_topic": record.topic,
        "kafka_partition": record.partition,
        "kafka_offset": record.offset,
        "published_at": _instant(record.timestamp_ms),
    }


def clean(text: str) -> str:
    """A text that every database takes: PostgreSQL has no U+0000, so U+FFFD stands for it."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def as_date(day: Day | None) -> date | None:
    """A day of the rules as a date of the database."""
    return None if day is None else date.fromordinal(day + _EPOCH)


def as_day(on: date) -> Day:
    """The other way round."""
    return on.toordinal() - _EPOCH


def _instant(timestamp_ms: int) -> datetime | None:
    """When a record was published; None for a timestamp that is none. Publishers set those of facts."""
    if timestamp_ms < 0:
        return None
    try:
        return datetime.fromtimestamp(timestamp_ms // 1000, UTC).replace(microsecond=timestamp_ms % 1000 * 1000)
    except (OverflowError, ValueError, OSError):
        return None


def _as_text(value: bytes | None) -> str:
    return clean((value or b"").decode(errors="replace"))


def _as_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None
