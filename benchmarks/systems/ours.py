"""Our worker as a user starts it."""

import sys
from pathlib import Path

from benchmarks.systems.system import Place, System


def command(place: Place, number: int) -> list[str]:
    """The nth worker of a group; RocksDB in a folder of its own."""
    pathway_billing = str(Path(sys.executable).with_name("pathway-billing"))
    return [
        pathway_billing,
        "worker",
        f"--bootstrap-servers={place.bootstrap_servers}",
        f"--app-id={place.app_id}",
        f"--partitions={place.partitions}",
        f"--data={place.folder}",
        f"--state={place.folder / f'state-{number}'}",
        "--log-level=warning",
    ]


SYSTEM = System(
    name="ours",
    title="pathway-billing",
    guarantee="exactly once",
    settings="defaults: RocksDB, a transaction for what all lanes have (each 2,000 facts or 0.1 s at most), fetch linger 5 ms",
    command=command,
)
