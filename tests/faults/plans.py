"""Which runs there are: the full set of `make prove`, and the short one of `make test`."""

from tests.faults.faults import (
    BROKER_KILL,
    BROKER_RESTART,
    CLOCK,
    DIE_AT,
    DIE_AT_ALL,
    DISK_FULL,
    KILL,
    NETWORK_HANG,
    NETWORK_RESET,
    NETWORK_SLOW,
    PAUSE,
    POISON,
    READ_ONLY,
    REPEATED,
    REPLAYED,
    SHUFFLED,
    STATE_FORMAT,
    STORE_DELETED,
    STORE_FLIPPED,
    TAKEOVER,
    TERMINATE,
    Fault,
)
from tests.faults.run import Run


def _long(name: str, events: int, *faults: tuple[Fault, int], in_order: bool = False) -> Run:
    """800 facts a second leave two cores enough for a worker that comes up: with more, recovery would measure the machine."""
    return Run(name, faults, events, rate=800.0, partitions=4, max_batch=500, in_order=in_order)


FULL = (
    _long("kill -9", 150_000, (KILL, 60), (TAKEOVER, 6)),
    _long("SIGTERM", 60_000, (TERMINATE, 12)),
    _long("SIGSTOP, SIGCONT", 60_000, (PAUSE, 6)),
    _long("death at each step of the lane", 80_000, *((fault, 5) for fault in DIE_AT.values())),
    _long("broker kill -9", 60_000, (BROKER_KILL, 6)),
    _long("broker restart", 50_000, (BROKER_RESTART, 4)),
    _long("network cut and delay", 80_000, (NETWORK_HANG, 5), (NETWORK_RESET, 6), (NETWORK_SLOW, 5)),
    _long("store deleted, bits flipped", 60_000, (STORE_DELETED, 5), (STORE_FLIPPED, 10)),
    _long("disk full, folder read-only", 40_000, (DISK_FULL, 3), (READ_ONLY, 3)),
    _long("clock steps", 40_000, (CLOCK, 4)),
    _long("newer state format", 40_000, (STATE_FORMAT, 1)),
    _long("30 % repeated", 60_000, (REPEATED, 1), (KILL, 2)),
    _long("a topic replayed", 40_000, (POISON, 1), (TERMINATE, 6), (REPLAYED, 1), (KILL, 1), in_order=True),
    _long("shuffled and late", 60_000, (SHUFFLED, 1), (KILL, 2)),
    _long("poison of every kind", 40_000, (POISON, 40), (KILL, 2)),
    _long(
        "everything",
        150_000,
        *((fault, 1) for fault in DIE_AT.values()),
        *((fault, 2) for fault in (TERMINATE, PAUSE, BROKER_KILL, BROKER_RESTART, NETWORK_HANG, NETWORK_RESET)),
        *((fault, 2) for fault in (NETWORK_SLOW, STORE_DELETED, STORE_FLIPPED, DISK_FULL, READ_ONLY, CLOCK)),
        *((fault, 1) for fault in (REPEATED, SHUFFLED, REPLAYED)),
        (POISON, 10),
        (KILL, 20),
    ),
)
"""A million events and a hundred kills. Each run has a broker of its own."""


def _short(name: str, *faults: Fault, workers: int, events: int = 500) -> Run:
    doses = tuple((fault, 1) for fault in faults)
    return Run(name, doses, events=events, rate=100.0, workers=workers, in_order=True, longest_cut_seconds=3.0)


SHORT = (
    _short("processes", REPEATED, KILL, TERMINATE, PAUSE, workers=2),
    # Of a worker without work nobody sees that its clock was set
    _short("steps and clocks", CLOCK, DIE_AT_ALL, workers=1, events=3_000),
    _short("broker and network", NETWORK_HANG, NETWORK_RESET, NETWORK_SLOW, BROKER_RESTART, BROKER_KILL, workers=1),
    _short("stores", STORE_DELETED, STORE_FLIPPED, DISK_FULL, READ_ONLY, workers=1),
    _short("input and state", SHUFFLED, POISON, STATE_FORMAT, REPLAYED, workers=2),
)
"""Every fault once, several to a system: most of the time goes into starting and judging one."""
