"""A number for all rows of a ledger: equal rows have equal checksums, whichever database holds them and in whatever order.

Of each table the 128-bit BLAKE2b hashes of its rows are added up, so that no order is needed. That finds accidents, not forgers.
`positions` is left out: two ledgers with the same rows may stand differently far behind the last record's end of transaction.
"""

import hashlib
import json
from datetime import date
from typing import Any

from sqlalchemy import Connection, Table, select

from projections.ledger.tables import metadata, positions

_ROWS_AT_ONCE = 5_000


def checksums(connection: Connection) -> dict[str, str]:
    """The checksum of each table, with the number of its rows: `1234:0f3a...`."""
    return {table.name: _checksum(connection, table) for table in metadata.sorted_tables if table is not positions}


def _checksum(connection: Connection, table: Table) -> str:
    total = count = 0
    for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(table)):
        text = json.dumps([_plain(value) for value in row], ensure_ascii=False, separators=(",", ":"))
        total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
        count += 1
    return f"{count}:{total % (1 << 128):032x}"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value  # instants, too: they are in UTC
