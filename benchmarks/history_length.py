"""What one more claim that settles last costs a patient with 20, 200 and 2,000 claims: fold, worker, changelog.

    python -m benchmarks.history_length [--sizes 20,200,2000] [--patients N] [--claims N] [--json FILE]

Fold: the core alone. Worker: its processor on one record at a time (decode, check, fold, encode, state), without Kafka; the
patient is in its cache, or has to be read from the table first. Times are medians over all new claims.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from benchmarks.single import PatientTable, adjudicator, as_input, count, finish, parser
from streams.adjudication.facts import (
    AgreementSpan,
    Claim,
    ClaimLine,
    CostShare,
    PathwaySelection,
    PatientFact,
    ProviderAgreement,
    TreatmentStart,
)
from streams.adjudication.offline import OfflineEngine
from streams.policy_files import load_policy

Item = TypeVar("Item")
NPI = "1234567893"
FIRST_DAY = 7_305  # 1990-01-01
DAYS_BETWEEN = 15  # in turn a claim that is paid and one that comes too soon
AGREEMENT = ProviderAgreement("a", NPI, 1, (AgreementSpan("PPO", 0, None, 90, 35_000, 35_000),))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sizes", default="20,200,2000", help="claims that the patients have (default: 20,200,2000)")
    options.add_argument("--patients", type=count, default=10, help="of each size (default: 10)")
    options.add_argument("--claims", type=count, default=20, help="new ones for each patient (default: 20)")
    given = options.parse_args()
    rows = [_measure(count(size), given.patients, given.claims) for size in given.sizes.split(",")]
    heads = (
        "Claims",
        "Fold, us a claim",
        "as a ratio",
        "Worker, cached, us",
        "Worker, not cached, us",
        "Changelog, bytes a claim",
    )
    cells = [
        (
            f"{row['claims']:,.0f}",
            f"{row['fold_us']:.1f}",
            f"{row['fold_us'] / rows[0]['fold_us']:.2f}",
            f"{row['worker_us']:.0f}",
            f"{row['worker_not_cached_us']:,.0f}",
            f"{row['changelog_bytes']:,.0f}",
        )
        for row in rows
    ]
    finish(given.json, rows, heads, cells)


def _measure(claims: int, patients: int, new: int) -> dict[str, float]:
    histories = [list(_patient(f"pt-{number:06d}", claims + new)) for number in range(patients)]
    old = [facts[:-new] for facts in histories]
    coming = [fact for facts in histories for fact in facts[-new:]]

    engine = OfflineEngine(load_policy())
    engine.admit(AGREEMENT)
    for facts in old:
        for fact in facts:
            engine.fold(fact)
    fold_us = _median_us(coming, engine.fold)

    table = PatientTable()
    worker = adjudicator([AGREEMENT], cache_claims=10 * patients * (claims + new))
    for facts in old:
        worker.process(table, [as_input(fact) for fact in facts])
    before = dict(table.values)
    table.written_bytes = 0
    records = [as_input(fact) for fact in coming]
    worker_us = _median_us(records, lambda record: worker.process(table, [record]))
    changelog_bytes = table.written_bytes / len(records)

    table.values = before
    times = []
    for record in records:
        forgetful = adjudicator([AGREEMENT], cache_claims=0)
        times.append(_median_us([record], lambda record, lane=forgetful: lane.process(table, [record])))
    return {
        "claims": claims,
        "fold_us": fold_us,
        "worker_us": worker_us,
        "worker_not_cached_us": statistics.median(times),
        "changelog_bytes": changelog_bytes,
    }


def _median_us(items: list[Item], work: Callable[[Item], object]) -> float:
    gc.collect()
    gc.disable()
    times = []
    for item in items:
        begun = time.perf_counter_ns()
        work(item)
        times.append(time.perf_counter_ns() - begun)
    gc.enable()
    return statistics.median(times) / 1000


def _patient(patient_id: str, claims: int) -> Iterator[PatientFact]:
    """An order without an end and claims in the order of their days: each settles last."""
    yield PathwaySelection(
        f"o-{patient_id}",
        patient_id,
        "PPO",
        "MOP",
        "O1",
        1,
        "SELECTED",
        None,
        NPI,
        "R001",
        True,
        FIRST_DAY,
        None,
        100_000,
        0,
    )
    yield TreatmentStart(f"s-{patient_id}", patient_id, "O1", 1, "STARTED", FIRST_DAY, 0)
    for number in range(claims):
        day = FIRST_DAY + number * DAYS_BETWEEN
        line = ClaimLine(1, "S0354", (), day, day, 1, 35_000, ("C50911",), "11")
        claim_id = f"{patient_id}-{number:06d}"
        yield Claim(
            f"c-{claim_id}", patient_id, "PPO", "HP001", claim_id, "1", None, claim_id, NPI, NPI, None, None, day, "CMS-1500",
            CostShare(0, 0, 0), (line,),
        )  # fmt: skip


if __name__ == "__main__":
    main()
