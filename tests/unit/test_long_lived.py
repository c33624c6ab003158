"""What is made in `long_lived` is not looked through, and everything else is."""

import gc
from itertools import islice

import pytest

from streams.adjudication.offline import OfflineEngine
from streams.generator import history
from streams.long_lived import long_lived
from streams.policy_files import load_policy


class Cycle:
    """Holds itself: only the collector ends it."""

    ended = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Cycle.ended += 1


@pytest.fixture(autouse=True)
def nothing_before() -> None:
    """What other tests froze may end in the middle of a test here, and would be counted."""
    gc.unfreeze()
    gc.collect()
    Cycle.ended = 0


def test_what_is_made_inside_is_not_looked_through() -> None:
    with long_lived():
        made = [[number] for number in range(1_000)]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= 1_000
    looked_through = {id(value) for value in gc.get_objects()}
    assert not any(id(value) in looked_through for value in made)


def test_it_goes_with_its_last_reference() -> None:
    with long_lived():
        made = Cycle()
    made.me = None  # type: ignore[assignment]
    del made
    assert Cycle.ended == 1


def test_a_cycle_from_before_is_found() -> None:
    Cycle()
    with long_lived():
        assert Cycle.ended == 1


def test_an_error_leaves_the_collector_on() -> None:
    with pytest.raises(ValueError, match="no"), long_lived():
        raise ValueError("no")
    assert gc.isenabled()


def test_the_offline_engine_leaves_the_collector_to_its_caller() -> None:
    """The console asks it, too: a server that would keep every cycle that is alive during a question."""
    for _ in OfflineEngine(load_policy()).fold_all(islice(history(20, 1), 100)):
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0
