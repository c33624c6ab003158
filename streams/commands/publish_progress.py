"""How far a file is published: a small file beside the work, so that an interrupted publication goes on where it stopped."""

import json
import os
from pathlib import Path
from typing import Any, Self

from streams.settings import UsageError


class PublishProgress:
    """The facts of a file that Kafka has acknowledged, counted from its beginning without a gap.

    It is never ahead of Kafka: what is written here was acknowledged by all replicas. It may be behind, by what was under way
    when the process ended; those facts are sent again, which has no effect.
    """

    def __init__(self, path: Path, content: str, acknowledged: int) -> None:
        self.path = path
        self.acknowledged = acknowledged
        self._content = content

    @classmethod
    def of(cls, path: Path, published: Path, content: str, facts: int) -> Self:
        """The progress in a file, or none yet, of publishing facts whose bytes have the SHA-256 `content`.

        Raises UsageError where it belongs to another file or cannot be read.
        """
        if not path.exists():
            return cls(path, content, 0)
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            acknowledged = int(found["acknowledged"])
            same = found["sha256"] == content and 0 <= acknowledged <= facts
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{path} is no progress file of this command. Name another file with --progress."
            ) from None
        if not same:
            raise UsageError(
                f"{path} tells of another file, or {published} has changed since. Remove it to publish the whole file: what is "
                "there already has no effect a second time."
            )
        return cls(path, content, acknowledged)

    def add(self, count: int) -> None:
        """So many more are acknowledged. Replaces the file in one step."""
        self.acknowledged += count
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            partial.write_text(json.dumps({"sha256": self._content, "acknowledged": self.acknowledged}) + "\n")
            os.replace(partial, self.path)
        except OSError as error:
            raise UsageError(f"cannot write {self.path} ({error.strerror}).") from None
