"""One partition of everything, compared: what its facts must have led to, and what its outputs and its table say.

No Kafka in here: the records come as iterables, so that a log can be made by hand and broken on purpose. How a consistent cut
through a live system is taken, and why this order of reading makes it one, is told in run.py.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from schemas import catalog, wire
from streams.adjudication.agreements import Agreements
from streams.adjudication.decisions import AgreementRef, Decision, EligibilityNotice, Position
from streams.adjudication.facts import PathwaySelection
from streams.adjudication.notices import notice_of
from streams.adjudication.policy import Policy
from streams.adjudication.record import LineKey, PatientRecord
from streams.agents.patient_state import StoredPatient, UnknownStateFormat, is_patient_key
from streams.events import HISTORY_FIELDS, Unreadable, decision_to_avro, notice_from_avro
from streams.runtime.dead_letters import ADDED_HEADERS, OFFSET_HEADER, PARTITION_HEADER, REASON_HEADER, TOPIC_HEADER
from streams.runtime.processor import InputRecord
from streams.topics import BILLING_DECISIONS, DEAD_LETTERS, ELIGIBILITY_NOTICES, PROVIDER_AGREEMENT
from streams.verification.anomalies import Anomaly, Findings, Kind
from streams.verification.decision_log import DecisionLog, Head
from streams.verification.inputs import AgreementHistory, fingerprint, judge
from streams.verification.refold import Expectation, Refolded, decided_under

_NEWEST_DECISION_HEAD = b"\0" + catalog.NEWEST["billing-decision"].id.to_bytes(4, "big")


@dataclasses.dataclass
class PartitionLog:
    """The records of one partition number of all topics. The iterables are read once, in this order, each to its end."""

    number: int
    partitions: int
    positions: Mapping[str, int]  # the lane's committed position: the offset behind the last fact that it has decided
    table_topic: str
    table: Mapping[bytes, bytes]  # the changelog's newest value of each key, at that position
    facts: Iterable[InputRecord]  # of all input topics up to the position, topic after topic
    waiting: Iterable[InputRecord]  # behind it
    decisions: Iterable[InputRecord]
    notices: Iterable[InputRecord]
    dead_letters: Iterable[InputRecord]


@dataclasses.dataclass
class Counts:
    """What was looked at."""

    facts: int = 0
    waiting: int = 0  # input records behind the committed position
    decisions: int = 0
    lines: int = 0
    patients: int = 0
    notices: int = 0
    dead_letters: int = 0
    paid_cents: int = 0  # by the current decisions
    changes_cents: int = 0  # by all decisions
    awaiting_readjudication: int = 0  # patients

    def add(self, other: "Counts") -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class PartitionCheck:
    """The comparison of one partition."""

    def __init__(self, log: PartitionLog, history: AgreementHistory, policy: Policy, findings: Findings) -> None:
        self._log = log
        self._history = history
        self._policy = policy
        self._findings = findings
        self._refolded = Refolded(history, policy, log.partitions)
        self._decisions = DecisionLog(log.number, log.partitions, findings)
        self._waiting_event_ids: dict[str, set[str]] = {}  # by patient
        self.counts = Counts()
        self.awaiting: list[str] = []  # patients that are right, but not under the newest agreements

    def run(self) -> None:
        """Read everything and compare it."""
        for record in self._log.facts:
            self._refolded.take(record)
        for record in self._log.waiting:
            self._wait(record)
        for record in self._log.decisions:
            self._take_decision(record)
        self._check_notices()
        self._check_dead_letters()
        self._check_patients()
        self._check_strangers_in_the_table()
        self.counts.facts = self._refolded.facts
        self.counts.decisions = self._decisions.decisions
        self.counts.patients = len(self._refolded.patients)

    # -- what the lane may have decided since its position was read

    def _wait(self, record: InputRecord) -> None:
        self.counts.waiting += 1
        if record.topic == PROVIDER_AGREEMENT:
            return
        if not isinstance(fact := judge(record, self._log.partitions), str):
            self._waiting_event_ids.setdefault(fact[1], set()).add(fact.event_id)

    def _comes_later(self, patient_id: str, caused_by: str) -> bool:
        return caused_by in self._waiting_event_ids.get(patient_id, ())

    def _take_decision(self, record: InputRecord) -> None:
        decision = self._decisions.read(record)
        if decision is None:
            return
        if self._comes_later(decision.patient_id, decision.caused_by):
            stored = self._stored(decision.patient_id)
            known = stored and stored.positions.get((decision.claim_id, decision.line_number))
            if decision.version > (known.version if known else 0):
                return
        elif decision.caused_by not in self._refolded.event_ids.get(decision.patient_id, ()):
            self._found(
                Kind.ABORTED_READ,
                BILLING_DECISIONS,
                "caused_by names no committed fact of the patient",
                record.offset,
                decision.patient_id,
                f"{decision.claim_id}/{decision.line_number}",
            )
        self._decisions.take(record, decision)

    # -- patients: their decisions and their part of the table

    def _check_patients(self) -> None:
        for patient_id, newest in self._refolded.patients.items():
            heads = self._decisions.heads.get(patient_id, {})
            right, expectation = self._check_decisions(newest, heads)
            self._check_stored(patient_id, expectation, heads, right)
        for patient_id in self._decisions.heads.keys() - self._refolded.patients.keys():
            for line, head in self._decisions.heads[patient_id].items():
                self._unknown_line(patient_id, line, head)
        for heads in self._decisions.heads.values():
            for line, head in heads.items():
                self.counts.lines += 1
                self.counts.paid_cents += head.decision.paid_cents
                self.counts.changes_cents += head.changes_cents
                if head.changes_cents != head.decision.paid_cents:
                    self._found(
                        Kind.LOST_UPDATE,
                        BILLING_DECISIONS,
                        "the changes of a line do not add up to what it is paid now",
                        head.offset,
                        head.decision.patient_id,
                        f"{line[0]}/{line[1]}",
                        str(head.decision.paid_cents),
                        str(head.changes_cents),
                    )

    def _check_decisions(self, newest: Expectation, heads: Mapping[LineKey, Head]) -> tuple[set[LineKey], Expectation]:
        """Compare a patient's current decisions; the lines that are right, and the expectation that they were held against."""
        right = _right_lines(newest, heads)
        if len(right) == len(newest.decisions) == len(heads):
            return right, newest
        record = newest.record
        agreements = self._named_agreements(record.patient_id, heads)
        expectation = decided_under(record, agreements, self._policy)
        right = _right_lines(expectation, heads)
        if len(right) == len(expectation.decisions) == len(heads):
            self.counts.awaiting_readjudication += 1
            self.awaiting.append(record.patient_id)
            self._check_requests(newest, agreements)
        for line in sorted(expectation.decisions.keys() | heads.keys()):
            if line in right:
                continue
            if line not in heads:
                self._found(
                    Kind.LOST_WRITE,
                    BILLING_DECISIONS,
                    "a claim line has no decision",
                    None,
                    record.patient_id,
                    f"{line[0]}/{line[1]}",
                )
            elif line not in expectation.decisions:
                self._unknown_line(record.patient_id, line, heads[line])
            else:
                self._wrong_decision(expectation.decisions[line], heads[line])
        return right, expectation

    def _named_agreements(self, patient_id: str, heads: Mapping[LineKey, Head]) -> Agreements:
        """The agreements that the patient's current decisions name; an NPI that none names had none on record then."""
        refs = {ref for head in heads.values() for ref in head.decision.agreements}
        newest: dict[str, AgreementRef] = {}
        for ref in sorted(refs):
            if ref.npi in newest:
                self._found(
                    Kind.STALE_READ,
                    BILLING_DECISIONS,
                    "a patient's current decisions name two versions of one provider's agreement",
                    None,
                    patient_id,
                    ref.npi,
                    str(ref.version),
                    str(newest[ref.npi].version),
                )
            newest[ref.npi] = ref
        agreements, unknown = self._history.named(newest.values())
        for ref in unknown:
            self._found(
                Kind.ABORTED_READ,
                BILLING_DECISIONS,
                "a decision names a version of a provider agreement that is not in its topic",
                None,
                patient_id,
                f"{ref.npi} version {ref.version}",
            )
        return agreements

    def _check_requests(self, newest: Expectation, used: Agreements) -> None:
        """A patient that awaits re-adjudication must not have been re-adjudicated under the agreements that it awaits."""
        npis = {ref.npi for decision in newest.decisions.values() for ref in decision.agreements}
        for request in newest.record.readjudications.values():
            through = dict(request.agreements_through or ())
            for npi in npis:
                awaited = self._history.version_at(npi, through)
                standing = used.standing(npi)
                if awaited is not None and (standing is None or standing.version < awaited):
                    self._found(
                        Kind.STALE_READ,
                        BILLING_DECISIONS,
                        "re-adjudicated under an agreement older than the request's agreements_through",
                        None,
                        request.patient_id,
                        npi,
                        str(awaited),
                        str(standing.version) if standing else "none",
                    )
                    return

    def _unknown_line(self, patient_id: str, line: LineKey, head: Head) -> None:
        self._found(
            Kind.PHANTOM,
            BILLING_DECISIONS,
            "a decision of a claim line that no committed claim has",
            head.offset,
            patient_id,
            f"{line[0]}/{line[1]}",
        )

    def _wrong_decision(self, expected: Decision, head: Head) -> None:
        wrong = [
            name
            for name, a, b in zip(Decision._fields, expected, head.decision, strict=True)
            if a != b and name not in HISTORY_FIELDS
        ]
        what = f"{', '.join(wrong)} differ{'s' if len(wrong) == 1 else ''}" if wrong else "the record's bytes differ"
        self._found(
            Kind.WRONG_VALUE,
            BILLING_DECISIONS,
            f"the current decision is not what the facts lead to: {what}",
            head.offset,
            expected.patient_id,
            f"{expected.claim_id}/{expected.line_number}",
            _shown(expected, wrong),
            _shown(head.decision, wrong),
        )

    def _stored(self, patient_id: str) -> PatientRecord | None:
        """The patient as the table has it. Raises UnknownStateFormat or AssertionError where it cannot be read."""
        if patient_id.encode() not in self._log.table:
            return None
        return StoredPatient.load(patient_id, self._log.table.get).record

    def _check_stored(
        self, patient_id: str, expectation: Expectation, heads: Mapping[LineKey, Head], right: set[LineKey]
    ) -> None:
        table = self._log.table_topic
        try:
            stored = self._stored(patient_id)
        except (UnknownStateFormat, AssertionError, ValueError) as error:  # msgspec's errors are ValueErrors
            reason = str(error) if isinstance(error, UnknownStateFormat | AssertionError) else "it is cut or damaged"
            self._found(
                Kind.CORRUPT_RECORD, table, f"a patient of the table cannot be read: {reason}", None, patient_id
            )
            return
        if stored is None:
            self._found(Kind.LOST_WRITE, table, "a patient is missing from the table", None, patient_id)
            return
        for name in _STORED_FACTS:
            if getattr(stored, name) != getattr(expectation.record, name):
                words = name.replace("_", " ")
                self._found(Kind.WRONG_VALUE, table, f"the table holds other {words} than the log", None, patient_id)
        for line in sorted(stored.positions.keys() | heads.keys()):
            position, head = stored.positions.get(line), heads.get(line)
            subject = f"{line[0]}/{line[1]}"
            if head is None:
                sentence = "the table has a line whose decision is not in the log"
                self._found(Kind.LOST_WRITE, table, sentence, None, patient_id, subject)
            elif position is None or position[:2] != (head.decision.version, head.decision.decision_id):
                self._check_versions(patient_id, line, position, head.decision)
            elif line in right and position.ruling != expectation.record.positions[line].ruling:
                sentence = "the table holds another ruling than the facts lead to"
                self._found(Kind.WRONG_VALUE, table, sentence, None, patient_id, subject)

    def _check_versions(self, patient_id: str, line: LineKey, position: Position | None, current: Decision) -> None:
        version = position.version if position else 0
        if version > current.version:
            kind, sentence = Kind.LOST_WRITE, "the table has a newer version of a line than the log"
        else:
            kind, sentence = Kind.TORN_TRANSACTION, "the table does not have the log's current version of a line"
        self._found(
            kind,
            self._log.table_topic,
            sentence,
            None,
            patient_id,
            f"{line[0]}/{line[1]}",
            f"version {current.version}",
            f"version {version}",
        )

    def _check_strangers_in_the_table(self) -> None:
        for key in self._log.table:
            patient_id = key.split(b"\0", 1)[0].decode(errors="replace")
            if patient_id not in self._refolded.patients:
                what = "a patient" if is_patient_key(key) else "a segment of a patient"
                sentence = f"{what} that no committed fact names is in the table"
                self._found(Kind.PHANTOM, self._log.table_topic, sentence, None, patient_id)

    # -- notices

    def _check_notices(self) -> None:
        missing = dict(self._refolded.orders)
        seen: set[tuple[str, str, int]] = set()
        for record in self._log.notices:
            try:
                notice = notice_from_avro(record.value)
            except Unreadable as error:
                self._found(Kind.CORRUPT_RECORD, ELIGIBILITY_NOTICES, str(error), record.offset)
                continue
            about = notice.patient_id, notice.order_id, notice.order_version
            subject = f"{notice.order_id}/{notice.order_version}"
            order = self._refolded.orders.get(about)
            if order is None and self._comes_later(notice.patient_id, notice.caused_by):
                continue
            self.counts.notices += 1
            missing.pop(about, None)
            if order is None:
                sentence = "a notice of an order version that did not stand, or is in no committed fact"
                kind = Kind.PHANTOM
            elif about in seen:
                kind, sentence = Kind.DUPLICATE, "a second notice of one order version"
            elif record.key != notice.patient_id.encode():
                kind, sentence = Kind.MISROUTED, "the record's key is not its patient"
            elif not self._may_say(order, notice):
                kind, sentence = Kind.WRONG_VALUE, "the notice says what the order cannot have led to at any time"
            else:
                seen.add(about)
                continue
            seen.add(about)
            self._found(kind, ELIGIBILITY_NOTICES, sentence, record.offset, notice.patient_id, subject)
        for patient_id, order_id, version in missing:
            sentence = "an order version that stood when it arrived has no notice"
            self._found(Kind.LOST_WRITE, ELIGIBILITY_NOTICES, sentence, None, patient_id, f"{order_id}/{version}")

    def _may_say(self, order: PathwaySelection, notice: EligibilityNotice) -> bool:
        """Whether a notice is right under some version of the ordering provider's agreement and of the member's eligibility:
        which ones were known when the order arrived is not in the log."""
        spans = (None, *self._refolded.patients[order.patient_id].record.eligibility_versions.values())
        npi = order.ordering_npi
        versions = [[AgreementRef(npi, version)] for version in self._history.versions(npi)]
        return any(
            notice_of(order, eligibility, self._history.named(refs)[0], self._policy) == notice
            for refs in ([], *versions)
            for eligibility in spans
        )

    # -- dead letters

    def _check_dead_letters(self) -> None:
        missing = dict(self._refolded.refused)
        for record in self._log.dead_letters:
            headers = {name: value or b"" for name, value in record.headers}  # the last of a name counts
            try:
                topic = headers[TOPIC_HEADER].decode()
                partition, offset = int(headers[PARTITION_HEADER]), int(headers[OFFSET_HEADER])
                reason = headers[REASON_HEADER].decode()
            except (KeyError, ValueError):
                sentence = "a dead letter that does not say what it is about"
                self._found(Kind.CORRUPT_RECORD, DEAD_LETTERS, sentence, record.offset)
                continue
            if offset >= self._log.positions.get(topic, 0) and topic in self._log.positions:
                continue  # the lane has come further since its position was read
            self.counts.dead_letters += 1
            subject = f"{topic}/{partition}@{offset}"
            expected = self._refolded.refused.get((topic, offset)) if partition == self._log.number else None
            original = tuple((name, value) for name, value in record.headers if name not in ADDED_HEADERS)
            if expected is None:
                kind, sentence = Kind.PHANTOM, "a dead letter of a record that can be used"
            elif missing.pop((topic, offset), None) is None:
                kind, sentence = Kind.DUPLICATE, "a second dead letter of one record"
            elif reason != expected.reason:
                kind, sentence = (
                    Kind.WRONG_VALUE,
                    f"a dead letter gives {reason} as its reason instead of {expected.reason}",
                )
            elif fingerprint(record.key, record.value, original) != expected.fingerprint:
                kind, sentence = Kind.WRONG_VALUE, "a dead letter does not carry the original key, value and headers"
            else:
                continue
            self._findings.add(Anomaly(kind, DEAD_LETTERS, self._log.number, f"{sentence} ({subject})", record.offset))
        for (topic, offset), unusable in missing.items():
            self._findings.add(
                Anomaly(
                    Kind.LOST_WRITE,
                    topic,
                    self._log.number,
                    f"a record that cannot be used ({unusable.reason}) has no dead letter",
                    offset,
                )
            )

    def _found(
        self,
        kind: Kind,
        topic: str,
        sentence: str,
        offset: int | None = None,
        patient_id: str | None = None,
        subject: str | None = None,
        expected: str | None = None,
        found: str | None = None,
    ) -> None:
        self._findings.add(
            Anomaly(kind, topic, self._log.number, sentence, offset, patient_id, subject, expected, found)
        )


_STORED_FACTS = (
    "order_versions",
    "start_versions",
    "eligibility_versions",
    "claims",
    "expired",
    "readjudications",
)


def _right_lines(expectation: Expectation, heads: Mapping[LineKey, Head]) -> set[LineKey]:
    """The lines whose current decision is the expected one, byte for byte but for the history fields."""
    return {
        line
        for line, head in heads.items()
        if (expected := expectation.decisions.get(line)) is not None and _same(expected, head)
    }


def _same(expected: Decision, head: Head) -> bool:
    found = head.decision
    with_history = expected._replace(**{name: getattr(found, name) for name in HISTORY_FIELDS})
    if not head.value.startswith(_NEWEST_DECISION_HEAD):  # written under an older schema: other bytes, same content
        return with_history == found
    return decision_to_avro(with_history)[wire.HEAD_BYTES :] == head.value[wire.HEAD_BYTES :]


def _shown(decision: Decision, fields: list[str]) -> str:
    return ", ".join(f"{name}={getattr(decision, name)!r}" for name in fields)
