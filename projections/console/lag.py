"""How far the ledger is behind Kafka, asked at most every few seconds however many people look, and never waited for long."""

import threading
import time
from collections.abc import Mapping
from typing import Final

from streams.committed_log import CommittedLog, LogStuckError
from streams.settings import ProblemError, Settings, UsageError, resolve_bootstrap_servers

_ASK_EVERY_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 1.0
"""A page waits as long for the first answer. A Kafka that is down takes longer to say so, and is told of by the next page."""

_NOT_YET: Final = "Not known yet: Kafka has not answered. Load the page again in a few seconds."

Place = tuple[str, int]


class LagMeter:
    """Says the lag in a sentence; where Kafka does not answer, that."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._asking = False
        self._asked_at = float("-inf")
        self._ends: Mapping[Place, int] | str = _NOT_YET  # no ends at all would read as a ledger that has everything

    def __call__(self, positions: Mapping[Place, int]) -> str:
        behind = self.behind(positions)
        if isinstance(behind, str):
            return behind
        if behind == 0:
            return "None: the ledger has everything that is committed on Kafka."
        return f"{behind:,} offsets on Kafka are not in the ledger yet. If that grows, look after the projector."

    def behind(self, positions: Mapping[Place, int]) -> int | str:
        """How many offsets the ledger is behind, as of a few seconds ago; or why that is not known."""
        with self._lock:
            if not self._asking and time.monotonic() - self._asked_at > _ASK_EVERY_SECONDS:
                self._asking = True
                threading.Thread(target=self._ask, args=(list(positions),), name="lag", daemon=True).start()
        if not self._answered.wait(_PATIENCE_SECONDS):
            return _NOT_YET
        ends = self._ends
        if isinstance(ends, str):
            return ends
        return sum(max(0, end - positions.get(place, 0)) for place, end in ends.items())

    def _ask(self, places: list[Place]) -> None:
        try:
            self._ends = self._ends_of(places)
        except (ProblemError, UsageError, LogStuckError) as error:
            self._ends = f"Not known: {str(error).rstrip(chr(46))}."
        except Exception as error:
            self._ends = f"Not known: asking Kafka failed with {type(error).__name__}. The console's log has the rest."
            raise
        finally:
            with self._lock:
                self._asking, self._asked_at = False, time.monotonic()
            self._answered.set()

    def _ends_of(self, places: list[Place]) -> dict[Place, int]:
        servers = resolve_bootstrap_servers(self._settings)
        found: dict[Place, int] = {}
        with CommittedLog(servers, _TIMEOUT_SECONDS) as log:
            for partition in sorted({partition for _, partition in places}):
                topics = [topic for topic, number in places if number == partition]
                found |= {(topic, partition): end for topic, end in log.stable_ends(topics, partition).items()}
        return found
