"""`pathway-billing generate` as a person calls it."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.adjudication.facts import Fact
from streams.commands import generate
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


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "facts.jsonl")
    assert CliRunner().invoke(command, ["-n", "5", "-s", "3", "--output", str(link)]).exit_code == 0
    assert link.is_symlink()
    assert (tmp_path / "facts.jsonl").stat().st_size > 0


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["-n", "5", "--output", str(tmp_path / "missing" / "facts.jsonl")])
    assert done.exit_code == 2
    assert "No such file or directory" in done.stderr
    assert "--output" in done.stderr


def test_an_interrupted_run_leaves_no_part_of_a_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(patients: int, seed: int) -> Iterator[Fact]:
        yield from islice(history(patients, seed), 20)
        raise KeyboardInterrupt

    file = tmp_path / "facts.jsonl"
    file.write_text("the year before")
    monkeypatch.setattr(generate, "history", interrupted)
    assert CliRunner().invoke(command, ["-n", "5", "--output", str(file)]).exit_code != 0
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("facts.jsonl", "the year before")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_device_and_standard_output_are_written_as_they_are() -> None:
    program = f"{sys.executable} -m streams.cli generate --patients 5"
    done = subprocess.run(f"{program} >/dev/full", shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "error: cannot write standard output: No space left on device. Choose another file with --output.",
    )
    named = subprocess.run(f"{program} --output /dev/full", shell=True, capture_output=True, text=True, check=False)
    assert (named.returncode, "cannot write /dev/full" in named.stderr) == (2, True)
    piped = subprocess.run(f"{program} --output /dev/stdout | head -n 1", shell=True, capture_output=True, check=True)
    assert piped.stdout.count(b"\n") == 1


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    generate = f"{sys.executable} -m streams.cli generate --patients 500"
    done = subprocess.run(f"{generate} | head -n 1", shell=True, capture_output=True, check=True)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""
