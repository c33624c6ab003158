"""Code, docs, dashboards and alerts speak of the same metrics; none names a patient, a claim or a provider."""

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from deploy import metrics_page
from deploy.grafana import dashboards
from streams import metrics
from tests.monitoring.tools import PROMETHEUS, ROOT, metric_names, promtool

LABELS = {
    "topic",
    "partition",
    "state",
    "outcome",
    "reason",
    "kind",
    "age_days",
    "profile",
    "version",
    "python",
    "faust",
    "aiokafka",
}
"""Everything that a label may be: bounded sets of words and small numbers."""

PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"}
"""Of the metrics that the client library adds, the ones that we look at."""


RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
PANELS = {
    f"{dashboard.title}: {panel.title}": [query.expr for query in panel.queries]
    for dashboard in dashboards.DASHBOARDS
    for panel in dashboard.panels
}


def series_names() -> set[str]:
    """The names under which Prometheus stores what is declared."""
    names = set(PROCESS)
    for one in metrics.DECLARED:
        names |= {one.name + end for end in ("_bucket", "_sum", "_count")} if one.kind == "histogram" else {one.name}
    return names


def test_only_declared_metrics_are_exported_and_as_they_are_declared() -> None:
    code = (
        "import json, streams.metrics as m\n"
        "regs = (m.REGISTRY, m.VERIFY_REGISTRY, m.SWEEP_REGISTRY)\n"
        "print(json.dumps([[x.name, x.type] for r in regs for x in r.collect() if x.name.startswith('pathway')]))"
    )
    found = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True, cwd=ROOT).stdout
    exported = {name + ("_total" if kind == "counter" else ""): kind for name, kind in json.loads(found)}
    assert exported == {one.name: one.kind for one in metrics.DECLARED}


def test_no_label_names_a_person_or_a_claim() -> None:
    assert {label for one in metrics.DECLARED for label in one.labels} == LABELS
    assert not {label for label in LABELS if any(word in label for word in ("patient", "claim", "npi", "order", "id"))}


def test_each_metric_says_its_unit_and_its_meaning() -> None:
    assert len({one.name for one in metrics.DECLARED}) == len(metrics.DECLARED)
    for one in metrics.DECLARED:
        assert one.meaning.endswith("."), one.name
        assert one.unit, one.name
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        for word in ("seconds", "cents"):
            assert (word in one.unit) == (word in one.name), one.name


def test_the_page_and_the_dashboards_are_what_the_code_makes() -> None:
    page = metrics_page.PAGE.read_text()
    assert page == metrics_page.page(page), "run `make monitoring`"
    files = {path.name: path.read_text() for path in dashboards.FOLDER.iterdir()}
    assert files == {f"{one.uid}.json": dashboards.as_json(one) for one in dashboards.DASHBOARDS}, (
        "run `make monitoring`"
    )


def test_no_question_is_about_a_metric_that_does_not_exist() -> None:
    known = series_names() | set(RECORDED)
    asked = {
        **{title: " ".join(queries) for title, queries in PANELS.items()},
        **RECORDED,
        **{name: rule["expr"] for name, rule in ALERTS.items()},
    }
    assert not {title: unknown for title, expr in asked.items() if (unknown := metric_names(expr) - known)}


def test_every_metric_is_looked_at_somewhere() -> None:
    exprs = [
        *RECORDED.values(),
        *(rule["expr"] for rule in ALERTS.values()),
        *(q for qs in PANELS.values() for q in qs),
    ]
    asked = set().union(*map(metric_names, exprs))
    unseen = {
        one.name
        for one in metrics.DECLARED
        if not {one.name, f"{one.name}_bucket", f"{one.name}_sum", f"{one.name}_count"} & asked
    }
    assert not unseen
    assert not set(RECORDED) - asked, "a recorded rule that nobody asks for"


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    folder = ROOT / "docs" / "runbooks"
    assert {path.stem for path in folder.glob("*.md")} - {"README"} == set(ALERTS)
    overview = (folder / "README.md").read_text()
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"({name}.md)" in overview
        assert (folder / f"{name}.md").read_text().startswith(f"# {name}\n")


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_dashboard_is_whole(dashboard: dashboards.Dashboard) -> None:
    model = json.loads((dashboards.FOLDER / f"{dashboard.uid}.json").read_text())
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    panels = model["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places), "panels lie on each other"
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["type"] in ("timeseries", "stat")
        assert panel["description"]
        assert panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["expr"]
            assert target["legendFormat"]
            assert target["datasource"]["uid"] == source["datasources"][0]["uid"]


def test_promtool_finds_no_fault() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint-fatal", "rules.yml")


def test_each_alert_fires_when_it_should() -> None:
    promtool("test", "rules", "tests.yml")
    tests = yaml.safe_load((PROMETHEUS / "tests.yml").read_text())["tests"]
    asked = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in asked if case.get("exp_alerts")} == set(ALERTS)
    assert {case["alertname"] for case in asked if not case.get("exp_alerts")} == set(ALERTS)


def test_a_start_at_zero_is_seen() -> None:
    registry = CollectorRegistry()
    counter = metrics.Counter("x_total", "x", ["reason"], registry=registry)
    metrics.start_at_zero(counter, ["a", "b"])
    assert registry.get_sample_value("x_total", {"reason": "b"}) == 0
