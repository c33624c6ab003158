"""The lines that are counted, in the order in which a decision names them."""

from hypothesis import given
from hypothesis import strategies as st

from streams.adjudication.agreements import Agreements
from streams.adjudication.facts import S0353, S0354
from streams.adjudication.record import PatientRecord
from streams.adjudication.settling import CountedLine, Settling

_PLACES = st.lists(
    st.tuples(st.integers(19_700, 19_703), st.sampled_from(["A", "B", "C"]), st.integers(1, 3)),
    unique=True,
    max_size=12,
)


def _counted(places: list[tuple[int, str, int]]) -> Settling:
    settling = Settling(PatientRecord("pt-1"), Agreements())
    for day, claim_id, number in places:
        settling.count(S0354, CountedLine(day, claim_id, number, "O1", "1234567893"))
    return settling


@given(_PLACES)
def test_counted_lines_stand_by_service_date_claim_and_line_number_however_they_came(
    places: list[tuple[int, str, int]],
) -> None:
    settling = _counted(places)
    found = [(line.service_date, line.claim_id, line.line_number) for line in settling.counted()]
    assert found == sorted(places)


@given(_PLACES, st.integers(19_698, 19_705), st.integers(0, 4))
def test_near_a_day_are_the_lines_less_than_the_gap_away(
    places: list[tuple[int, str, int]], day: int, gap_days: int
) -> None:
    near = _counted(places).counted_within(S0354, day, gap_days)
    assert [line.ref for line in near] == [
        f"{claim_id}/{number}" for at, claim_id, number in sorted(places) if abs(at - day) < gap_days
    ]
    assert not _counted(places).counted_within(S0353, day, gap_days)
