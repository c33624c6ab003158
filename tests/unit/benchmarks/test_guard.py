"""The guard against slower code: its figures repeat, and it notices growth."""

import json

from benchmarks import guard


def test_the_code_does_no_more_work_than_recorded() -> None:
    """The small form of `make bench-guard`: what is counted exactly, on the whole history, under any version of Python."""
    record = json.loads(guard.RECORD.read_text())
    python = ".".join(map(str, guard.sys.version_info[:2]))
    now = guard.measure()
    recorded = guard.recorded_for(record, python)
    assert set(record["any"]) <= set(now)
    assert guard.grown({name: recorded[name] for name in record["any"]}, now) == []


def test_growth_beyond_the_tolerance_is_named() -> None:
    recorded = {guard._INSTRUCTIONS: 1_000.0, "lines settled per fact": 2.0}
    assert guard.grown(recorded, {guard._INSTRUCTIONS: 1_019.0, "lines settled per fact": 2.0}) == []
    assert guard.grown(recorded, {guard._INSTRUCTIONS: 1_021.0, "lines settled per fact": 1.0}) == [
        "bytecode instructions per fact: 1,021.00, recorded 1,000.00 (+2.1 %)"
    ]
    assert len(guard.grown(recorded, {guard._INSTRUCTIONS: 1_000.0, "lines settled per fact": 2.01})) == 1


def test_instructions_are_compared_with_the_same_version_of_python_only() -> None:
    record = {"any": {"a": 1.0}, "python": {"3.11": {"b": 2.0}}}
    assert guard.recorded_for(record, "3.11") == {"a": 1.0, "b": 2.0}
    assert guard.recorded_for(record, "3.14") == {"a": 1.0}
