"""How much chance the properties are given, and where it starts.

    PATHWAY_BILLING_TEST_HISTORIES=40000 PATHWAY_BILLING_TEST_SEED=7000 pytest tests/properties

A failing test names the seed of its history; `tests.strategies.seeded_history(seed)` makes it again. Hypothesis is
derandomized at the default volume, so that a run says the same twice; with more volume it looks where it has not been.
Where only the fact of a failure counts (mutants), PATHWAY_BILLING_TEST_SHRINK=no saves the search for the smallest history.
"""

import os
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, settings

DEFAULT_HISTORIES = 1200

HISTORIES = int(os.environ.get("PATHWAY_BILLING_TEST_HISTORIES", str(DEFAULT_HISTORIES)))
FIRST_SEED = int(os.environ.get("PATHWAY_BILLING_TEST_SEED", "0"))


def seeds(share: float = 1.0) -> Iterator[int]:
    """The seeds of this run, or of a share of it for tests that cost more."""
    print(f"seeds from {FIRST_SEED}, {round(HISTORIES * share)} histories")
    return iter(range(FIRST_SEED, FIRST_SEED + round(HISTORIES * share)))


_WITHOUT_SHRINKING = (Phase.explicit, Phase.generate)
_PHASES = _WITHOUT_SHRINKING if os.environ.get("PATHWAY_BILLING_TEST_SHRINK") == "no" else tuple(Phase)

drawn = settings(
    phases=_PHASES,
    max_examples=max(10, HISTORIES // 12),
    derandomize=HISTORIES == DEFAULT_HISTORIES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
