"""`pathway-billing demo`, once as it is, and interrupted at its worst moments."""

import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import command_line
from tests.broker.harness import wait_until

pytestmark = pytest.mark.broker


def test_the_demo_checks_itself_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = command_line.run("demo", "--patients", "55", "--fast", home=tmp_path, timeout=120, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Checked: the " in done.stdout
    assert "line by line" in done.stdout
    assert "Try next:" in done.stdout
    for shown in ("PAID", "DENIED", "BUNDLED", "PENDED", "VOIDED", "refused: CONFLICT", "refused: WRONG_PAYER"):
        assert shown in done.stdout
    assert "\x1b" not in done.stdout, "no escape codes without a terminal"
    assert_nothing_is_left(tmp_path)


def test_a_kept_demo_names_addresses_that_answer(tmp_path: Path) -> None:
    arguments = ("demo", "--patients", "5", "--fast", "--keep")
    with command_line.start(*arguments, home=tmp_path, TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        next(line for line in lines if line.startswith("Checked:"))
        check_addresses(lines)
        assert next(line for line in lines if line.startswith("The ledger")).rstrip().endswith("ledger.sqlite")
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 0
    assert_nothing_is_left(tmp_path)


def check_addresses(lines: Iterator[str]) -> None:
    """The console, and the metrics of worker and projector, answer where the next lines say."""
    console, worker, projector = (
        re.findall(r"http://127\.0\.0\.1:\S+", next(line for line in lines if line.startswith(start)))[0]
        for start in ("The console", "The worker's metrics", "The projector's metrics")
    )
    assert "pathway_billing_lanes_open" in urllib.request.urlopen(worker, timeout=10).read().decode()
    assert "pathway_billing_projector_ready" in urllib.request.urlopen(projector, timeout=10).read().decode()
    wait_until(lambda: answers(console + "healthz"), 60, "the console answers")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_an_interrupted_demo_stops_everything(tmp_path: Path) -> None:
    with command_line.start("demo", "--patients", "10", "--rate", "5", home=tmp_path, TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        check_addresses(lines)
        next(line for line in lines if "facts published" in line)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 130
    assert_nothing_is_left(tmp_path)


def test_a_killed_demo_takes_broker_worker_and_folder_with_it(tmp_path: Path) -> None:
    with command_line.start("demo", "--patients", "10", "--rate", "5", home=tmp_path, TMPDIR=str(tmp_path)) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        next(line for line in lines if "facts published" in line)
        process.kill()
    wait_until(
        lambda: not processes_of(tmp_path) and not list(tmp_path.glob("*-demo-*")), 60, "the end of all children"
    )


def test_a_kafka_that_does_not_answer_is_named(tmp_path: Path) -> None:
    done = command_line.run("demo", "--bootstrap-servers", "127.0.0.1:1", home=tmp_path)
    assert done.returncode == 2
    assert "no Kafka answers on 127.0.0.1:1" in done.stderr
    assert "Starting Apache Kafka" not in done.stdout
    assert_nothing_is_left(tmp_path)


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that have to do with a folder."""
    listed = subprocess.run(("ps", "-eo", "args"), capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def assert_nothing_is_left(folder: Path) -> None:
    assert processes_of(folder) == []
    assert list(folder.glob("*-demo-*")) == []
