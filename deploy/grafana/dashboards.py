"""The three dashboards, panel by panel; `python -m deploy.grafana.dashboards` writes them to dashboards/*.json.

Grafana needs much JSON for one panel; what we decide about a panel is its title, its question to Prometheus and its unit, so
that is what stands here.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "pathway-billing-prometheus"}

_WIDTH, _HEIGHT = 8, 8  # three panels a row of 24

CENTS_TO_DOLLARS = " / 100"


class Query(NamedTuple):
    """A question to Prometheus, and how its answers are named."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One picture."""

    title: str
    says: str  # what it shows and what to do with it
    queries: tuple[Query, ...]
    unit: str = "short"  # Grafana's name of it
    kind: str = "timeseries"  # or stat


class Dashboard(NamedTuple):
    """One page."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


BILLING = Dashboard(
    "pathway-billing-money",
    "Billing: money and decisions",
    (
        Panel(
            "Paid now",
            "Money paid minus money taken back since the workers started counting; `verify` adds up the whole log.",
            (Query("pathway_billing:net_paid_cents" + CENTS_TO_DOLLARS, "paid"),),
            "currencyUSD",
            "stat",
        ),
        Panel(
            "Paid, by the last verification",
            "The current decisions of the whole log, added up anew.",
            (Query("pathway_billing_verify_paid_cents" + CENTS_TO_DOLLARS, "paid"),),
            "currencyUSD",
            "stat",
        ),
        Panel(
            "Decisions per second",
            "Versions published, by outcome.",
            (Query("pathway_billing:decisions:rate1m", "{{outcome}}"),),
            "ops",
        ),
        Panel(
            "Money per hour",
            "Newly paid, and taken back because a later fact changed the answer.",
            (
                Query("sum(increase(pathway_billing_paid_cents_total[1h]))" + CENTS_TO_DOLLARS, "paid"),
                Query("-sum(increase(pathway_billing_taken_back_cents_total[1h]))" + CENTS_TO_DOLLARS, "taken back"),
            ),
            "currencyUSD",
        ),
        Panel(
            "Charges decided per hour, by outcome",
            "Each version of a decision counts.",
            (
                Query(
                    "sum by (outcome) (increase(pathway_billing_charged_cents_total[1h]))" + CENTS_TO_DOLLARS,
                    "{{outcome}}",
                ),
            ),
            "currencyUSD",
        ),
        Panel(
            "Taken back per hour, by the outcome that took it",
            "VOIDED: the provider withdrew the claim. DENIED or BUNDLED: a fact came late.",
            (
                Query(
                    "sum by (outcome) (increase(pathway_billing_taken_back_cents_total[1h]))" + CENTS_TO_DOLLARS,
                    "{{outcome}}",
                ),
            ),
            "currencyUSD",
        ),
        Panel(
            "Top reasons not to pay, per hour",
            "Of denied and bundled lines. A new reason on top is often a publisher's change.",
            (
                Query(
                    'topk(10, sum by (reason) (increase(pathway_billing_decisions_total{outcome=~"DENIED|BUNDLED"}[1h])))',
                    "{{reason}}",
                ),
            ),
        ),
        Panel(
            "Pended claims by age in days",
            "At the last sweep. Beyond 20 days P0 denies them.",
            (Query("sum by (age_days) (pathway_billing_pended_claims)", "{{age_days}}"),),
        ),
        Panel(
            "Pends that ran out of time",
            "Published by the last sweep, and not decided yet from an earlier one.",
            (
                Query("pathway_billing_sweep_expired_claims", "expired"),
                Query("pathway_billing_sweep_awaited_claims", "expired before, not decided yet"),
            ),
        ),
        Panel(
            "Eligibility notices per hour",
            "What orders entitle to: ELIGIBLE, or why not.",
            (Query("sum by (reason) (increase(pathway_billing_notices_total[1h]))", "{{reason}}"),),
        ),
        Panel(
            "Policy",
            "The profiles that the workers decide under, and on how many workers. All counts should be equal.",
            (Query("count by (profile, version) (pathway_billing_policy_info)", "{{profile}} version {{version}}"),),
            kind="stat",
        ),
    ),
)

ENGINE = Dashboard(
    "pathway-billing-engine",
    "Engine: throughput, latency, lag, lanes",
    (
        Panel(
            "Facts per second",
            "Input records whose effects are committed, by topic.",
            (Query("pathway_billing:records:rate1m", "{{topic}}"),),
            "ops",
        ),
        Panel(
            "Fact to decision",
            "Age of a transaction's oldest fact when its decisions are committed.",
            (
                Query("pathway_billing:input_to_commit_seconds:p50_5m", "p50"),
                Query("pathway_billing:input_to_commit_seconds:p99_5m", "p99"),
            ),
            "s",
        ),
        Panel(
            "Lag",
            "Facts that wait, by partition.",
            (Query("pathway_billing:lag_records", "{{partition}}"),),
        ),
        Panel(
            "Age of the last commit, where facts wait",
            "A line that rises is a lane that stands still.",
            (Query("pathway_billing:commit_age_seconds", "{{partition}}"),),
            "s",
        ),
        Panel(
            "Lanes by state",
            "opening: fences and recovers. paused: a rebalance or a stop.",
            (Query("sum by (state) (pathway_billing_lane_state)", "{{state}}"),),
        ),
        Panel(
            "Lanes by worker, and readiness",
            "Who serves how many partitions.",
            (
                Query("pathway_billing_lanes_open", "{{instance}} lanes"),
                Query("pathway_billing_ready", "{{instance}} ready"),
                Query("pathway_billing_lanes_waiting", "{{instance}} lanes that wait"),
            ),
        ),
        Panel(
            "Fold time of a fact",
            "Decode, fold and encode, averaged over 5 minutes.",
            (Query("pathway_billing:fold_seconds_per_record:rate5m", "a fact"),),
            "s",
        ),
        Panel(
            "Batch: processing and transaction (p99)",
            "Processing blocks the worker; the transaction waits for the broker.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(pathway_billing_processing_seconds_bucket[5m])))",
                    "processing",
                ),
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(pathway_billing_commit_seconds_bucket[5m])))",
                    "transaction",
                ),
            ),
            "s",
        ),
        Panel(
            "Facts of a transaction (median)",
            "One at low load, thousands when there is much to do.",
            (Query("histogram_quantile(0.5, sum by (le) (rate(pathway_billing_batch_records_bucket[5m])))", "facts"),),
        ),
        Panel(
            "Recovery: still to read",
            "Offsets of the changelog before a lane opens.",
            (Query("sum by (partition) (pathway_billing_recovery_remaining_records)", "{{partition}}"),),
        ),
        Panel(
            "Recovery: records per second and seconds a lane",
            "Of lanes opened in the last hour.",
            (
                Query("sum(rate(pathway_billing_recovered_records_total[5m]))", "records/s"),
                Query(
                    "sum(increase(pathway_billing_recovery_seconds_sum[1h])) / "
                    "(sum(increase(pathway_billing_recovery_seconds_count[1h])) > 0)",
                    "seconds a lane",
                ),
            ),
        ),
        Panel(
            "Rebalances and fetches dropped by them, per hour",
            "Many: workers come and go. See WorkerRestarts.",
            (
                Query("sum(increase(pathway_billing_rebalances_total[1h]))", "rebalances"),
                Query("sum(increase(pathway_billing_stale_fetches_total[1h]))", "dropped fetches"),
            ),
        ),
        Panel(
            "Memory and CPU of the workers",
            "Resident bytes; and cores in use, 1 being all that one worker can use.",
            (
                Query('process_resident_memory_bytes{job="pathway-billing-worker"}', "{{instance}} bytes"),
                Query('rate(process_cpu_seconds_total{job="pathway-billing-worker"}[1m])', "{{instance}} cores"),
            ),
        ),
        Panel(
            "Versions",
            "What runs.",
            (Query("count by (version, python) (pathway_billing_build_info)", "{{version}}, Python {{python}}"),),
            kind="stat",
        ),
    ),
)

TRUST = Dashboard(
    "pathway-billing-trust",
    "Trust: what was refused, repeated, verified",
    (
        Panel(
            "Verification: differences",
            "Between what was committed and what the facts lead to, by kind. Anything but 0 is a page.",
            (Query("sum by (kind) (pathway_billing_verify_anomalies)", "{{kind}}"),),
            kind="stat",
        ),
        Panel(
            "Verification: age",
            "Since the last one that came to a result.",
            (Query("time() - max(pathway_billing_verify_timestamp_seconds)", "age"),),
            "s",
            "stat",
        ),
        Panel(
            "Invariant violations",
            "Assertions that did not hold in a running worker; it stops before it commits.",
            (Query("sum(pathway_billing_invariant_violations_total)", "violations"),),
            kind="stat",
        ),
        Panel(
            "Dead letters by reason",
            "Since the workers started.",
            (Query("sum by (reason) (pathway_billing_dead_letters_total)", "{{reason}}"),),
        ),
        Panel(
            "Share of the input that cannot be used",
            "Without wrong payers and conflicts, which are the business's. The flood limit stops a worker at half.",
            (Query("pathway_billing:refused_share:rate10m", "refused"),),
            "percentunit",
        ),
        Panel(
            "Repeated facts per hour",
            "Known already, without effect: publishers that retry. Harmless.",
            (Query("sum by (topic) (increase(pathway_billing_repeated_facts_total[1h]))", "{{topic}}"),),
        ),
        Panel(
            "Worker starts in the last hour",
            "A worker stops rather than guess; its last log line says why.",
            (Query('changes(process_start_time_seconds{job="pathway-billing-worker"}[1h])', "{{instance}}"),),
        ),
        Panel(
            "Verification: what it looked at",
            "Facts folded again and decisions compared.",
            (
                Query("pathway_billing_verify_facts", "facts"),
                Query("pathway_billing_verify_decisions", "decisions"),
                Query("pathway_billing_verify_duration_seconds", "seconds"),
            ),
        ),
        Panel(
            "Patients that await re-adjudication",
            "Decided rightly, under agreements that have changed since. `pathway-billing readjudicate` decides them again.",
            (Query("pathway_billing_verify_awaiting_readjudication_patients", "patients"),),
            kind="stat",
        ),
    ),
)

DASHBOARDS = (BILLING, ENGINE, TRUST)


def as_json(dashboard: Dashboard) -> str:
    """The file that Grafana reads."""
    model = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["pathway-billing"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }
    return json.dumps(model, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": DATASOURCE,
        "gridPos": {"x": number % 3 * _WIDTH, "y": number // 3 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": panel.kind == "timeseries",
                "instant": panel.kind == "stat",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def main() -> None:
    """Write the files."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(as_json(dashboard))


if __name__ == "__main__":
    main()
