"""The lag, asked of a Kafka that is not there, one that does not answer, and one that does."""

import socket
import threading
from collections.abc import Mapping

import pytest

from projections.console.lag import LagMeter
from streams.settings import Settings, UsageError
from tests.broker.harness import wait_until

POSITIONS = {("billing-decisions", 0): 7, ("claim-received", 0): 5}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits a second for the answer, and a busy machine's threads may take longer to give it."""
    monkeypatch.setattr("projections.console.lag._PATIENCE_SECONDS", 30.0)


class Kafka(LagMeter):
    """A meter whose Kafka answers when a test lets it."""

    def __init__(self, ends: Mapping[tuple[str, int], int] | BaseException) -> None:
        super().__init__(Settings())
        self.answers, self.let = ends, threading.Event()

    def _ends_of(self, places: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        assert self.let.wait(30)
        if isinstance(self.answers, BaseException):
            raise self.answers
        return dict(self.answers)


def test_the_lag_is_what_kafka_has_more() -> None:
    meter = Kafka({("billing-decisions", 0): 9, ("claim-received", 0): 5})
    meter.let.set()
    assert meter(POSITIONS).startswith("2 offsets on Kafka are not in the ledger yet")
    assert meter({**POSITIONS, ("billing-decisions", 0): 9}).startswith("None: the ledger has everything")


def test_no_page_waits_for_a_kafka_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.console.lag._PATIENCE_SECONDS", 0.01)
    meter = Kafka(POSITIONS)
    for _ in range(3):
        assert meter(POSITIONS).startswith("Not known yet")
    assert sum(thread.name == "lag" for thread in threading.enumerate()) == 1, "it is asked once, not by every page"
    meter.let.set()
    wait_until(lambda: meter(POSITIONS).startswith("None:"), 30, "the answer is told")


def test_why_it_is_not_known_is_told() -> None:
    meter = Kafka(UsageError("no Kafka answers on nowhere:9092. Start it."))
    meter.let.set()
    assert meter(POSITIONS) == "Not known: no Kafka answers on nowhere:9092. Start it."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    there = LagMeter(Settings(bootstrap_servers=nobody))
    wait_until(lambda: "no Kafka answers" in there(POSITIONS), 30, "a Kafka that is not there is told")


def until_nobody_asks() -> None:
    """What a thread raises is warned of in the test that is running by then: it must be the one that expects it."""
    for thread in threading.enumerate():
        if thread.name == "lag":
            thread.join(30)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # its traceback belongs in the log
def test_no_failure_reads_as_a_ledger_that_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Kafka(RuntimeError("patient pt-0001"))
    meter.let.set()
    assert meter(POSITIONS) == "Not known: asking Kafka failed with RuntimeError. The console's log has the rest."
    until_nobody_asks()
    monkeypatch.setattr("projections.console.lag._ASK_EVERY_SECONDS", 0.0)
    meter.answers = POSITIONS
    wait_until(lambda: meter(POSITIONS).startswith("None:"), 30, "the next answer takes its place")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_question_that_ends_without_an_answer_leaves_the_lag_unknown() -> None:
    meter = Kafka(SystemExit())
    meter.let.set()
    assert meter(POSITIONS).startswith("Not known yet")
    until_nobody_asks()
