"""What tests of several packages share: the embedded Apache Kafka."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

# The source is what the tests are about, unless `make test-compiled` says otherwise. Workers that tests start inherit it.
os.environ.setdefault("PATHWAY_BILLING_COMPILED", "0")

from deploy.broker import EmbeddedBroker
from tests.postgres import Postgres, running_postgres

# A shell starts background jobs with SIGINT ignored, and so would be every process that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def no_client_left() -> Iterator[None]:
    """A client of Kafka that is left open asks for its broker for ever, and for random numbers, which Hypothesis takes for ours."""
    before = set(threading.enumerate())
    yield
    started = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("kafka-")]
    for thread in started:
        thread.join(timeout=10)
    assert not [thread.name for thread in started if thread.is_alive()], "a client of Kafka was not closed"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running Apache Kafka on free ports, shared by the session: tests take topics and groups of their own."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, shared by the session: tests take databases of their own."""
    with running_postgres() as server:
        yield server
