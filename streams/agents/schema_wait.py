"""Schemas that a record needs and the process does not know yet: asked for outside of the event loop, before the record is decided.

While the registry does not answer, the record waits in its lane: that a registry is down says nothing about the record, so it is
no reason for the dead letters. Lanes whose schemas are known go on.
"""

import asyncio
from collections.abc import Sequence

from streams.events import SchemasUnavailable, learn_schemas, unknown_schemas
from streams.runtime.processor import InputRecord, NotYet


async def schemas_known(records: Sequence[InputRecord]) -> None:
    """Return when the schema of each record is known, or known not to exist. Raises NotYet."""
    unknown = unknown_schemas((record.topic, record.value) for record in records)
    if unknown:
        try:
            await asyncio.to_thread(learn_schemas, unknown)
        except SchemasUnavailable as error:
            ids = sorted({int.from_bytes(head[1:], "big") for _, head in unknown})[:5]
            raise NotYet(f"for schema id {', '.join(map(str, ids))}: {error}") from None
