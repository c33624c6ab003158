"""`pathway-billing generate` as a person calls it."""

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from streams.commands.generate import command
from streams.events import read_jsonl
from streams.generator import history


def test_it_prints_the_history_as_valid_jsonl() -> None:
    done = CliRunner().invoke(command, ["--patients", "60", "--seed", "3"])
    assert done.exit_code == 0
    assert [fact for _, fact in read_jsonl(done.stdout_bytes.splitlines())] == list(history(60, 3))
    assert done.stderr == "", "nothing is said to somebody who is not there"


def test_it_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    done = CliRunner().invoke(command, ["-n", "5", "-s", "3", "--output", str(file)])
    assert done.exit_code == 0
    assert done.stdout == ""
    assert [fact for _, fact in read_jsonl(file.open("rb"))] == list(history(5, 3))


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["-n", "5", "--output", str(tmp_path / "missing" / "facts.jsonl")])
    assert done.exit_code == 2
    assert "No such file or directory" in done.stderr
    assert "--output" in done.stderr


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    generate = f"{sys.executable} -m streams.cli generate --patients 500"
    done = subprocess.run(f"{generate} | head -n 1", shell=True, capture_output=True, check=True)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""
