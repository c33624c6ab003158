"""Code, docs, dashboards and alerts speak of the same metrics; none names a patient, a claim or a provider."""

import enum
import json
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard
from prometheus_client import CollectorRegistry, generate_latest

from deploy import metrics_page
from deploy.grafana import dashboards
from streams import metrics
from streams.agents.tally import start_metrics
from streams.policy_files import load_policy
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

PROMETHEUS_OWN = {"up", "ALERTS"}
"""Of the metrics that Prometheus makes, the ones that we look at."""


RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
PANELS = {
    f"{dashboard.title}: {panel.title}": [query.expr for query in panel.queries]
    for dashboard in dashboards.DASHBOARDS
    for panel in dashboards.panels_of(dashboard)
}
MARKS = {mark.name: mark.expr for mark in dashboards.MARKS}


def series_names() -> set[str]:
    """The names under which Prometheus stores what is declared."""
    names = PROCESS | PROMETHEUS_OWN
    for one in metrics.DECLARED:
        names |= {one.name + end for end in ("_bucket", "_sum", "_count")} if one.kind == "histogram" else {one.name}
    return names


def test_only_declared_metrics_are_exported_and_as_they_are_declared() -> None:
    code = (
        "import json, prometheus_client, streams.metrics as m\n"
        "regs = (m.REGISTRY, m.PROJECTOR_REGISTRY, m.VERIFY_REGISTRY, m.SWEEP_REGISTRY, m.DEAD_LETTER_COUNT_REGISTRY)\n"
        "import projections.ledger.projector, streams.runtime.health, streams.commands.dead_letters\n"
        "print(json.dumps([[x.name, x.type] for r in regs for x in r.collect() if x.name.startswith('pathway')]))\n"
        "assert not any(b'_created' in prometheus_client.generate_latest(r) for r in regs)"
    )
    found = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True, cwd=ROOT).stdout
    exported = {name + ("_total" if kind == "counter" else ""): kind for name, kind in json.loads(found)}
    assert exported == {one.name: one.kind for one in metrics.DECLARED}


def test_a_metric_is_made_where_it_is_declared_and_nowhere_else() -> None:
    makers = re.compile(r"\b(Counter|Gauge|Histogram|Summary|Info|Enum)\(\s*[\"']")
    for folder in ("streams", "projections", "deploy", "schemas"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.name == "metrics.py" or not makers.search(path.read_text()), path
            assert path.name == "metrics.py" or "# TYPE pathway_billing" not in path.read_text(), path


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
        **MARKS,
    }
    assert all(metric_names(expr) for expr in asked.values())
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
        page = (folder / f"{name}.md").read_text()
        assert page.startswith(f"# {name}\n")
        means = re.search(r"\*\*What it means\.\*\* (.+?)\n\n", page, re.DOTALL)
        assert means is not None, name
        severity = rule["labels"]["severity"]
        assert f"| [{name}]({name}.md) | {severity} | {' '.join(means[1].split())} |\n" in overview
        assert "**What is at stake.**" in page
        assert "**What to do" in page


def test_what_a_runbook_points_at_exists() -> None:
    """*Panels* of the dashboards and *sections* of operating.md, `metrics` and alerts, by their names; files, by their paths."""
    titles = {panel.title for dashboard in dashboards.DASHBOARDS for panel in dashboards.panels_of(dashboard)}
    titles |= set(re.findall(r"^## (.+)$", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE))
    folder = ROOT / "docs" / "runbooks"
    seen = 0
    for page in folder.glob("*.md"):
        text = page.read_text()
        for italic in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", text):
            assert italic in titles, (page.name, italic)
            seen += 1
        for metric in re.findall(r"`(pathway_billing_\w+)", text):
            assert metric in series_names(), (page.name, metric)
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert (folder / target).exists(), (page.name, target)
    assert seen > 10
    for panel in (panel for dashboard in dashboards.DASHBOARDS for panel in dashboards.panels_of(dashboard)):
        for alert in re.findall(r"See (\w+)\.", panel.says):
            assert alert in ALERTS, panel.title


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_dashboard_is_whole(dashboard: dashboards.Dashboard) -> None:
    model = json.loads((dashboards.FOLDER / f"{dashboard.uid}.json").read_text())
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    panels = [panel for panel in model["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in model["panels"]}) == len(model["panels"])
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in model["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken), "panels lie on each other"
    assert max(x for x, _ in taken) < 24
    for panel in panels:
        assert panel["type"] in ("timeseries", "stat", "bargauge")
        assert panel["description"].endswith((".", "?"))
        assert panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert steps[0] is None
        assert steps[1:] == sorted(steps[1:]), "Grafana wants thresholds to rise"
        for target in panel["targets"]:
            assert target["expr"]
            assert target["legendFormat"]
            assert target["datasource"]["uid"] == source["datasources"][0]["uid"]


ANNOTATION_QUERY = {"step", "titleFormat", "textFormat"}
"""Fields of the Prometheus data source's own annotations, which Grafana's schema leaves to the data source."""


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_grafanas_own_library_knows_every_field_and_every_word(dashboard: dashboards.Dashboard) -> None:
    """Read by it and written again, a dashboard has lost nothing: what it does not know, Grafana would pass over in silence."""
    plugins.register_default_plugins()
    model = json.loads((dashboards.FOLDER / f"{dashboard.uid}.json").read_text())
    read = GrafanaDashboard.from_json(model)
    assert set(lost(model, json.loads(JSONEncoder().encode(read)))) == {
        f"annotations.{name}" for name in ANNOTATION_QUERY
    }
    assert list(unknown_words(read)) == []

    figure = next(panel for panel in model["panels"] if panel["type"] == "stat")
    figure["options"] |= {"colourMode": "value", "graphMode": "nothing"}
    read = GrafanaDashboard.from_json(model)
    assert "options.colourMode" in {
        ".".join(path.split(".")[-2:]) for path in lost(model, json.loads(JSONEncoder().encode(read)))
    }
    assert list(unknown_words(read)) == ["Options.graph_mode: nothing"]


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The paths of what is not there any more, or is something else. Nothing, and an empty list, may be left out."""
    if isinstance(before, dict):
        for name, value in before.items():
            below = f"{path}.{name}" if path else name
            if not isinstance(after, dict) or name not in after:
                if value not in (None, [], {}):
                    yield below
            else:
                yield from lost(value, after[name], below)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from lost(one, other, path.removesuffix(".list"))
    elif before != after:
        yield path


def unknown_words(found: Any) -> Iterator[str]:
    """Values of an object of the library, and of those below it, that are not of the enumeration that it declares."""
    if isinstance(found, list | tuple):
        for one in found:
            yield from unknown_words(one)
    elif isinstance(found, dict):
        yield from unknown_words(list(found.values()))
    elif type(found).__module__.startswith("grafana_foundation_sdk.models") and not isinstance(found, enum.Enum):
        for name, kind in typing.get_type_hints(type(found)).items():
            value = getattr(found, name, None)
            for allowed in (kind, *typing.get_args(kind)):
                if isinstance(allowed, type) and issubclass(allowed, enum.Enum) and value is not None:
                    words = {member.value for member in allowed}
                    if value not in words | set(allowed):
                        yield f"{type(found).__name__}.{name}: {value}"
            yield from unknown_words(value)


def test_promtool_finds_no_fault() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint-fatal", "rules.yml")
    start_metrics(load_policy())
    for registry in (metrics.REGISTRY, metrics.PROJECTOR_REGISTRY, metrics.VERIFY_REGISTRY, metrics.SWEEP_REGISTRY):
        promtool("check", "metrics", given=generate_latest(registry).decode())


def test_each_alert_fires_when_it_should() -> None:
    files = ("tests.yml", "tests_of_days.yml")
    promtool("test", "rules", *files)
    tests = [test for name in files for test in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]]
    asked = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in asked if case.get("exp_alerts")} == set(ALERTS)
    assert {case["alertname"] for case in asked if not case.get("exp_alerts")} == set(ALERTS)


def test_a_start_at_zero_is_seen() -> None:
    registry = CollectorRegistry()
    counter = metrics.Counter("x_total", "x", ["reason"], registry=registry)
    metrics.start_at_zero(counter, ["a", "b"])
    assert registry.get_sample_value("x_total", {"reason": "b"}) == 0
