"""The decisions of one partition as they stand in the log: each line's versions as one unbroken chain."""

from typing import NamedTuple

from streams.adjudication.decisions import Decision
from streams.adjudication.fold import check_money
from streams.adjudication.identity import decision_id
from streams.adjudication.record import LineKey
from streams.events import Unreadable, decision_from_avro
from streams.runtime.processor import InputRecord
from streams.topics import BILLING_DECISIONS, partition_for
from streams.verification.anomalies import Anomaly, Findings, Kind


class Head(NamedTuple):
    """A line's newest version, and what was moved for the line in all."""

    decision: Decision
    value: bytes  # as it stands in the log
    offset: int
    changes_cents: int  # of all versions


class DecisionLog:
    """Takes the decisions in log order, checks each against the one before it, and keeps the newest of each line."""

    def __init__(self, partition: int, partitions: int, findings: Findings) -> None:
        self._partition = partition
        self._partitions = partitions
        self._findings = findings
        self.heads: dict[str, dict[LineKey, Head]] = {}  # by patient
        self.decisions = 0

    def read(self, record: InputRecord) -> Decision | None:
        """The decision of a record; None, and a finding, where it is none."""
        try:
            return decision_from_avro(record.value)
        except Unreadable as error:
            self._findings.add(
                Anomaly(Kind.CORRUPT_RECORD, BILLING_DECISIONS, self._partition, str(error), record.offset)
            )
            return None

    def take(self, record: InputRecord, decision: Decision) -> None:
        """The next decision of the log."""
        self.decisions += 1
        self._check_alone(record, decision)
        lines = self.heads.setdefault(decision.patient_id, {})
        line = decision.claim_id, decision.line_number
        before = lines.get(line)
        version = before.decision.version if before else 0
        if decision.version <= version:
            self._found(
                Kind.DUPLICATE, record, decision, f"version {decision.version} of a line comes after version {version}"
            )
            return
        if decision.version > version + 1:
            missing = (
                str(version + 1) if decision.version == version + 2 else f"{version + 1} to {decision.version - 1}"
            )
            self._found(
                Kind.LOST_WRITE, record, decision, f"version {decision.version} of a line without version {missing}"
            )
        else:
            self._check_against(record, decision, before)
        moved = (before.changes_cents if before else 0) + decision.change_cents
        assert record.value is not None, "a record without a value is no decision"
        lines[line] = Head(decision, record.value, record.offset, moved)

    def _check_alone(self, record: InputRecord, decision: Decision) -> None:
        if record.key != decision.patient_id.encode():
            self._found(Kind.MISROUTED, record, decision, "the record's key is not its patient")
        elif partition_for(record.key, self._partitions) != self._partition:
            self._found(Kind.MISROUTED, record, decision, "the patient belongs to another partition")
        if decision_id(decision) != decision.decision_id:
            self._found(Kind.CORRUPT_RECORD, record, decision, "decision_id is not the one of the decision's content")
        try:
            check_money(decision)
        except AssertionError as broken:
            self._found(Kind.CORRUPT_RECORD, record, decision, f"the amounts do not add up: {broken}")

    def _check_against(self, record: InputRecord, decision: Decision, before: Head | None) -> None:
        expected_id = before.decision.decision_id if before else None
        if decision.supersedes != expected_id:
            self._found(
                Kind.LOST_UPDATE,
                record,
                decision,
                f"supersedes does not name version {decision.version - 1}"
                if before
                else "the first version supersedes another",
            )
        paid_before = before.decision.paid_cents if before else 0
        if decision.paid_before_cents != paid_before:
            self._found(
                Kind.LOST_UPDATE,
                record,
                decision,
                "paid_before_cents is not what the version before pays",
                str(paid_before),
                str(decision.paid_before_cents),
            )

    def _found(
        self,
        kind: Kind,
        record: InputRecord,
        decision: Decision,
        sentence: str,
        expected: str | None = None,
        found: str | None = None,
    ) -> None:
        self._findings.add(
            Anomaly(
                kind,
                BILLING_DECISIONS,
                self._partition,
                sentence,
                record.offset,
                decision.patient_id,
                f"{decision.claim_id}/{decision.line_number}",
                expected,
                found,
            )
        )
