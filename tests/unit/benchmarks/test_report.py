"""The benchmarks' tables and plots, from results that were made up."""

from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import plots, report


def throughput(system: str, rate: float, **other: Any) -> dict[str, Any]:
    run = {
        "kind": "throughput",
        "system": system,
        "facts": 1_000,
        "patients": 200,
        "partitions": 12,
        "processes": 1,
        "facts_per_second": rate,
        "cpu_seconds_per_100k": 5.0,
        "peak_rss_bytes": 100 << 20,
        "outputs": 600,
        "distinct_decisions": 500,
        "repeated_decisions": 0,
        "lines": 400,
        "same_decisions": True,
    }
    return {**run, **other}


def paced(system: str, *, keeps_up: bool) -> dict[str, Any]:
    figures = (
        {"p50_ms": 8.0, "p99_ms": 26.0, "p999_ms": 40.0} if keeps_up else dict.fromkeys(("p50_ms", "p99_ms", "p999_ms"))
    )
    note = "" if keeps_up else "done 12 s after the last fact"
    return {
        "kind": "paced",
        "system": system,
        "partitions": 12,
        "facts_per_second": 1_000,
        "keeps_up": keeps_up,
        "note": note,
        **figures,
    }


def results(*runs: dict[str, Any]) -> dict[str, Any]:
    machine = {
        "date": "2026-01-01",
        "cores": 2,
        "loop_seconds": 2.1,
        "core": "compiled, trained",
        "processor": "x",
        "versions": {"Python": "3.11"},
        "command": "make bench",
    }
    return {"machine": machine, "runs": list(runs), "reports": {}, "data": {}}


def row(text: str, title: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratios_are_of_medians_to_our_median() -> None:
    made = results(*(throughput("ours", rate) for rate in (100, 300, 200)), throughput("stock-faust", 20))
    text = report.side_by_side(made)
    assert row(text, "pathway-billing")[4:6] == ["200 (100 to 300)", "1.00"]
    assert row(text, "stock Faust")[4:6] == ["20 (20 to 20)", "0.10"]


def test_a_system_that_failed_is_in_the_table_with_the_reason() -> None:
    failed = {"kind": "throughput-failed", "system": "bytewax", "error": "it ended with exit code 1\nTraceback"}
    assert row(report.side_by_side(results(failed)), "Bytewax")[3:5] == ["not measured", "it ended with exit code 1"]


def test_who_cannot_keep_up_shows_no_percentiles() -> None:
    text = report.latencies(results(paced("ours", keeps_up=True), paced("quix-streams", keeps_up=False)))
    assert row(text, "pathway-billing")[2] == "8.0 (8.0 to 8.0)"
    assert row(text, "Quix Streams")[2:] == ["cannot keep up", "done 12 s after the last fact", ""]


def test_latency_is_shown_over_partitions_where_more_than_one_number_was_measured() -> None:
    usual, few = (
        paced("ours", keeps_up=True),
        {**paced("ours", keeps_up=True), "kind": "paced-partitions", "partitions": 4},
    )
    assert report.over_partitions(results(usual, paced("quix-streams", keeps_up=True))) == ""
    text = report.over_partitions(results(usual, {**few, "p50_ms": 5.0}))
    assert [line.split(" | ")[:2] for line in text.splitlines()[2:]] == [
        ["| 4", "5.0 (5.0 to 5.0)"],
        ["| 12", "8.0 (8.0 to 8.0)"],
    ]
    slow = {**paced("ours", keeps_up=False), "kind": "paced-partitions", "partitions": 1}
    assert "| 1 |" not in report.over_partitions(results(usual, few, slow))


def test_the_history_plot_has_a_line_for_each_cost() -> None:
    costs = ("fold_us", "worker_us", "changelog_bytes")
    made = results()
    made["data"] = {"history_length": {"rows": [{"claims": n, **dict.fromkeys(costs, 1.0 + n)} for n in (20, 2_000)]}}
    drawn = report.drawings(made)["history"]
    assert all(title in drawn for title in ("fold", "worker, patient cached", "changelog bytes"))
    made["data"] = {"history_length": None}
    assert "history" not in report.drawings(made)


def test_wrong_decisions_are_shouted() -> None:
    made = results(throughput("ours", 100), throughput("ours", 100, same_decisions=False, repeated_decisions=3))
    text = report.outputs(made)
    assert row(text, "pathway-billing")[3] == "0 to 3"
    assert row(text, "pathway-billing")[5] == "NO"


def test_other_layouts_do_not_count_among_the_side_by_side_runs() -> None:
    made = results(throughput("ours", 100), throughput("ours", 900, processes=2), throughput("ours", 50, partitions=64))
    assert row(report.side_by_side(made), "pathway-billing")[4] == "100 (100 to 100)"
    assert len(report.scaling(made).splitlines()) == 5


def test_every_plot_is_well_formed() -> None:
    growing = throughput("ours", 90, kind="patients", patients=50, cpu_seconds_per_100k=4.0)
    drawn = report.drawings(results(throughput("ours", 100), growing, paced("ours", keeps_up=True)))
    assert set(drawn) == {"throughput", "cpu", "latency", "patients"}
    for svg in drawn.values():
        ElementTree.fromstring(svg)


def test_a_pace_that_one_run_did_not_keep_up_with_is_not_drawn() -> None:
    runs = [paced("ours", keeps_up=True), paced("quix-streams", keeps_up=True), paced("quix-streams", keeps_up=False)]
    assert "Quix" not in report.drawings(results(*runs))["latency"]
    assert "Quix" in report.drawings(results(*runs[:2]))["latency"]


@pytest.mark.parametrize("most", [0.3, 7, 99, 100, 12_345])
def test_an_axis_covers_its_values_with_few_steps(most: float) -> None:
    steps = plots._steps(most)
    assert steps[0] == 0
    assert steps[-1] >= most
    assert len(steps) <= 8


def test_a_name_cannot_break_a_plot() -> None:
    ElementTree.fromstring(plots.bars("a < b", "x & y", {"<script>": 1.0}))
