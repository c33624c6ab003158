"""Schemas only evolve compatibly, FULL_TRANSITIVE, against every version ever released; and what was released stays as it was."""

import copy
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import avro.io
import avro.schema
import pytest

from schemas import catalog
from streams import events
from tests.unit.schemas import evolution

VERSIONS = pytest.mark.parametrize(
    "version", catalog.VERSIONS, ids=lambda version: f"{version.event}-v{version.version}"
)


def golden(version: catalog.SchemaVersion) -> dict[str, Any]:
    return json.loads(catalog.text(version.file.replace(".avsc", ".golden.json")))


def today(event: str) -> str:
    return catalog.text(f"{event}.avsc")


@VERSIONS
def test_no_change_breaks_an_old_reader_or_an_old_record(version: catalog.SchemaVersion) -> None:
    found = evolution.problems(
        catalog.text(version.file), today(version.event), version=f"v{version.version}", subject=f"{version.event}.avsc"
    )
    assert not found, "\n".join(found)


@pytest.mark.parametrize("event", catalog.EVENTS)
def test_what_is_written_with_is_released(event: str) -> None:
    newest = catalog.NEWEST[event]
    following = newest._replace(id=newest.id + 1, version=newest.version + 1)
    assert today(event) == catalog.text(newest.file), (
        f"schemas/{event}.avsc differs from its newest release. To release it: copy it to schemas/{following.file}, add "
        f"{following} to VERSIONS in schemas/catalog.py, and keep a golden record beside it. To take it back: copy "
        f"schemas/{newest.file} over it."
    )


def test_versions_and_ids_count_up() -> None:
    for number, event in enumerate(catalog.EVENTS, start=1):
        of_event = [version for version in catalog.VERSIONS if version.event == event]
        assert [version.version for version in of_event] == list(range(1, len(of_event) + 1))
        assert [version.id for version in of_event] == [3530000 + number * 100 + v.version for v in of_event]
        assert catalog.NEWEST[event] == of_event[-1]


@VERSIONS
def test_what_was_released_is_never_edited(version: catalog.SchemaVersion) -> None:
    assert golden(version)["id"] == version.id
    found = hashlib.sha256(catalog.text(version.file).encode()).hexdigest()
    assert found == golden(version)["sha256"], (
        f"schemas/{version.file} was released: restore it, and make a new version"
    )


@VERSIONS
def test_what_was_ever_written_is_read_today(version: catalog.SchemaVersion) -> None:
    """Never edit a golden record: its bytes stand in somebody's Kafka."""
    value, event = bytes.fromhex(golden(version)["value"]), golden(version)["event"]
    assert to_json(version.event, value) == {**to_json(version.event, to_avro(version.event, event)), **event}
    if version == catalog.NEWEST[version.event]:
        assert to_avro(version.event, event) == value


@VERSIONS
def test_what_is_written_today_is_read_by_whoever_has_an_old_schema(version: catalog.SchemaVersion) -> None:
    value = to_avro(version.event, golden(version)["event"])
    old = avro.schema.parse(catalog.text(version.file))
    written = avro.schema.parse(today(version.event))
    read = avro.io.DatumReader(written, old).read(avro.io.BinaryDecoder(io.BytesIO(value[5:])))
    then = avro.io.DatumReader(old, old).read(
        avro.io.BinaryDecoder(io.BytesIO(bytes.fromhex(golden(version)["value"])[5:]))
    )
    assert read == then


# The check itself, with schemas broken on purpose

CLAIM = json.loads(today("claim-received"))


def field(schema: Any, name: str) -> Any:
    return next(field for field in schema["fields"] if field["name"] == name)


def line(schema: Any) -> Any:
    return field(schema, "lines")["type"]["items"]


def without(schema: Any, name: str) -> None:
    schema["fields"].remove(field(schema, name))


def found_after(change: Callable[[Any], object]) -> list[str]:
    changed = copy.deepcopy(CLAIM)
    change(changed)
    return evolution.problems(json.dumps(CLAIM), json.dumps(changed), version="v1", subject="claim-received.avsc")


@pytest.mark.parametrize(
    ("change", "where", "who"),
    [
        (lambda s: without(s, "claim_id"), "field claim_id: is in one of them alone", "a reader that has v1"),
        (
            lambda s: s["fields"].append({"name": "tax_id", "type": "string"}),
            "field tax_id: is in one",
            "a record of v1",
        ),
        (lambda s: field(s, "claim_id").update(name="claim_number"), "field claim_number: is in one", "a record of v1"),
        (lambda s: field(s, "claim_id").update(type=["null", "string"]), "field claim_id:", "a reader that has v1"),
        (lambda s: field(s, "order_id").update(type="string"), "field order_id:", "a record of v1"),
        (lambda s: line(s)["fields"].append({"name": "ndc", "type": "string"}), "field lines[].ndc:", "a record of v1"),
        (lambda s: field(line(s), "units").update(type="int"), "field lines[].units:", "a record of v1"),
        (lambda s: field(line(s), "units").update(type="double"), "field lines[].units:", "a reader that has v1"),
        (lambda s: field(line(s), "modifiers").update(type="string"), "field lines[].modifiers:", "a record of v1"),
        (lambda s: field(s, "received_date").update(type="int"), "received_date: logical type", "a record of v1"),
        (
            lambda s: field(s, "received_date").update(type={"type": "long", "logicalType": "timestamp-millis"}),
            "field received_date:",
            "a reader that has v1",
        ),
        (lambda s: line(s).update(name="ServiceLine"), "field lines[]: record ServiceLine", "a reader that has v1"),
        (lambda s: s.update(namespace="elsewhere"), None, None),  # Avro compares names without their namespaces
        (lambda s: field(s, "claim_id").update(doc="In other words."), None, None),
        (lambda s: s["fields"].append({"name": "ndc", "type": ["null", "string"], "default": None}), None, None),
        (lambda s: line(s)["fields"].append({"name": "ndc", "type": "string", "default": ""}), None, None),
        (lambda s: without(s, "order_id"), None, None),  # had a default
        (lambda s: s["fields"].reverse(), None, None),
    ],
)
def test_a_break_is_named_with_its_field_and_version(change: Any, where: str | None, who: str | None) -> None:
    found = found_after(change)
    if where is None or who is None:
        assert found == []
        return
    assert any(where in sentence and f"so {who} cannot" in sentence for sentence in found), found
    assert all(sentence.startswith("claim-received.avsc: ") for sentence in found)


def to_avro(event: str, in_json: dict[str, Any]) -> bytes:
    if event == events.DECISION:
        return events.decision_to_avro(events.decision_from_json(in_json))
    if event == events.NOTICE:
        return events.notice_to_avro(events.notice_from_json(in_json))
    if event == events.ACTION:
        return events.action_to_avro(events.action_from_json(in_json))
    return events.fact_to_avro(events.fact_from_json(in_json))[2]


def to_json(event: str, value: bytes) -> dict[str, Any]:
    if event == events.DECISION:
        return events.decision_to_json(events.decision_from_avro(value))
    if event == events.NOTICE:
        return events.notice_to_json(events.notice_from_avro(value))
    if event == events.ACTION:
        return events.action_to_json(events.action_from_avro(value))
    return events.fact_to_json(events.fact_from_avro(event, value))
