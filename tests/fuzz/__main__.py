"""Coverage-guided fuzzing of what reads bytes of strangers: by hand, for some minutes, after a change of a reader.

    pip install -r tests/fuzz/requirements.txt
    python -m tests.fuzz 837 -max_total_time=300          # or fhir, jsonl, avro; more are libFuzzer's options

Whatever comes in, a reader says no with its named errors; all else that it raises is a finding, and so is more than 1 GB of
memory, or 20 s for one input. The inputs that lead to new code are kept in the folder fuzz-TARGET, and the
next run begins with them; further files in it, such as public samples, are taken as they are. The input of a finding is written
to the current folder and repeated with `python -m tests.fuzz TARGET FILE`.

The tests in tests/unit (test_fuzz_*.py) look for the same with Hypothesis, in seconds; this finds what needs minutes.
"""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["streams.importers", "streams.events", "schemas", "pyx12"]):
    from streams.adjudication import intake
    from streams.events import (
        FACT_TYPES,
        BadEvent,
        BadLine,
        InvalidFact,
        Unreadable,
        decision_from_avro,
        fact_from_avro,
        fact_to_avro,
        fact_to_json,
        notice_from_avro,
        read_jsonl,
    )
    from streams.importers.fhir import read_fhir
    from streams.importers.member_tokens import MemberTokens
    from streams.importers.report import FileReport
    from streams.importers.terms import Terms
    from streams.importers.x837p import read_837p
    from streams.policy_files import load_policy

from tests import facts
from tests.unit.importers import x12_files
from tests.unit.importers.test_fhir import resource

TERMS = Terms(MemberTokens(b"k" * 32), load_policy())


def read_a_claim_file(data: bytes) -> None:
    """An 837P file; what is imported is valid, and the report can be written."""
    report = FileReport("fuzz")
    for claim in read_837p(io.BytesIO(data), TERMS, report, accept_wrong_counts=True):
        intake.check(claim)
    assert list(report.in_words(notes=True))
    assert json.dumps(report.in_json())


def read_resources(data: bytes) -> None:
    """FHIR resources, the same."""
    report = FileReport("fuzz")
    for claim in read_fhir(io.BytesIO(data), TERMS, report):
        intake.check(claim)
    assert list(report.in_words(notes=True))
    assert json.dumps(report.in_json())


def read_lines(data: bytes) -> None:
    """Facts as JSON lines; each that is read can be published."""
    bad: list[BadLine] = []
    for _, fact in read_jsonl(io.BytesIO(data), bad.append):
        assert fact_to_avro(fact)


def read_records(data: bytes) -> None:
    """A record's value on every topic; each that is read can be shown."""
    for topic in FACT_TYPES:
        try:
            assert fact_to_json(fact_from_avro(topic, data))
        except (Unreadable, InvalidFact, BadEvent):
            continue
    for read in (decision_from_avro, notice_from_avro):
        try:
            read(data)
        except Unreadable:
            continue


FACTS = (facts.agreement(), facts.order(), facts.start(), facts.s_line("A", "S0353", "2024-01-08"))
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "837": (read_a_claim_file, [x12_files.one_claim().encode()]),
    "fhir": (read_resources, [json.dumps(resource(), default=float).encode()]),
    "jsonl": (read_lines, ["".join(json.dumps(fact) + "\n" for fact in FACTS).encode()]),
    "avro": (read_records, [fact_to_avro(fact)[2] for _, fact in read_jsonl([json.dumps(fact) for fact in FACTS])]),
}


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"{__doc__}\nTargets: {', '.join(TARGETS)}")
    name, *options = arguments
    target, seeds = TARGETS[name]
    if all(option.startswith("-") for option in options):  # no file to repeat
        corpus = Path(f"fuzz-{name}")
        corpus.mkdir(exist_ok=True)
        for number, seed in enumerate(seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
        options.append(str(corpus))
    limits = ["-rss_limit_mb=1024", "-timeout=20", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *limits, *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
