"""A changelog as a worker leaves it, for any number of patients, in seconds: for the measurements of recovery and memory.

It has what the worker keeps of generated patients with five facts, each many times under other ids of the same length, written
with the lanes' own transactions. What differs from a real one: the ids of decisions in it are those of the generated patients, and
each key was written once, as after a compaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from benchmarks.single import patients_of, stored_values
from streams.adjudication.facts import PatientFact, ProviderAgreement
from streams.generator import history
from streams.runtime.settings import LaneSettings
from streams.runtime.transactions import Part, Writer
from streams.topics import partition_for

SEED = 1
FACTS_PER_PATIENT = 5
_GENERATED = 1_000  # patients; of them those with five facts or more
_TRANSACTION_PATIENTS = 2_000


class Population:
    """Patients by number, from 0."""

    def __init__(self) -> None:
        told = patients_of(history(_GENERATED, SEED), FACTS_PER_PATIENT)
        self.agreements: list[ProviderAgreement] = told[0]
        self._patients: list[list[PatientFact]] = told[1]
        self._stored = stored_values(*told)

    def patient_id(self, number: int) -> str:
        """An opaque id as long as the generated ones, so that one can stand in for the other in stored bytes."""
        return f"pt-{number:010x}"

    def facts(self, number: int) -> list[PatientFact]:
        """The five facts of a patient."""
        return [
            fact._replace(patient_id=self.patient_id(number)) for fact in self._patients[number % len(self._stored)]
        ]

    def stored(self, number: int) -> Iterator[tuple[bytes, bytes]]:
        """A patient's keys and values in the table."""
        template, values = self._stored[number % len(self._stored)]
        patient_id = self.patient_id(number).encode()
        assert len(patient_id) == len(template)
        for key, value in values.items():
            yield key.replace(template, patient_id), value.replace(template, patient_id)

    async def write(self, settings: LaneSettings, numbers: Iterable[int]) -> int:
        """Write these patients to the changelog, each to its partition; returns how many records that took."""
        of: defaultdict[int, list[int]] = defaultdict(list)
        for number in numbers:
            of[partition_for(self.patient_id(number).encode(), settings.partitions)].append(number)
        records = 0
        writer = Writer(settings, lambda step: None)  # noqa: ARG005
        await writer.start()
        try:
            for partition, its in of.items():
                for begin in range(0, len(its), _TRANSACTION_PATIENTS):
                    chosen = its[begin : begin + _TRANSACTION_PATIENTS]
                    changes: dict[bytes, bytes | None] = {}
                    for number in chosen:
                        changes.update(self.stored(number))
                    await writer.commit(Part(partition, [], changes))
                    records += len(changes)
        finally:
            await writer.stop()
        return records
