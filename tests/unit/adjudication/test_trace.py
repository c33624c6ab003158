"""The trace tells the same story as the decision, for every line of a made-up year."""

import pytest

from streams.adjudication.decisions import VOIDED
from streams.adjudication.offline import OfflineEngine
from streams.adjudication.trace import DECIDED, NOT_REACHED, trace
from streams.generator import history
from streams.policy_files import load_policy
from tests.core import Core
from tests.facts import agreement, order, s_line, start


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_decisive_edit_is_the_decisions_reason(seed: int) -> None:
    engine = OfflineEngine(load_policy())
    for _ in engine.fold_all(history(120, seed)):
        pass
    reasons = set()
    for record in engine.records.values():
        # a year ends with agreements newer than some decisions: decide again under the newest
        record.settlement = None
        for key, position in record.positions.items():
            traced = trace(record, engine.agreements, engine.policy, key)
            if position.ruling.outcome == VOIDED:
                assert traced is None
                continue
            assert traced is not None
            if all(
                engine.agreements.standing(ref.npi).version == ref.version  # type: ignore[union-attr]
                for other in record.positions.values()
                for ref in other.ruling.agreements
            ):
                assert (traced.outcome, traced.reason) == (position.ruling.outcome, position.ruling.reason)
            reasons.add(traced.reason)
            results = [edit.result for edit in traced.edits]
            assert results.count(DECIDED) == 1
            after = results[results.index(DECIDED) + 1 :]
            assert set(after) <= {NOT_REACHED}
            assert all(edit.saw for edit in traced.edits if edit.result not in (NOT_REACHED,))
    assert len(reasons) > 8


def test_a_trace_says_what_each_edit_saw() -> None:
    core = Core()
    core.take_all(
        [agreement(), order(), start(), s_line("A", "S0353", "2024-01-08"), s_line("B", "S0354", "2024-02-06")]
    )
    record = core.records["pt-0001"]
    traced = trace(record, core.agreements, core.policy, ("B", 1))
    assert traced is not None
    decisive = next(edit for edit in traced.edits if edit.result == DECIDED)
    assert (decisive.number, decisive.saw) == ("12", "S0353 paid for 2024-01-08 on A/1")
    assert (
        next(edit.saw for edit in traced.edits if edit.number == "4")
        == "received 0 days after the service; the limit is 90 days"
    )
    assert trace(record, core.agreements, core.policy, ("nobody's", 1)) is None
