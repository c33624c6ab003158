"""Local dates as day numbers.

A service date is a local date, never an instant, and every span and gap of the rules is a whole-day difference of local
dates (rules.md section 1). The core therefore keeps a date as a `Day`: days since 1970-01-01, an int. Differences are
subtractions, Avro's `date` logical type is the same number, and no time zone can slip in.
"""

from datetime import date
from functools import lru_cache
from typing import Final

from .memo import Memo

Day = int

_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=8192)
def day_from_iso(text: str) -> Day:
    """The day of an ISO local date such as `2024-02-29`. Raises ValueError for any other form and for dates that do not exist."""
    if len(text) != 10 or text[4] != "-" or text[7] != "-":  # 2024-W01-1 is ISO too, but not ours
        raise ValueError(f"not an ISO date (YYYY-MM-DD): {text!r}")
    return date.fromisoformat(text).toordinal() - _EPOCH


def iso(day: Day) -> str:
    """The ISO form of a day, as decisions print it."""
    return _ISO.of(day)


def _iso(day: Day) -> str:
    return date.fromordinal(day + _EPOCH).isoformat()


_ISO: Final = Memo(_iso, 8192)


def same_calendar_month(one: Day, other: Day) -> bool:
    """Whether two days fall in the same month of the same year (the switch `calendar_month_cap` of rules.md section 7)."""
    return iso(one)[:7] == iso(other)[:7]


def first_of_month(day: Day) -> Day:
    """The first day of the calendar month of a day."""
    return day_from_iso(iso(day)[:7] + "-01")


def first_of_next_month(day: Day) -> Day:
    """The first day of the calendar month after that of a day. 32 days from the first of a month always lie in the next one."""
    return first_of_month(first_of_month(day) + 32)
