"""A guard against slower code that needs no clock: what one generated history costs in figures that do not depend on the machine.

    make bench-guard                  compare with benchmarks/guard.json; exit code 1 where a figure has grown
    make bench-guard ARGS=--record    write the figures of today, after a change that was meant

The history goes through the codec, the fold and the patient state, as in a worker. Instructions and memory blocks differ
between versions of Python: they are compared with a record of the same version, all others with any. The
source is counted as it is interpreted: what runs compiled has no bytecode.
"""

import argparse
import gc
import json
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from benchmarks.figures import percentile
from streams.adjudication.agreements import Agreements
from streams.adjudication.facts import ProviderAgreement
from streams.adjudication.fold import fold
from streams.agents.patient_state import StoredPatient
from streams.events import decision_to_avro, fact_from_avro, fact_to_avro, notice_to_avro
from streams.generator import history
from streams.policy_files import load_policy

RECORD = Path(__file__).with_name("guard.json")
SEED = 7
FACTS = 1_500
WARM_UP = 200  # lazily compiled codecs and first imports do not count
_INSTRUCTIONS = "bytecode instructions per fact"
_BLOCKS = "memory blocks kept per fact"
# Shares by which a figure may grow unnoticed. Counters are exact: the same history gives the same count.
ROUNDING = 1e-3
TOLERANCE = {_INSTRUCTIONS: 0.02, _BLOCKS: 0.03}


class Work(NamedTuple):
    """What the history led to, besides its decisions."""

    published_bytes: int
    changelog: list[int]  # bytes of each value
    decisions: int


class _Tracer:
    """Counts instructions, and calls of the functions that settle."""

    SETTLE = "Settlement.settle"

    def __init__(self) -> None:
        self.instructions = 0
        self.settled = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> "_Tracer | Callable[..., Any] | None":
        if event == "call":
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            self.settled += frame.f_code.co_qualname == self.SETTLE
            return self._within
        return None

    def _within(self, _frame: FrameType, event: str, _: Any) -> "Callable[..., Any]":
        self.instructions += event == "opcode"
        return self._within


def measure(facts: int = FACTS) -> dict[str, float]:
    """The figures of a history of so many facts."""
    records = [fact_to_avro(fact) for fact in islice(history(facts // 4, SEED), facts + WARM_UP)]
    engine = _Engine()
    engine.run(records[:WARM_UP])
    counted = records[WARM_UP:]

    tracer, before = _Tracer(), sys.gettrace()
    sys.settrace(tracer)
    try:
        work = engine.run(counted)
    finally:
        sys.settrace(before)

    again = _Engine()
    again.run(records[:WARM_UP])
    gc.collect()
    blocks = sys.getallocatedblocks()
    again.run(counted)
    gc.collect()
    blocks = sys.getallocatedblocks() - blocks
    count = len(counted)
    return {
        _INSTRUCTIONS: tracer.instructions / count,
        _BLOCKS: blocks / count,
        "lines settled per fact": tracer.settled / count,
        "decisions per fact": work.decisions / count,
        "published bytes per fact": work.published_bytes / count,
        "changelog records per fact": len(work.changelog) / count,
        "changelog bytes per record": sum(work.changelog) / len(work.changelog),
        "changelog bytes per record, p99": percentile(work.changelog, 0.99),
    }


class _Engine:
    """Codec, fold and patient state, one fact a time."""

    def __init__(self) -> None:
        self._policy = load_policy()
        self._agreements = Agreements()
        self._patients: dict[str, StoredPatient] = {}

    def run(self, records: list[tuple[str, bytes, bytes]]) -> Work:
        changelog: list[int] = []
        published = decisions = 0
        for topic, _key, value in records:
            fact = fact_from_avro(topic, value)
            if isinstance(fact, ProviderAgreement):
                self._agreements.admit(fact)
                continue
            patient = self._patients.get(fact.patient_id)
            if patient is None:
                patient = self._patients[fact.patient_id] = StoredPatient.load(fact.patient_id, lambda _key: None)
            step = fold(patient.record, fact, self._agreements, self._policy)
            if step.changed:
                patient.touch(fact, step)
                patient.store(lambda _key, stored: changelog.append(len(stored)))
            decisions += len(step.decisions)
            published += sum(len(decision_to_avro(decision)) for decision in step.decisions)
            published += sum(len(notice_to_avro(notice)) for notice in step.notices)
        return Work(published, changelog, decisions)


def grown(recorded: dict[str, float], now: dict[str, float]) -> list[str]:
    """A sentence for each figure that is larger than recorded, beyond its tolerance."""
    return [
        f"{name}: {now[name]:,.2f}, recorded {value:,.2f} (+{(now[name] / value - 1) * 100:.1f} %)"
        for name, value in recorded.items()
        if name in now and now[name] > value * (1 + TOLERANCE.get(name, ROUNDING))
    ]


def recorded_for(record: dict[str, Any], python: str) -> dict[str, float]:
    """The recorded figures that can be compared under a version of Python: those that are counts, and its own."""
    return {**record["any"], **record["python"].get(python, {})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write today's figures")
    options = parser.parse_args()
    python = ".".join(map(str, sys.version_info[:2]))
    now = measure()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"any": {}, "python": {}}
    recorded = recorded_for(record, python)
    for name, value in now.items():
        print(
            f"{name:36} {value:12,.2f}   recorded {recorded[name]:12,.2f}"
            if name in recorded
            else f"{name:36} {value:12,.2f}"
        )
    if options.record:
        own = (_INSTRUCTIONS, _BLOCKS)
        record["any"] = {name: round(value, 4) for name, value in now.items() if name not in own}
        record["python"][python] = {name: round(now[name], 1) for name in own}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    elif worse := grown(recorded, now):
        sys.exit(
            "error: the code does more work than recorded:\n  "
            + "\n  ".join(worse)
            + "\nIf it is meant: make bench-guard ARGS=--record"
        )


if __name__ == "__main__":
    main()
