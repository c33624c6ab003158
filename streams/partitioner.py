"""Java's murmur2, by which every publisher chooses a key's partition (docs/publishing.md) and by which the worker checks it.

kafka-python has the same, but interpreted it takes some ten microseconds, which a worker would pay for each fact of a patient that
it does not remember. This one is compiled (compiled.py) and then takes a quarter of one.
"""

from mypy_extensions import i64


def key_hash(key: bytes) -> int:
    """The hash of a key, without its sign as Kafka's partitioners take it. A product of two factors of 32 bits, of which one has
    31, fits into the machine's number."""
    length: i64 = len(key)
    whole: i64 = length - length % 4
    hashed: i64 = 0x9747B28C ^ length
    at: i64 = 0
    while at < whole:
        word = _mixed(_byte(key, at) | _byte(key, at + 1) << 8 | _byte(key, at + 2) << 16 | _byte(key, at + 3) << 24)
        hashed = _times(hashed) ^ word
        at += 4
    if at < length:
        rest: i64 = 0
        while at < length:
            rest |= _byte(key, at) << 8 * (at - whole)
            at += 1
        hashed = _times(hashed ^ rest)
    hashed = _times(hashed ^ hashed >> 13)
    return (hashed ^ hashed >> 15) & 0x7FFF_FFFF


def _byte(key: bytes, at: i64) -> i64:
    byte: i64 = key[at]
    return byte


def _times(number: i64) -> i64:
    return number * 0x5BD1_E995 & 0xFFFF_FFFF


def _mixed(word: i64) -> i64:
    word = _times(word)
    return _times(word ^ word >> 24)
