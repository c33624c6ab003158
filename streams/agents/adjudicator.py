"""The adjudicator: a lane's processor. Facts of one partition in; decisions, notices, dead letters and patient state out."""

from collections.abc import Sequence

from streams.adjudication.facts import PatientFact, ProviderAgreement, ReadjudicationRequested
from streams.adjudication.fold import Step, issue, settle
from streams.adjudication.making import new
from streams.adjudication.policy import Policy
from streams.agents.agreement_book import AgreementBook
from streams.agents.intake import Refused, accept
from streams.agents.patient_state import StoredPatient
from streams.agents.schema_wait import schemas_known
from streams.agents.tally import BatchTally
from streams.events import decision_headers, decision_to_avro, notice_headers, notice_to_avro
from streams.runtime.dead_letters import dead_letter
from streams.runtime.processor import InputRecord, LaneTable, OutputRecord, Processor
from streams.runtime.reference import ReferenceFollower
from streams.topics import (
    BILLING_DECISIONS,
    DEAD_LETTERS,
    ELIGIBILITY_NOTICES,
    PROVIDER_AGREEMENT,
    READJUDICATION_REQUESTED,
)


class PatientCache:
    """Decoded patients of one lane, the least recently used dropped first. Bounded by the claims that they hold.

    A decoded claim with its positions, and their bytes as they are stored, takes some 4 KB; a patient without any counts as one.
    """

    def __init__(self, max_claims: int) -> None:
        self._max_claims = max_claims
        self._patients: dict[str, StoredPatient] = {}
        self._claims = 0

    def get(self, patient_id: str) -> StoredPatient | None:
        patient = self._patients.pop(patient_id, None)
        if patient is not None:
            self._patients[patient_id] = patient  # most recently used: last
        return patient

    def put(self, patient: StoredPatient) -> None:
        """Keep a patient, or weigh it anew after it has grown."""
        weight = 1 + len(patient.record.claims)
        self._claims += weight - patient.cached_weight
        patient.cached_weight = weight
        self._patients[patient.record.patient_id] = patient

    def trim(self) -> None:
        """Drop what is over the bound. Only between batches: a patient that a batch has changed is not in the table yet."""
        while self._claims > self._max_claims and len(self._patients) > 1:
            dropped = self._patients.pop(next(iter(self._patients)))
            self._claims -= dropped.cached_weight
            dropped.cached_weight = 0


class Adjudicator:
    """Decides the facts of one partition, in order."""

    def __init__(self, book: AgreementBook, follower: ReferenceFollower, policy: Policy, cache_claims: int) -> None:
        self._book = book
        self._follower = follower
        self._policy = policy
        self._cache = PatientCache(cache_claims)
        self._tally = BatchTally()

    async def prepare(self, records: Sequence[InputRecord]) -> None:
        """Wait for the schemas of these records, and for the agreements that they speak of."""
        await schemas_known(records)
        wanted: dict[int, int] = {}
        for record in records:
            if record.topic == PROVIDER_AGREEMENT:
                wanted[record.partition] = max(record.offset, wanted.get(record.partition, 0))
            elif record.topic == READJUDICATION_REQUESTED:
                request = accept(record)
                if isinstance(request, ReadjudicationRequested):
                    for partition, offset in request.agreements_through or ():
                        wanted[partition] = max(offset, wanted.get(partition, 0))
        if wanted:
            await self._follower.reached(wanted)

    def process(self, table: LaneTable, records: Sequence[InputRecord]) -> list[OutputRecord]:
        """Fold the records into their patients and publish what comes of it.

        The whole batch goes through one stage before the next begins. Record by record through all of them, each stage would have
        pushed the others' code out of the processor's caches: 46 microseconds a fact instead of 41.
        """
        self._cache.trim()
        entries = self._read(records)
        self._settle(table, entries)
        self._issue(entries)
        self._store(table, entries)
        return self._publish(entries)

    def committed(self) -> None:
        """Count what the last batch came to."""
        self._tally.count()

    def _read(self, records: Sequence[InputRecord]) -> list["_Entry"]:
        """An entry for each record that has a patient's fact, or that has to be refused."""
        entries = []
        for record in records:
            if record.topic == PROVIDER_AGREEMENT:
                refused = self._book.refused(record)
                if refused is not None:
                    entries.append(_Entry(record, None, refused))
                continue
            fact = accept(record)
            if isinstance(fact, Refused):
                entries.append(_Entry(record, None, fact))
            else:
                assert not isinstance(fact, ProviderAgreement), "an agreement came in on a patient's topic"
                entries.append(_Entry(record, fact, None))
        return entries

    def _settle(self, table: LaneTable, entries: list["_Entry"]) -> None:
        for entry in entries:
            fact = entry.fact
            if fact is not None:
                patient = self._patient(table, fact.patient_id)
                step = settle(patient.record, fact, self._book.agreements, self._policy)
                if step.refusal is not None:
                    entry.refused = Refused.because(step.refusal)
                entry.patient, entry.step = patient, step

    def _issue(self, entries: list["_Entry"]) -> None:
        for entry in entries:
            fact, patient, step = entry.fact, entry.patient, entry.step
            if fact is not None and patient is not None and step is not None:
                issue(patient.record, fact, step)

    def _store(self, table: LaneTable, entries: list["_Entry"]) -> None:
        """Put every patient whose record has changed into the table, once."""
        touched: dict[str, StoredPatient] = {}
        for entry in entries:
            fact, patient, step = entry.fact, entry.patient, entry.step
            if fact is not None and patient is not None and step is not None and step.changed:
                patient.touch(fact, step)
                touched[fact.patient_id] = patient
        for patient in touched.values():
            patient.store(table.put)
            self._cache.put(patient)

    def _publish(self, entries: list["_Entry"]) -> list[OutputRecord]:
        """What the batch comes to, in the order of its records."""
        tally = self._tally = BatchTally()
        outputs: list[OutputRecord] = []
        for entry in entries:
            record, refused, step = entry.record, entry.refused, entry.step
            if refused is not None:
                outputs.append(dead_letter(record, refused.reason, refused.sentence, topic=DEAD_LETTERS))
            elif step is not None:
                tally.add(record.topic, step)
                if step.decisions or step.notices:
                    _publish(step, record, outputs)
        return outputs

    def _patient(self, table: LaneTable, patient_id: str) -> StoredPatient:
        patient = self._cache.get(patient_id)
        if patient is None:
            patient = StoredPatient.load(patient_id, table.get)
            self._cache.put(patient)
        return patient


class _Entry:
    """A record on its way through the stages: the fact in it or why it is refused, and what came of the fact."""

    __slots__ = ("fact", "patient", "record", "refused", "step")

    def __init__(self, record: InputRecord, fact: PatientFact | None, refused: Refused | None) -> None:
        self.record = record
        self.fact = fact
        self.refused = refused
        self.patient: StoredPatient | None = None
        self.step: Step | None = None


def _publish(step: Step, cause: InputRecord, outputs: list[OutputRecord]) -> None:
    """Decisions and notices as records; the trace of the record that caused them goes on in theirs."""
    trace = None
    for name, value in cause.headers:
        if name == "traceparent":
            trace = value
            break
    for decision in step.decisions:
        key, headers = decision.patient_id.encode(), decision_headers(decision, trace)
        outputs.append(new(OutputRecord, (BILLING_DECISIONS, key, decision_to_avro(decision), headers)))
    for notice in step.notices:
        key, headers = notice.patient_id.encode(), notice_headers(notice, trace)
        outputs.append(new(OutputRecord, (ELIGIBILITY_NOTICES, key, notice_to_avro(notice), headers)))


class AdjudicatorFactory:
    """Makes the adjudicator of each lane of this worker; all of them share the agreements and the policy."""

    def __init__(self, book: AgreementBook, follower: ReferenceFollower, policy: Policy, cache_claims: int) -> None:
        self._book = book
        self._follower = follower
        self._policy = policy
        self._cache_claims = cache_claims

    def __call__(self, partition: int) -> Processor:  # noqa: ARG002 - what a lane is for does not depend on its number
        return Adjudicator(self._book, self._follower, self._policy, self._cache_claims)
