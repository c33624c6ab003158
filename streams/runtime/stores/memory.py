"""Values in a dictionary: rebuilt from the changelog at every start."""

from collections.abc import Iterator, Mapping


class MemoryStore:
    """A Store without files."""

    rebuilt_because: str | None = None
    age_seconds = 0.0

    def __init__(self) -> None:
        self.next_offset: int | None = None
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def apply(self, changes: Mapping[bytes, bytes | None], next_offset: int, *, rebuilding: bool = False) -> None:  # noqa: ARG002
        for key, value in changes.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
        self.next_offset = next_offset

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._values.items())

    def wipe(self) -> None:
        self._values.clear()
        self.next_offset = None

    def close(self) -> None:
        self._values.clear()
