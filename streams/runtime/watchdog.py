"""Tells when a lane stands still although there is input: whatever holds it, no error says so, and nobody would notice."""

from collections.abc import Mapping
from typing import Any


class ProgressWatch:
    """Counts, lane by lane, how many looks in a row found input waiting and the position where it was.

    It counts looks and not time: a process that was paused for an hour was not looked at, and did not stand still.
    """

    def __init__(self, most_looks: int) -> None:
        self._most_looks = most_looks
        self._seen: dict[int, tuple[Mapping[Any, int], int]] = {}

    def stands_still(self, partition: int, positions: Mapping[Any, int], lag_records: int) -> bool:
        """Look at a lane; whether it has stood still for too many looks now."""
        before, looks = self._seen.get(partition, ({}, 0))
        looks = looks + 1 if lag_records > 0 and positions == before else 0
        self._seen[partition] = (dict(positions), looks)
        return looks >= self._most_looks

    def forget(self, partitions: set[int]) -> None:
        """These lanes are not ours, or not open."""
        for partition in partitions & self._seen.keys():
            del self._seen[partition]
