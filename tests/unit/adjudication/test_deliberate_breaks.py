"""The mutation check is not part of `make test`, so here: its breaks still fit the rules."""

from tests.mutation.deliberate import deliberate_breaks


def test_every_deliberate_break_finds_the_text_that_it_breaks() -> None:
    titles = [broken.title for broken in deliberate_breaks()]
    assert len(titles) == len(set(titles)) >= 95
