"""docker-compose.yml holds together: commands that the program takes, services, volumes and scraped ports that exist.

No Docker engine takes part: images are not built and not pulled here.
"""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema
import yaml

from streams.cli import cli
from tests.monitoring.tools import PROMETHEUS, ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PINNED = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


def commands() -> list[tuple[str, list[str]]]:
    """What each service of our own image runs: its name with a command, and once more for each in a loop of the shell."""
    found = []
    for name, service in SERVICES.items():
        if service["image"].startswith("pathway-billing"):
            if not service.get("entrypoint"):
                found.append((name, service["command"]))
                continue
            words = shlex.split(service["command"][0].replace(";", " ; "))
            starts = [place + 1 for place, word in enumerate(words) if word == "pathway-billing"]
            found += [(name, words[start : words.index(";", start)]) for start in starts]
    return found


def test_it_is_what_the_compose_specification_allows() -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(COMPOSE)] == []
    broken = {**COMPOSE, "services": {"worker": {"image": "x", "health_check": {}}}}
    assert list(jsonschema.Draft7Validator(schema).iter_errors(broken)) != [], "it finds a misspelled word"


def test_each_variable_is_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    example = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert sorted(used) == sorted(example)


def test_the_program_takes_each_command(tmp_path: Path) -> None:
    assert {"topics", "schemas", "worker", "projector", "console", "sweep", "verifier"} == {
        name for name, _ in commands()
    }
    for name, (command, *arguments) in commands():
        taken = cli.get_command(click.Context(cli), command)
        assert taken is not None, name
        here = [argument.replace("/data/", f"{tmp_path}/") for argument in arguments]
        context = taken.make_context(command, here)  # raises for an option that does not exist
        if isinstance(taken, click.Group):
            inner = taken.get_command(context, here[0])
            assert inner is not None, name
            inner.make_context(here[0], here[1:], parent=context)


def test_each_report_is_a_file_of_its_own_in_the_folder_that_is_scraped() -> None:
    reports = {}
    for name, command in commands():
        if "--textfile" in command:
            reports[command[command.index("--textfile") + 1]] = SERVICES[name]["volumes"]
    assert sorted(reports) == ["/data/dead-letters.prom", "/data/sweep.prom", "/data/verify.prom"]
    assert all(volumes == ["textfiles:/data"] for volumes in reports.values())
    exporter = SERVICES["node-exporter"]
    assert exporter["volumes"] == ["textfiles:/textfiles:ro"]
    assert "--collector.textfile.directory=/textfiles" in exporter["command"]


def test_what_runs_on_says_whether_it_is_well() -> None:
    by_file = {"sweep", "verifier"}  # what they write has its time in it, and an alert when it gets old
    for name, service in SERVICES.items():
        assert name in by_file or ("healthcheck" in service) == ("restart" in service), name


def test_what_a_service_speaks_of_exists() -> None:
    for name, service in SERVICES.items():
        for needed in service.get("depends_on", {}):
            assert needed in SERVICES, name
            condition = service["depends_on"][needed]["condition"]
            assert condition != "service_healthy" or "healthcheck" in SERVICES[needed], (name, needed)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            known = (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
            assert known, (name, source)
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), "nothing is reachable from outside"
        assert "build" in service or PINNED.fullmatch(service["image"]), "images are pinned, by tag and digest"


def test_the_dashboard_that_grafana_opens_with_is_there() -> None:
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    source = {target: source for source, target in mounted.items()}[str(Path(home).parent)]
    assert (ROOT / source / Path(home).name).is_file()
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/files.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == str(Path(home).parent)


def test_the_image_is_pinned_small_and_runs_as_nobody_in_particular() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    build, run = dockerfile.split("\nFROM ")[1:]
    assert all(PINNED.fullmatch(stage.split()[0]) for stage in (build, run))
    assert re.findall(r"^USER (\S+)$", run, re.MULTILINE) == ["billing"]
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split()), copied
    installed = re.findall(r"pip (?:--python \S+ )?install (.+?)(?: \\)?$", dockerfile, re.MULTILINE)
    assert len(installed) == 3
    assert all("--require-hashes" in options or "--no-index" in options for options in installed), (
        "nothing without its hash"
    )
    packages = {folder.parent.name for folder in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages == set(re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE))


def test_what_the_image_installs_is_the_part_of_the_lock_that_runs() -> None:
    whole, part = (locked(ROOT / name) for name in ("requirements.lock", "requirements-run.lock"))
    assert part.items() < whole.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {named(wanted) for wanted in project["project"]["dependencies"]} <= set(part)
    tools = {named(wanted) for wanted in project["dependency-groups"]["dev"]}
    assert not tools & set(part), "no tool of the tests runs in production"


def named(requirement: str) -> str:
    """The package that a requirement is of."""
    return re.split(r"[\[<>=~! ]", requirement)[0].lower()


def locked(path: Path) -> dict[str, str]:
    """Of each package of a lock file: its version, and the hashes of its files."""
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text().splitlines():
        if pinned := re.match(r"([\w.-]+)(?:\[[^]]*\])?==(\S+)", line):
            name = pinned[1]
            found[name] = pinned[2]
        elif "--hash=" in line:
            found[name] += line.strip(" \\")
    return found


def test_prometheus_scrapes_where_the_services_listen() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = {t for job in config["scrape_configs"] for group in job["static_configs"] for t in group["targets"]}
    listening = {"node-exporter:9100"}
    for name, command in commands():
        if "--metrics-port" in command:
            listening.add(f"{name}:{command[command.index('--metrics-port') + 1]}")
    assert targets == listening
