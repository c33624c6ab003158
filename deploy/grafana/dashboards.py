"""The three dashboards, panel by panel; `python -m deploy.grafana.dashboards` writes them to dashboards/*.json.

Grafana needs much JSON for one panel; what we decide about a panel is its title, its question to Prometheus, its unit and from
which value on it is orange or red, so that is what stands here. Each dashboard begins with what a person with the pager asks first.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "pathway-billing-prometheus"}

_COLUMNS = 24
_FIGURE, _PICTURE = (4, 4), (8, 8)  # width and height in Grafana's grid

CENTS_TO_DOLLARS = " / 100"

OUTCOME_COLORS = {"PAID": "green", "DENIED": "red", "BUNDLED": "orange", "PENDED": "yellow", "VOIDED": "purple"}


class Query(NamedTuple):
    """A question to Prometheus, and how its answers are named."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One picture, or one figure."""

    title: str
    says: str  # what it shows and what to do with it
    queries: tuple[Query, ...]
    unit: str = "short"  # Grafana's name of it
    kind: str = "timeseries"  # stat: the newest figure; bargauge: figures beside each other
    orange: float | None = None  # from this value on
    red: float | None = None
    good_is_more: bool = False  # red below `red`, not above
    stacked: bool = False
    logarithmic: bool = False
    colors: Mapping[str, str] | None = None  # of answers, by their names
    shows: str = "auto"  # a stat's: value, name, value_and_name; auto leaves the name of a single answer out
    empty: str = ""  # what no answer means; without it Grafana says "No data"


class Row(NamedTuple):
    """Panels under a heading, three pictures or six figures wide."""

    title: str
    panels: tuple[Panel, ...]


class Dashboard(NamedTuple):
    """One page."""

    uid: str
    title: str
    rows: tuple[Row, ...]


class Mark(NamedTuple):
    """Moments that every picture shows as a line."""

    name: str
    expr: str
    text: str
    color: str


MARKS = (
    Mark("Alerts", 'ALERTS{alertstate="firing", severity="page"}', "{{alertname}}", "red"),
    Mark(
        "Worker starts",
        'changes(process_start_time_seconds{job="pathway-billing-worker"}[30s]) > 0',
        "{{instance}}",
        "blue",
    ),
)

FIRING = Panel(
    "Alerts that fire",
    "Red: a page, orange: a ticket. Each has a page in docs/runbooks with what is at stake and what to do.",
    (
        Query(
            'max by (alertname) (ALERTS{alertstate="firing", severity="page"}) * 2'
            ' or max by (alertname) (ALERTS{alertstate="firing", severity="ticket"})',
            "{{alertname}}",
        ),
    ),
    kind="stat",
    orange=1,
    red=2,
    shows="name",
    empty="none",
)

BILLING = Dashboard(
    "pathway-billing-money",
    "Billing: money and decisions",
    (
        Row(
            "Now",
            (
                FIRING,
                Panel(
                    "Net paid, last 24 hours",
                    "Newly paid minus taken back. What is paid in all is the verifier's and the ledger's to say.",
                    (
                        Query(
                            "(sum(increase(pathway_billing_paid_cents_total[1d]))"
                            " - sum(increase(pathway_billing_taken_back_cents_total[1d])))" + CENTS_TO_DOLLARS,
                            "net",
                        ),
                    ),
                    "currencyUSD",
                    "stat",
                ),
                Panel(
                    "Taken back, last 24 hours",
                    "Because a later fact changed the answer.",
                    (
                        Query(
                            "sum(increase(pathway_billing_taken_back_cents_total[1d]))" + CENTS_TO_DOLLARS, "taken back"
                        ),
                    ),
                    "currencyUSD",
                    "stat",
                ),
                Panel(
                    "Paid in all, by the last verification",
                    "The current decisions of the whole log, added up anew.",
                    (Query("sum(pathway_billing_verify_paid_cents)" + CENTS_TO_DOLLARS, "paid"),),
                    "currencyUSD",
                    "stat",
                ),
                Panel(
                    "Claims that are pended",
                    "At the last sweep.",
                    (Query("sum(pathway_billing_pended_claims)", "pended"),),
                    kind="stat",
                ),
                Panel(
                    "Policy",
                    "The profiles that the workers decide under, and on how many workers. All counts should be equal.",
                    (
                        Query(
                            "count by (profile, version) (pathway_billing_policy_info)",
                            "{{profile}} version {{version}}",
                        ),
                    ),
                    kind="stat",
                ),
            ),
        ),
        Row(
            "Decisions and money",
            (
                Panel(
                    "Decisions per second",
                    "Versions published, by outcome.",
                    (Query("pathway_billing:decisions:rate1m", "{{outcome}}"),),
                    "suffix: /s",
                    stacked=True,
                    colors=OUTCOME_COLORS,
                ),
                Panel(
                    "Money per hour",
                    "Newly paid, taken back because a later fact changed the answer, and the difference.",
                    (
                        Query("sum(increase(pathway_billing_paid_cents_total[1h]))" + CENTS_TO_DOLLARS, "paid"),
                        Query(
                            "-sum(increase(pathway_billing_taken_back_cents_total[1h]))" + CENTS_TO_DOLLARS,
                            "taken back",
                        ),
                        Query("pathway_billing:net_paid_cents:increase1h" + CENTS_TO_DOLLARS, "net"),
                    ),
                    "currencyUSD",
                    colors={"paid": "green", "taken back": "red", "net": "blue"},
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
                    stacked=True,
                    colors=OUTCOME_COLORS,
                ),
                Panel(
                    "Top reasons not to pay, last hour",
                    "Of denied and bundled lines. A new reason on top is often a publisher's change.",
                    (
                        Query(
                            "sort_desc(topk(10, sum by (reason)"
                            ' (increase(pathway_billing_decisions_total{outcome=~"DENIED|BUNDLED"}[1h]))))',
                            "{{reason}}",
                        ),
                    ),
                    kind="bargauge",
                ),
                Panel(
                    "Taken back per hour, by the outcome that took it",
                    "VOIDED: the provider withdrew the claim. DENIED or BUNDLED: a fact came late.",
                    (
                        Query(
                            "sum by (outcome) (increase(pathway_billing_taken_back_cents_total[1h]))"
                            + CENTS_TO_DOLLARS,
                            "{{outcome}}",
                        ),
                    ),
                    "currencyUSD",
                    stacked=True,
                    colors=OUTCOME_COLORS,
                ),
                Panel(
                    "Eligibility notices per hour",
                    "What orders entitle to: ELIGIBLE, or why not.",
                    (Query("sum by (reason) (increase(pathway_billing_notices_total[1h]))", "{{reason}}"),),
                    colors={"ELIGIBLE": "green"},
                ),
                Panel(
                    "Lines of other codes per hour",
                    "Neither S0353 nor S0354: they pass untouched.",
                    (Query("sum(increase(pathway_billing_passed_lines_total[1h]))", "lines"),),
                ),
            ),
        ),
        Row(
            "Pends",
            (
                Panel(
                    "Pended claims by age in days",
                    "Since their received date, at the last sweep. Beyond 20 days P0 denies them.",
                    tuple(
                        Query(f'sum(pathway_billing_pended_claims{{age_days="{age}"}})', age)
                        for age in ("0-6", "7-13", "14-20", "21-30", "over 30")
                    ),
                    kind="bargauge",
                    colors={"21-30": "orange", "over 30": "red"},
                ),
                Panel(
                    "Pends that ran out of time",
                    "Published by the last sweep, and not decided yet from an earlier one, which should be 0.",
                    (
                        Query("sum(pathway_billing_sweep_expired_claims)", "expired"),
                        Query("sum(pathway_billing_sweep_awaited_claims)", "expired before, not decided yet"),
                    ),
                ),
                Panel(
                    "Age of the last sweep",
                    "Without sweeps pends are not denied when their time is up. See PendsAreNotSwept.",
                    (Query("time() - max(pathway_billing_sweep_timestamp_seconds)", "age"),),
                    "s",
                    orange=7200,
                    red=26 * 3600,
                ),
            ),
        ),
    ),
)

ENGINE = Dashboard(
    "pathway-billing-engine",
    "Engine: throughput, latency, lag, lanes",
    (
        Row(
            "Now",
            (
                FIRING,
                Panel(
                    "Workers that are ready",
                    "All their lanes are open. 0: no fact is decided.",
                    (Query("sum(pathway_billing_ready) or vector(0)", "ready"),),
                    kind="stat",
                    red=1,
                    good_is_more=True,
                ),
                Panel(
                    "Lanes that nobody serves",
                    "Partitions that were served within the last hour and are not now.",
                    (
                        Query(
                            "count(count by (partition) (last_over_time(pathway_billing_lane_state[1h])))"
                            " - (sum(pathway_billing_lanes_open) or vector(0))",
                            "lanes",
                        ),
                    ),
                    kind="stat",
                    red=1,
                    empty="none for an hour",
                ),
                Panel(
                    "Facts that wait",
                    "In all partitions. See LagGrows.",
                    (Query("sum(pathway_billing:lag_records)", "facts"),),
                    kind="stat",
                    orange=1_000,
                    red=10_000,
                ),
                Panel(
                    "Longest stand of a lane",
                    "Since its last commit, where facts wait. See LaneStandsStill.",
                    (Query("max(pathway_billing:commit_age_seconds)", "age"),),
                    "s",
                    "stat",
                    orange=10,
                    red=30,
                ),
                Panel(
                    "Fact to decision, p99",
                    "Of the last 5 minutes. Target at 1,000 facts/s: 40 ms. See DecisionsAreSlow.",
                    (Query("pathway_billing:input_to_commit_seconds:p99_5m", "p99"),),
                    "s",
                    "stat",
                    orange=0.5,
                    red=5,
                    empty="no facts",
                ),
            ),
        ),
        Row(
            "Throughput and latency",
            (
                Panel(
                    "Facts per second",
                    "Input records whose effects are committed, by topic.",
                    (Query("pathway_billing:records:rate1m", "{{topic}}"),),
                    "suffix: /s",
                    stacked=True,
                ),
                Panel(
                    "Fact to decision",
                    "Age of a transaction's oldest fact when its decisions are committed. Targets at 1,000 facts/s: half within "
                    "10 ms, 99 of 100 within 40 ms.",
                    (
                        Query("pathway_billing:input_to_commit_seconds:p50_5m", "p50"),
                        Query("pathway_billing:input_to_commit_seconds:p99_5m", "p99"),
                    ),
                    "s",
                    logarithmic=True,
                    orange=0.04,
                    red=5,
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
                    logarithmic=True,
                ),
                Panel(
                    "Fold time of a fact",
                    "Decode, fold and encode, averaged over 5 minutes.",
                    (Query("pathway_billing:fold_seconds_per_record:rate5m", "a fact"),),
                    "s",
                ),
                Panel(
                    "Facts of a transaction",
                    "One at low load, thousands when there is much to do.",
                    (
                        Query(
                            "histogram_quantile(0.5, sum by (le) (rate(pathway_billing_batch_records_bucket[5m])))",
                            "p50",
                        ),
                        Query(
                            "histogram_quantile(0.99, sum by (le) (rate(pathway_billing_batch_records_bucket[5m])))",
                            "p99",
                        ),
                    ),
                    logarithmic=True,
                ),
                Panel(
                    "Cores in use",
                    "By worker: 1 is all that one can use. At 1, add workers, up to the number of partitions.",
                    (Query('rate(process_cpu_seconds_total{job="pathway-billing-worker"}[1m])', "{{instance}}"),),
                    orange=0.9,
                ),
            ),
        ),
        Row(
            "Lanes",
            (
                Panel(
                    "Lag",
                    "Facts that wait, by partition; and those that nobody can read yet. See LagGrows, and InputIsHeld.",
                    (
                        Query("pathway_billing:lag_records", "{{partition}}"),
                        Query(
                            "sum by (partition) (pathway_billing_input_held_records)",
                            "{{partition}}, behind a transaction",
                        ),
                    ),
                    red=10_000,
                ),
                Panel(
                    "Age of the last commit, where facts wait",
                    "By partition. A line that rises is a lane that stands still.",
                    (Query("pathway_billing:commit_age_seconds", "{{partition}}"),),
                    "s",
                    red=30,
                ),
                Panel(
                    "Lanes by state",
                    "opening: fences and recovers. paused: a rebalance or a stop. waiting: for something outside of Kafka, such as "
                    "a schema registry; the log says for what.",
                    (
                        Query("sum by (state) (pathway_billing_lane_state)", "{{state}}"),
                        Query("sum(pathway_billing_lanes_waiting)", "waiting"),
                    ),
                    colors={"open": "green", "opening": "orange", "paused": "red", "waiting": "purple"},
                ),
                Panel(
                    "Lanes by worker",
                    "Who serves how many partitions.",
                    (Query("pathway_billing_lanes_open", "{{instance}}"),),
                    stacked=True,
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
                    "Memory",
                    "Resident, by worker.",
                    (Query('process_resident_memory_bytes{job="pathway-billing-worker"}', "{{instance}}"),),
                    "bytes",
                ),
            ),
        ),
        Row(
            "Recovery",
            (
                Panel(
                    "Recovery: still to read",
                    "Offsets of the changelog before a lane opens, by partition.",
                    (Query("sum by (partition) (pathway_billing_recovery_remaining_records)", "{{partition}}"),),
                ),
                Panel(
                    "Recovery: records per second",
                    "Changelog records read to open lanes.",
                    (Query("sum(rate(pathway_billing_recovered_records_total[1m]))", "records"),),
                    "suffix: /s",
                ),
                Panel(
                    "Recovery: time for a lane",
                    "On average since the worker's start, by worker.",
                    (
                        Query(
                            "sum by (instance) (pathway_billing_recovery_seconds_sum)"
                            " / sum by (instance) (pathway_billing_recovery_seconds_count)",
                            "{{instance}}",
                        ),
                    ),
                    "s",
                ),
            ),
        ),
        Row(
            "Ledger and versions",
            (
                Panel(
                    "Ledger: lag",
                    "Committed records that are not in the ledger yet, which the console shows. See LedgerIsBehind.",
                    (Query("sum by (topic) (pathway_billing_projector_lag_records)", "{{topic}}"),),
                    red=10_000,
                    stacked=True,
                ),
                Panel(
                    "Ledger: records per second",
                    "Written, by topic; and batches that another projector had written already.",
                    (
                        Query("sum by (topic) (rate(pathway_billing_projector_records_total[1m]))", "{{topic}}"),
                        Query("sum(rate(pathway_billing_projector_overtaken_total[1m]))", "overtaken batches"),
                    ),
                    "suffix: /s",
                ),
                Panel(
                    "Ledger: transaction (p99)",
                    "The time of the database.",
                    (
                        Query(
                            "histogram_quantile(0.99,"
                            " sum by (le) (rate(pathway_billing_projector_transaction_seconds_bucket[5m])))",
                            "p99",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "Ledger: age of the last look",
                    "Since a projector asked Kafka how far the log goes. See ProjectorStandsStill.",
                    (Query("time() - max(pathway_billing_projector_look_timestamp_seconds)", "age"),),
                    "s",
                    "stat",
                    orange=30,
                    red=60,
                ),
                Panel(
                    "Projectors that have caught up",
                    "0 while the ledger is made or brought up.",
                    (Query("sum(pathway_billing_projector_ready) or vector(0)", "ready"),),
                    kind="stat",
                    red=1,
                    good_is_more=True,
                ),
                Panel(
                    "Versions",
                    "What runs, on how many workers.",
                    (
                        Query(
                            "count by (version, python, faust, aiokafka) (pathway_billing_build_info)",
                            "{{version}}, Python {{python}}",
                        ),
                    ),
                    kind="stat",
                    shows="value_and_name",
                ),
            ),
        ),
    ),
)

TRUST = Dashboard(
    "pathway-billing-trust",
    "Trust: what was refused, repeated, verified",
    (
        Row(
            "Now",
            (
                FIRING,
                Panel(
                    "Verification: differences",
                    "Between what was committed and what the facts lead to. Anything but 0 is a page.",
                    (Query("sum(pathway_billing_verify_anomalies)", "differences"),),
                    kind="stat",
                    red=1,
                    empty="never verified",
                ),
                Panel(
                    "Verification: age",
                    "Since the last one that came to a result.",
                    (Query("time() - max(pathway_billing_verify_timestamp_seconds)", "age"),),
                    "s",
                    "stat",
                    orange=7200,
                    red=26 * 3600,
                    empty="never verified",
                ),
                Panel(
                    "Invariant violations",
                    "Assertions that did not hold in a worker, which stopped before it committed.",
                    (Query("sum(pathway_billing_invariant_violations_total)", "violations"),),
                    kind="stat",
                    red=1,
                ),
                Panel(
                    "Dead letters that are open",
                    "When they were last counted. `pathway-billing dead-letters list --state OPEN` names them.",
                    (Query('sum(pathway_billing_dead_letters_now{state="OPEN"})', "open"),),
                    kind="stat",
                    orange=1,
                    empty="never counted",
                ),
                Panel(
                    "Dead letters: age of the count",
                    "Since `dead-letters count --textfile`.",
                    (Query("time() - max(pathway_billing_dead_letters_timestamp_seconds)", "age"),),
                    "s",
                    "stat",
                    orange=7200,
                    red=26 * 3600,
                    empty="never counted",
                ),
            ),
        ),
        Row(
            "Refused and repeated",
            (
                Panel(
                    "Dead letters by reason, per hour",
                    "As they come. WRONG_PAYER and CONFLICT are the business's, the others a publisher's fault.",
                    (Query("sum by (reason) (increase(pathway_billing_dead_letters_total[1h]))", "{{reason}}"),),
                    stacked=True,
                ),
                Panel(
                    "Share of the input that cannot be used",
                    "Without wrong payers and conflicts. The flood limit stops a worker at half.",
                    (Query("pathway_billing:refused_share:rate10m", "refused"),),
                    "percentunit",
                    orange=0.01,
                    red=0.5,
                ),
                Panel(
                    "Dead letters: what was done",
                    "Of all that ever came: open, sent again, discarded.",
                    (Query("sum by (state) (pathway_billing_dead_letters_now)", "{{state}}"),),
                    kind="bargauge",
                    colors={"OPEN": "orange", "REDRIVEN": "green", "DISCARDED": "blue"},
                ),
                Panel(
                    "Repeated facts per hour",
                    "Known already, without effect: publishers that retry. Harmless.",
                    (Query("sum by (topic) (increase(pathway_billing_repeated_facts_total[1h]))", "{{topic}}"),),
                    stacked=True,
                ),
                Panel(
                    "Worker starts in the last hour",
                    "A worker stops rather than guess; its last log line says why.",
                    (Query('changes(process_start_time_seconds{job="pathway-billing-worker"}[1h])', "{{instance}}"),),
                    red=3,
                ),
                Panel(
                    "Programs that answer Prometheus",
                    "1 or 0 each. See TargetIsDown.",
                    (Query('up{job=~"pathway-billing-.*"}', "{{job}} {{instance}}"),),
                ),
            ),
        ),
        Row(
            "Verification",
            (
                Panel(
                    "Verification: differences by kind",
                    "0 everywhere: everything that was committed is what the facts lead to.",
                    (Query("sum by (kind) (pathway_billing_verify_anomalies)", "{{kind}}"),),
                    kind="bargauge",
                    red=1,
                ),
                Panel(
                    "Verification: what it looked at",
                    "Facts folded again and decisions compared.",
                    (
                        Query("sum(pathway_billing_verify_facts)", "facts"),
                        Query("sum(pathway_billing_verify_decisions)", "decisions"),
                    ),
                ),
                Panel(
                    "Verification: how long it took",
                    "It folds the whole log. Where it takes hours, verify less often.",
                    (Query("max(pathway_billing_verify_duration_seconds)", "took"),),
                    "s",
                ),
                Panel(
                    "Patients that await re-adjudication",
                    "Decided rightly, under agreements that have changed since. `pathway-billing readjudicate` decides them again.",
                    (Query("sum(pathway_billing_verify_awaiting_readjudication_patients)", "patients"),),
                    kind="stat",
                    orange=1,
                ),
            ),
        ),
    ),
)

DASHBOARDS = (BILLING, ENGINE, TRUST)


def panels_of(dashboard: Dashboard) -> list[Panel]:
    """All panels of a dashboard, in their order."""
    return [panel for row in dashboard.rows for panel in row.panels]


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
        "graphTooltip": 1,  # the same moment is marked in every picture
        "links": [_LINK],
        "annotations": {"list": [_annotation(mark) for mark in MARKS]},
        "panels": list(_laid_out(dashboard)),
    }
    return json.dumps(model, indent=1) + "\n"


_LINK = {
    "type": "dashboards",
    "title": "",
    "tags": ["pathway-billing"],
    "asDropdown": False,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}


def _annotation(mark: Mark) -> dict[str, Any]:
    return {
        "name": mark.name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": mark.color,
        "expr": mark.expr,
        "step": "10s",
        "titleFormat": mark.name,
        "textFormat": mark.text,
    }


def _laid_out(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """Headings and panels, row by row, from left to right."""
    number, top = 0, 0
    for row in dashboard.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        left = tallest = 0
        for panel in row.panels:
            number += 1
            width, height = _FIGURE if panel.kind == "stat" else _PICTURE
            if left + width > _COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            yield _panel(number, panel, {"x": left, "y": top, "w": width, "h": height})
            left, tallest = left + width, max(tallest, height)
        top += tallest


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
                "thresholds": {"mode": "absolute", "steps": _steps(panel)},
                **({"noValue": panel.empty} if panel.empty else {}),
                **({"custom": _drawn(panel)} if panel.kind == "timeseries" else {}),
                **({"min": 0} if panel.kind == "bargauge" else {}),
                **({"decimals": 0} if panel.unit == "short" and panel.kind != "timeseries" else {}),
            },
            "overrides": [_colored(name, color) for name, color in (panel.colors or {}).items()],
        },
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": panel.kind == "timeseries",
                "instant": panel.kind != "timeseries",
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _steps(panel: Panel) -> list[dict[str, Any]]:
    """From which value on which color; the first holds from below everything."""
    if panel.good_is_more:
        return [{"color": "red", "value": None}, {"color": "green", "value": panel.red}]
    calm = "green" if panel.red is not None or panel.orange is not None else "blue"
    steps: list[dict[str, Any]] = [{"color": calm, "value": None}]
    steps += [
        {"color": color, "value": value}
        for color, value in (("orange", panel.orange), ("red", panel.red))
        if value is not None
    ]
    return steps


def _drawn(panel: Panel) -> dict[str, Any]:
    marked = panel.red is not None or panel.orange is not None
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "scaleDistribution": {"type": "log", "log": 10} if panel.logarithmic else {"type": "linear"},
        "thresholdsStyle": {"mode": "line" if marked else "off"},
    }


def _colored(name: str, color: str) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
    }


def _options(panel: Panel) -> dict[str, Any]:
    newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "timeseries":
        return {
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "bargauge":
        return {
            "reduceOptions": newest,
            "orientation": "horizontal",
            "displayMode": "basic",
            "valueMode": "color",
            "showUnfilled": True,
        }
    return {
        "reduceOptions": newest,
        "colorMode": "background" if panel.red is not None or panel.orange is not None else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": panel.shows,
    }


def main() -> None:
    """Write the files."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(as_json(dashboard))


if __name__ == "__main__":
    main()
