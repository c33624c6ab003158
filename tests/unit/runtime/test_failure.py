"""Fail-stop: one cause, said safely, in bounded time."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from prometheus_client import REGISTRY

from streams import metrics
from streams.runtime.failure import FailStop, StopDeadline, WorkerFailure, describe


def raised(exc: Exception) -> Exception:
    try:
        raise exc
    except type(exc) as caught:
        return caught


def test_a_foreign_exception_is_named_by_type_and_place_never_by_its_text() -> None:
    text = str(describe(raised(KeyError("patient-4711")), "processing partition 3"))
    assert "4711" not in text
    assert text.startswith("processing partition 3 failed: KeyError at test_failure.py:")
    assert "restart the worker" in text


def test_our_own_failures_say_what_and_what_to_do() -> None:
    failure = WorkerFailure("the disk is full", "Make room")
    assert describe(failure, "anything") is failure
    assert str(failure) == "the disk is full. Make room"


def test_the_first_cause_counts_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    crashed: list[BaseException] = []

    async def crash(exc: BaseException) -> None:
        crashed.append(exc)

    async def run() -> FailStop:
        fail = FailStop(crash, StopDeadline(3600))
        fail(WorkerFailure("first", "Do this"), doing="a")
        fail(ValueError("a consequence"), doing="b")
        await asyncio.sleep(0)
        return fail

    with caplog.at_level(logging.ERROR):
        fail = asyncio.run(run())
    assert [str(exc) for exc in crashed] == ["first. Do this"]
    assert caplog.messages == ["worker stops: first. Do this"]
    assert isinstance(fail.failure, WorkerFailure)


def test_a_stop_that_hangs_is_ended_with_exit_code_1() -> None:
    script = """
import time
from pathlib import Path
from streams.runtime.failure import StopDeadline
deadline = StopDeadline(0.2)
deadline.start()
deadline.start()
while True:  # an event loop that never comes back
    time.sleep(1)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "not finished after 0 s" in ended.stderr


def test_a_broker_that_is_away_is_no_riddle() -> None:
    text = str(describe(raised(KafkaConnectionError("pt-4711")), "opening lanes"))
    assert text.startswith("opening lanes failed: KafkaConnectionError. Check that the broker is up")
    assert "4711" not in text


def test_an_assertion_that_did_not_hold_is_counted_again_after_a_restart_until_its_note_is_moved_away(
    tmp_path: Path,
) -> None:
    """The worker stops before Prometheus has asked: a number in memory alone would never wake anybody."""

    def start() -> None:
        metrics.INVARIANT_VIOLATIONS.reset()
        metrics.violation_log.remember_in(tmp_path / "state")

    def fail(exc: Exception) -> None:
        async def run() -> None:
            async def crash(exc: BaseException) -> None:
                pass

            FailStop(crash, StopDeadline(3600))(raised(exc), doing="processing partition 3")

        asyncio.run(run())

    def counted() -> float | None:
        return REGISTRY.get_sample_value("pathway_billing_invariant_violations_total")

    try:
        start()
        fail(ValueError("no assertion"))
        assert counted() == 0
        fail(AssertionError("patient-4711 is paid twice"))
        assert counted() == 1
        start()
        assert counted() == 1
        fail(AssertionError())
        start()
        assert counted() == 2
        note = tmp_path / "state" / "invariant-violations.log"
        assert note.read_text().count(" processing partition 3 failed: AssertionError at test_failure.py:") == 2
        assert "4711" not in note.read_text()
        note.unlink()
        start()
        assert counted() == 0
    finally:
        metrics.violation_log = metrics.ViolationLog()
        metrics.INVARIANT_VIOLATIONS.reset()
