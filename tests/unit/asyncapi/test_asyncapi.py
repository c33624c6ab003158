"""The AsyncAPI document is valid, complete, and what stands in docs/ is what is made today."""

import json
from pathlib import Path

import jsonschema
import pytest

from schemas import catalog
from streams import asyncapi
from streams.runtime import dead_letters
from streams.topics import INPUT_TOPICS, TOPICS

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = json.loads(Path(__file__).with_name("asyncapi-3.0.0.schema.json").read_text("utf-8"))


def test_the_published_schema_accepts_it() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(asyncapi.document())


@pytest.mark.parametrize("spoil", ["channels", "operations", "components"])
def test_the_published_schema_would_refuse_a_spoiled_one(spoil: str) -> None:
    document = asyncapi.document()
    next(iter(document[spoil].values()))["unheard-of"] = 1
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(document)


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi.document()

    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    for reference in references(document):
        part = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]


def test_every_topic_and_every_schema_is_in_it() -> None:
    document = asyncapi.document()
    assert set(document["channels"]) == {topic.name for topic in TOPICS}
    received = {name for name, operation in document["operations"].items() if operation["action"] == "receive"}
    assert received == {f"receive-{topic}" for topic in INPUT_TOPICS}
    for event in catalog.EVENTS:
        schema = document["components"]["messages"][event]["payload"]["schema"]
        assert schema == json.loads(catalog.text(f"{event}.avsc"))


@pytest.mark.parametrize(("file", "made"), [("asyncapi.json", asyncapi.document_text), ("asyncapi.md", asyncapi.page)])
def test_what_is_in_docs_is_fresh(file: str, made: object) -> None:
    assert callable(made)
    assert (DOCS / file).read_text("utf-8") == made(), f"docs/{file} is not up to date: run `make asyncapi`"


def test_the_headers_of_dead_letters_are_named() -> None:
    for name in (dead_letters.REASON_HEADER, dead_letters.SENTENCE_HEADER, dead_letters.OFFSET_HEADER):
        assert f"`{name}`" in asyncapi.page()
