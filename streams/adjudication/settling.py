"""A patient in the middle of being settled: what the edits may ask about the patient and the lines that settled before."""

from bisect import bisect_left, insort
from typing import NamedTuple, cast

from .agreements import Agreements
from .days import Day, same_calendar_month
from .facts import S0353, S0354, ProviderAgreement
from .record import PatientRecord


class CountedLine(NamedTuple):
    """A paid line: it uses up the gap, the month and the once. Sorts by service date."""

    service_date: Day
    claim_id: str
    line_number: int
    order_id: str
    billing_npi: str

    @property
    def ref(self) -> str:
        return f"{self.claim_id}/{self.line_number}"


class Settling:
    """What the lines settled so far leave behind for the next one."""

    def __init__(self, record: PatientRecord, agreements: Agreements) -> None:
        self.orders = record.orders  # standing versions by order id
        self.starts = record.starts
        self.eligibility = record.eligibility
        self.expired = record.expired  # claims whose pend ran out
        self.signatures: dict[tuple[object, ...], str] = {}  # of lines that edits 1 to 10 did not deny -> claim/line
        self._reference = agreements
        self._agreements: dict[str, ProviderAgreement | None] = {}  # used by a line, as they stood then
        self._counted: dict[str, list[CountedLine]] = {}  # by code, sorted
        self._months: dict[tuple[str, str], int] = {}  # (code, order id) -> counted lines

    def agreement(self, npi: str) -> ProviderAgreement | None:
        if npi not in self._agreements:
            self._agreements[npi] = self._reference.standing(npi)
        return self._agreements[npi]

    def counted_within(self, code: str, day: Day, gap_days: int) -> list[CountedLine]:
        """The counted lines of a code that are fewer than `gap_days` away from a day, either way."""
        counted = self._counted.get(code)
        if not counted:
            return []
        # a line sorts by its service date first, and behind the bare date
        low = bisect_left(counted, _on(day - gap_days + 1))
        high = bisect_left(counted, _on(day + gap_days))
        return counted[low:high]

    def counted(self) -> list[CountedLine]:
        """All counted lines, S0353 first."""
        return [line for code in sorted(self._counted) for line in self._counted[code]]

    def counted_s0353(self, order_id: str | None) -> CountedLine | None:
        """The counted S0353 of the patient, or of one governing order."""
        for counted in self._counted.get(S0353, ()):
            if order_id is None or counted.order_id == order_id:
                return counted
        return None

    def counted_in_month(self, code: str, day: Day) -> CountedLine | None:
        """A counted line of a code in the calendar month of a day."""
        for counted in self.counted_within(code, day, 31):
            if same_calendar_month(counted.service_date, day):
                return counted
        return None

    def months_used(self, order_id: str, with_s0353: bool) -> int:
        """How many of an order's months are used up."""
        used = self._months.get((S0354, order_id), 0)
        return used + self._months.get((S0353, order_id), 0) if with_s0353 else used

    def count(self, code: str, counted: CountedLine) -> None:
        """Note a paid line."""
        insort(self._counted.setdefault(code, []), counted)
        self._months[code, counted.order_id] = self._months.get((code, counted.order_id), 0) + 1

    def rests_on(self, agreements: Agreements) -> bool:
        """Whether every agreement used so far is still the newest."""
        return self._reference is agreements and all(
            agreements.standing(npi) is used for npi, used in self._agreements.items()
        )


def _on(day: Day) -> CountedLine:
    """What sorts before every line of a day, and behind those of the days before."""
    return cast(CountedLine, (day,))
