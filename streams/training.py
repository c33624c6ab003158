"""The worker's processor without Kafka, and what the C compiler is shown of it: a generated year of some patients.

    python -m streams.training

A compiler that has seen a program run lays out its code by what it does often (gcc's -fprofile-use). `streams.compiling` runs
this once with a build that counts; the same history every time, so that the same source makes the same build.
"""

from collections.abc import Iterable
from typing import cast

from streams.adjudication.facts import Fact, ProviderAgreement
from streams.adjudication.offline import OfflineEngine
from streams.agents.adjudicator import Adjudicator
from streams.agents.agreement_book import AgreementBook
from streams.events import fact_to_avro
from streams.generator import history
from streams.policy_files import load_policy
from streams.runtime.processor import InputRecord
from streams.runtime.reference import ReferenceFollower

PATIENTS = 300
SEED = 2
BATCH_RECORDS = 100
CACHE_CLAIMS = 200  # some patients have to be read from the table again


class PatientTable:
    """A lane's table in memory, which counts what would go to the changelog."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.written_bytes = 0

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        assert value is not None
        self.values[key] = value
        self.written_bytes += len(key) + len(value)


def as_input(fact: Fact) -> InputRecord:
    """A fact as it lies in its topic."""
    topic, key, value = fact_to_avro(fact)
    return InputRecord(topic, 0, 0, 0, key, value, ())


def adjudicator(agreements: Iterable[ProviderAgreement], cache_claims: int) -> Adjudicator:
    """A lane's processor that has read these agreements. It is never asked to wait for more, so nothing follows them."""
    book = AgreementBook(partitions=1)
    for agreement in agreements:
        book.take(as_input(agreement))
    return Adjudicator(book, cast(ReferenceFollower, None), load_policy(), cache_claims, partitions=1)


def main() -> None:
    """Decide the history as a worker does, batch after batch, and once more as `pathway-billing adjudicate` does."""
    facts = list(history(PATIENTS, SEED))
    worker = adjudicator([fact for fact in facts if isinstance(fact, ProviderAgreement)], CACHE_CLAIMS)
    table = PatientTable()
    records = [as_input(fact) for fact in facts if not isinstance(fact, ProviderAgreement)]
    for begin in range(0, len(records), BATCH_RECORDS):
        worker.process(table, records[begin : begin + BATCH_RECORDS])
        worker.committed()
    for _ in OfflineEngine(load_policy()).fold_all(facts):
        pass


if __name__ == "__main__":
    main()
