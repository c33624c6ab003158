"""Every metric of the projector, declared once: its name, its kind and what it means. Labels are topics and partitions."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("pathway_billing_projector_records", "Records written to the ledger, by topic", ["topic"])
TRANSACTION_SECONDS = Histogram(
    "pathway_billing_projector_transaction_seconds",
    "Time to write one batch of records and its positions to the ledger",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30),
)
LAG_RECORDS = Gauge(
    "pathway_billing_projector_lag_records",
    "Offsets between the ledger's position and the end of what is committed",
    ["topic", "partition"],
)
OVERTAKEN = Counter(
    "pathway_billing_projector_overtaken", "Batches that were not written because another projector had written them"
)
READY = Gauge("pathway_billing_projector_ready", "1 once the ledger had caught up with the end of the log, else 0")
