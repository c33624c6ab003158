"""Fail-stop: one cause, said safely, in bounded time."""

import asyncio
import logging
import subprocess
import sys
import time

import pytest
from aiokafka.errors import KafkaConnectionError

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
from streams.runtime.failure import StopDeadline
deadline = StopDeadline(0.2)
deadline.start()
deadline.start()
while True:  # an event loop that never comes back
    time.sleep(1)
"""
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert time.monotonic() - started < 10
    assert "not finished after 0 s" in ended.stderr


def test_a_broker_that_is_away_is_no_riddle() -> None:
    text = str(describe(raised(KafkaConnectionError("pt-4711")), "opening lanes"))
    assert text.startswith("opening lanes failed: KafkaConnectionError. Check that the broker is up")
    assert "4711" not in text
