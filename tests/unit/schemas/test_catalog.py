"""The schemas are what they promise to be: readable by others, described field by field, and never changed by accident."""

import json
from importlib.resources import files
from typing import Any

import avro.schema
import pytest

from schemas import catalog

every_version = pytest.mark.parametrize("version", catalog.VERSIONS, ids=lambda version: version.file)


def avsc(version: catalog.SchemaVersion) -> str:
    return catalog.text(version.file)


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
    assert in_package == {f"{event}.avsc" for event in catalog.EVENTS}
    folders = files("schemas").joinpath("released").iterdir()
    released = {f"released/{folder.name}/{file.name}" for folder in folders for file in folder.iterdir()}
    assert {name for name in released if name.endswith(".avsc")} == {version.file for version in catalog.VERSIONS}


def _records(schema: Any) -> list[Any]:
    """The record schemas within a schema, itself included."""
    if isinstance(schema, list):
        return [record for branch in schema for record in _records(branch)]
    if not isinstance(schema, dict):
        return []
    inside = [record for field in schema.get("fields", ()) for record in _records(field["type"])]
    return ([schema] if schema["type"] == "record" else []) + inside + _records(schema.get("items"))
