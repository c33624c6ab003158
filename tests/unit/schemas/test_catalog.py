"""The schemas are what they promise to be: readable by others, described field by field, and never changed by accident."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import avro.schema
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas import catalog
from streams import events

GOLDEN = [json.loads(line) for line in Path(__file__).with_name("golden.jsonl").read_text("utf-8").splitlines()]

every_version = pytest.mark.parametrize("version", catalog.VERSIONS, ids=lambda version: version.file)


def avsc(version: catalog.SchemaVersion) -> str:
    return files("schemas").joinpath(version.file).read_text("utf-8")


@every_version
def test_apaches_own_package_reads_it(version: catalog.SchemaVersion) -> None:
    schema = avro.schema.parse(avsc(version))
    assert isinstance(schema, avro.schema.RecordSchema)
    assert schema.namespace == "pathway_billing.events"


@every_version
def test_every_record_and_field_says_what_it_is(version: catalog.SchemaVersion) -> None:
    for record in _records(json.loads(avsc(version))):
        assert record["doc"].endswith(".")
        for field in record["fields"]:
            assert field["doc"].endswith("."), (record["name"], field["name"])
            if field["name"].endswith("_cents"):
                assert "cents" in field["doc"]


@every_version
def test_dates_and_instants_say_so(version: catalog.SchemaVersion) -> None:
    for record in _records(json.loads(avsc(version))):
        for field in record["fields"]:
            if _records(field["type"]):
                continue  # its fields are looked at by themselves
            is_date = field["name"].endswith(("_date", "_from", "_date_to", "effective_to"))
            assert is_date == ('"logicalType": "date"' in json.dumps(field["type"])), field["name"]
            assert field["name"].endswith("_at") == ("timestamp-micros" in json.dumps(field["type"])), field["name"]


@every_version
def test_an_optional_field_is_null_by_default(version: catalog.SchemaVersion) -> None:
    for record in _records(json.loads(avsc(version))):
        for field in record["fields"]:
            if isinstance(field["type"], list):
                assert field["type"][0] == "null"
                assert field["default"] is None


def test_no_two_schemas_share_an_id_or_a_record_name() -> None:
    ids = [version.id for version in catalog.VERSIONS]
    assert len(set(ids)) == len(ids)
    names = [record["name"] for event in catalog.NEWEST for record in _records(json.loads(avsc(catalog.NEWEST[event])))]
    assert len(set(names)) == len(names)  # else generated classes of two events would clash


def test_every_schema_file_is_in_the_catalog() -> None:
    in_package = {file.name for file in files("schemas").iterdir() if file.name.endswith(".avsc")}
    assert in_package == {version.file for version in catalog.VERSIONS}


def test_every_version_has_a_golden_record() -> None:
    assert [golden["id"] for golden in GOLDEN] == [version.id for version in catalog.VERSIONS]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: str(golden["id"]))
def test_what_was_ever_written_stays_readable(golden: dict[str, Any]) -> None:
    """Never edit a line of golden.jsonl: a schema that has to change gets a new id, a new file and a new line."""
    version = next(version for version in catalog.VERSIONS if version.id == golden["id"])
    canonical = to_parsing_canonical_form(catalog.schema(version.file))
    assert fingerprint(canonical, "SHA-256") == golden["fingerprint"]
    value = bytes.fromhex(golden["value"])
    if version.event == events.DECISION:
        assert events.decision_to_json(events.decision_from_avro(value)) == golden["event"]
        assert events.decision_to_avro(events.decision_from_json(golden["event"])) == value
    elif version.event == events.NOTICE:
        assert events.notice_to_json(events.notice_from_avro(value)) == golden["event"]
        assert events.notice_to_avro(events.notice_from_json(golden["event"])) == value
    else:
        assert events.fact_to_json(events.fact_from_avro(version.event, value)) == golden["event"]
        assert events.fact_to_avro(events.fact_from_json(golden["event"]))[2] == value


def _records(schema: Any) -> list[Any]:
    """The record schemas within a schema, itself included."""
    if isinstance(schema, list):
        return [record for branch in schema for record in _records(branch)]
    if not isinstance(schema, dict):
        return []
    inside = [record for field in schema.get("fields", ()) for record in _records(field["type"])]
    return ([schema] if schema["type"] == "record" else []) + inside + _records(schema.get("items"))
