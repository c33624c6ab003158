"""Every way in which a log can be wrong, made on purpose: verification must find it and name it."""

from collections.abc import Callable
from typing import Any

import pytest

from streams.adjudication.decisions import Evidence
from streams.adjudication.fold import Step
from streams.agents.patient_state import StoredPatient
from streams.events import notice_from_avro, notice_to_avro
from streams.generator import history
from streams.runtime.dead_letters import OFFSET_HEADER, REASON_HEADER, TOPIC_HEADER
from streams.topics import (
    BILLING_DECISIONS,
    CLAIM_RECEIVED,
    DEAD_LETTERS,
    ELIGIBILITY_NOTICES,
    PATHWAY_SELECTED,
    PROVIDER_AGREEMENT,
)
from streams.verification.anomalies import Kind
from tests import facts
from tests.unit.verification.system import System, sentences


@pytest.fixture
def system() -> System:
    """A patient with a paid S0353, an S0354 that was paid and then denied, a refused claim and an unreadable record."""
    system = System()
    system.play(
        facts.agreement(),
        facts.order(),
        facts.start(),
        facts.s_line("B", "S0354", "2024-02-06"),
    )
    system.play(facts.s_line("A", "S0353", "2024-01-08", received_date="2024-02-08"))
    system.append(CLAIM_RECEIVED, b"pt-0001", b"not Avro", (("note", b"of the sender"),))
    system.play(facts.s_line("C", "S0354", "2024-03-20", payer_id="HP999"))
    return system


def test_an_untouched_log_is_right(system: System) -> None:
    findings, check = system.verify()
    assert not sentences(findings)
    counts = check.counts
    assert (counts.lines, counts.decisions, counts.patients, counts.dead_letters, counts.notices) == (2, 3, 1, 2, 1)
    assert counts.paid_cents == counts.changes_cents == 35000


def test_a_whole_year_is_right() -> None:
    """Every outcome and reason, conflicts, wrong payers, late and repeated facts, re-adjudications."""
    system = System()
    for fact in history(210, 11):
        system.play(fact)
    findings, check = system.verify()
    assert not sentences(findings)
    assert check.counts.lines > 500
    assert check.counts.dead_letters


def test_facts_in_another_partition_than_their_keys_must_have_dead_letters_and_no_decision() -> None:
    """What another partitioner than murmur2 has brought."""
    system = System(partitions=3)
    for fact in history(30, 11):
        system.play(fact)
    findings, check = system.verify()
    assert not sentences(findings)
    assert 0 < check.counts.patients < 30
    letters = [dict(letter.headers)[REASON_HEADER] for letter in system.topics[DEAD_LETTERS]]
    assert letters.count(b"KEY_MISMATCH") > 100

    unchecked = System(partitions=1)
    unchecked.play(facts.agreement(), facts.order(), facts.start(), facts.s_line("A", "S0353", "2024-01-08"))
    unchecked.partitions = 12
    assert {Kind.PHANTOM, Kind.MISROUTED} <= unchecked.kinds()


Damage = Callable[[System], Any]


def _lose_last_decision(system: System) -> None:
    system.drop(BILLING_DECISIONS, system.index_of("B", version=2))


def _lose_only_decision(system: System) -> None:
    system.drop(BILLING_DECISIONS, system.index_of("A"))


def _lose_first_version(system: System) -> None:
    system.drop(BILLING_DECISIONS, system.index_of("B", version=1))


def _repeat_a_version(system: System) -> None:
    system.repeat(BILLING_DECISIONS, system.index_of("B", version=2))


def _jump_a_version(system: System) -> None:
    system.rewrite(system.index_of("B", version=2), version=3)


def _pay_other_amount(system: System) -> None:
    a = system.index_of("A")
    system.rewrite(a, paid_cents=34000, allowed_cents=35000, change_cents=34000, member_owes_cents=1000)


def _take_back_too_little(system: System) -> None:
    b = system.index_of("B", version=2)
    system.rewrite(b, paid_before_cents=34000, change_cents=-34000)


def _supersede_another(system: System) -> None:
    system.rewrite(system.index_of("B", version=2), supersedes="0" * 32)


def _supersede_something_first(system: System) -> None:
    system.rewrite(system.index_of("A"), supersedes="0" * 32)


def _change_evidence(system: System) -> None:
    system.rewrite(system.index_of("B", version=2), evidence=(Evidence("claim-line", "A/1", "S0353 on another day"),))


def _change_evidence_without_a_new_id(system: System) -> None:
    system.rewrite(system.index_of("B", version=2), sign=False, next_payable_date=None)


def _decide_an_unknown_line(system: System) -> None:
    system.repeat(BILLING_DECISIONS, system.index_of("A"))
    system.rewrite(-1, claim_id="Z")


def _decide_an_unknown_patient(system: System) -> None:
    system.repeat(BILLING_DECISIONS, system.index_of("A"))
    system.rewrite(-1, patient_id="pt-9999")


def _name_an_uncommitted_cause(system: System) -> None:
    system.rewrite(system.index_of("A"), caused_by="event-of-an-aborted-transaction")


def _name_an_unknown_agreement(system: System) -> None:
    index = system.index_of("A")
    (ref,) = system.decisions[index].agreements
    system.rewrite(index, agreements=(ref._replace(version=9),))


def _decide_under_another_key(system: System) -> None:
    records = system.topics[BILLING_DECISIONS]
    records[0] = records[0]._replace(key=b"pt-0002")


def _cut_a_decision(system: System) -> None:
    records = system.topics[BILLING_DECISIONS]
    records[0] = records[0]._replace(value=(records[0].value or b"")[:-3])


def _lose_a_dead_letter(system: System) -> None:
    system.drop(DEAD_LETTERS, 0)


def _repeat_a_dead_letter(system: System) -> None:
    system.repeat(DEAD_LETTERS, 0)


def _bury_a_good_record(system: System) -> None:
    record = system.topics[DEAD_LETTERS][0]
    good = system.topics[CLAIM_RECEIVED][0]
    headers = tuple(
        (name, str(good.offset).encode() if name == OFFSET_HEADER else value) for name, value in record.headers
    )
    system.append(DEAD_LETTERS, good.key, good.value, headers)


def _give_another_reason(system: System) -> None:
    record = system.topics[DEAD_LETTERS][0]
    headers = tuple((name, b"INVALID" if name == REASON_HEADER else value) for name, value in record.headers)
    system.topics[DEAD_LETTERS][0] = record._replace(headers=headers)


def _touch_a_dead_letters_value(system: System) -> None:
    system.topics[DEAD_LETTERS][0] = system.topics[DEAD_LETTERS][0]._replace(value=b"mended")


def _drop_a_dead_letters_header(system: System) -> None:
    record = system.topics[DEAD_LETTERS][0]
    headers = tuple(header for header in record.headers if header[0] != "note")
    system.topics[DEAD_LETTERS][0] = record._replace(headers=headers)


def _forget_where_a_dead_letter_is_from(system: System) -> None:
    record = system.topics[DEAD_LETTERS][0]
    headers = tuple(header for header in record.headers if header[0] != TOPIC_HEADER)
    system.topics[DEAD_LETTERS][0] = record._replace(headers=headers)


def _lose_a_notice(system: System) -> None:
    system.drop(ELIGIBILITY_NOTICES, 0)


def _repeat_a_notice(system: System) -> None:
    system.repeat(ELIGIBILITY_NOTICES, 0)


def _promise_too_much_in_a_notice(system: System) -> None:
    record = system.topics[ELIGIBILITY_NOTICES][0]
    notice = notice_from_avro(record.value)._replace(max_months=12)
    system.topics[ELIGIBILITY_NOTICES][0] = record._replace(value=notice_to_avro(notice))


def _lose_the_order_of_a_notice(system: System) -> None:
    system.drop(PATHWAY_SELECTED, 0)


def _forget_a_patient(system: System) -> None:
    system.table.clear()


def _forget_a_fact_in_the_table(system: System) -> None:
    stored = StoredPatient.load("pt-0001", system.table.get)
    other = stored.record.claims["A"] = stored.record.claims["A"]._replace(patient_control_number="other")
    stored.touch(other, Step())
    stored.store(system.table.__setitem__)


def _set_the_table_back(system: System) -> None:
    """As if the last transaction's table had been lost, but not its decisions."""
    stored = StoredPatient.load("pt-0001", system.table.get)
    position = stored.record.positions["B", 1]
    stored.record.positions["B", 1] = position._replace(version=1)
    stored.touch(stored.record.claims["B"], Step())
    stored.store(system.table.__setitem__)


def _change_a_ruling_in_the_table(system: System) -> None:
    stored = StoredPatient.load("pt-0001", system.table.get)
    position = stored.record.positions["A", 1]
    stored.record.positions["A", 1] = position._replace(ruling=position.ruling._replace(paid_cents=1))
    stored.touch(stored.record.claims["A"], Step())
    stored.store(system.table.__setitem__)


def _damage_the_table(system: System) -> None:
    system.table[b"pt-0001"] = system.table[b"pt-0001"][:-5]


def _make_up_a_patient(system: System) -> None:
    system.table[b"pt-0002"] = system.table[b"pt-0001"]


def _leave_a_segment_behind(system: System) -> None:
    system.table[b"pt-0002\x001"] = b"\x01"


DAMAGES: list[tuple[Damage, set[Kind]]] = [
    (_lose_last_decision, {Kind.WRONG_VALUE, Kind.LOST_WRITE}),
    (_lose_only_decision, {Kind.LOST_WRITE}),
    (_lose_first_version, {Kind.LOST_WRITE, Kind.LOST_UPDATE}),
    (_repeat_a_version, {Kind.DUPLICATE}),
    (_jump_a_version, {Kind.LOST_WRITE, Kind.TORN_TRANSACTION}),
    (_pay_other_amount, {Kind.WRONG_VALUE, Kind.CORRUPT_RECORD, Kind.TORN_TRANSACTION}),
    (_take_back_too_little, {Kind.LOST_UPDATE, Kind.TORN_TRANSACTION}),
    (_supersede_another, {Kind.LOST_UPDATE, Kind.TORN_TRANSACTION}),
    (_supersede_something_first, {Kind.LOST_UPDATE, Kind.TORN_TRANSACTION}),
    (_change_evidence, {Kind.WRONG_VALUE, Kind.TORN_TRANSACTION}),
    (_change_evidence_without_a_new_id, {Kind.WRONG_VALUE, Kind.CORRUPT_RECORD}),
    (_decide_an_unknown_line, {Kind.PHANTOM, Kind.TORN_TRANSACTION}),
    (_decide_an_unknown_patient, {Kind.PHANTOM, Kind.MISROUTED, Kind.ABORTED_READ}),
    (_name_an_uncommitted_cause, {Kind.ABORTED_READ}),
    (_name_an_unknown_agreement, {Kind.ABORTED_READ, Kind.STALE_READ, Kind.WRONG_VALUE, Kind.TORN_TRANSACTION}),
    (_decide_under_another_key, {Kind.MISROUTED}),
    (_cut_a_decision, {Kind.CORRUPT_RECORD, Kind.LOST_WRITE, Kind.LOST_UPDATE}),
    (_lose_a_dead_letter, {Kind.LOST_WRITE}),
    (_repeat_a_dead_letter, {Kind.DUPLICATE}),
    (_bury_a_good_record, {Kind.PHANTOM}),
    (_give_another_reason, {Kind.WRONG_VALUE}),
    (_touch_a_dead_letters_value, {Kind.WRONG_VALUE}),
    (_drop_a_dead_letters_header, {Kind.WRONG_VALUE}),
    (_forget_where_a_dead_letter_is_from, {Kind.CORRUPT_RECORD, Kind.LOST_WRITE}),
    (_lose_a_notice, {Kind.LOST_WRITE}),
    (_repeat_a_notice, {Kind.DUPLICATE}),
    (_promise_too_much_in_a_notice, {Kind.WRONG_VALUE}),
    (_lose_the_order_of_a_notice, {Kind.PHANTOM, Kind.WRONG_VALUE}),
    (_forget_a_patient, {Kind.LOST_WRITE}),
    (_forget_a_fact_in_the_table, {Kind.WRONG_VALUE}),
    (_set_the_table_back, {Kind.TORN_TRANSACTION}),
    (_change_a_ruling_in_the_table, {Kind.WRONG_VALUE}),
    (_damage_the_table, {Kind.CORRUPT_RECORD}),
    (_make_up_a_patient, {Kind.PHANTOM}),
    (_leave_a_segment_behind, {Kind.PHANTOM}),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES, ids=[damage.__name__.strip("_") for damage, _ in DAMAGES])
def test_each_damage_is_found_and_named(system: System, damage: Damage, expected: set[Kind]) -> None:
    damage(system)
    assert system.kinds() == expected


def test_sentences_and_ids_are_apart(system: System) -> None:
    """A sentence is printed as it is: it must not hold what masking is there to hide."""
    _lose_only_decision(system)
    _pay_other = system.verify()[0]
    assert _pay_other.first[0].patient_id == "pt-0001"
    assert _pay_other.first[0].subject == "A/1"
    assert all("pt-0001" not in sentence for sentence in sentences(_pay_other))


def test_what_was_paid_before_is_compared_with_the_version_before(system: System) -> None:
    _take_back_too_little(system)
    assert "paid_before_cents is not what the version before pays" in sentences(system.verify()[0])


def test_only_the_first_findings_are_kept_and_all_are_counted(system: System) -> None:
    for _ in range(30):
        system.repeat(DEAD_LETTERS, 0)
    findings, _ = system.verify()
    assert len(findings) == 30
    assert len(findings.first) == 20


def test_a_conflict_is_settled_by_the_order_in_its_topic(system: System) -> None:
    system.play(facts.s_line("A", "S0353", "2024-01-09", received_date="2024-02-08"))
    assert not sentences(system.verify()[0])
    claims = system.topics[CLAIM_RECEIVED]
    first, conflicting = claims[1], claims[-1]
    claims[1], claims[-1] = first._replace(value=conflicting.value), conflicting._replace(value=first.value)
    assert Kind.WRONG_VALUE in system.kinds()


class TestAgreements:
    """A changed agreement does not touch decisions by itself (rules.md section 5)."""

    def test_patients_that_await_readjudication_are_listed_apart(self, system: System) -> None:
        system.play(facts.agreement(version=2, s0353_fee_cents=30000))
        findings, check = system.verify()
        assert not sentences(findings)
        assert check.awaiting == ["pt-0001"]
        system.play(facts.readjudication())
        findings, check = system.verify()
        assert not sentences(findings)
        assert check.awaiting == []

    def test_the_patients_next_fact_decides_under_the_newest(self, system: System) -> None:
        system.play(facts.agreement(version=2, s0353_fee_cents=30000))
        system.play(facts.s_line("D", "S0354", "2024-04-20"))
        findings, check = system.verify()
        assert not sentences(findings)
        assert check.awaiting == []

    def test_a_first_agreement_that_came_later_is_not_held_against_decisions_before_it(self) -> None:
        system = System()
        system.play(facts.order(), facts.start(), facts.s_line("A", "S0353", "2024-01-08"))
        system.play(facts.agreement())
        findings, check = system.verify()
        assert not sentences(findings)
        assert check.awaiting == ["pt-0001"]

    def test_a_request_that_did_not_wait_for_its_agreements_is_a_stale_read(self, system: System) -> None:
        system.publish([facts.agreement(version=2, s0353_fee_cents=30000)])
        through = {"0": system.topics[PROVIDER_AGREEMENT][-1].offset}
        kept = system.topics[PROVIDER_AGREEMENT].pop()
        system.play({**facts.readjudication(), "agreements_through": through})
        system.topics[PROVIDER_AGREEMENT].append(kept)
        assert system.kinds() == {Kind.STALE_READ}

    def test_two_versions_of_one_agreement_in_a_patients_current_decisions(self, system: System) -> None:
        system.play(facts.agreement(version=2, s0353_fee_cents=30000))
        index = system.index_of("A")
        (ref,) = system.decisions[index].agreements
        system.rewrite(index, agreements=(ref._replace(version=2),))
        assert Kind.STALE_READ in system.kinds()


class TestWhileTheLaneWorks:
    """Outputs that came after the position was read are neither counted nor held against the facts."""

    def test_facts_that_wait_are_counted_and_not_missed(self, system: System) -> None:
        system.publish([facts.s_line("D", "S0354", "2024-04-20"), facts.order("O2")])
        findings, check = system.verify()
        assert not sentences(findings)
        assert check.counts.waiting == 2

    def test_outputs_behind_the_position(self, system: System) -> None:
        positions, table = dict(system.positions), dict(system.table)
        system.play(
            facts.s_line("D", "S0354", "2024-04-20"),
            facts.order("O2"),
            facts.s_line("E", "S0354", "2024-05-30", payer_id="X"),
        )
        lines_after = system.verify()[1].counts.lines
        system.positions, system.table = positions, table
        findings, check = system.verify()
        assert not sentences(findings)
        assert check.counts.lines == lines_after - 1

    def test_a_repeat_that_waits_hides_nothing_that_was_decided_before(self, system: System) -> None:
        system.publish([facts.s_line("B", "S0354", "2024-02-06")])
        findings, check = system.verify()
        assert not sentences(findings)
        assert (check.counts.waiting, check.counts.decisions) == (1, 3)

    def test_an_output_behind_the_position_that_no_fact_accounts_for(self, system: System) -> None:
        positions, table = dict(system.positions), dict(system.table)
        system.play(facts.s_line("D", "S0354", "2024-04-20"))
        system.positions, system.table = positions, table
        system.rewrite(system.index_of("D"), caused_by="something-else")
        assert {Kind.PHANTOM, Kind.ABORTED_READ} <= system.kinds()
