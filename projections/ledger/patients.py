"""All that is on record of a patient, as facts again, from the ledger."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from projections.ledger.rows import clean
from projections.ledger.tables import facts, patient_timeline
from streams.adjudication.facts import Claim, Fact, PathwaySelection
from streams.events import fact_from_json
from streams.topics import PROVIDER_AGREEMENT


def patient_facts(connection: Connection, patient_id: str, *npis: str) -> list[Fact]:
    """The facts of a patient that were taken in, and the agreements of every provider in them and of these.

    In the order in which each topic has them; between topics no order is needed (docs/spec/rules.md, section 1).
    """
    timeline = patient_timeline.c
    of_patient = [
        fact_from_json(event)
        for event in connection.scalars(
            select(timeline.event)
            .where(timeline.patient_id == clean(patient_id), timeline.refused.is_(None))
            .order_by(timeline.kafka_topic, timeline.kafka_partition, timeline.kafka_offset)
        )
    ]
    providers = sorted({*npis, *_providers(of_patient)})
    agreements = connection.scalars(
        select(facts.c.event)
        .where(facts.c.kafka_topic == PROVIDER_AGREEMENT, facts.c.ref.in_(providers))
        .order_by(facts.c.kafka_partition, facts.c.kafka_offset)
    )
    return [*map(fact_from_json, agreements), *of_patient]


def _providers(of_patient: list[Fact]) -> Iterator[str]:
    for fact in of_patient:
        if isinstance(fact, Claim):
            yield fact.billing_npi
        elif isinstance(fact, PathwaySelection):
            yield fact.ordering_npi
