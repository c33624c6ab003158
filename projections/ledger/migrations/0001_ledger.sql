-- Runs on SQLite and on PostgreSQL. Dates are local dates, instants UTC, money integer cents.

CREATE TABLE positions (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    topic_id TEXT NOT NULL,
    next_offset BIGINT NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition)
);

CREATE TABLE facts (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    patient_id TEXT,
    event_id TEXT NOT NULL,
    ref TEXT,
    version BIGINT,
    status TEXT,
    from_date DATE,
    to_date DATE,
    received_date DATE,
    event JSON NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition, kafka_offset)
);
CREATE INDEX facts_by_patient ON facts (patient_id, kafka_topic, ref);
CREATE INDEX facts_by_event ON facts (event_id);
CREATE INDEX facts_by_ref ON facts (ref);

CREATE TABLE decision_versions (
    decision_id TEXT NOT NULL PRIMARY KEY,
    patient_id TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    line_number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    supersedes TEXT,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    procedure_code TEXT NOT NULL,
    service_date DATE NOT NULL,
    billing_npi TEXT NOT NULL,
    order_id TEXT,
    charge_cents BIGINT NOT NULL,
    allowed_cents BIGINT NOT NULL,
    paid_cents BIGINT NOT NULL,
    paid_before_cents BIGINT NOT NULL,
    change_cents BIGINT NOT NULL,
    member_owes_cents BIGINT NOT NULL,
    next_payable_date DATE,
    explanation TEXT NOT NULL,
    evidence JSON NOT NULL,
    policy_id TEXT NOT NULL,
    policy_version BIGINT NOT NULL,
    agreements JSON NOT NULL,
    caused_by TEXT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    UNIQUE (patient_id, claim_id, line_number, version),
    UNIQUE (kafka_topic, kafka_partition, kafka_offset),
    CHECK (change_cents = paid_cents - paid_before_cents),
    CHECK (0 <= paid_cents AND paid_cents <= allowed_cents)
);
CREATE INDEX decision_versions_by_claim ON decision_versions (claim_id, line_number);
CREATE INDEX decision_versions_by_time ON decision_versions (published_at);
CREATE INDEX decision_versions_by_cause ON decision_versions (caused_by);

CREATE TABLE adjustments (
    decision_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    group_code TEXT NOT NULL,
    carc TEXT NOT NULL,
    rarcs TEXT NOT NULL,
    cents BIGINT NOT NULL,
    PRIMARY KEY (decision_id, number)
);

CREATE TABLE claim_lines (
    patient_id TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    line_number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    decision_id TEXT NOT NULL UNIQUE,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    procedure_code TEXT NOT NULL,
    service_date DATE NOT NULL,
    billing_npi TEXT NOT NULL,
    order_id TEXT,
    charge_cents BIGINT NOT NULL,
    allowed_cents BIGINT NOT NULL,
    paid_cents BIGINT NOT NULL,
    member_owes_cents BIGINT NOT NULL,
    next_payable_date DATE,
    explanation TEXT NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (patient_id, claim_id, line_number)
);
CREATE INDEX claim_lines_by_claim ON claim_lines (claim_id, line_number);
CREATE INDEX claim_lines_by_order ON claim_lines (order_id);
CREATE INDEX claim_lines_by_provider ON claim_lines (billing_npi, outcome);
CREATE INDEX claim_lines_by_reason ON claim_lines (outcome, reason);
CREATE INDEX claim_lines_by_time ON claim_lines (decided_at);

CREATE TABLE provider_months (
    billing_npi TEXT NOT NULL,
    posted_month TEXT NOT NULL,
    service_month TEXT NOT NULL,
    payments BIGINT NOT NULL,
    paid_cents BIGINT NOT NULL,
    take_backs BIGINT NOT NULL,
    taken_back_cents BIGINT NOT NULL,
    PRIMARY KEY (billing_npi, posted_month, service_month)
);

CREATE TABLE eligibility_notices (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    patient_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    order_version BIGINT NOT NULL,
    eligible BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    explanation TEXT NOT NULL,
    procedure_codes JSON NOT NULL,
    effective_from DATE NOT NULL,
    effective_to DATE,
    max_months BIGINT NOT NULL,
    s0353_fee_cents BIGINT,
    s0354_fee_cents BIGINT,
    policy_id TEXT NOT NULL,
    policy_version BIGINT NOT NULL,
    caused_by TEXT NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition, kafka_offset)
);
CREATE INDEX eligibility_notices_by_order ON eligibility_notices (patient_id, order_id, order_version);

CREATE TABLE dead_letters (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    record_key TEXT,
    value_bytes INTEGER,
    reason TEXT NOT NULL,
    sentence TEXT NOT NULL,
    source_topic TEXT,
    source_partition INTEGER,
    source_offset BIGINT,
    event_id TEXT,
    headers JSON NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition, kafka_offset)
);
CREATE INDEX dead_letters_by_source ON dead_letters (source_topic, source_partition, source_offset);
CREATE INDEX dead_letters_by_key ON dead_letters (record_key);

CREATE VIEW patient_timeline AS
SELECT f.patient_id, f.kafka_topic AS kind, f.ref, f.version, f.status, f.from_date, f.to_date, f.received_date,
       d.reason AS refused, f.event_id, f.published_at, f.kafka_topic, f.kafka_partition, f.kafka_offset, f.event
FROM facts f
LEFT JOIN dead_letters d
    ON d.source_topic = f.kafka_topic AND d.source_partition = f.kafka_partition AND d.source_offset = f.kafka_offset
WHERE f.patient_id IS NOT NULL;

CREATE VIEW pends AS
SELECT l.patient_id, l.claim_id, l.line_number, l.procedure_code, l.service_date, l.billing_npi, l.charge_cents,
       l.version, l.decision_id, l.explanation, l.decided_at AS pended_at,
       (SELECT MIN(t.received_date) FROM patient_timeline t
        WHERE t.patient_id = l.patient_id AND t.kind = 'claim-received' AND t.ref = l.claim_id AND t.refused IS NULL)
           AS received_date
FROM claim_lines l
WHERE l.outcome = 'PENDED';
