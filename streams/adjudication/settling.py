"""A patient in the middle of being settled: what the edits may ask about the patient and the lines that settled before."""

from mypy_extensions import mypyc_attr

from .agreements import Agreements
from .days import Day, same_calendar_month
from .facts import S0353, S0354, ProviderAgreement
from .record import PatientRecord


@mypyc_attr(acyclic=True)
class CountedLine:
    """A paid line: it uses up the gap, the month and the once."""

    __slots__ = ("billing_npi", "claim_id", "line_number", "order_id", "service_date")

    def __init__(self, service_date: Day, claim_id: str, line_number: int, order_id: str, billing_npi: str) -> None:
        self.service_date = service_date
        self.claim_id = claim_id
        self.line_number = line_number
        self.order_id = order_id
        self.billing_npi = billing_npi

    @property
    def ref(self) -> str:
        return f"{self.claim_id}/{self.line_number}"


@mypyc_attr(acyclic=True)
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
        self._counted_s0353: list[CountedLine] = []  # sorted by service date, claim and line number
        self._counted_s0354: list[CountedLine] = []
        self._months: dict[str, int] = {}  # order id -> counted S0354

    def agreement(self, npi: str) -> ProviderAgreement | None:
        if npi not in self._agreements:
            self._agreements[npi] = self._reference.standing(npi)
        return self._agreements[npi]

    def counted_within(self, code: str, day: Day, gap_days: int) -> list[CountedLine]:
        """The counted lines of a code that are fewer than `gap_days` away from a day, either way."""
        counted = self._counted(code)
        if not counted:
            return []
        return counted[_first_from(counted, day - gap_days + 1) : _first_from(counted, day + gap_days)]

    def counted(self) -> list[CountedLine]:
        """All counted lines, S0353 first."""
        return self._counted_s0353 + self._counted_s0354

    def counted_s0353(self, order_id: str | None) -> CountedLine | None:
        """The counted S0353 of the patient, or of one governing order."""
        for counted in self._counted_s0353:
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
        used = self._months.get(order_id, 0)
        # No order has a second counted S0353: edit 11 denies it, whether S0353 is once for the patient or once for the order
        return used + 1 if with_s0353 and self.counted_s0353(order_id) is not None else used

    def count(self, code: str, counted: CountedLine) -> None:
        """Note a paid line."""
        lines = self._counted(code)
        lines.insert(_place_of(counted, lines), counted)
        if code == S0354:
            self._months[counted.order_id] = self._months.get(counted.order_id, 0) + 1

    def _counted(self, code: str) -> list[CountedLine]:
        return self._counted_s0353 if code == S0353 else self._counted_s0354

    def rests_on(self, agreements: Agreements) -> bool:
        """Whether every agreement used so far is still the newest."""
        return self._reference is agreements and all(
            agreements.standing(npi) is used for npi, used in self._agreements.items()
        )


def _place_of(counted: CountedLine, lines: list[CountedLine]) -> int:
    """Where a line belongs among those that are sorted: behind the earlier days' and those of its day with smaller numbers."""
    place = _first_from(lines, counted.service_date)
    while place < len(lines) and _is_before(lines[place], counted):
        place += 1
    return place


def _is_before(one: CountedLine, other: CountedLine) -> bool:
    """Whether a line sorts before another one, which is of its day or of an earlier one."""
    return one.service_date == other.service_date and (
        one.claim_id < other.claim_id or (one.claim_id == other.claim_id and one.line_number < other.line_number)
    )


def _first_from(counted: list[CountedLine], day: Day) -> int:
    """The place of the first line on a day or after it."""
    low, high = 0, len(counted)
    while low < high:
        middle = (low + high) // 2
        if counted[middle].service_date < day:
            low = middle + 1
        else:
            high = middle
    return low
