"""The ledger's tables and views as SQLAlchemy has them. What is in each: docs/ledger.md.

The migrations make them; these declarations are for writing and reading, and a test compares the two on both databases.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine


class Instant(TypeDecorator[datetime]):
    """An instant in UTC: `TIMESTAMP WITH TIME ZONE`, or in SQLite a text such as 2024-01-02T15:00:00.123Z, which sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return String() if dialect.name == "sqlite" else dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - its signature
        if value is None:
            return None
        return datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)


metadata = MetaData()
views = MetaData()


def _position() -> tuple[Column[Any], ...]:
    """Where the record stands on Kafka."""
    return (
        Column("kafka_topic", Text, primary_key=True),
        Column("kafka_partition", Integer, primary_key=True),
        Column("kafka_offset", BigInteger, primary_key=True),
        Column("published_at", Instant),
    )


positions = Table(
    "positions",
    metadata,
    Column("kafka_topic", Text, primary_key=True),
    Column("kafka_partition", Integer, primary_key=True),
    Column("topic_id", Text, nullable=False),  # another one after a topic was deleted and made again
    Column("next_offset", BigInteger, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    *_position(),
    Column("patient_id", Text),  # None for a provider agreement
    Column("event_id", Text, nullable=False),
    Column("ref", Text),  # order_id, claim_id, or an agreement's NPI
    Column("version", BigInteger),
    Column("status", Text),
    Column("from_date", Date),
    Column("to_date", Date),
    Column("received_date", Date),
    Column("event", JSON, nullable=False),
    Index("facts_by_patient", "patient_id", "kafka_topic", "ref"),
    Index("facts_by_event", "event_id"),
    Index("facts_by_ref", "ref"),
    Index(
        "facts_by_received",
        "received_date",
        sqlite_where=text("received_date IS NOT NULL"),
        postgresql_where=text("received_date IS NOT NULL"),
    ),
)

decision_versions = Table(
    "decision_versions",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("patient_id", Text, nullable=False),
    Column("claim_id", Text, nullable=False),
    Column("line_number", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("supersedes", Text),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("procedure_code", Text, nullable=False),
    Column("service_date", Date, nullable=False),
    Column("billing_npi", Text, nullable=False),
    Column("order_id", Text),
    Column("charge_cents", BigInteger, nullable=False),
    Column("allowed_cents", BigInteger, nullable=False),
    Column("paid_cents", BigInteger, nullable=False),
    Column("paid_before_cents", BigInteger, nullable=False),
    Column("change_cents", BigInteger, nullable=False),
    Column("member_owes_cents", BigInteger, nullable=False),
    Column("next_payable_date", Date),
    Column("explanation", Text, nullable=False),
    Column("evidence", JSON, nullable=False),  # [{kind, ref, says}]
    Column("policy_id", Text, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("agreements", JSON, nullable=False),  # [{npi, version}]
    Column("caused_by", Text, nullable=False),
    Column("published_at", Instant),
    Column("kafka_topic", Text, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    UniqueConstraint("patient_id", "claim_id", "line_number", "version"),
    UniqueConstraint("kafka_topic", "kafka_partition", "kafka_offset"),
    CheckConstraint("change_cents = paid_cents - paid_before_cents"),
    CheckConstraint("0 <= paid_cents AND paid_cents <= allowed_cents"),
    Index("decision_versions_by_claim", "claim_id", "line_number"),
    Index("decision_versions_by_time", "published_at"),
    Index("decision_versions_by_cause", "caused_by"),
)

adjustments = Table(
    "adjustments",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),  # 1, 2 ... in the order in which the decision has them
    Column("group_code", Text, nullable=False),
    Column("carc", Text, nullable=False),
    Column("rarcs", Text, nullable=False),  # remark codes with a / between any two; empty for none
    Column("cents", BigInteger, nullable=False),
)

claim_lines = Table(
    "claim_lines",
    metadata,
    Column("patient_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("line_number", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("procedure_code", Text, nullable=False),
    Column("service_date", Date, nullable=False),
    Column("billing_npi", Text, nullable=False),
    Column("order_id", Text),
    Column("charge_cents", BigInteger, nullable=False),
    Column("allowed_cents", BigInteger, nullable=False),
    Column("paid_cents", BigInteger, nullable=False),
    Column("member_owes_cents", BigInteger, nullable=False),
    Column("next_payable_date", Date),
    Column("explanation", Text, nullable=False),
    Column("decided_at", Instant),
    UniqueConstraint("decision_id"),
    Index("claim_lines_by_claim", "claim_id", "line_number"),
    Index("claim_lines_by_order", "order_id"),
    Index("claim_lines_by_service", "service_date", "claim_id", "line_number"),
    Index("claim_lines_by_provider", "billing_npi", "service_date"),
    Index("claim_lines_by_reason", "reason", "service_date"),
    Index("claim_lines_by_outcome", "outcome", "service_date"),
    Index("claim_lines_by_money", "outcome", "reason", "charge_cents", "paid_cents"),
    Index("claim_lines_by_time", "decided_at"),
)

provider_months = Table(
    "provider_months",
    metadata,
    Column("billing_npi", Text, primary_key=True),
    Column("posted_month", Text, primary_key=True),  # 2024-02: when the decision was published, UTC
    Column("service_month", Text, primary_key=True),
    Column("payments", BigInteger, nullable=False),  # decisions that moved money to the provider
    Column("paid_cents", BigInteger, nullable=False),
    Column("take_backs", BigInteger, nullable=False),
    Column("taken_back_cents", BigInteger, nullable=False),  # as a positive amount
)

eligibility_notices = Table(
    "eligibility_notices",
    metadata,
    *_position(),
    Column("patient_id", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("order_version", BigInteger, nullable=False),
    Column("eligible", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("explanation", Text, nullable=False),
    Column("procedure_codes", JSON, nullable=False),
    Column("effective_from", Date, nullable=False),
    Column("effective_to", Date),
    Column("max_months", BigInteger, nullable=False),
    Column("s0353_fee_cents", BigInteger),
    Column("s0354_fee_cents", BigInteger),
    Column("policy_id", Text, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("caused_by", Text, nullable=False),
    Index("eligibility_notices_by_order", "patient_id", "order_id", "order_version"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    *_position(),
    Column("record_key", Text),
    Column("value_bytes", Integer),  # the value itself stays on Kafka
    Column("reason", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("source_topic", Text),
    Column("source_partition", Integer),
    Column("source_offset", BigInteger),
    Column("event_id", Text),
    Column("headers", JSON, nullable=False),  # [[name, value]]
    Index("dead_letters_by_source", "source_topic", "source_partition", "source_offset"),
    Index("dead_letters_by_key", "record_key"),
)

dead_letter_actions = Table(
    "dead_letter_actions",
    metadata,
    *_position(),
    Column("event_id", Text, nullable=False),
    Column("source_topic", Text, nullable=False),  # with the next two: the refused record, as in dead_letters
    Column("source_partition", BigInteger, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("acted_by", Text, nullable=False),
    Column("acted_at", Instant),
    Column("because", Text, nullable=False),
    Column("corrected", Boolean, nullable=False),
    Column("sent_partition", BigInteger),
    Column("sent_offset", BigInteger),
    Index("dead_letter_actions_by_source", "source_topic", "source_partition", "source_offset"),
)

patient_timeline = Table(
    "patient_timeline",
    views,
    Column("patient_id", Text),
    Column("kind", Text),  # the fact's type, which is its topic
    Column("ref", Text),
    Column("version", BigInteger),
    Column("status", Text),
    Column("from_date", Date),
    Column("to_date", Date),
    Column("received_date", Date),
    Column("refused", Text),  # the dead letter's reason; None for a fact that was taken in
    Column("event_id", Text),
    Column("published_at", Instant),
    Column("kafka_topic", Text),
    Column("kafka_partition", Integer),
    Column("kafka_offset", BigInteger),
    Column("event", JSON),
)

pends = Table(
    "pends",
    views,
    Column("patient_id", Text),
    Column("claim_id", Text),
    Column("line_number", BigInteger),
    Column("procedure_code", Text),
    Column("service_date", Date),
    Column("billing_npi", Text),
    Column("charge_cents", BigInteger),
    Column("version", BigInteger),
    Column("decision_id", Text),
    Column("explanation", Text),
    Column("pended_at", Instant),
    Column("received_date", Date),  # what the pend's age counts from
)
