"""docker-compose.yml holds together: commands that the program takes, services, volumes and scraped ports that exist.

No Docker engine takes part: images are not built and not pulled here.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import jsonschema
import yaml

from streams.cli import cli
from tests.monitoring.tools import PROMETHEUS, ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def commands() -> dict[str, list[str]]:
    """What each service of our own image runs."""
    found = {}
    for name, service in SERVICES.items():
        if service["image"].startswith("pathway-billing"):
            command = service["command"]
            if service.get("entrypoint"):  # a loop of the shell around our command
                words = shlex.split(command[0].replace(";", " ; "))
                start = words.index("pathway-billing") + 1
                command = words[start : words.index(";", start)]
            found[name] = command
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


def test_the_program_takes_each_command() -> None:
    assert {"topics", "schemas", "worker", "projector", "console", "sweep", "verifier"} <= set(commands())
    for name, (command, *arguments) in commands().items():
        taken = cli.get_command(click.Context(cli), command)
        assert taken is not None, name
        context = taken.make_context(command, list(arguments))  # raises for an option that does not exist
        if isinstance(taken, click.Group):
            assert taken.get_command(context, arguments[0]) is not None, name


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
        assert ":" in service["image"], "images are pinned"
        assert not service["image"].endswith(":latest"), "images are pinned"


def test_prometheus_scrapes_where_the_services_listen() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = {t for job in config["scrape_configs"] for group in job["static_configs"] for t in group["targets"]}
    listening = {"node-exporter:9100"}
    for name, command in commands().items():
        if "--metrics-port" in command:
            listening.add(f"{name}:{command[command.index('--metrics-port') + 1]}")
    assert targets == listening
