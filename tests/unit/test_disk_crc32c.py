"""CRC-32C by the vectors of RFC 3720, appendix B.4, and against the plain definition."""

from __future__ import annotations

import pytest
from castcore.disk.fs.crc32c import POLYNOMIAL, crc32c
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ],
)
def test_published_vectors(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@given(st.binary(min_size=4, max_size=700))
def test_it_is_the_definition(data: bytes) -> None:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ POLYNOMIAL * (crc & 1)
    assert crc32c(data) == crc ^ 0xFFFFFFFF
