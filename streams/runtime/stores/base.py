"""What every local store promises. One behavioural test suite runs over all of them."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol


class StoreIdentity(NamedTuple):
    """Which changelog a store is a copy of. The topic's id tells it from a topic of the same name made later."""

    changelog_topic: str
    topic_id: str
    partition: int


class Store(Protocol):
    """Committed values of one partition, by key, with the changelog offset up to which they are complete."""

    next_offset: int | None
    """First changelog offset that is not in this store; None for an empty store that has read nothing."""

    rebuilt_because: str | None
    """Why the copy found at opening was thrown away; None when it was usable or there was none."""

    @property
    def age_seconds(self) -> float:
        """Time since the store was last known to be complete."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """The committed value, or None."""
        ...

    def apply(self, changes: Mapping[bytes, bytes | None], next_offset: int, *, rebuilding: bool = False) -> None:
        """Write changes (None deletes) and the offset behind them, all or nothing.

        With `rebuilding` a crash may take them back, and with them all that came behind them, until the first write without it.
        """
        ...

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and values, in no particular order."""
        ...

    def wipe(self) -> None:
        """Forget everything, the offset included."""
        ...

    def close(self) -> None:
        """Release the files. A closed store is not used again."""
        ...
