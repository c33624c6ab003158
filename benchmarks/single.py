"""What the measurements share that need no peers: options, table and JSON, and the worker's processor without Kafka."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import table
from streams.adjudication.facts import Fact, PatientFact, ProviderAgreement
from streams.training import PatientTable, adjudicator, as_input


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
