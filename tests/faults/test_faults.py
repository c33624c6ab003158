"""Every fault once, on a real broker with real workers: nothing lost, double or wrong. The full doses: `make prove`."""

from pathlib import Path

import msgspec
import pytest

from tests.faults.__main__ import BEGIN, END, RESULTS, Results, table, write_table
from tests.faults.faults import DIE_AT, DIE_AT_ALL, TAKEOVER
from tests.faults.plans import FULL, SHORT
from tests.faults.run import Result, Run, perform

SEED = 1


@pytest.mark.broker
@pytest.mark.parametrize("run", SHORT, ids=lambda run: run.name)
def test_nothing_is_lost_doubled_or_wrong(run: Run) -> None:
    result = perform(run, SEED, say=print)
    print(result.line(), result.injected, result.notes, result.stopped_by_themselves)
    assert result.ok, result


def test_the_short_set_has_every_fault_of_the_full_one() -> None:
    full = {fault for run in FULL for fault, _ in run.faults}
    short = {fault for run in SHORT for fault, _ in run.faults}
    assert full - short == {TAKEOVER, *DIE_AT.values()}, "a pause is taken over, too"
    assert short - full == {DIE_AT_ALL}


def test_the_full_set_is_large_enough() -> None:
    kills = sum(times for run in FULL for fault, times in run.faults if fault.name.startswith(("kill", "death")))
    assert sum(run.events for run in FULL) >= 1_000_000
    assert kills >= 100


def test_a_run_without_faults_fails() -> None:
    result = Result("nothing", seed=1, verified=True)
    assert not result.ok
    result.injected["kill -9"] = 1
    assert result.ok
    result.lost = 1
    assert not result.ok


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    run = Result(
        "kill -9", 7, injected={"kill -9": 60}, events=1_000, kills=60, verified=True, recovery_seconds=[3.0, 1.0, 2.0]
    )
    results = Results("2024-01-01", 7, 1.0, 2, 5.0, [run])
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(page, results)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| kill -9 | 60 x kill -9 | 1,000 | 0 | 0 | 0 | OK | 2.0 s, 3.0 s |" in text


def test_the_page_has_the_newest_results() -> None:
    page = (RESULTS.parent / "reliability.md").read_text()
    assert BEGIN in page
    assert table(msgspec.json.decode(RESULTS.read_bytes(), type=Results)) in page
