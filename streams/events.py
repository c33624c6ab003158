"""The joint between the forms that events have outside and the values that the core works with.

An event is a NamedTuple of `streams.adjudication` whose fields are those of its schema, in the same order; so its Avro body
and its JSON object are made from it as it is. Facts are checked on the way in (`adjudication.intake`): whoever holds a fact that
came through here may rely on it.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple, cast

from schemas import catalog, codec, json_form, wire
from schemas.wire import SchemasUnavailable as SchemasUnavailable
from schemas.wire import Unreadable as Unreadable
from streams import compiled
from streams.adjudication import intake
from streams.adjudication.decisions import Adjustment, AgreementRef, Decision, EligibilityNotice, Evidence, PolicyRef
from streams.adjudication.facts import (
    AgreementSpan,
    Claim,
    ClaimLine,
    CostShare,
    EligibilitySpan,
    Fact,
    MemberEligibility,
    Micros,
    PathwaySelection,
    PendExpired,
    ProviderAgreement,
    ReadjudicationRequested,
    TreatmentStart,
)
from streams.adjudication.intake import InvalidFact as InvalidFact
from streams.runtime.processor import Headers

DECISION = "billing-decision"
NOTICE = "eligibility-notice"
ACTION = "dead-letter-action"
DECISIONS_TOPIC = catalog.TOPICS[DECISION]
NOTICES_TOPIC = catalog.TOPICS[NOTICE]
ACTIONS_TOPIC = catalog.TOPICS[ACTION]

HISTORY_FIELDS = ("decision_id", "version", "supersedes", "paid_before_cents", "change_cents", "caused_by")
"""Of a decision: how it came about, which may depend on the order of arrival; nothing else may (rules.md section 1)."""


class DeadLetterAction(NamedTuple):
    """What somebody did about a dead letter. The letter is named by where the refused record stands."""

    event_id: str
    topic: str
    partition: int
    offset: int
    action: str  # REDRIVEN or DISCARDED, see streams/dead_letters.py
    acted_by: str
    acted_at: Micros
    because: str
    corrected: bool
    sent_partition: int | None
    sent_offset: int | None


_FACTS: dict[str, type[tuple[Any, ...]]] = {
    "pathway-selected": PathwaySelection,
    "treatment-started": TreatmentStart,
    "claim-received": Claim,
    "member-eligibility": MemberEligibility,
    "pend-expired": PendExpired,
    "readjudication-requested": ReadjudicationRequested,
    "provider-agreement": ProviderAgreement,
}
LARGEST_LINE_BYTES = 16 << 20  # of JSONL; as a record, a fact may have half a mebibyte
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")  # what may be shown of a name that is not ours
FACT_TYPES = tuple(_FACTS)  # a fact's type is also the name of its topic

_TYPE_OF: Final = {fact: name for name, fact in _FACTS.items()}
MAKERS: dict[str, type[tuple[Any, ...]]] = {
    "PathwaySelected": PathwaySelection,
    "TreatmentStarted": TreatmentStart,
    "ClaimReceived": Claim,
    "CostShare": CostShare,
    "ClaimLine": ClaimLine,
    "MemberEligibility": MemberEligibility,
    "EligibilitySpan": EligibilitySpan,
    "PendExpired": PendExpired,
    "ReadjudicationRequested": ReadjudicationRequested,
    "ProviderAgreement": ProviderAgreement,
    "AgreementSpan": AgreementSpan,
    "BillingDecision": Decision,
    "Adjustment": Adjustment,
    "Evidence": Evidence,
    "DecisionPolicy": PolicyRef,
    "DecisionAgreement": AgreementRef,
    "EligibilityNotice": EligibilityNotice,
    "NoticePolicy": PolicyRef,
    "DeadLetterAction": DeadLetterAction,
}

codec.COMPILED.update(compiled.codecs())
_reader: Final = wire.WireReader(MAKERS)
unknown_schemas = _reader.unknown
learn_schemas = _reader.learn
_write_decision: Final = wire.writer(DECISION)
_write_notice: Final = wire.writer(NOTICE)
_parsers: dict[str, Callable[[Any], tuple[Any, ...]]] = {}


class BadEvent(Exception):
    """A JSON event that is malformed or invalid."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}" if field else sentence)
        self.field = field  # such as lines[0].service_date; empty where it is about the event as a whole
        self.sentence = sentence  # what is expected; never the value found


class BadLine(BadEvent):
    """A line of a JSONL file that is no event, or a malformed or invalid one."""

    def __init__(self, line_number: int, field: str, sentence: str) -> None:
        super().__init__(field, sentence)
        self.line_number = line_number  # counted from 1

    def __str__(self) -> str:
        return f"line {self.line_number}: {super().__str__()}"


# Facts


def topic_of(fact: Fact) -> str:
    """The topic that carries a fact; also its `type` in JSON."""
    return _TYPE_OF[type(fact)]


def key_of(fact: Fact) -> str:
    """The record key of a fact: the patient, or an agreement's NPI."""
    return fact[1]  # second in every fact, after event_id


def fact_from_avro(topic: str, value: bytes | None) -> Fact:
    """The fact in a record's value. Raises `Unreadable` or `InvalidFact`."""
    fact = cast(Fact, _reader.decode(topic, value))
    intake.check(fact)
    return fact


def unchecked_fact_from_avro(topic: str, value: bytes | None) -> Fact:
    """The fact in a record's value, whether or not the rules can work with it: for people who correct it. Raises `Unreadable`."""
    return cast(Fact, _reader.decode(topic, value))


def fact_to_avro(fact: Fact) -> tuple[str, bytes, bytes]:
    """A fact's topic, key and value."""
    topic = topic_of(fact)
    return topic, key_of(fact).encode(), wire.encode(topic, fact)


def fact_from_json(event: Any) -> Fact:
    """The fact of a parsed JSON object, by its `type`. Raises `BadEvent`."""
    if not isinstance(event, dict):
        raise BadEvent("", "must be a JSON object with a type")
    if "type" not in event:
        raise BadEvent("type", f"is missing; a fact's type is one of {', '.join(FACT_TYPES)}")
    name = event["type"]
    if not isinstance(name, str) or name not in _FACTS:
        raise BadEvent("type", f"is unknown; a fact's type is one of {', '.join(FACT_TYPES)}")
    fact = cast(Fact, _from_json(name, event))
    try:
        intake.check(fact)
    except InvalidFact as error:
        raise BadEvent(error.field, error.sentence) from None
    return fact


def fact_to_json(fact: Fact) -> dict[str, Any]:
    """A fact as a JSON object, `type` first."""
    return _to_json(topic_of(fact), fact)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a JSONL file. Of a line that is too long for a fact only the beginning is held: `read_jsonl` names it."""
    while line := file.readline(LARGEST_LINE_BYTES + 1):
        yield line
        while len(line) > LARGEST_LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(LARGEST_LINE_BYTES + 1)


def read_jsonl(
    lines: Iterable[bytes | str], on_bad_line: Callable[[BadLine], None] | None = None
) -> Iterator[tuple[int, Fact]]:
    """The facts of a JSONL file, each with its line number. Blank lines are skipped.

    A bad line is given to `on_bad_line` and the reading goes on; without it, it is raised. Open the file in binary mode: then a
    line that is not UTF-8 is named like any other. `lines_of` keeps memory bounded, whatever the file is.
    """
    for line_number, line in enumerate(lines, start=1):
        try:
            fact = _fact_of_line(line)
        except BadEvent as error:
            bad = BadLine(line_number, error.field, error.sentence)
            if on_bad_line is None:
                raise bad from None
            on_bad_line(bad)
        else:
            if fact is not None:
                yield line_number, fact


# Decisions and notices


def decision_from_avro(value: bytes | None) -> Decision:
    """The decision in a value of `billing-decisions`. Raises `Unreadable`."""
    return cast(Decision, _reader.decode(DECISIONS_TOPIC, value))


def decision_to_avro(decision: Decision) -> bytes:
    """A decision's value; its key is `patient_id` in UTF-8, its topic `DECISIONS_TOPIC`."""
    return _write_decision(decision)


def decision_from_json(event: Any) -> Decision:
    """The decision of a parsed JSON object. Raises `BadEvent`."""
    return cast(Decision, _from_json(DECISION, event))


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """A decision as a JSON object, `type` first."""
    return _to_json(DECISION, decision)


def notice_from_avro(value: bytes | None) -> EligibilityNotice:
    """The notice in a value of `eligibility-notices`. Raises `Unreadable`."""
    return cast(EligibilityNotice, _reader.decode(NOTICES_TOPIC, value))


def notice_to_avro(notice: EligibilityNotice) -> bytes:
    """A notice's value; its key is `patient_id` in UTF-8, its topic `NOTICES_TOPIC`."""
    return _write_notice(notice)


def notice_from_json(event: Any) -> EligibilityNotice:
    """The notice of a parsed JSON object. Raises `BadEvent`."""
    return cast(EligibilityNotice, _from_json(NOTICE, event))


def notice_to_json(notice: EligibilityNotice) -> dict[str, Any]:
    """A notice as a JSON object, `type` first."""
    return _to_json(NOTICE, notice)


# Actions about dead letters


def action_from_avro(value: bytes | None) -> DeadLetterAction:
    """The action in a value of `dead-letter-actions`. Raises `Unreadable`."""
    return cast(DeadLetterAction, _reader.decode(ACTIONS_TOPIC, value))


def action_to_avro(action: DeadLetterAction) -> bytes:
    """An action's value; its key is `topic/partition@offset`, its topic `ACTIONS_TOPIC`."""
    return wire.encode(ACTION, action)


def action_from_json(event: Any) -> DeadLetterAction:
    """The action of a parsed JSON object. Raises `BadEvent`."""
    return cast(DeadLetterAction, _from_json(ACTION, event))


def action_to_json(action: DeadLetterAction) -> dict[str, Any]:
    """An action as a JSON object, `type` first."""
    return _to_json(ACTION, action)


# CloudEvents 1.0, Kafka's binary mode: the event is the record's value, its context the headers

_SPEC_VERSION: Final = ("ce_specversion", b"1.0")
_CONTENT_TYPE: Final = ("content-type", b"application/avro")
_SOURCE: Final = ("ce_source", b"pathway-billing")
_DECISION_TYPE: Final = ("ce_type", DECISION.encode())
_NOTICE_TYPE: Final = ("ce_type", NOTICE.encode())


def fact_headers(fact: Fact, source: str, time: Micros | None = None) -> Headers:
    """The headers of a fact's record. `source` names the publisher, as a URI reference; `time` is when the fact came about,
    by default the instant that an order or a start holds itself."""
    if time is None and isinstance(fact, PathwaySelection):
        time = fact.selected_at
    elif time is None and isinstance(fact, TreatmentStart):
        time = fact.recorded_at
    headers: Headers = (
        ("ce_id", fact.event_id.encode()),
        ("ce_type", topic_of(fact).encode()),
        ("ce_source", source.encode()),
        _SPEC_VERSION,
        _CONTENT_TYPE,
    )
    return headers if time is None else (*headers, ("ce_time", json_form.rfc3339_from_micros(time).encode()))


def decision_headers(decision: Decision, traceparent: bytes | None = None) -> Headers:
    """The headers of a decision's record. It has no time: a decision holds no clock reading. `traceparent` is that of the
    fact that caused it."""
    return _with_trace(
        (("ce_id", decision.decision_id.encode()), _DECISION_TYPE, _SOURCE, _SPEC_VERSION, _CONTENT_TYPE), traceparent
    )


def notice_headers(notice: EligibilityNotice, traceparent: bytes | None = None) -> Headers:
    """The headers of a notice's record. Its id is that of the order's version: there is one notice of each."""
    notice_id = f"{notice.patient_id}/{notice.order_id}/{notice.order_version}".encode()
    return _with_trace((("ce_id", notice_id), _NOTICE_TYPE, _SOURCE, _SPEC_VERSION, _CONTENT_TYPE), traceparent)


def action_headers(action: DeadLetterAction) -> Headers:
    """The headers of an action's record."""
    at = json_form.rfc3339_from_micros(action.acted_at).encode()
    source = ("ce_source", b"/pathway-billing/dead-letters")
    return (
        ("ce_id", action.event_id.encode()),
        ("ce_type", ACTION.encode()),
        source,
        _SPEC_VERSION,
        _CONTENT_TYPE,
        ("ce_time", at),
    )


def _with_trace(headers: Headers, traceparent: bytes | None) -> Headers:
    return headers if traceparent is None else (*headers, ("traceparent", traceparent))


# JSON


def _from_json(name: str, event: Any) -> tuple[Any, ...]:
    parse = _parsers.get(name)
    if parse is None:
        parse = _parsers[name] = json_form.parser(name, MAKERS)
    try:
        return parse(event)
    except json_form.FieldError as error:
        raise BadEvent(error.path, error.sentence) from None


def _to_json(name: str, event: tuple[Any, ...]) -> dict[str, Any]:
    return {"type": name, **json_form.printer(name)(event)}


def _fact_of_line(line: bytes | str) -> Fact | None:
    """The fact of a line, None for a blank one. Raises `BadEvent`."""
    if len(line) > LARGEST_LINE_BYTES:
        raise BadEvent("", f"has more than {LARGEST_LINE_BYTES:,} bytes")
    try:
        text = (line if isinstance(line, str) else line.decode()).removeprefix("\ufeff")  # a byte order mark
        if not text.strip():
            return None
        # without its end, which an error at the end of the line would take for a line of its own
        event = json.loads(text.rstrip("\r\n"), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise BadEvent("", "is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadEvent("", f"is not JSON: {error.msg.removesuffix(' at')} at column {error.colno}") from None
    except ValueError:
        raise BadEvent("", "holds a number with too many digits") from None
    except RecursionError:
        raise BadEvent("", "is nested too deeply") from None
    return fact_from_json(event)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter([name for name, _ in pairs]).most_common(1)[0]
        raise BadEvent(twice if _NAME.fullmatch(twice) else "", "stands twice in one object")
    return found


def _no_constant(_: str) -> Any:
    raise BadEvent("", "is not JSON: NaN and Infinity are not numbers there")
