"""Readers of file systems and volumes on hostile bytes: free extents inside them, or BadImage."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from castcore.disk import Extents
from castcore.disk.fs import Reader
from castcore.disk.fs.btrfs import btrfs_free, btrfs_trouble
from castcore.disk.fs.crc32c import crc32c
from castcore.disk.fs.f2fs import MAGIC, f2fs_free, f2fs_trouble
from castcore.disk.fs.fatmap import fat_free, fat_trouble
from castcore.disk.lvm import _crc, read_physical_volume
from castcore.errors import BadImage
from hypothesis import given
from hypothesis import strategies as st

LENGTH = 4 << 20
SEEDS = st.integers(0, 1 << 32)
# What fields of on-disk structures hold: plausible numbers, and edges.
NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    9,
    12,
    16,
    55,
    512,
    513,
    1024,
    4095,
    4096,
    16384,
    65536,
    1 << 20,
    1 << 31,
    (1 << 32) - 1,
)


def reader(data: bytearray) -> Reader:
    def read(offset: int, length: int) -> bytes:
        if offset + length > LENGTH:
            raise BadImage("after the partition's end")
        return bytes(data[offset : offset + length]).ljust(length, b"\0")

    return read


def refused_or_inside(read: Reader, *asked: Callable[[Reader, int], str | Extents]) -> None:
    for ask in asked:
        try:
            found = ask(read, LENGTH)
        except BadImage:
            continue
        if not isinstance(found, str):
            assert all(extent.end <= LENGTH for extent in found)


def sprinkled(seed: int, size: int) -> tuple[random.Random, bytearray]:
    """``size`` bytes of zeros with numbers strewn in, at places that fields have."""
    rng = random.Random(seed)
    data = bytearray(size)
    for _ in range(rng.randrange(300)):
        at = rng.randrange(size - 4)
        struct.pack_into("<I", data, at & ~(rng.choice((0, 1, 3))), rng.choice(NUMBERS))
    return rng, data


@given(SEEDS)
def test_fat(seed: int) -> None:
    rng, data = sprinkled(seed, 512)
    fields = (
        512,
        rng.choice((1, 2, 8)),
        rng.choice((1, 32)),
        2,
        rng.choice((0, 512)),
        rng.choice((0, 100, 8000)),
    )
    struct.pack_into("<HBHBHH", data, 11, *fields)
    struct.pack_into("<H", data, 22, rng.choice((0, 1, 12, 200)))
    struct.pack_into("<IIH", data, 32, *(rng.choice(NUMBERS) for _ in range(2)), rng.randrange(1 << 16))
    data[510:512] = b"\x55\xaa"
    refused_or_inside(reader(data), fat_trouble, fat_free)


@given(SEEDS)
def test_f2fs(seed: int) -> None:
    rng, data = sprinkled(seed, 64 << 10)
    struct.pack_into("<I", data, 1024, MAGIC)
    struct.pack_into("<II", data, 1024 + 16, 12, 9)
    struct.pack_into("<Q", data, 1024 + 36, rng.choice((0, 1024, 1 << 40)))
    struct.pack_into("<I", data, 1024 + 2180, 0)
    data[1024 + 2201 : 1024 + 2265] = bytes(64)
    refused_or_inside(reader(data), f2fs_trouble, f2fs_free)


@given(SEEDS)
def test_btrfs(seed: int) -> None:
    rng, data = sprinkled(seed, 1 << 20)
    at = 64 << 10
    raw = data[at : at + 4096]
    raw[0x40:0x48] = b"_BHRfS_M"
    for flags in (0x38, 0xB4, 0xBC):
        struct.pack_into("<Q", raw, flags, 0)
    struct.pack_into("<QQQQ", raw, 0x48, *(rng.choice(NUMBERS) for _ in range(3)), 0)
    struct.pack_into("<II", raw, 0x90, 4096, rng.choice((4096, 16384)))
    struct.pack_into("<I", raw, 0xA0, rng.choice((0, 17, 97, 129, 2048, 4000)))
    struct.pack_into("<HBB", raw, 0xC4, 0, rng.randrange(9), rng.randrange(9))
    struct.pack_into("<QQ", raw, 0xC9, 1, rng.choice((LENGTH, 1 << 20, 1 << 50)))
    chunk = struct.pack("<QBQ", 256, 228, 1 << 16) + struct.pack(
        "<QQQQIIIHH", 1 << 21, 2, 65536, 2, 0, 0, 0, 1, 0
    )
    raw[0x32B : 0x32B + 97] = chunk + struct.pack("<QQ", 1, rng.choice((0, 1 << 19, 1 << 40)))
    struct.pack_into("<I", raw, 0, crc32c(bytes(raw[32:])))
    data[at : at + 4096] = raw
    refused_or_inside(reader(data), btrfs_trouble, btrfs_free)


@given(SEEDS)
def test_lvm(seed: int) -> None:
    rng, data = sprinkled(seed, 16 << 10)
    raw = data[512:1024]
    raw[:8] = b"LABELONE"
    struct.pack_into("<Q", raw, 8, 1)
    struct.pack_into("<I8s", raw, 20, rng.choice((32, 32, 32, 400, 480, 1 << 30)), b"LVM2 001")
    struct.pack_into("<I", raw, 16, _crc(bytes(raw[20:])))
    data[512:1024] = raw
    refused_or_inside(reader(data), lambda read, length: read_physical_volume(read, length).free)
