"""The peer: stock Faust, as its documentation teaches it, around the same codec, the same fold and the same patient state.

    python -m benchmarks.stock_faust BOOTSTRAP_SERVERS FACTS.jsonl DATA_DIR worker -l warn --without-web

One agent over all fact topics, one table, `await topic.send()` for each decision, Faust's default settings (at least once). In its
favour: the agreements are read from the file before it starts, instead of being followed, and decoded patients stay in memory
without a bound. What it does not give: see docs/adr/0001.
"""

import sys
from pathlib import Path

import faust

from streams.adjudication.facts import Claim, ProviderAgreement
from streams.adjudication.fold import fold
from streams.agents.patient_state import StoredPatient
from streams.events import decision_headers, decision_to_avro, fact_from_avro, notice_to_avro, read_jsonl
from streams.offline import OfflineEngine
from streams.policy_files import load_policy
from streams.topics import BILLING_DECISIONS, ELIGIBILITY_NOTICES, FACT_TOPICS

APP_ID = "stock-faust"
PARTITIONS = 12


def build(bootstrap_servers: str, facts_file: Path, data_dir: Path) -> faust.App:
    engine = OfflineEngine(load_policy())
    with facts_file.open("rb") as lines:
        for _, fact in read_jsonl(lines):
            if isinstance(fact, ProviderAgreement):
                engine.admit(fact)

    app = faust.App(
        APP_ID,
        broker=f"kafka://{bootstrap_servers}",
        store="memory://",
        datadir=str(data_dir),
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
    )
    facts = app.topic(*FACT_TOPICS, key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    decisions = app.topic(BILLING_DECISIONS, key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    notices = app.topic(ELIGIBILITY_NOTICES, key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    table = app.Table("patients", key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    patients: dict[str, StoredPatient] = {}

    @app.agent(facts)
    async def adjudicate(stream):  # type: ignore[no-untyped-def]
        async for event in stream.events():
            fact = fact_from_avro(event.message.topic, event.value)
            patient = patients.get(fact.patient_id)
            if patient is None:
                patient = patients[fact.patient_id] = StoredPatient.load(fact.patient_id, table.get)
            step = fold(patient.record, fact, engine.agreements, engine.policy)
            if step.changed:
                if isinstance(fact, Claim):
                    patient.touch_claims((fact.claim_id,))
                else:
                    patient.touch_head()
                patient.touch_claims(decision.claim_id for decision in step.decisions)
                patient.store(table.__setitem__)
            for decision in step.decisions:
                headers = dict(decision_headers(decision))
                await decisions.send(key=event.key, value=decision_to_avro(decision), headers=headers)
            for notice in step.notices:
                await notices.send(key=event.key, value=notice_to_avro(notice))

    return app


if __name__ == "__main__":
    servers, file, folder = sys.argv[1:4]
    application = build(servers, Path(file), Path(folder))
    sys.argv = [sys.argv[0], *sys.argv[4:]]
    application.main()
