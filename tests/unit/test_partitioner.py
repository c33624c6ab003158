"""The partition of a key is the one that Java's publishers choose (tests/broker/test_java.py asks one)."""

import random

import pytest
from kafka.partitioner.default import murmur2

from streams.partitioner import key_hash
from streams.topics import partition_for


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"abc", 479470107),
    ],
)
def test_keys_go_where_a_java_publisher_puts_them(key: bytes, hashed: int) -> None:
    assert key_hash(key) == hashed & 0x7FFFFFFF
    assert partition_for(key, 12) == (hashed & 0x7FFFFFFF) % 12


@pytest.mark.parametrize("length", range(40))
def test_the_hash_is_that_of_kafkas_client_whatever_the_bytes(length: int) -> None:
    for key in (bytes(length), b"\xff" * length, *(random.Random(length).randbytes(length) for _ in range(20))):
        assert key_hash(key) == murmur2(key) & 0x7FFFFFFF
