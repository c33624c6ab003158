"""The frame of the command line: lazy commands, exit codes, sentences instead of tracebacks."""

import errno
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import click
import pytest
from prometheus_client import CollectorRegistry

from deploy.kafka_distribution import JARS_VARIABLE, MIRROR_VARIABLE
from streams import cli
from streams.commands.textfile import write_textfile
from streams.settings import ProblemError, UsageError


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pathway-billing", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_names_each_command_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "--help") == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == cli.cli.list_commands(click.Context(cli.cli))


def test_a_command_whose_module_is_missing_does_not_break_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "absent", "Has no module")
    assert run_main(monkeypatch, "--help") == 0
    assert "absent" not in capsys.readouterr().out
    assert run_main(monkeypatch, "absent") == 2
    assert "error: No such command 'absent'" in capsys.readouterr().err


def test_help_of_a_command_imports_neither_faust_nor_kafka() -> None:
    program = (
        "import sys; from streams.cli import cli\n"
        "for arguments in (['--help'], ['broker', '--help'], ['adjudicate', '--help']):\n"
        "    cli.main(arguments, standalone_mode=False)\n"
        "sys.exit(', '.join({'faust', 'kafka', 'aiokafka', 'rich'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("pathway-billing 0.")


@pytest.mark.parametrize(
    ("error", "exit_code", "sentence"),
    [
        (ProblemError("two lines differ."), 1, "error: two lines differ.\n"),
        (UsageError("no such folder."), 2, "error: no such folder.\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "error: not all could be written (No space left on device): make room and run the command again\n",
        ),
    ],
)
def test_what_ends_a_command_is_told_by_exit_code_and_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BaseException,
    exit_code: int,
    sentence: str,
) -> None:
    def fail() -> None:
        raise error

    module = types.ModuleType("streams.commands.probe")
    module.__spec__ = ModuleSpec(module.__name__, None)
    module.command = click.Command("probe", callback=fail)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "probe", "For this test")
    assert run_main(monkeypatch, "probe") == exit_code
    assert capfd.readouterr().err.strip("\n") == sentence.strip("\n")


def test_where_the_brokers_kafka_comes_from_can_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "broker", "--help") == 0
    told = capsys.readouterr().out
    operating = (Path(cli.__file__).parents[1] / "docs" / "operating.md").read_text(encoding="utf-8")
    for variable in (JARS_VARIABLE, MIRROR_VARIABLE):
        assert variable in told
        assert variable in operating


def test_each_bad_line_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "facts.jsonl").write_text("{}\n?\n")
    for command in ("publish", "adjudicate"):
        assert run_main(monkeypatch, command, str(tmp_path / "facts.jsonl")) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3
        assert all(line.startswith("error: ") for line in lines)


def test_an_unknown_option_shows_the_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "broker", "--nonsense") == 2
    errors = capsys.readouterr().err
    assert errors.startswith("Usage: pathway-billing broker")
    assert "error: No such option '--nonsense'" in errors or "error: No such option: --nonsense" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("worker --metrics-host 192.0.2.1 --metrics-port 9100", "metrics cannot be served on 192.0.2.1:9100"),
        ("worker --state /dev/null/state", "the state folder /dev/null/state cannot be written"),
        ("sweep --textfile /no/such/folder/x.prom", "its folder is missing"),
        ("verify --textfile /no/such/folder/x.prom", "its folder is missing"),
        ("dead-letters count --textfile /no/such/folder/x.prom", "its folder is missing"),
        ("console --database mysql://host/name", "named by a URL such as"),
        (
            "next-billable --ledger --database mysql://host/name --patient p --npi 1234567893 --from 2024-01-02",
            "named by a URL such as",
        ),
    ],
)
def test_a_place_that_cannot_be_used_is_bad_usage_and_said_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: str,
    said: str,
) -> None:
    monkeypatch.setenv("PATHWAY_BILLING_DATA", str(tmp_path))
    assert run_main(monkeypatch, *arguments.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("publish", "-", "--source", ""), "must be a URI reference"),
        (("publish", "-", "--source", "a b"), "must be a URI reference"),
        (("publish", "-", "--source", "/50%"), "must be a URI reference"),
        (("acls", "--role", "payments", "--principal", "nonsense"), "must be of the form TYPE:NAME"),
        (("acls", "--host", ""), "must be an IP address"),
        (("acls", "--host", "broker.example"), "must be an IP address"),
        (("acls", "--role", "publisher", "--group", "g"), "--group is for the roles payments and projections"),
        (("acls", "--role", "worker", "--topic", "claim-received"), "--topic is for the role publisher"),
    ],
)
def test_a_value_that_would_do_nothing_good_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run_main(monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err


def test_acls_for_a_principal_from_one_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "acls --role payments --principal User:pay --host 10.0.0.5 --group pay"
    assert run_main(monkeypatch, *arguments.split()) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert all("--allow-principal User:pay --allow-host 10.0.0.5" in line for line in lines)
    assert any(line.endswith("--group pay") for line in lines)


def test_a_report_that_cannot_be_written_in_the_end_is_bad_usage_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write metrics"):
        write_textfile(tmp_path / "gone" / "x.prom", CollectorRegistry())


def test_a_patient_without_an_id_is_not_taken_for_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "decisions", "--patient", "") == 2
    assert "--patient names nobody" in capsys.readouterr().err


def test_a_report_of_some_dead_letters_is_not_taken_for_one_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "dead-letters", "count", "--reason", "INVALID", "--textfile", "some.prom") == 2
    assert "Leave the filters out" in capsys.readouterr().err
