"""CRC-32C (Castagnoli; RFC 3720, appendix B.4), which btrfs's blocks carry: many lanes at a time.

The data is cut into equal lanes whose remainders numpy takes side by side; neighbours are then
joined, for a CRC is linear: ``crc(A || B) = shift(crc(A), len(B)) ^ crc(B)``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78  # reflected
LANE = 64  # bytes; a power of two
Words = NDArray[np.uint32]


@cache
def _byte_table() -> Words:
    """The remainder of every byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ ((table & np.uint32(1)) * np.uint32(POLYNOMIAL))
    return table


@cache
def _shift_table(length: int) -> Words:
    """What ``length`` zero bytes (a power of two) make of each byte of a remainder: 4 rows of 256."""
    if length == 1:
        places = np.arange(4, dtype=np.uint32)[:, None] * np.uint32(8)
        words = np.arange(256, dtype=np.uint32)[None, :] << places
        shifted: Words = _byte_table()[words & np.uint32(0xFF)] ^ (words >> np.uint32(8))
        return shifted
    half = _shift_table(length // 2)
    return _shifted(half, half)


def _shifted(words: Words, table: Words) -> Words:
    out = np.zeros_like(words)
    for place in range(4):
        out ^= table[place][(words >> np.uint32(8 * place)) & np.uint32(0xFF)]
    return out


def crc32c(data: bytes) -> int:
    """The checksum of ``data`` (initial value and final exclusive-or 0xFFFFFFFF), at least 4 bytes."""
    first = bytes(byte ^ 0xFF for byte in data[:4])
    lanes = 1 << max(0, (-(-len(data) // LANE) - 1).bit_length())
    # Zeros in front change nothing once the initial value stands in the first four bytes.
    padded = (first + data[4:]).rjust(lanes * LANE, b"\0")
    columns = np.ascontiguousarray(np.frombuffer(padded, np.uint8).reshape(lanes, LANE).T)
    table = _byte_table()
    crcs = np.zeros(lanes, np.uint32)
    for column in columns:
        crcs = table[(crcs ^ column) & np.uint32(0xFF)] ^ (crcs >> np.uint32(8))
    length = LANE
    while len(crcs) > 1:
        crcs = _shifted(crcs[::2], _shift_table(length)) ^ crcs[1::2]
        length *= 2
    return int(crcs[0]) ^ 0xFFFFFFFF
