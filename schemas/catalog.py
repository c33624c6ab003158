"""Which schemas there are: the event that each describes, the topic that carries it, and the id that its records bear.

The `.avsc` files beside this module are the contract as it is now; `released/<subject>/` keeps every version that was ever
released, with a record that was written with it, because records are read for ever. They only evolve compatibly
(FULL_TRANSITIVE; tests/unit/schemas/test_evolution.py). To release a change: edit the schema, copy it to `released/` under the next
number, put its line into `VERSIONS`, and keep a golden record; the tests say what is missing.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from fastavro import parse_schema

Schema = Any  # an Avro schema as JSON: a name, a list (union) or an object


# A fact's topic has the name of the fact; what the worker writes goes to topics in the plural.
EVENTS = (
    "pathway-selected",
    "treatment-started",
    "claim-received",
    "member-eligibility",
    "pend-expired",
    "readjudication-requested",
    "provider-agreement",
    "billing-decision",
    "eligibility-notice",
    "dead-letter-action",
)
TOPICS = {event: event for event in EVENTS} | {
    "billing-decision": "billing-decisions",
    "eligibility-notice": "eligibility-notices",
    "dead-letter-action": "dead-letter-actions",
}


class SchemaVersion(NamedTuple):
    """One released version of one event's schema."""

    id: int  # in the head of every record that was written with it: never changed, never used again
    event: str
    version: int  # 1, 2, 3 ...

    @property
    def file(self) -> str:
        """Its frozen copy, in this package."""
        return f"released/{subject(self.event)}/v{self.version}.avsc"


def subject(event: str) -> str:
    """The schema registry's subject of an event, by TopicNameStrategy. Keys are plain UTF-8 text and have no schema."""
    return f"{TOPICS[event]}-value"


# Ids are 353, event, version: two digits each. Far from the numbers that a schema registry hands out by counting from 1.
VERSIONS: tuple[SchemaVersion, ...] = (
    SchemaVersion(3530101, "pathway-selected", 1),
    SchemaVersion(3530201, "treatment-started", 1),
    SchemaVersion(3530301, "claim-received", 1),
    SchemaVersion(3530401, "member-eligibility", 1),
    SchemaVersion(3530501, "pend-expired", 1),
    SchemaVersion(3530601, "readjudication-requested", 1),
    SchemaVersion(3530701, "provider-agreement", 1),
    SchemaVersion(3530801, "billing-decision", 1),
    SchemaVersion(3530901, "eligibility-notice", 1),
    SchemaVersion(3531001, "dead-letter-action", 1),
)

NEWEST = {version.event: version for version in VERSIONS}


@cache
def schema(file: str) -> Schema:
    """The schema in a file of this package, parsed and checked."""
    return parse_schema(json.loads(text(file)))


def text(file: str) -> str:
    """A file of this package as it is: a schema with its doc strings."""
    return files(__package__).joinpath(file).read_text(encoding="utf-8")


def newest_schema(event: str) -> Schema:
    """The schema that an event is written with."""
    return schema(NEWEST[event].file)
