"""What should come out of Kafka, and whether it did: an offline fold of the same facts, compared line by line."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from projections.current_decisions import CurrentDecisions, LineId
from streams.adjudication.decisions import Decision
from streams.adjudication.facts import Cents, Fact, ProviderAgreement
from streams.adjudication.offline import OfflineEngine
from streams.adjudication.policy import Policy
from streams.events import HISTORY_FIELDS, topic_of
from streams.runtime.dead_letters import REASON_HEADER, TOPIC_HEADER

_NO_HISTORY: dict[str, Any] = dict.fromkeys(HISTORY_FIELDS)


class RefusedFact(NamedTuple):
    """A fact that belongs to the dead letters."""

    topic: str
    event_id: str
    reason: str


class Expectation(NamedTuple):
    """What an offline fold makes of a history."""

    patients: frozenset[str]
    current: dict[LineId, Decision]  # without their history fields
    refused: Counter[RefusedFact]


def expect(facts: Iterable[Fact], policy: Policy) -> Expectation:
    """Fold a history offline, as `adjudicate` does."""
    patients: set[str] = set()
    current = CurrentDecisions()
    refused: Counter[RefusedFact] = Counter()
    for folded in OfflineEngine(policy).fold_all(facts):
        fact, step = folded.fact, folded.step
        if not isinstance(fact, ProviderAgreement):
            patients.add(fact.patient_id)
        for decision in step.decisions:
            current.add(decision)
        if step.refusal is not None:
            refused[RefusedFact(topic_of(fact), fact.event_id, step.refusal.reason)] += 1
    return Expectation(frozenset(patients), {line_of(d): without_history(d) for d in current}, refused)


def line_of(decision: Decision) -> LineId:
    """The claim line that a decision is about."""
    return (decision.patient_id, decision.claim_id, decision.line_number)


def without_history(decision: Decision) -> Decision:
    """A decision without the fields that tell how it came about: those may depend on the order of arrival."""
    return decision._replace(**_NO_HISTORY)


def refused_fact(dead_letter: Any) -> RefusedFact:
    """What a record of `dead-letters` says was refused."""
    headers = {name: value.decode() for name, value in dead_letter.headers}
    return RefusedFact(headers[TOPIC_HEADER], headers["ce_id"], headers[REASON_HEADER])


def differences(
    expected: Expectation, current: CurrentDecisions, published_change_cents: Cents, refused: Counter[RefusedFact]
) -> Iterator[str]:
    """Every way in which what came out of Kafka is not what was expected, a sentence each; none, if all is right."""
    found = {line_of(decision): without_history(decision) for decision in current}
    for line in sorted(expected.current.keys() | found.keys()):
        wanted, got = expected.current.get(line), found.get(line)
        if wanted != got:
            yield f"claim line {line[1]}/{line[2]}: {_difference(wanted, got)}"
    for fact in sorted((expected.refused - refused).elements()):
        yield f"{fact.topic} {fact.event_id}: should be in the dead letters as {fact.reason}, and is not"
    for fact in sorted((refused - expected.refused).elements()):
        yield f"{fact.topic} {fact.event_id}: is in the dead letters as {fact.reason}, and should not be"
    if published_change_cents != current.paid_cents:
        yield f"the published changes add up to {published_change_cents} cents, but {current.paid_cents} are paid now"


def _difference(wanted: Decision | None, got: Decision | None) -> str:
    if wanted is None or got is None:
        there, where = (wanted, "the offline fold") if got is None else (got, "Kafka")
        assert there is not None, "a line that is in neither place was compared"
        return f"{there.outcome} {there.reason} in {where} only"
    fields = [name for name, a, b in zip(wanted._fields, wanted, got, strict=True) if a != b]
    return (
        f"{wanted.outcome} {wanted.reason} in the offline fold, {got.outcome} {got.reason} in Kafka "
        f"(they differ in {', '.join(fields)})"
    )
