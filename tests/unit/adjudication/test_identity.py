"""What a decision's id is made from, said a second time: an id that changed would make every decision on record look corrupt."""

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adjudication.decisions import Adjustment, AgreementRef, Decision, Evidence, PolicyRef
from streams.adjudication.identity import decision_id

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_NUMBER = (
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-1000, 1000) | st.sampled_from([10**n for n in range(19)])
)


def _list(item: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(item, max_size=3).map(tuple)


_DECISIONS = st.builds(
    Decision,
    decision_id=_TEXT,
    **dict.fromkeys(
        ("patient_id", "claim_id", "outcome", "reason", "procedure_code", "billing_npi", "explanation"), _TEXT
    ),
    **dict.fromkeys(("line_number", "version", "service_date", "charge_cents", "allowed_cents", "paid_cents"), _NUMBER),
    **dict.fromkeys(("paid_before_cents", "change_cents", "member_owes_cents"), _NUMBER),
    **dict.fromkeys(("supersedes", "order_id"), st.none() | _TEXT),
    next_payable_date=st.none() | _NUMBER,
    adjustments=_list(st.builds(Adjustment, _TEXT, _TEXT, _list(_TEXT), _NUMBER)),
    evidence=_list(st.builds(Evidence, _TEXT, _TEXT, _TEXT)),
    policy=st.builds(PolicyRef, _TEXT, _NUMBER),
    agreements=_list(st.builds(AgreementRef, _TEXT, _NUMBER)),
    caused_by=_TEXT,
)


def _said_again(decision: Decision) -> str:
    """The id as `decision_id` describes it: every value as Python writes it, a zero byte between any two."""
    texts: list[object] = []
    values: dict[str, Any] = decision._asdict()
    for field, value in values.items():
        if field in ("decision_id", "caused_by"):
            continue
        if field == "adjustments":
            texts += [len(value), *value]
        elif field in ("evidence", "agreements"):
            texts += [len(value), *(part for item in value for part in item)]
        elif field == "policy":
            texts += value
        else:
            texts.append(value)
    return blake2b("\0".join(map(str, texts)).encode(), digest_size=16).hexdigest()


@pytest.mark.parametrize("number", [0, 1, 9, 10, 99, 100, 35_000, (1 << 60) - 1, 1 << 60, (1 << 60) + 1, 1 << 63])
def test_a_number_is_written_in_decimal(number: int) -> None:
    policy = PolicyRef("P0", 1)
    for signed in (number, -number):
        texts = ("pt-1", "A", 1, 1, None, "PAID", "PAID", "S0353", 19_730, "1234567893", "O1", signed)
        decision = Decision("", *texts, 0, 0, 0, 0, 0, (), None, "It pays.", (), policy, (), "e-1")
        assert decision_id(decision) == _said_again(decision)


@given(_DECISIONS)
def test_the_id_is_the_hash_of_what_is_decided_written_one_behind_the_other(decision: Decision) -> None:
    assert decision_id(decision) == _said_again(decision)
