"""The worker's counters: what a batch came to, once it is committed and not before."""

import re
from typing import Any

from prometheus_client import REGISTRY

from streams.adjudication import edits
from streams.agents.tally import NOTICE_REASONS, REASONS, start_metrics
from streams.compiled import STREAMS
from streams.policy_files import load_policy
from tests import facts
from tests.unit.agents.records import Lane, record, records


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"pathway_billing_{name}", labels) or 0.0


class Since:
    """How far a counter has moved since the test began: the registry is the process's."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        for metric in REGISTRY.collect():
            for found in metric.samples:
                self._before[f"{found.name}{sorted(found.labels.items())}"] = found.value

    def __call__(self, name: str, **labels: str) -> float:
        before = self._before.get(f"pathway_billing_{name}{sorted(labels.items())}", 0.0)
        return sample(name, **labels) - before


def committed(lane: Lane, batch: list[dict[str, Any]]) -> None:
    lane.feed(records(batch))
    lane.adjudicator.committed()


def test_decisions_and_money_count_when_the_batch_is_committed() -> None:
    moved = Since()
    lane = Lane()
    batch = [facts.agreement(), facts.order(), facts.start(), facts.s_line("A", "S0353", "2024-01-08")]
    lane.feed(records(batch))
    assert moved("paid_cents_total") == 0, "nothing is counted that may still be undone"
    lane.adjudicator.committed()
    assert moved("decisions_total", outcome="PAID", reason="PAID") == 1
    assert moved("paid_cents_total") == 35000
    assert moved("charged_cents_total", outcome="PAID") == 35000
    assert moved("notices_total", reason="ELIGIBLE") == 1


def test_money_taken_back_counts_under_the_outcome_that_took_it() -> None:
    lane = Lane()
    committed(lane, [facts.agreement(), facts.order(), facts.start(), facts.s_line("A", "S0353", "2024-01-08")])
    moved = Since()
    void = facts.claim("V", [], received_date="2024-01-09", frequency_code="8", original_claim_id="A")
    committed(lane, [void])
    assert moved("decisions_total", outcome="VOIDED", reason="VOIDED") == 1
    assert moved("taken_back_cents_total", outcome="VOIDED") == 35000
    assert moved("paid_cents_total") == 0


def test_a_repeat_counts_as_one_and_decides_nothing() -> None:
    lane = Lane()
    committed(lane, [facts.agreement(), facts.order()])
    moved = Since()
    committed(lane, [facts.order()])
    assert moved("repeated_facts_total", topic="pathway-selected") == 1
    assert moved("notices_total", reason="ELIGIBLE") == 0


def test_lines_of_other_codes_are_tallied_once_for_each_claim() -> None:
    moved = Since()
    lane = Lane()
    lines = [facts.line(number, code, "2024-01-08") for number, code in enumerate(("S0353", "J9271", "96413"), start=1)]
    claim = facts.claim("A", lines)
    committed(lane, [facts.agreement(), claim, {**claim, "event_id": "sent again"}])
    committed(lane, [claim, facts.claim("B", lines, payer_id="AIM")])
    assert moved("passed_lines_total") == 2, "neither a repeat nor what is refused counts"
    assert moved("decisions_total", outcome="DENIED", reason="NO_PATHWAY_AT_DOS") == 1


def test_a_refused_fact_and_a_late_lower_version_are_no_repeats() -> None:
    lane = Lane()
    committed(lane, [facts.order(order_version=2)])
    moved = Since()
    committed(lane, [facts.order(order_version=1), facts.order(order_version=2, max_months=5)])
    assert moved("repeated_facts_total", topic="pathway-selected") == 0


def test_a_charge_below_zero_does_not_lower_a_counter() -> None:
    moved = Since()
    lane = Lane()
    lane.feed([record(facts.claim("A", [facts.line(1, "S0353", "2024-01-08", charge_cents=-5)]))])
    lane.adjudicator.committed()
    assert moved("decisions_total", outcome="DENIED", reason="INVALID_CHARGE") == 1
    assert moved("charged_cents_total", outcome="DENIED") == 0


def test_every_reason_stands_at_0_from_the_start() -> None:
    """A first denial of its kind is an increase only where there was a 0 before."""
    start_metrics(load_policy())
    reasons = [reason for reasons in REASONS.values() for reason in reasons]
    assert set(reasons) == set(edits._EXPLAIN)
    assert len(set(reasons)) == len(reasons) - 1, (
        "only NO_PATHWAY_AT_DOS has two outcomes: a switch decides (rules.md section 7)"
    )
    for outcome, named in REASONS.items():
        for reason in named:
            assert (
                REGISTRY.get_sample_value("pathway_billing_decisions_total", {"outcome": outcome, "reason": reason})
                is not None
            )
    said = set(
        re.findall(r'^\s+return \(?\s*"([A-Z_]+)"', (STREAMS / "adjudication" / "notices.py").read_text(), re.MULTILINE)
    )
    assert said == set(NOTICE_REASONS)
