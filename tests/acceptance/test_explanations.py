"""Each decision explains itself (rules.md section 5): the sentence with its dates, and the evidence, for every reason."""

from typing import Any

import pytest

from tests.core import Core
from tests.facts import NPI, OTHER_NPI, Json, agreement, claim, eligibility, line, order, pend_expired, s_line, start
from tests.oracle.oracle import P0

ONSET = "2024-01-08"
STANDING = [agreement(), agreement(OTHER_NPI), order(), start()]


def void(claim_id: str, **fields: Any) -> Json:
    return claim(claim_id, [], ONSET, frequency_code="8", **fields)


@pytest.mark.parametrize(
    ("facts", "switches", "explanation", "evidence"),
    [
        pytest.param(
            [*STANDING, claim("A", [line(1, "S0353", ONSET, units=0)])],
            {},
            "S0353 on 2024-01-08 bills 0 units; at least 1 is required.",
            [],
            id="units",
        ),
        pytest.param(
            [*STANDING, claim("A", [line(1, "S0353", ONSET, charge_cents=-150)])],
            {},
            "S0353 on 2024-01-08 bills a charge of -$1.50; it must be more than zero.",
            [],
            id="charge",
        ),
        pytest.param(
            [*STANDING, claim("A", [line(1, "S0353", ONSET, charge_cents=0)])],
            {},
            "S0353 on 2024-01-08 bills a charge of $0.00; it must be more than zero.",
            [],
            id="no charge",
        ),
        pytest.param(
            [*STANDING, claim("A", [line(1, "S0353", ONSET, charge_cents=-1)])],
            {},
            "S0353 on 2024-01-08 bills a charge of -$0.01; it must be more than zero.",
            [],
            id="a cent below",
        ),
        pytest.param(
            [*STANDING, claim("A", [line(1, "S0353", ONSET, service_date_to="2024-01-09")], "2024-01-12")],
            {},
            "S0353 on 2024-01-08 ends on 2024-01-09; the first and the last service date of an S-code line must be the same day.",
            [],
            id="service date",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET, received_date="2024-01-07")],
            {},
            "S0353 on 2024-01-08 lies after 2024-01-07, the day on which the claim was received.",
            [],
            id="after receipt",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET, frequency_code="7")],
            {},
            "S0353 on 2024-01-08 is on a replacement claim that names no claim.",
            [],
            id="ref none",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET, frequency_code="7", original_claim_id="A")],
            {},
            "S0353 on 2024-01-08 is on a replacement claim that names itself.",
            ["claim A: the claim that the replacement names"],
            id="ref self",
        ),
        pytest.param(
            [
                *STANDING,
                void("V", original_claim_id="Q"),
                s_line("A", "S0353", ONSET, frequency_code="7", original_claim_id="V"),
            ],
            {},
            "S0353 on 2024-01-08 is on a replacement claim that names a void.",
            ["claim V: the claim that the replacement names"],
            id="ref void",
        ),
        pytest.param(
            [
                *STANDING,
                s_line("B", "J9271", ONSET, billing_npi=OTHER_NPI),
                s_line("A", "S0353", ONSET, frequency_code="7", original_claim_id="B"),
            ],
            {},
            "S0353 on 2024-01-08 is on a replacement claim that names a claim of another billing provider.",
            ["claim B: the claim that the replacement names"],
            id="ref npi",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", ONSET), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 is an exact duplicate of claim line 0/1.",
            ["claim-line 0/1: same billing provider, code, modifiers, service date, units and charge; settled before"],
            id="duplicate",
        ),
        pytest.param(
            [*STANDING, eligibility(1, ("2024-01-09", None)), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 is not covered: coverage under plan PPO begins on 2024-01-09.",
            ["eligibility PPO: coverage under plan PPO begins on 2024-01-09"],
            id="elig 26",
        ),
        pytest.param(
            [*STANDING, eligibility(1), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 is not covered: the member has no coverage under plan PPO on record.",
            ["eligibility PPO: the member has no coverage under plan PPO on record"],
            id="elig none",
        ),
        pytest.param(
            [*STANDING, eligibility(1, ("2020-01-01", "2024-01-07")), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 is not covered: coverage under plan PPO ended on 2024-01-07.",
            ["eligibility PPO: coverage under plan PPO ended on 2024-01-07"],
            id="elig 27",
        ),
        pytest.param(
            [
                *STANDING,
                eligibility(1, ("2020-01-01", "2024-01-07"), ("2024-01-09", None)),
                s_line("A", "S0353", ONSET),
            ],
            {},
            "S0353 on 2024-01-08 is not covered: it lies between two spans of coverage under plan PPO.",
            ["eligibility PPO: it lies between two spans of coverage under plan PPO"],
            id="elig 200",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET)],
            {"unknown_eligibility": "deny"},
            "S0353 on 2024-01-08 cannot be paid: no eligibility of the member is on record.",
            [],
            id="elig 31",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET, received_date="2024-04-08")],
            {},
            "S0353 on 2024-01-08 was received on 2024-04-08, 91 days later; the filing limit of 90 days ended on 2024-04-07.",
            ["agreement 1234567893: filing limit 90 days"],
            id="untimely",
        ),
        pytest.param(
            [agreement(filing_limit_days=0), order(), start(), s_line("A", "S0353", ONSET, received_date="2024-01-09")],
            {},
            "S0353 on 2024-01-08 was received on 2024-01-09, 1 day later; the filing limit of 0 days ended on 2024-01-08.",
            ["agreement 1234567893: filing limit 0 days"],
            id="untimely 1",
        ),
        pytest.param(
            [agreement(spans=[]), order(), start(), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 was billed by a provider that was not in network for plan PPO on that day.",
            ["agreement 1234567893: no span of plan PPO covers 2024-01-08"],
            id="not in network",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET, order_id="O9")],
            {},
            "S0353 on 2024-01-08 cites order O9, and the patient has no such order.",
            ["order O9: not on record"],
            id="cited order",
        ),
        pytest.param(
            [agreement(), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 has no pathway order: none is on record for the patient.",
            [],
            id="no order",
        ),
        pytest.param(
            [
                agreement(),
                order(effective_from="2024-01-09"),
                order("O2", effective_from="2024-02-09"),
                s_line("A", "S0353", ONSET),
            ],
            {},
            "S0353 on 2024-01-08 has no pathway order in effect on that day: order O1 is in effect only from 2024-01-09.",
            ["order O1: in effect only from 2024-01-09"],
            id="order later",
        ),
        pytest.param(
            [
                agreement(),
                order(status="WITHDRAWN", withdrawn_from="2024-01-05"),
                order("O2", effective_from="2024-02-09"),
                s_line("A", "S0353", ONSET),
            ],
            {},
            "S0353 on 2024-01-08 has no pathway order in effect on that day: order O1 is withdrawn from 2024-01-05.",
            ["order O1: withdrawn from 2024-01-05"],
            id="order withdrawn",
        ),
        pytest.param(
            [agreement(), order(on_pathway=False), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 is bundled: the regimen of order O1 is not on the pathway.",
            ["order O1: regimen off the pathway"],
            id="off pathway, not started",
        ),
        pytest.param(
            [agreement(), order(), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 waits for the treatment start of order O1.",
            ["order O1: in effect, no treatment start on record"],
            id="await start",
        ),
        pytest.param(
            [agreement(), order("O2"), order(), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 waits for the treatment start of orders O1, O2.",
            ["order O1: in effect, no treatment start on record", "order O2: in effect, no treatment start on record"],
            id="await two starts",
        ),
        pytest.param(
            [agreement(), order(), s_line("A", "S0353", ONSET), pend_expired("A")],
            {},
            "S0353 on 2024-01-08 waited in vain for the treatment start of order O1: the time to wait has run out.",
            ["order O1: in effect, no treatment start on record"],
            id="no start",
        ),
        pytest.param(
            [agreement(), order(), start(onset_date="2024-01-20"), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 lies before 2024-01-20, the onset of treatment under order O1; payable from 2024-01-20.",
            ["order O1: treatment started on 2024-01-20"],
            id="before onset",
        ),
        pytest.param(
            [
                agreement(),
                order(effective_to="2024-01-07"),
                start(onset_date="2024-01-05"),
                s_line("A", "S0353", ONSET),
            ],
            {},
            "S0353 on 2024-01-08 lies after 2024-01-07, the last day of order O1.",
            ["order O1: span ended on 2024-01-07"],
            id="after span",
        ),
        pytest.param(
            [agreement(), order(on_pathway=False), start(), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 is bundled: the regimen of order O1 is not on the pathway.",
            ["order O1: regimen off the pathway, treatment since 2024-01-08"],
            id="off pathway",
        ),
        pytest.param(
            [agreement(), order(ordering_npi=OTHER_NPI), start(), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 goes back to order O1, whose ordering provider was not in network for plan PPO on that day.",
            ["order O1: governs the line", "agreement 1098765435: no span of plan PPO covers 2024-01-08"],
            id="ordering provider",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", ONSET), s_line("A", "S0353", "2024-02-08")],
            {},
            "S0353 on 2024-02-08 is not payable: S0353 is paid once and was paid on claim line 0/1 for 2024-01-08.",
            ["claim-line 0/1: S0353 on 2024-01-08, paid"],
            id="once",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", ONSET), s_line("A", "S0353", "2024-02-08", billing_npi=OTHER_NPI)],
            {},
            "S0353 on 2024-02-08 is not payable: S0353 is paid once and was paid to another provider on claim line 0/1 "
            "for 2024-01-08.",
            ["claim-line 0/1: S0353 on 2024-01-08, paid to another provider"],
            id="once other",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", ONSET), s_line("A", "S0354", "2024-02-06")],
            {},
            "S0354 on 2024-02-06 is 29 days after S0353 on 2024-01-08; payable from 2024-02-07.",
            ["claim-line 0/1: S0353 on 2024-01-08, paid"],
            id="29 days after",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", ONSET), s_line("A", "S0354", ONSET)],
            {},
            "S0354 on 2024-01-08 is on the same day as S0353 on 2024-01-08; payable from 2024-02-07.",
            ["claim-line 0/1: S0353 on 2024-01-08, paid"],
            id="same day",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", "2024-01-09"), s_line("A", "S0354", ONSET, received_date="2024-02-01")],
            {},
            "S0354 on 2024-01-08 is 1 day before S0353 on 2024-01-09; payable from 2024-02-08.",
            ["claim-line 0/1: S0353 on 2024-01-09, paid"],
            id="1 day before",
        ),
        pytest.param(
            [
                *STANDING,
                s_line("0", "S0354", ONSET, received_date="2024-02-20"),
                s_line("1", "S0354", "2024-02-10", received_date="2024-02-20"),
                s_line("A", "S0354", "2024-01-30", received_date="2024-02-21"),
            ],
            {},
            "S0354 on 2024-01-30 is 22 days after S0354 on 2024-01-08 and 11 days before S0354 on 2024-02-10; "
            "payable from 2024-03-11.",
            ["claim-line 0/1: S0354 on 2024-01-08, paid", "claim-line 1/1: S0354 on 2024-02-10, paid"],
            id="between two",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0354", "2024-03-01"), s_line("A", "S0354", "2024-03-31")],
            {"calendar_month_cap": True},
            "S0354 on 2024-03-31 falls in a calendar month for which S0354 was paid already, on 2024-03-01.",
            ["claim-line 0/1: S0354 on 2024-03-01, paid"],
            id="calendar month",
        ),
        pytest.param(
            [
                agreement(),
                order(max_months=1),
                start(),
                s_line("0", "S0354", ONSET),
                s_line("A", "S0354", "2024-02-08"),
            ],
            {},
            "S0354 on 2024-02-08 exceeds the maximum of 1 months of order O1: all of them are used up.",
            ["order O1: maximum of 1 months"],
            id="max months",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 pays $350.00: order O1, treatment since 2024-01-08, agreed fee $350.00.",
            [
                "order O1: on the pathway, treatment since 2024-01-08",
                "agreement 1234567893: in network for plan PPO, fee $350.00",
            ],
            id="paid",
        ),
        pytest.param(
            [
                *STANDING,
                claim(
                    "A",
                    [line(1, "S0353", ONSET, charge_cents=123456789)],
                    cost_share={"copay_cents": 5, "deductible_remaining_cents": 10000, "coinsurance_bp": 2000},
                ),
            ],
            {},
            "S0353 on 2024-01-08 pays $199.96, the member owes $150.04: order O1, treatment since 2024-01-08, agreed fee $350.00.",
            [
                "order O1: on the pathway, treatment since 2024-01-08",
                "agreement 1234567893: in network for plan PPO, fee $350.00",
            ],
            id="paid owes",
        ),
        pytest.param(
            [*STANDING, s_line("A", "S0353", ONSET), void("V", original_claim_id="A")],
            {},
            "S0353 on 2024-01-08 is void: claim A was voided by claim V.",
            ["claim V: takes claim A out"],
            id="voided",
        ),
        pytest.param(
            [
                *STANDING,
                s_line("A", "S0353", ONSET),
                s_line("R", "S0353", ONSET, frequency_code="7", original_claim_id="A"),
            ],
            {},
            "S0353 on 2024-01-08 is void: claim A was replaced by claim R.",
            ["claim R: takes claim A out"],
            id="replaced",
        ),
        pytest.param(
            [
                *STANDING,
                s_line("0", "S0353", ONSET),
                s_line("A", "S0353", ONSET, frequency_code="7", original_claim_id="0"),
                s_line("R", "S0353", ONSET, frequency_code="7", original_claim_id="0"),
            ],
            {},
            "S0353 on 2024-01-08 is void: claim A was overtaken by claim R.",
            ["claim R: takes claim A out"],
            id="overtaken",
        ),
        pytest.param(
            [
                *STANDING,
                eligibility(1, ("2020-01-01", "2024-01-07"), ("2024-01-09", "2024-12-31")),
                s_line("A", "S0353", ONSET),
            ],
            {},
            "S0353 on 2024-01-08 is not covered: it lies between two spans of coverage under plan PPO.",
            ["eligibility PPO: it lies between two spans of coverage under plan PPO"],
            id="between two closed spans",
        ),
        pytest.param(
            [
                agreement(),
                order(effective_from=ONSET, status="WITHDRAWN", withdrawn_from=ONSET),
                order("O2", effective_from="2024-01-09"),
                s_line("A", "S0353", ONSET),
            ],
            {},
            "S0353 on 2024-01-08 has no pathway order in effect on that day: order O1 is withdrawn from 2024-01-08.",
            ["order O1: withdrawn from 2024-01-08"],
            id="order withdrawn on its first day",
        ),
        pytest.param(
            [
                agreement(),
                *(order(), order("O2"), start(onset_date="2024-01-20"), start("O2", onset_date="2024-01-15")),
                s_line("A", "S0353", ONSET),
            ],
            {},
            "S0353 on 2024-01-08 lies before 2024-01-15, the onset of treatment under order O2; payable from 2024-01-15.",
            ["order O2: treatment started on 2024-01-15"],
            id="before two onsets",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", ONSET, billing_npi=OTHER_NPI), s_line("A", "S0353", "2024-02-08")],
            {},
            "S0353 on 2024-02-08 is not payable: S0353 is paid once and was paid to another provider on claim line 0/1 "
            "for 2024-01-08.",
            ["claim-line 0/1: S0353 on 2024-01-08, paid to another provider"],
            id="once, the other way about",
        ),
        pytest.param(
            [*STANDING, s_line("0", "S0353", ONSET), s_line("A", "S0354", "2024-01-09")],
            {},
            "S0354 on 2024-01-09 is 1 day after S0353 on 2024-01-08; payable from 2024-02-07.",
            ["claim-line 0/1: S0353 on 2024-01-08, paid"],
            id="1 day after",
        ),
        pytest.param(
            [agreement(s0353_fee_cents=0), order(), start(), s_line("A", "S0353", ONSET)],
            {},
            "S0353 on 2024-01-08 pays $0.00: order O1, treatment since 2024-01-08, agreed fee $0.00.",
            [
                "order O1: on the pathway, treatment since 2024-01-08",
                "agreement 1234567893: in network for plan PPO, fee $0.00",
            ],
            id="paid nothing",
        ),
    ],
)
def test_the_decision_of_claim_a(facts: list[Json], switches: Json, explanation: str, evidence: list[str]) -> None:
    core = Core([{**P0, **switches}])
    core.take_all(facts)
    (decision,) = (decision for decision in core.current_decisions() if decision["claim_id"] == "A")
    assert decision["explanation"] == explanation
    assert [f"{item['kind']} {item['ref']}: {item['says']}" for item in decision["evidence"]] == evidence


# 1970-01-01 is day 0 inside the core, and must be a day like any other.
EPOCH = [
    agreement(effective_from="1960-01-01"),
    order(effective_from="1969-01-01", effective_to=None, max_months=12),
    start(onset_date="1970-01-01"),
]


@pytest.mark.parametrize(
    ("facts", "switches", "explanation", "evidence"),
    [
        (
            [s_line("A", "S0353", "1970-01-01")],
            {},
            "S0353 on 1970-01-01 pays $350.00: order O1, treatment since 1970-01-01, agreed fee $350.00.",
            "on the pathway, treatment since 1970-01-01",
        ),
        (
            [s_line("0", "S0353", "1970-01-01"), s_line("A", "S0353", "1970-01-02")],
            {},
            "S0353 on 1970-01-02 is not payable: S0353 is paid once and was paid on claim line 0/1 for 1970-01-01.",
            "S0353 on 1970-01-01, paid",
        ),
        (
            [s_line("0", "S0353", "1970-01-01"), s_line("A", "S0354", "1970-01-20")],
            {},
            "S0354 on 1970-01-20 is 19 days after S0353 on 1970-01-01; payable from 1970-01-31.",
            "S0353 on 1970-01-01, paid",
        ),
        (
            [s_line("0", "S0354", "1970-01-01"), s_line("A", "S0354", "1970-01-31")],
            {"calendar_month_cap": True},
            "S0354 on 1970-01-31 falls in a calendar month for which S0354 was paid already, on 1970-01-01.",
            "S0354 on 1970-01-01, paid",
        ),
        (
            [
                start(version=2, onset_date="1969-12-01"),
                s_line("0", "S0354", "1969-12-02"),
                s_line("A", "S0354", "1969-12-20"),
            ],
            {},
            "S0354 on 1969-12-20 is 18 days after S0354 on 1969-12-02; payable from 1970-01-01.",
            "S0354 on 1969-12-02, paid",
        ),
        (
            [
                agreement(version=2, effective_from="1960-01-01", filing_limit_days=15),
                s_line("A", "S0353", "1970-01-11", received_date="1970-01-31"),
            ],
            {},
            "S0353 on 1970-01-11 was received on 1970-01-31, 20 days later; the filing limit of 15 days ended on 1970-01-26.",
            "filing limit 15 days",
        ),
        (
            [
                agreement(version=2, effective_from="1960-01-01", filing_limit_days=0),
                s_line("A", "S0353", "1970-01-02", received_date="1970-01-03"),
            ],
            {},
            "S0353 on 1970-01-02 was received on 1970-01-03, 1 day later; the filing limit of 0 days ended on 1970-01-02.",
            "filing limit 0 days",
        ),
    ],
)
def test_day_0_is_a_day_like_any_other(facts: list[Json], switches: Json, explanation: str, evidence: str) -> None:
    core = Core([{**P0, **switches}])
    core.take_all([*EPOCH, *facts])
    (decision,) = (decision for decision in core.current_decisions() if decision["claim_id"] == "A")
    assert decision["explanation"] == explanation
    assert decision["evidence"][0]["says"] == evidence


def test_agreements_are_named_once_and_sorted() -> None:
    core = Core()
    core.take_all(
        [*STANDING, order(order_version=2, ordering_npi=NPI), s_line("A", "S0353", ONSET, billing_npi=OTHER_NPI)]
    )
    (decision,) = core.current_decisions()
    assert [agreement["npi"] for agreement in decision["agreements"]] == [OTHER_NPI, NPI]


def test_a_decision_names_the_policy_and_the_agreement_versions_that_it_used() -> None:
    core = Core()
    core.take_all(
        [
            *STANDING,
            agreement(OTHER_NPI, version=3),
            order(ordering_npi=OTHER_NPI, order_version=2),
            s_line("A", "S0353", ONSET),
        ]
    )
    (decision,) = core.current_decisions()
    assert decision["policy"] == {"id": "TEST", "version": 1}
    assert decision["agreements"] == [{"npi": OTHER_NPI, "version": 3}, {"npi": "1234567893", "version": 1}]
    assert decision["order_id"] == "O1"
    assert decision["caused_by"] == "claim-A"


def test_the_same_decision_has_the_same_id_in_every_release() -> None:
    core = Core()
    core.take_all([*STANDING, s_line("A", "S0353", ONSET)])
    (decision,) = core.current_decisions()
    # The very id: a change of how ids are made would publish every decision anew at the next replay.
    assert decision["decision_id"] == "7938993e5c314acaca3684b4efb0d5c3"


@pytest.mark.parametrize(
    ("facts", "reason", "fees"),
    [
        ([agreement(s0354_fee_cents=30000), order()], "ELIGIBLE", (35000, 30000)),
        (
            [agreement(), order(status="WITHDRAWN", withdrawn_from="2024-03-01", on_pathway=False)],
            "WITHDRAWN",
            (35000, 35000),
        ),
        ([agreement(), order(on_pathway=False)], "OFF_PATHWAY", (35000, 35000)),
        ([order(), eligibility(1)], "ORDERING_NOT_IN_NETWORK", (None, None)),
        ([agreement(effective_from="2024-01-03"), order()], "ORDERING_NOT_IN_NETWORK", (None, None)),
        ([agreement(effective_to="2024-01-01"), order()], "ORDERING_NOT_IN_NETWORK", (None, None)),
        ([agreement(effective_from="2024-01-02", effective_to="2024-01-02"), order()], "ELIGIBLE", (35000, 35000)),
        ([agreement(), order(plan_id="HMO")], "ORDERING_NOT_IN_NETWORK", (None, None)),
        ([agreement(), eligibility(1, ("2024-01-02", "2024-01-02")), order()], "ELIGIBLE", (35000, 35000)),
        ([agreement(), eligibility(1, ("2020-01-01", None)), order()], "ELIGIBLE", (35000, 35000)),
        ([agreement(), eligibility(1, ("2020-01-01", "2024-06-30")), order()], "ELIGIBLE", (35000, 35000)),
        ([agreement(), eligibility(1, ("2020-01-01", None), plan_id="ZZZ"), order()], "NOT_ELIGIBLE", (35000, 35000)),
        ([agreement(), eligibility(1, ("2024-01-03", None)), order()], "NOT_ELIGIBLE", (35000, 35000)),
        ([agreement(), eligibility(1, ("2020-01-01", "2024-01-01")), order()], "NOT_ELIGIBLE", (35000, 35000)),
        ([agreement(), eligibility(1, ("2020-01-01", None), plan_id="HMO"), order()], "NOT_ELIGIBLE", (35000, 35000)),
    ],
)
def test_a_pathway_selection_publishes_a_notice(
    facts: list[Json], reason: str, fees: tuple[int | None, int | None]
) -> None:
    (notice,) = (notice for step in Core().take_all(facts) for notice in step.notices)
    eligible = reason == "ELIGIBLE"
    assert (notice["reason"], notice["eligible"]) == (reason, eligible)
    assert notice["procedure_codes"] == (["S0353", "S0354"] if eligible else [])
    assert (notice["s0353_fee_cents"], notice["s0354_fee_cents"]) == fees
    assert (notice["effective_from"], notice["effective_to"], notice["max_months"]) == ("2024-01-02", "2024-12-31", 6)
    assert notice["caused_by"] == "order-O1-1"


@pytest.mark.parametrize(
    ("facts", "explanation"),
    [
        (
            [agreement(), order()],
            "Order O1 is on the pathway: S0353 is payable once and S0354 for up to 6 months, from the onset of treatment, "
            "for services from 2024-01-02 to 2024-12-31.",
        ),
        (
            [agreement(), order(effective_to=None)],
            "Order O1 is on the pathway: S0353 is payable once and S0354 for up to 6 months, from the onset of treatment, "
            "for services from 2024-01-02.",
        ),
        (
            [order(status="WITHDRAWN", withdrawn_from="2024-03-01")],
            "Order O1 is withdrawn from 2024-03-01: the S-codes are not payable from that day.",
        ),
        (
            [order(on_pathway=False)],
            "Order O1 selects a regimen that is not on the pathway: the S-codes are bundled.",
        ),
        ([order()], "Order O1: the ordering provider is not in network for plan PPO on 2024-01-02."),
        (
            [agreement(), eligibility(1), order()],
            "Order O1: the member has no coverage under plan PPO on 2024-01-02.",
        ),
    ],
)
def test_a_notice_explains_itself(facts: list[Json], explanation: str) -> None:
    (notice,) = (notice for step in Core().take_all(facts) for notice in step.notices)
    assert notice["explanation"] == explanation
