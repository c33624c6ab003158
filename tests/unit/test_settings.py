"""Settings: flags and environment variables of the same name, and errors that name them."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streams.settings import (
    LEDGER_SETTINGS,
    MEMORY,
    WORKER_SETTINGS,
    Settings,
    UsageError,
    environment_variable,
    resolve_bootstrap_servers,
    settings_options,
)

GOOD = {
    "bootstrap_servers": ("127.0.0.1:9092, kafka-2:9093", "127.0.0.1:9092,kafka-2:9093"),
    "data_dir": ("/somewhere", Path("/somewhere")),
    "app_id": ("billing.test_1", "billing.test_1"),
    "partitions": ("24", 24),
    "replication_factor": ("3", 3),
    "store": ("memory", MEMORY),
    "state_dir": ("/elsewhere", Path("/elsewhere")),
    "database": ("postgresql://db/billing", "postgresql://db/billing"),
    "schema_registry": ("http://registry:8081", "http://registry:8081"),
    "request_timeout_seconds": ("2.5", 2.5),
    "session_timeout_seconds": ("45", 45.0),
}
BAD = {
    "bootstrap_servers": ["localhost", "localhost:x", ":9092", "host:0", "host:65536", "a:1,,b:2"],
    "app_id": ["", "with space", "slash/", "x" * 101],
    "partitions": ["0", "twelve", "1.5"],
    "replication_factor": ["0"],
    "store": ["disk"],
    "request_timeout_seconds": ["0", "soon"],
    "session_timeout_seconds": ["1"],
}
ALL = tuple(dict.fromkeys((*WORKER_SETTINGS, *LEDGER_SETTINGS)))


@click.command()
@settings_options(*ALL)
def show(settings: Settings) -> None:
    click.echo(repr(settings))


def flag(name: str) -> str:
    return next(parameter.opts[0] for parameter in show.params if parameter.name == name)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PATHWAY_BILLING_"):
            monkeypatch.delenv(name)


def test_every_setting_is_a_flag_and_an_environment_variable() -> None:
    assert set(GOOD) == set(ALL) == {field.name for field in dataclasses.fields(Settings)}
    assert environment_variable("bootstrap_servers") == "PATHWAY_BILLING_BOOTSTRAP_SERVERS"


@pytest.mark.parametrize("name", GOOD)
def test_flag_and_variable_mean_the_same(name: str) -> None:
    text, value = GOOD[name]
    expected = dataclasses.replace(Settings(), **{name: value})
    by_flag = CliRunner().invoke(show, [flag(name), text])
    by_variable = CliRunner().invoke(show, env={environment_variable(name): text})
    assert by_flag.stdout.strip() == by_variable.stdout.strip() == repr(expected)


def test_a_flag_goes_before_the_environment() -> None:
    result = CliRunner().invoke(show, ["--partitions", "3"], env={"PATHWAY_BILLING_PARTITIONS": "5"})
    assert "partitions=3" in result.stdout


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts if text])
def test_a_wrong_value_names_its_setting(name: str, text: str) -> None:
    variable = environment_variable(name)
    by_flag = CliRunner().invoke(show, [flag(name), text])
    by_variable = CliRunner().invoke(show, env={variable: text})
    for result in (by_flag, by_variable):
        assert result.exit_code == 2
        assert flag(name) in result.stderr
        assert variable in result.stderr


def test_a_password_is_taken_from_the_environment_and_from_no_command_line() -> None:
    url = "postgresql://billing:sesame@db/billing"
    assert url in CliRunner().invoke(show, env={"PATHWAY_BILLING_DATABASE": url}).stdout
    typed = CliRunner().invoke(show, ["--database", url])
    assert typed.exit_code == 2
    assert "a password does not belong on a command line" in typed.stderr
    assert "sesame" not in typed.output


def test_the_default_data_folder_follows_the_convention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings().data_dir == tmp_path / "pathway-billing"
    assert str(tmp_path / "pathway-billing") in CliRunner().invoke(show).stdout
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert Settings().data_dir == Path("/home/ann/.local/share/pathway-billing")


def test_one_of_three_copies_may_be_away() -> None:
    assert [Settings(replication_factor=copies).min_insync_replicas for copies in (1, 2, 3)] == [1, 1, 2]


def test_without_a_broker_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"`pathway-billing broker --data {tmp_path}`") as raised:
        resolve_bootstrap_servers(Settings(data_dir=tmp_path))
    assert raised.value.exit_code == 2


def test_a_broker_that_is_gone_is_not_resolved(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    broker = {
        "bootstrap_servers": "127.0.0.1:9",
        "pid": ended.pid,
        "java_pid": ended.pid,
        "version": "",
        "data_dir": "",
    }
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "broker.json").write_text(json.dumps(broker))
    with pytest.raises(UsageError, match="no broker runs"):
        resolve_bootstrap_servers(Settings(data_dir=tmp_path))


def test_given_servers_must_answer() -> None:
    with pytest.raises(UsageError, match=r"no Kafka answers on 127.0.0.1:9\. .*PATHWAY_BILLING_BOOTSTRAP_SERVERS"):
        resolve_bootstrap_servers(Settings(bootstrap_servers="127.0.0.1:9"))
