"""How far the ledger is behind Kafka, asked at most every few seconds however many people look."""

import threading
import time
from collections.abc import Mapping

from streams.committed_log import CommittedLog
from streams.settings import ProblemError, Settings, UsageError, resolve_bootstrap_servers

_ASK_EVERY_SECONDS = 5.0
_TIMEOUT_SECONDS = 5.0


class LagMeter:
    """Says the lag in a sentence; where Kafka does not answer, that."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._ends: dict[tuple[str, int], int] | str = {}

    def __call__(self, positions: Mapping[tuple[str, int], int]) -> str:
        with self._lock:
            if self._asked_at is None or time.monotonic() - self._asked_at > _ASK_EVERY_SECONDS:
                self._ends = self._ask(positions)
                self._asked_at = time.monotonic()
            ends = self._ends
        if isinstance(ends, str):
            return ends
        behind = sum(max(0, end - positions.get(place, 0)) for place, end in ends.items())
        if behind == 0:
            return "None: the ledger has everything that is committed on Kafka."
        return f"{behind:,} offsets on Kafka are not in the ledger yet. If that grows, look after the projector."

    def _ask(self, positions: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int] | str:
        try:
            servers = resolve_bootstrap_servers(self._settings)
            with CommittedLog(servers, _TIMEOUT_SECONDS) as log:
                found: dict[tuple[str, int], int] = {}
                for partition in sorted({partition for _, partition in positions}):
                    topics = [topic for topic, number in positions if number == partition]
                    found |= {(topic, partition): end for topic, end in log.stable_ends(topics, partition).items()}
                return found
        except (ProblemError, UsageError):
            return "Not known: no Kafka answers. Start it, or correct --bootstrap-servers."
