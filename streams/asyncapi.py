"""The AsyncAPI 3 document of the contract, and a page of it for people: made from the topics and the schemas, never by hand.

`make asyncapi` writes both into docs/; a test compares them with what is made here.
"""

import json
from importlib.metadata import version
from typing import Any

from schemas import catalog
from streams.runtime.dead_letters import (
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    SENTENCE_HEADER,
    TOPIC_HEADER,
    Reason,
)
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, INPUT_TOPICS, TOPICS, Topic

BINDING_VERSION = "0.5.0"
_AVRO = "application/vnd.apache.avro;version=1.9.0"
_EVENT_OF = {topic: event for event, topic in catalog.TOPICS.items()}

_HEADERS = {
    "ce_id": "CloudEvents id: the event_id of a fact, the decision_id of a decision.",
    "ce_type": "CloudEvents type: the event's name, such as claim-received.",
    "ce_source": "CloudEvents source: who published, as a URI reference.",
    "ce_specversion": "1.0.",
    "ce_time": "CloudEvents time, RFC 3339. Decisions and notices have none: they hold no clock reading.",
    "content-type": "application/avro.",
    "traceparent": "W3C trace context; passed on to what the event causes.",
}
_DEAD_LETTER_HEADERS = {
    REASON_HEADER: f"Why, as a code: {', '.join(Reason)}.",
    SENTENCE_HEADER: "Why, in a sentence without any of the content.",
    TOPIC_HEADER: "The topic that the record came from.",
    PARTITION_HEADER: "Its partition there.",
    OFFSET_HEADER: "Its offset there.",
}


def document() -> dict[str, Any]:
    """The AsyncAPI document. What the worker receives and sends is said from its side, as AsyncAPI 3 has it."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:pathway-billing",
        "info": {
            "title": "pathway-billing",
            "version": version("pathway-billing"),
            "description": (
                "Decides S0353 and S0354 claim lines from events. Facts come in, decisions and eligibility notices go out. "
                "Read decisions with isolation.level=read_committed, keep the highest version of each claim line, move what "
                "change_cents says."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/avro",
        "servers": {
            "kafka": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "The embedded broker; yours in production.",
            }
        },
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {_operation_name(topic): _operation(topic) for topic in TOPICS},
        "components": {"messages": {_message_name(topic): _message(topic) for topic in TOPICS}},
    }


def document_text() -> str:
    """docs/asyncapi.json."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    """docs/asyncapi.md: the same for people."""
    parts = [
        "# The events, topic by topic",
        "Made from the topics and schemas by `make asyncapi`; do not edit. For machines: [asyncapi.json](asyncapi.json) "
        "(AsyncAPI 3). What the events mean and promise: [spec/events.md](spec/events.md).",
        "Values are Avro in the Confluent wire format: a zero byte, the schema's id in four bytes (big-endian), the body. Subjects "
        "follow TopicNameStrategy. Keys are plain UTF-8 text; a key's partition is Java's murmur2 of it.",
        "Headers, all optional on input:",
        _header_table(_HEADERS),
        "\n".join(
            [
                "| topic | key | written by | content |",
                "|---|---|---|---|",
                *(f"| [{t.name}](#{t.name}) | {t.key} | {t.written_by} | {t.content} |" for t in TOPICS),
            ]
        ),
    ]
    for topic in TOPICS:
        parts += [f"## {topic.name}", _summary(topic)]
        if topic.name == DEAD_LETTERS:
            parts += [
                "Key, value and headers as they came, and these headers besides:",
                _header_table(_DEAD_LETTER_HEADERS),
            ]
        if topic.name in _EVENT_OF:
            newest = catalog.NEWEST[_EVENT_OF[topic.name]]
            parts.append(
                f"Subject `{catalog.subject(newest.event)}`, version {newest.version}, fixed id {newest.id} without a registry."
            )
            parts += _tables(_schema(topic))
            parts.append(f"As JSON, for files and people:\n\n```json\n{_example(topic)}\n```")
    return "\n\n".join(parts) + "\n"


def _channel(topic: Topic) -> dict[str, Any]:
    settings = Settings()
    return {
        "address": topic.name,
        "description": _summary(topic),
        "messages": {_message_name(topic): {"$ref": f"#/components/messages/{_message_name(topic)}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": settings.partitions,
                "replicas": settings.replication_factor,
                "topicConfiguration": {
                    "cleanup.policy": ["compact" if topic.compacted else "delete"],
                    "retention.ms": -1,
                    "retention.bytes": -1,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operation(topic: Topic) -> dict[str, Any]:
    return {
        "action": "receive" if topic.name in INPUT_TOPICS else "send",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": _summary(topic),
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{_message_name(topic)}"}],
    }


def _operation_name(topic: Topic) -> str:
    return f"{'receive' if topic.name in INPUT_TOPICS else 'send'}-{topic.name}"


def _message_name(topic: Topic) -> str:
    return _EVENT_OF.get(topic.name) or topic.name.removesuffix("s")


def _message(topic: Topic) -> dict[str, Any]:
    kafka: dict[str, Any] = {"key": {"type": "string", "description": topic.key}, "bindingVersion": BINDING_VERSION}
    if topic.name == DEAD_LETTERS:
        return {
            "name": _message_name(topic),
            "title": "A record that could not be used",
            "summary": "Key, value and headers as they came, and headers that say why and where from.",
            "contentType": "application/octet-stream",
            "headers": _headers(_DEAD_LETTER_HEADERS),
            "bindings": {"kafka": kafka},
        }
    schema = _schema(topic)
    return {
        "name": _message_name(topic),
        "title": schema["name"],
        "summary": schema["doc"],
        "contentType": "application/avro",
        "headers": _headers(_HEADERS),
        "payload": {"schemaFormat": _AVRO, "schema": schema},
        "bindings": {
            "kafka": {
                **kafka,
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicNameStrategy",
            }
        },
    }


def _headers(headers: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": says} for name, says in headers.items()},
    }


def _header_table(headers: dict[str, str]) -> str:
    return "\n".join(
        ["| header | content |", "|---|---|", *(f"| `{name}` | {says} |" for name, says in headers.items())]
    )


def _summary(topic: Topic) -> str:
    kept = "compacted" if topic.compacted else "kept for ever"
    return f"{topic.content[0].upper()}{topic.content[1:]}. Written by: {topic.written_by}. Key: {topic.key}; {kept}."


def _schema(topic: Topic) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(catalog.text(catalog.NEWEST[_EVENT_OF[topic.name]].file))
    return schema


def _tables(record: dict[str, Any]) -> list[str]:
    """A table of a record's fields, and then those of the records inside."""
    rows = ["| field | type | meaning |", "|---|---|---|"]
    inside: list[str] = []
    for field in record["fields"]:
        rows.append(f"| `{field['name']}` | {_type(field['type'])} | {field['doc']} |")
        inner = _inner_record(field["type"])
        if inner:
            inside += [f"`{field['name']}`: {inner['doc']}", *_tables(inner)]
    return ["\n".join(rows), *inside]


def _type(schema: Any) -> str:
    if isinstance(schema, list):
        return f"{_type(next(branch for branch in schema if branch != 'null'))}, or null"
    if isinstance(schema, str):
        return schema
    if "logicalType" in schema:
        return f"{schema['type']} ({schema['logicalType']})"
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("name", schema["type"]))


def _inner_record(schema: Any) -> dict[str, Any] | None:
    if isinstance(schema, list):
        return next((found for branch in schema if (found := _inner_record(branch))), None)
    if not isinstance(schema, dict):
        return None
    return schema if schema["type"] == "record" else _inner_record(schema.get("items"))


def _example(topic: Topic) -> str:
    """The golden record of the newest version."""
    file = catalog.NEWEST[_EVENT_OF[topic.name]].file.replace(".avsc", ".golden.json")
    return json.dumps(json.loads(catalog.text(file))["event"], ensure_ascii=False)
