"""What the measurements share that need no peers: options, table and JSON, and the worker's processor without Kafka."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from benchmarks.report import table
from streams.adjudication.facts import Fact, PatientFact, ProviderAgreement
from streams.agents.adjudicator import Adjudicator
from streams.agents.agreement_book import AgreementBook
from streams.events import fact_to_avro
from streams.policy_files import load_policy
from streams.runtime.processor import InputRecord
from streams.runtime.reference import ReferenceFollower


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the option that all have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, for machines")
    return made


def count(text: str) -> int:
    """A whole number above 0; 1,000 is one, too."""
    number = int(text.replace(",", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("it must be above 0")
    return number


def finish(file: Path | None, rows: list[dict[str, Any]], heads: Sequence[str], cells: Iterable[Sequence[str]]) -> None:
    """Print the table, and write the rows with the machine's load as JSON."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    sys.stdout.write(f"{table(heads, cells)}\n\nLoad of the machine at the end: {load:.1f} on {cores} cores.\n")
    if file:
        file.write_text(json.dumps({"rows": rows, "load_1_minute": load, "cores": cores}, indent=1) + "\n")


def as_input(fact: Fact) -> InputRecord:
    """A fact as it lies in its topic."""
    topic, key, value = fact_to_avro(fact)
    return InputRecord(topic, 0, 0, 0, key, value, ())


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


def adjudicator(agreements: Iterable[ProviderAgreement], cache_claims: int) -> Adjudicator:
    """A lane's processor that has read these agreements. It is never asked to wait for more, so nothing follows them."""
    book = AgreementBook()
    for agreement in agreements:
        book.take(as_input(agreement))
    return Adjudicator(book, cast(ReferenceFollower, None), load_policy(), cache_claims)


def patients_of(facts: Iterable[Fact], per_patient: int) -> tuple[list[ProviderAgreement], list[list[PatientFact]]]:
    """The agreements, and the first so many facts of each patient who has as many."""
    agreements: list[ProviderAgreement] = []
    patients: dict[str, list[PatientFact]] = {}
    for fact in facts:
        if isinstance(fact, ProviderAgreement):
            agreements.append(fact)
        else:
            patients.setdefault(fact.patient_id, []).append(fact)
    return agreements, [told[:per_patient] for told in patients.values() if len(told) >= per_patient]


def stored_values(
    agreements: list[ProviderAgreement], patients: list[list[PatientFact]]
) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Each patient's id, with what the worker keeps of them: table keys and values."""
    kept = []
    processor = adjudicator(agreements, cache_claims=0)
    for facts in patients:
        table_of_one = PatientTable()
        processor.process(table_of_one, [as_input(fact) for fact in facts])
        kept.append((facts[0].patient_id.encode(), table_of_one.values))
    return kept
