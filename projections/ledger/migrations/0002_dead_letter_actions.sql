-- What was done about dead letters, by whom, when and why.

CREATE TABLE dead_letter_actions (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    event_id TEXT NOT NULL,
    source_topic TEXT NOT NULL,
    source_partition BIGINT NOT NULL,
    source_offset BIGINT NOT NULL,
    action TEXT NOT NULL,
    acted_by TEXT NOT NULL,
    acted_at TIMESTAMP WITH TIME ZONE,
    because TEXT NOT NULL,
    corrected BOOLEAN NOT NULL,
    sent_partition BIGINT,
    sent_offset BIGINT,
    PRIMARY KEY (kafka_topic, kafka_partition, kafka_offset)
);
CREATE INDEX dead_letter_actions_by_source ON dead_letter_actions (source_topic, source_partition, source_offset);
