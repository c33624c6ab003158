"""What a pure function answered is kept, and never more of it than was allowed."""

from streams.adjudication.memo import Memo


def test_a_memo_asks_once_and_forgets_everything_when_it_is_full() -> None:
    asked: list[int] = []

    def is_odd(number: int) -> bool:
        asked.append(number)
        return number % 2 == 1

    memo = Memo(is_odd, 2)
    assert [memo.of(number) for number in (1, 2, 1, 2)] == [True, False, True, False]
    assert asked == [1, 2]
    assert [memo.of(number) for number in (3, 3, 1)] == [True, True, True]
    assert asked == [1, 2, 3, 1]
