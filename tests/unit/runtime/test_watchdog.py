"""A lane that stands still although there is input is told from one that has nothing to do."""

from streams.runtime.watchdog import ProgressWatch


def looks(watch: ProgressWatch, *seen: tuple[int, int]) -> list[bool]:
    """What the watch says of a lane at these positions with these lags."""
    return [watch.stands_still(3, {"claims": position}, lag) for position, lag in seen]


def test_a_lane_that_does_not_move_while_input_waits_stands_still() -> None:
    assert looks(ProgressWatch(3), (7, 5), (7, 5), (7, 5), (7, 6)) == [False, False, False, True]


def test_a_lane_without_input_may_rest() -> None:
    assert looks(ProgressWatch(2), *[(7, 0)] * 10) == [False] * 10


def test_a_step_forward_begins_the_count_anew() -> None:
    assert looks(ProgressWatch(2), (7, 5), (7, 5), (8, 4), (8, 4), (8, 4)) == [False, False, False, False, True]


def test_an_empty_input_begins_the_count_anew() -> None:
    assert looks(ProgressWatch(2), (7, 5), (7, 5), (7, 0), (7, 5), (7, 5)) == [False, False, False, False, True]


def test_a_lane_that_was_away_is_not_held_to_its_past() -> None:
    watch = ProgressWatch(2)
    looks(watch, (7, 5), (7, 5))
    watch.forget({3})
    assert looks(watch, (7, 5), (7, 5)) == [False, False]
