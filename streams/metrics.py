"""Every metric, declared once: name, kind, unit, labels and meaning. docs/metrics.md is made from here.

Labels are topics, partitions, outcomes and reason codes, never anything about a patient, a claim or a provider. What a
lane does is counted once a batch and after its commit, so that no metric speaks of work that was undone.
"""

import contextlib
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase


class Declaration(NamedTuple):
    """What a metric is, for whoever reads it without this code."""

    name: str  # as Prometheus stores it: a counter's ends in _total
    kind: str  # counter, gauge or histogram
    unit: str
    labels: tuple[str, ...]
    meaning: str
    program: str  # whose it is: worker, projector, verify, sweep or dead-letters


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, with its time of birth, which nobody asks for

DECLARED: list[Declaration] = []

WORKER, PROJECTOR, VERIFY, SWEEP, DEAD_LETTER_COUNT = "worker", "projector", "verify", "sweep", "dead-letters"
PROJECTOR_REGISTRY = CollectorRegistry()
ProcessCollector(registry=PROJECTOR_REGISTRY)
PlatformCollector(registry=PROJECTOR_REGISTRY)
VERIFY_REGISTRY = CollectorRegistry()
SWEEP_REGISTRY = CollectorRegistry()
DEAD_LETTER_COUNT_REGISTRY = CollectorRegistry()
_REGISTRIES = {
    WORKER: REGISTRY,
    PROJECTOR: PROJECTOR_REGISTRY,
    VERIFY: VERIFY_REGISTRY,
    SWEEP: SWEEP_REGISTRY,
    DEAD_LETTER_COUNT: DEAD_LETTER_COUNT_REGISTRY,
}
"""A registry for each program: none shows another's metrics, which would stand at 0 and be added up."""

# The targets of docs/performance.md (half within 10 ms, 99 of 100 within 40 ms) are bounds, and bounds lie close around them: a
# quantile is a guess between two bounds
_LATENCY = (
    *(0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08),
    *(0.16, 0.32, 0.64, 1.3, 2.6, 5, 10, 30, 60, 300),
)
# One fact takes a fraction of a millisecond; a batch is cut where it would take 0.1 s (BatchLimits)
_PROCESSING = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 2.5)
# A lane of a million patients reads for ten seconds, one whose store was lost after a long outage for minutes
_RECOVERY = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800)
_ONE_TO_A_FULL_BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def _declare(kind: str, name: str, unit: str, meaning: str, labels: tuple[str, ...], program: str) -> CollectorRegistry:
    DECLARED.append(Declaration(name, kind, unit, labels, meaning, program))
    return _REGISTRIES[program]


def _counter(name: str, unit: str, meaning: str, *labels: str, program: str = WORKER) -> Counter:
    return Counter(name, meaning, labels, registry=_declare("counter", name, unit, meaning, labels, program))


def _gauge(name: str, unit: str, meaning: str, *labels: str, program: str = WORKER) -> Gauge:
    return Gauge(name, meaning, labels, registry=_declare("gauge", name, unit, meaning, labels, program))


def _histogram(name: str, unit: str, meaning: str, buckets: tuple[float, ...], *, program: str = WORKER) -> Histogram:
    return Histogram(name, meaning, buckets=buckets, registry=_declare("histogram", name, unit, meaning, (), program))


# What came in and what came of it: committed, so each fact counts once, whatever fails

RECORDS = _counter(
    "pathway_billing_records_total", "records", "Input records whose effects are committed, by input topic.", "topic"
)
REPEATED_FACTS = _counter(
    "pathway_billing_repeated_facts_total",
    "records",
    "Patient facts that were on record already with the same content: they had no effect.",
    "topic",
)
PASSED_LINES = _counter(
    "pathway_billing_passed_lines_total",
    "claim lines",
    "Claim lines with another procedure code than S0353 and S0354: they pass untouched. Each claim counts once, when it is taken "
    "in.",
)
DEAD_LETTERS = _counter(
    "pathway_billing_dead_letters_total", "records", "Input records committed to the dead letters, by reason.", "reason"
)
DECISIONS = _counter(
    "pathway_billing_decisions_total",
    "decision versions",
    "Decisions published. Each version of a claim line's decision counts: it is what was said, not what is true now.",
    "outcome",
    "reason",
)
CHARGED_CENTS = _counter(
    "pathway_billing_charged_cents_total",
    "cents",
    "Charges of the claim lines that the published decisions speak of, by outcome. Each version counts.",
    "outcome",
)
PAID_CENTS = _counter("pathway_billing_paid_cents_total", "cents", "Money newly paid: the sum of all positive changes.")
TAKEN_BACK_CENTS = _counter(
    "pathway_billing_taken_back_cents_total",
    "cents",
    "Money taken back: the sum of all negative changes, as a positive number, by the outcome that took it back. Paid minus "
    "taken back is what is paid now.",
    "outcome",
)
NOTICES = _counter(
    "pathway_billing_notices_total",
    "notices",
    "Eligibility notices published, by reason (ELIGIBLE or why not).",
    "reason",
)

# How long it takes

BATCH_RECORDS = _histogram(
    "pathway_billing_batch_records", "records", "Input records of one transaction.", _ONE_TO_A_FULL_BATCH
)
PROCESSING_SECONDS = _histogram(
    "pathway_billing_processing_seconds",
    "seconds",
    "Time to decide one batch: decode, fold, encode. The event loop does nothing else meanwhile. Its sum over that of "
    "pathway_billing_batch_records is the fold time of a fact.",
    _PROCESSING,
)
COMMIT_SECONDS = _histogram(
    "pathway_billing_commit_seconds",
    "seconds",
    "Transaction time of a batch: from when it is decided, the wait for the transaction before it included, to the local "
    "store.",
    _LATENCY,
)
INPUT_TO_COMMIT_SECONDS = _histogram(
    "pathway_billing_input_to_commit_seconds",
    "seconds",
    "Fact to decision: the age of a batch's oldest record, by its Kafka timestamp, when its decisions are committed. An "
    "upper bound for the other facts of the batch; facts published while no worker ran count with the time they waited.",
    _LATENCY,
)

# Where the lanes stand

LANE_STATE = _gauge(
    "pathway_billing_lane_state",
    "1 or 0",
    "1 for the state that a lane of this worker is in: opening (fences its former owner and recovers), open (takes input) or "
    "paused (a rebalance or a stop is under way). Absent for a partition that is another worker's.",
    "partition",
    "state",
)
LANES_OPEN = _gauge("pathway_billing_lanes_open", "lanes", "Partitions that this worker owns and has recovered.")
READY = _gauge(
    "pathway_billing_ready", "1 or 0", "1 while all assigned lanes are open, else 0: what /health/ready says."
)
INPUT_LAG_RECORDS = _gauge(
    "pathway_billing_input_lag_records",
    "offsets",
    "Offsets between a lane's committed position and the end of what it can read.",
    "topic",
    "partition",
)
INPUT_HELD_RECORDS = _gauge(
    "pathway_billing_input_held_records",
    "offsets",
    "Offsets of the input behind somebody's open transaction. Nobody can read them before it ends, so they are no lag.",
    "topic",
    "partition",
)
LAST_COMMIT_TIMESTAMP_SECONDS = _gauge(
    "pathway_billing_last_commit_timestamp_seconds",
    "seconds since 1970",
    "When a lane last committed a batch, or opened. Its age matters only while the lane has lag.",
    "partition",
)
REBALANCES = _counter(
    "pathway_billing_rebalances_total", "assignments", "Assignments received from the consumer group."
)
RECOVERY_REMAINING_RECORDS = _gauge(
    "pathway_billing_recovery_remaining_records",
    "offsets",
    "Offsets of the changelog that a lane must still read before it opens; 0 when it is recovered.",
    "partition",
)
RECOVERED_RECORDS = _counter(
    "pathway_billing_recovered_records_total", "records", "Changelog records read to open lanes."
)
RECOVERY_SECONDS = _histogram("pathway_billing_recovery_seconds", "seconds", "Time to recover one lane.", _RECOVERY)
LANES_WAITING = _gauge(
    "pathway_billing_lanes_waiting",
    "partitions",
    "Partitions that wait for something outside of Kafka, such as a schema registry that does not answer. The log says for what.",
)
STALE_FETCHES = _counter(
    "pathway_billing_stale_fetches_total",
    "fetches",
    "Fetched pieces dropped because a rebalance came in between; they are fetched again.",
)

# Trust

INVARIANT_VIOLATIONS = _counter(
    "pathway_billing_invariant_violations_total",
    "violations",
    "Assertions about money or state that did not hold. Nothing was committed, and the worker stopped. Each is a line of "
    "`invariant-violations.log` in the worker's state folder, which the next start counts again, until somebody has looked into "
    "it and moves the file away.",
)
BUILD_INFO = _gauge(
    "pathway_billing_build_info",
    "1",
    "Always 1; the labels say which version runs, on which Python, Faust and aiokafka.",
    "version",
    "python",
    "faust",
    "aiokafka",
)
POLICY_INFO = _gauge(
    "pathway_billing_policy_info",
    "1",
    "Always 1, for each policy profile that the worker decides under. Workers that differ decide by different rules.",
    "profile",
    "version",
)

# The projector, which writes the ledger that the console shows

PROJECTOR_RECORDS = _counter(
    "pathway_billing_projector_records_total",
    "records",
    "Records written to the ledger, by topic.",
    "topic",
    program=PROJECTOR,
)
PROJECTOR_TRANSACTION_SECONDS = _histogram(
    "pathway_billing_projector_transaction_seconds",
    "seconds",
    "Time to write one batch of records and its positions to the ledger.",
    _LATENCY,
    program=PROJECTOR,
)
PROJECTOR_LAG_RECORDS = _gauge(
    "pathway_billing_projector_lag_records",
    "offsets",
    "Offsets between the ledger's position and the end of what is committed.",
    "topic",
    "partition",
    program=PROJECTOR,
)
PROJECTOR_OVERTAKEN = _counter(
    "pathway_billing_projector_overtaken_total",
    "batches",
    "Batches that were not written because another projector had written them.",
    program=PROJECTOR,
)
PROJECTOR_READY = _gauge(
    "pathway_billing_projector_ready",
    "1 or 0",
    "1 once the ledger had caught up with the end of the log, else 0.",
    program=PROJECTOR,
)
PROJECTOR_LOOK_TIMESTAMP_SECONDS = _gauge(
    "pathway_billing_projector_look_timestamp_seconds",
    "seconds since 1970",
    "When the projector last asked Kafka how far the log goes. While it stands still, its lag is an old one.",
    program=PROJECTOR,
)

# What `verify --textfile` found at its last run

VERIFY_ANOMALIES = _gauge(
    "pathway_billing_verify_anomalies",
    "anomalies",
    "What the last verification found, by kind. All 0: everything that was committed is what the facts lead to.",
    "kind",
    program=VERIFY,
)
VERIFY_TIMESTAMP_SECONDS = _gauge(
    "pathway_billing_verify_timestamp_seconds",
    "seconds since 1970",
    "When the last verification ended that came to a result.",
    program=VERIFY,
)
VERIFY_DURATION_SECONDS = _gauge(
    "pathway_billing_verify_duration_seconds", "seconds", "How long it took.", program=VERIFY
)
VERIFY_FACTS = _gauge("pathway_billing_verify_facts", "facts", "Facts that it folded again.", program=VERIFY)
VERIFY_DECISIONS = _gauge(
    "pathway_billing_verify_decisions", "decision versions", "Decisions that it compared.", program=VERIFY
)
VERIFY_PAID_CENTS = _gauge(
    "pathway_billing_verify_paid_cents",
    "cents",
    "What is paid by the current decisions, added up anew.",
    program=VERIFY,
)
VERIFY_AWAITING_PATIENTS = _gauge(
    "pathway_billing_verify_awaiting_readjudication_patients",
    "patients",
    "Patients whose decisions are right, but would be others under agreements that came later.",
    program=VERIFY,
)

# What `sweep --textfile` found at its last run

PENDED_CLAIMS = _gauge(
    "pathway_billing_pended_claims",
    "claims",
    "Claims with a pended line at the last sweep, by days since their received date. The core has no clock; the sweep is where "
    "claims meet a date, so it is where their age is known.",
    "age_days",
    program=SWEEP,
)
SWEEP_EXPIRED_CLAIMS = _gauge(
    "pathway_billing_sweep_expired_claims",
    "claims",
    "Pends that ran out of time and were published by the last sweep.",
    program=SWEEP,
)
SWEEP_AWAITED_CLAIMS = _gauge(
    "pathway_billing_sweep_awaited_claims",
    "claims",
    "Pends that an earlier sweep published and that no worker had decided at the last sweep.",
    program=SWEEP,
)
SWEEP_TIMESTAMP_SECONDS = _gauge(
    "pathway_billing_sweep_timestamp_seconds", "seconds since 1970", "When the last sweep ended.", program=SWEEP
)

# What `dead-letters count --textfile` found at its last run

DEAD_LETTERS_NOW = _gauge(
    "pathway_billing_dead_letters_now",
    "records",
    "Dead letters and how they stand: OPEN, REDRIVEN or DISCARDED. The worker counts them as they come; this tells what is "
    "still to be done.",
    "state",
    "reason",
    "topic",
    program=DEAD_LETTER_COUNT,
)
DEAD_LETTERS_TIMESTAMP_SECONDS = _gauge(
    "pathway_billing_dead_letters_timestamp_seconds",
    "seconds since 1970",
    "When they were last counted.",
    program=DEAD_LETTER_COUNT,
)

LANE_STATES = ("opening", "open", "paused")


def set_lane_state(partition: int, state: str) -> None:
    """A lane of this worker is in this state now, and in no other."""
    assert state in LANE_STATES, "a state that is not declared"
    for known in LANE_STATES:
        LANE_STATE.labels(str(partition), known).set(known == state)


def forget_lane(partition: int, topics: Iterable[str]) -> None:
    """The partition is not this worker's any more: what it says of it would go stale."""
    for state in LANE_STATES:
        LANE_STATE.remove(str(partition), state)
    for topic in topics:
        INPUT_LAG_RECORDS.remove(topic, str(partition))
        INPUT_HELD_RECORDS.remove(topic, str(partition))
    LAST_COMMIT_TIMESTAMP_SECONDS.remove(str(partition))
    RECOVERY_REMAINING_RECORDS.remove(str(partition))


def start_at_zero(metric: MetricWrapperBase, *label_values: Iterable[str]) -> None:
    """Show these label values from the start: an increase from nothing to 1 is one that Prometheus does not see."""
    for values in zip(*label_values, strict=True):
        metric.labels(*values)


class ViolationLog:
    """Counts assertions that did not hold, beyond the end of the worker: it stops at once, before Prometheus has asked."""

    def __init__(self) -> None:
        self._file: Path | None = None

    def remember_in(self, folder: Path) -> None:
        """Count what is noted in this folder already, and note there what comes."""
        self._file = folder / "invariant-violations.log"
        with contextlib.suppress(FileNotFoundError):
            INVARIANT_VIOLATIONS.inc(len(self._file.read_text("utf-8").splitlines()))

    def note(self, sentence: str) -> None:
        """One more. The sentence names a place in the code, never a key or a value."""
        INVARIANT_VIOLATIONS.inc()
        if self._file is not None:
            with contextlib.suppress(OSError):  # the worker is stopping, and has said it in its log
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {sentence}\n")


violation_log = ViolationLog()


def say_what_runs() -> None:
    """Set the build's labels."""
    BUILD_INFO.labels(
        version("pathway-billing"), platform.python_version(), version("faust-streaming"), version("aiokafka")
    ).set(1)
