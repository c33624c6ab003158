"""Every metric of the worker, declared once: its name, its kind and what it means.

Labels are topics, partitions and reason codes, never anything about a patient, a claim or a provider.
"""

from prometheus_client import Counter, Gauge, Histogram

_MILLISECONDS_TO_MINUTES = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.3, 2.6, 5, 10, 30, 60)

RECORDS = Counter("pathway_billing_records", "Input records whose effects are committed, by input topic", ["topic"])
DEAD_LETTERS = Counter(
    "pathway_billing_dead_letters", "Input records committed to the dead letters, by reason", ["reason"]
)
BATCH_RECORDS = Histogram(
    "pathway_billing_batch_records", "Input records of one transaction", buckets=(1, 2, 5, 10, 50, 100, 500, 1000, 2000)
)
PROCESSING_SECONDS = Histogram(
    "pathway_billing_processing_seconds",
    "Time to decide one batch; the event loop does nothing else meanwhile",
    buckets=_MILLISECONDS_TO_MINUTES,
)
COMMIT_SECONDS = Histogram(
    "pathway_billing_commit_seconds",
    "Time from the first send of a transaction to its end in the local store",
    buckets=_MILLISECONDS_TO_MINUTES,
)
INPUT_TO_COMMIT_SECONDS = Histogram(
    "pathway_billing_input_to_commit_seconds",
    "Age of a batch's first record, by its Kafka timestamp, when its effects are committed",
    buckets=_MILLISECONDS_TO_MINUTES,
)
LANES_OPEN = Gauge("pathway_billing_lanes_open", "Partitions that this worker owns and serves")
READY = Gauge("pathway_billing_ready", "1 while all assigned lanes are open, else 0")
REBALANCES = Counter("pathway_billing_rebalances", "Assignments received from the consumer group")
INPUT_LAG_RECORDS = Gauge(
    "pathway_billing_input_lag_records",
    "Offsets between a lane's committed position and the end of its input",
    ["topic", "partition"],
)
RECOVERED_RECORDS = Counter("pathway_billing_recovered_records", "Changelog records read to open lanes")
RECOVERY_SECONDS = Histogram(
    "pathway_billing_recovery_seconds", "Time to recover one lane", buckets=_MILLISECONDS_TO_MINUTES
)
STALE_FETCHES = Counter(
    "pathway_billing_stale_fetches",
    "Fetched pieces dropped because a rebalance came in between; they are fetched again",
)
