"""From the results to the tables of docs/performance.md. Pure: what it prints depends on the results alone."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import plots
from benchmarks.figures import Spread
from benchmarks.systems.catalog import SYSTEMS

Results = dict[str, Any]
OURS = "ours"


def tables(results: Results) -> str:
    """All tables, as Markdown."""
    parts = [
        ("Side by side", side_by_side(results)),
        ("Latency under a steady pace", latencies(results)),
        ("Latency over partitions", over_partitions(results)),
        ("What was published", outputs(results)),
        ("Starting without local state", recoveries(results)),
        ("More processes, more partitions", scaling(results)),
    ]
    parts += [(title, text) for title, text in results.get("reports", {}).items()]
    body = "\n\n".join(f"### {title}\n\n{text}" for title, text in parts if text)
    return f"{_machine(results)}\n\n{body}\n"


def _machine(results: Results) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['date']}, {machine['cores']} cores ({machine['processor']}; a Python loop of 20 million additions takes "
        f"{machine['loop_seconds']} s), rules and codec {machine['core']}, {versions}. Command: `{machine['command']}`."
    )


def _runs(results: Results, kind: str, **wanted: object) -> list[dict[str, Any]]:
    return [run for run in results["runs"] if run["kind"] == kind and all(run.get(k) == v for k, v in wanted.items())]


def _default_throughput(results: Results, system: str) -> list[dict[str, Any]]:
    return _runs(results, "throughput", system=system, partitions=12, processes=1)


def _failure(results: Results, kind: str, system: str) -> str:
    failed = _runs(results, f"{kind}-failed", system=system)
    return failed[-1]["error"].splitlines()[0] if failed else ""


def side_by_side(results: Results) -> str:
    """One row a system: rate, cost, memory, and each as a ratio to ours."""
    ours = _default_throughput(results, OURS)
    base = Spread.of([run["facts_per_second"] for run in ours]).median if ours else None
    rows = []
    for name, system in SYSTEMS.items():
        runs = _default_throughput(results, name)
        named = [system.title, system.guarantee, system.settings]
        if not runs:
            if why := _failure(results, "throughput", name):
                rows.append([*named, "not measured", why, "", "", ""])
            continue
        rate = Spread.of([run["facts_per_second"] for run in runs])
        cpu = Spread.of([run["cpu_seconds_per_100k"] for run in runs])
        rss = max(run["peak_rss_bytes"] for run in runs)
        ratio = f"{rate.median / base:.2f}" if base else ""
        rows.append(
            [
                *named,
                f"{runs[0]['facts']:,} x {len(runs)}",
                f"{rate.median:,.0f} ({rate.least:,.0f} to {rate.most:,.0f})",
                ratio,
                f"{cpu.median:.1f} ({cpu.least:.1f} to {cpu.most:.1f})",
                f"{rss / 2**20:,.0f}",
            ]
        )
    heads = (
        "system",
        "guarantee",
        "settings",
        "facts x runs",
        "facts/s, median (spread)",
        "ratio to ours",
        "CPU seconds per 100,000 facts",
        "peak memory, MiB",
    )
    return table(heads, rows)


def latencies(results: Results) -> str:
    """One row a system and pace: published to readable by a read_committed reader."""
    rows = []
    for name, system in SYSTEMS.items():
        for pace in sorted({run["facts_per_second"] for run in _runs(results, "paced", system=name)}):
            runs = _runs(results, "paced", system=name, facts_per_second=pace)
            keeping_up = [run for run in runs if run["keeps_up"]]
            if len(keeping_up) < len(runs):
                notes = next(run["note"] for run in runs if not run["keeps_up"])
                rows.append([system.title, f"{pace:,}", "cannot keep up", notes, ""])
                continue
            rows.append([system.title, f"{pace:,}", *_percentiles(runs)])
        if why := _failure(results, "paced", name):
            rows.append([system.title, "", "not measured", why, ""])
    return table(("system", "facts/s", "p50, ms (spread)", "p99, ms", "p99.9, ms"), rows)


def over_partitions(results: Results) -> str:
    """Our worker at 1,000 facts/s: each partition number has a lane, which makes its own transactions."""
    runs = [*_runs(results, "paced-partitions"), *_runs(results, "paced", system=OURS, facts_per_second=1_000)]
    rows = []
    for partitions in sorted({run["partitions"] for run in runs}):
        own = [run for run in runs if run["partitions"] == partitions and run["keeps_up"]]
        if own:
            rows.append([str(partitions), *_percentiles(own)])
    return table(("partitions", "p50, ms (spread)", "p99, ms", "p99.9, ms"), rows) if len(rows) > 1 else ""


def _percentiles(runs: Sequence[dict[str, Any]]) -> list[str]:
    spreads = [Spread.of([run[key] for run in runs]) for key in ("p50_ms", "p99_ms", "p999_ms")]
    return [f"{spread.median:,.1f} ({spread.least:,.1f} to {spread.most:,.1f})" for spread in spreads]


def outputs(results: Results) -> str:
    """The outputs of each system, counted from the committed log and compared with the fold's own."""
    rows = []
    for name, system in SYSTEMS.items():
        runs = _default_throughput(results, name)
        if not runs:
            continue
        if not system.decides:
            rows.append([system.title, _span(runs, "outputs"), "", "", "", "decides nothing"])
            continue
        same = all(run["same_decisions"] for run in runs)
        rows.append(
            [
                system.title,
                _span(runs, "outputs"),
                _span(runs, "distinct_decisions"),
                _span(runs, "repeated_decisions"),
                _span(runs, "lines"),
                "yes" if same else "NO",
            ]
        )
    heads = (
        "system",
        "outputs",
        "distinct decision ids",
        "published again",
        "claim lines",
        "standing decisions as the fold's",
    )
    return table(heads, rows)


def _span(runs: Sequence[dict[str, Any]], key: str) -> str:
    values = [run[key] for run in runs]
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,} to {max(values):,}"


def recoveries(results: Results) -> str:
    """How much longer a start takes with the state to bring back."""
    rows = []
    for name, system in SYSTEMS.items():
        for run in _runs(results, "recovery", system=name):
            extra = run["recovery_start_seconds"] - run["fresh_start_seconds"]
            rate = f"{run['patients'] / extra:,.0f}" if extra > 0.2 else "too short to tell"
            rows.append(
                [
                    system.title,
                    f"{run['patients']:,}",
                    f"{run['fresh_start_seconds']:.1f}",
                    f"{run['recovery_start_seconds']:.1f}",
                    rate,
                ]
            )
        if not system.deletes_state and _default_throughput(results, name):
            rows.append([system.title, "", "", "its state is not in Kafka: a lost folder is a lost state", ""])
    heads = ("system", "patients", "first start to first output, s", "start with state to recover, s", "patients/s")
    return table(heads, rows)


def scaling(results: Results) -> str:
    """Our worker with other numbers of processes and partitions."""
    runs = _runs(results, "throughput", system=OURS)
    layouts = sorted({(run["processes"], run["partitions"]) for run in runs})
    if len(layouts) < 2:
        return ""
    rows = []
    for processes, partitions in layouts:
        own = [run for run in runs if (run["processes"], run["partitions"]) == (processes, partitions)]
        rate = Spread.of([run["facts_per_second"] for run in own])
        cpu = Spread.of([run["cpu_seconds_per_100k"] for run in own])
        rows.append([str(processes), str(partitions), f"{rate.median:,.0f}", f"{cpu.median:.1f}"])
    return table(("worker processes", "partitions", "facts/s", "CPU seconds per 100,000 facts"), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; without rows, nothing."""
    rows = list(rows)
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def drawings(results: Results) -> dict[str, str]:
    """File name to SVG, for what was measured."""
    drawn: dict[str, str] = {}
    rates, costs = {}, {}
    for name, system in SYSTEMS.items():
        if runs := _default_throughput(results, name):
            rates[_short(system.title)] = Spread.of([run["facts_per_second"] for run in runs]).median
            costs[_short(system.title)] = Spread.of([run["cpu_seconds_per_100k"] for run in runs]).median
    if rates:
        drawn["throughput"] = plots.bars("Throughput", "facts per second, median", rates)
        drawn["cpu"] = plots.bars("Cost", "CPU seconds per 100,000 facts, median", costs)
    over_load: dict[str, list[tuple[float, float]]] = {}
    for name, system in SYSTEMS.items():
        measured: dict[int, list[float]] = {}
        for run in _runs(results, "paced", system=name):
            measured.setdefault(run["facts_per_second"], []).append(run["p99_ms"])
        points = [(pace, Spread.of(ms).median) for pace, ms in sorted(measured.items()) if None not in ms]
        if points:  # paces that it keeps up with in every run, as in the table
            over_load[_short(system.title)] = points
    if over_load:
        drawn["latency"] = plots.lines(
            "Latency over load", "facts per second", "p99, published to readable, ms", over_load, logarithmic=True
        )
    growing = [*_runs(results, "patients"), *_default_throughput(results, OURS)]
    costs_by_patients = sorted((run["patients"] / 1000, run["cpu_seconds_per_100k"]) for run in growing)
    if len({x for x, _ in costs_by_patients}) > 1:
        drawn["patients"] = plots.lines(
            "Cost over the number of patients",
            "patients, thousands",
            "CPU seconds per 100,000 facts",
            {"our worker": costs_by_patients},
        )
    history = (results.get("data", {}).get("history_length") or {}).get("rows", [])
    if len(history) > 1:
        drawn["history"] = plots.lines(
            "Cost over the length of a history",
            "claims the patient has",
            "cost of one more claim, as a ratio to the shortest history",
            {
                title: [(row["claims"], row[field] / history[0][field]) for row in history]
                for title, field in _COSTS_OF_A_CLAIM.items()
            },
        )
    return drawn


def _short(title: str) -> str:
    """A title that fits beside a bar."""
    return title.replace("(transport only, no rules)", "(no rules)")


_COSTS_OF_A_CLAIM = {"fold": "fold_us", "worker, patient cached": "worker_us", "changelog bytes": "changelog_bytes"}
