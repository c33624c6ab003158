"""Which schemas there are: the event that each describes, the topic that carries it, and the id that its records bear.

The `.avsc` files beside this module are the contract. They only evolve compatibly (FULL_TRANSITIVE): a new version gets a
new id and becomes the last of its event in `VERSIONS`; the file of the version before stays, under a name with its number,
because records written with it are read for ever.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from fastavro import parse_schema

Schema = Any  # an Avro schema as JSON: a name, a list (union) or an object


class SchemaVersion(NamedTuple):
    """One version of one event's schema."""

    id: int  # in the head of every record that was written with it: never changed, never used again
    event: str
    file: str


# Ids are 353, event, version: two digits each. Far from the numbers that a schema registry hands out by counting from 1,
# so that these ids can be registered as they are in a registry that others use too.
VERSIONS = (
    SchemaVersion(3530101, "pathway-selected", "pathway-selected.avsc"),
    SchemaVersion(3530201, "treatment-started", "treatment-started.avsc"),
    SchemaVersion(3530301, "claim-received", "claim-received.avsc"),
    SchemaVersion(3530401, "member-eligibility", "member-eligibility.avsc"),
    SchemaVersion(3530501, "pend-expired", "pend-expired.avsc"),
    SchemaVersion(3530601, "readjudication-requested", "readjudication-requested.avsc"),
    SchemaVersion(3530701, "provider-agreement", "provider-agreement.avsc"),
    SchemaVersion(3530801, "billing-decision", "billing-decision.avsc"),
    SchemaVersion(3530901, "eligibility-notice", "eligibility-notice.avsc"),
)

NEWEST = {version.event: version for version in VERSIONS}

# A fact's topic has the name of the fact; what the worker writes goes to topics in the plural.
TOPICS = {event: event for event in NEWEST} | {
    "billing-decision": "billing-decisions",
    "eligibility-notice": "eligibility-notices",
}


@cache
def schema(file: str) -> Schema:
    """The schema in a file of this package, parsed and checked."""
    return parse_schema(json.loads(files(__package__).joinpath(file).read_text(encoding="utf-8")))


def newest_schema(event: str) -> Schema:
    """The schema that an event is written with."""
    return schema(NEWEST[event].file)
