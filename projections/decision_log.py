"""The decisions in `billing-decisions`, in order of their versions for each claim line."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from streams.adjudication.decisions import Decision
from streams.events import DECISIONS_TOPIC, Unreadable, decision_from_avro

from .topic_reader import LogUnavailableError, TopicReader


class DecisionLog:
    """The decisions on one Kafka, of all patients or of one. Close it, or use it in a `with` block.

    Raises LogUnavailableError wherever they cannot be read.
    """

    def __init__(self, bootstrap_servers: str, *, patient_id: str | None = None, timeout_seconds: float = 30.0) -> None:
        """Connects. With a patient, only that patient's partition is read."""
        self._patient_id = patient_id
        self._log = TopicReader(bootstrap_servers, DECISIONS_TOPIC, key=patient_id, timeout_seconds=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._log.close()

    def read_to_end(self) -> Iterator[Decision]:
        """All decisions from where the reading stands to what is the end now."""
        return self._decisions(self._log.read_to_end())

    def follow(self, stopped: Callable[[], bool]) -> Iterator[Decision]:
        """Decisions as they are committed, until `stopped()`, which is asked every quarter of a second."""
        while not stopped():
            yield from self.poll()

    def poll(self, wait_seconds: float = 0.25) -> Iterator[Decision]:
        """The next decisions; none, when none are committed for that long."""
        return self._decisions(self._log.poll(wait_seconds))

    def _decisions(self, records: Iterable[Any]) -> Iterator[Decision]:
        for record in records:
            try:
                decision = decision_from_avro(record.value)
            except Unreadable as error:
                raise LogUnavailableError(
                    f"record {record.offset} of partition {record.partition} of {DECISIONS_TOPIC} is no decision: {error}. "
                    "Find out who wrote it: only a worker may."
                ) from error
            if self._patient_id is None or decision.patient_id == self._patient_id:
                yield decision
