"""Names of headers that are not UTF-8, as any publisher may send them: to Kafka they are bytes.

Both client libraries raise on such a name, and the record that has it could never be passed. So what is no text becomes U+FFFD, the
character that stands for it. A reader tries the strict way first, and then once more with a buffer that forgives.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any


class _Forgiving(bytearray):
    """Bytes whose slices can always be read as text."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Forgiving(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


def forgiving(read_record: Callable[..., Any]) -> Callable[..., Any]:
    """`_read_msg` of a record batch in aiokafka or kafka-python, which are alike: it reads the next record from `_buffer`, and
    moves `_pos` at its end."""

    @wraps(read_record)
    def read(batch: Any) -> Any:
        try:
            return read_record(batch)
        except UnicodeDecodeError:
            batch._buffer = _Forgiving(batch._buffer)
            return read_record(batch)

    return read


def forgive_in_kafka_python() -> None:
    """From now on, kafka-python's consumers in this process read such records."""
    from kafka.record.default_records import DefaultRecordBatch

    if not hasattr(DefaultRecordBatch._read_msg, "__wrapped__"):
        DefaultRecordBatch._read_msg = forgiving(DefaultRecordBatch._read_msg)
