"""What the broker tests share: an arena of topics and workers for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.broker import EmbeddedBroker
from tests.broker.harness import Arena


@pytest.fixture
def arena(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Arena]:
    """Topics of two partitions, two of them inputs, and whatever workers the test starts."""
    arena = Arena(broker.bootstrap_servers, tmp_path)
    yield arena
    arena.close()
