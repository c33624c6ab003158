"""The checks that each break has to get past: quick ones first, and all of them in seconds.

Everything that does not depend on the core is prepared once, before the first break: histories and what the oracle says of
them. The core is imported inside the checks, because each process imports a broken one.
"""

import contextlib
import io
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from tests.mutation.broken_core import ROOT, Check
from tests.oracle.oracle import P0, Json, answer
from tests.strategies import History, Seeded, policy, seeded_history

CASES = [json.loads(text) for text in (ROOT / "tests/acceptance/cases.jsonl").read_text("utf-8").splitlines()]


class Known(NamedTuple):
    """A history and what the oracle says of it."""

    seed: int
    facts: History
    profiles: Sequence[Json]
    current: list[list[Any]]
    refused: list[tuple[str, str]]


def known_history(seed: int) -> Known:
    profiles = policy(Seeded(f"policy {seed}"))
    facts = seeded_history(seed, plans=tuple(profiles[0]["plans"]))
    came_to = answer(facts, profiles)
    current = [[d.patient_id, *d.row, d.next_payable_date, d.member_owes_cents, d.order_id] for d in came_to.current]
    return Known(seed, facts, profiles, current, [(r.fact["event_id"], r.reason) for r in came_to.refused])


def worked_cases() -> None:
    from tests.core import Core, row

    for case in CASES:
        core = Core([P0])
        core.take_all(case["facts"])
        assert [row(decision) for decision in core.current_decisions()] == case["current"], f"case {case['case']}"


def against_oracle(known: Sequence[Known]) -> Check:
    """The current decisions and refusals of histories, and that their versions are numbered and add up."""

    def random_histories() -> None:
        from tests.core import Core, row

        for history in known:
            core = Core(history.profiles)
            steps = core.take_all(history.facts)
            current = [
                [d["patient_id"], *row(d), d["next_payable_date"], d["member_owes_cents"], d["order_id"]]
                for d in core.current_decisions()
            ]
            assert current == history.current, f"seed {history.seed}"
            refused = [(step.fact["event_id"], step.refused) for step in steps if step.refused is not None]
            assert refused == history.refused, f"seed {history.seed}: refusals"
            changes = sum(decision["change_cents"] for step in steps for decision in step.decisions)
            assert changes == sum(decision["paid_cents"] for decision in core.current_decisions())

    return random_histories


def suite(*selected: str) -> Check:
    """A selection of the project's own tests, run by pytest in the process of the break."""

    def project_tests() -> None:
        os.environ |= {"PATHWAY_BILLING_TEST_HISTORIES": "150", "PATHWAY_BILLING_TEST_SHRINK": "no"}
        failed = _FirstFailure()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:timeout", "-o", "addopts="]
            options += ["--import-mode=importlib", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
            code = pytest.main([*options, *(str(ROOT / path) for path in selected)], plugins=[failed])
        assert code == 0, f"{failed.name} (pytest ended with {int(code)})"

    return project_tests


def fast_checks(histories: int = 600) -> tuple[Check, ...]:
    """What notices nearly everything, and in seconds: the worked cases, random histories, our own worked cases."""
    known = [known_history(seed) for seed in range(histories)]
    return (
        worked_cases,
        against_oracle(known),
        suite("tests/acceptance/test_corners.py", "tests/acceptance/test_explanations.py"),
    )


class _FirstFailure:
    """A pytest plugin that remembers the first test that failed."""

    name = "collection"

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.name == "collection":
            self.name = report.nodeid
