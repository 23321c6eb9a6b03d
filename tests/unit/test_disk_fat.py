"""FAT12, FAT16 and FAT32 volumes made bit by bit from a plan of their clusters."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import pytest
from castcore.disk import Extent, merge
from castcore.disk.fs.fatfiles import FatVolume
from castcore.disk.fs.fatmap import fat_free, fat_trouble
from castcore.errors import BadImage
from hypothesis import given
from hypothesis import strategies as st

SECTOR = 512
RESERVED = 32
PER_CLUSTER = 2
END_OF_CHAIN = 0x0FFFFFFF


@dataclass
class Volume:
    """A volume whose cluster ``n`` (from 0) is in use when ``used[n]``; it may be spoilt by a test."""

    bits: int
    used: list[bool]
    sector: int = SECTOR

    def __post_init__(self) -> None:
        entries = [0x0FFFFFF8, END_OF_CHAIN, *(END_OF_CHAIN if u else 0 for u in self.used)]
        size = -(-len(entries) * self.bits // 8 // self.sector) + 1
        fat = self.entries(entries).ljust(size * self.sector, b"\0")
        self.root = 0 if self.bits == 32 else 512
        self.data = RESERVED + 2 * size + self.root * 32 // self.sector
        sectors = self.data + len(self.used) * PER_CLUSTER + 1
        boot = bytearray(512)
        struct.pack_into("<HBHBH", boot, 11, self.sector, PER_CLUSTER, RESERVED, 2, self.root)
        struct.pack_into("<H", boot, 22, 0 if self.bits == 32 else size)
        struct.pack_into("<II", boot, 32, sectors, size if self.bits == 32 else 0)
        boot[510:] = b"\x55\xaa"
        self.length = (sectors + 5) * self.sector
        self.fats = tuple((RESERVED + n * size) * self.sector for n in range(2))
        self.raw = bytearray(bytes(boot).ljust(self.fats[0], b"\0") + fat + fat)

    def entries(self, numbers: list[int]) -> bytes:
        if self.bits == 32:
            return struct.pack(f"<{len(numbers)}I", *numbers)
        if self.bits == 16:
            return struct.pack(f"<{len(numbers)}H", *(n & 0xFFFF for n in numbers))
        whole = sum((n & 0xFFF) << 12 * place for place, n in enumerate(numbers))
        return whole.to_bytes(-(-len(numbers) * 12 // 8), "little")

    def read(self, offset: int, length: int) -> bytes:
        if offset + length > self.length:
            raise BadImage("after the end")
        return bytes(self.raw[offset : offset + length]).ljust(length, b"\0")

    def free(self) -> tuple[Extent, ...]:
        size = PER_CLUSTER * self.sector
        start = self.data * self.sector
        return merge(Extent(start + n * size, size) for n, used in enumerate(self.used) if not used)


FEWEST = {12: 1, 16: 4085, 32: 1}


def plan(bits: int, seed: int, clusters: int) -> list[bool]:
    rng = random.Random(seed)
    return [rng.random() < 0.5 for _ in range(FEWEST[bits] + clusters)]


@given(
    bits=st.sampled_from([12, 16, 32]),
    seed=st.integers(0, 1000),
    clusters=st.integers(0, 2000),
    sector=st.sampled_from([512, 4096]),
)
def test_exactly_the_free_clusters_are_free(bits: int, seed: int, clusters: int, sector: int) -> None:
    volume = Volume(bits, plan(bits, seed, clusters), sector)
    assert fat_free(volume.read, volume.length) == volume.free()
    assert fat_trouble(volume.read, volume.length) == ""


def test_a_large_fat_is_read_in_pieces() -> None:
    used = [True] * (3 << 20)
    for number in (0, (1 << 20) - 3, (1 << 20) - 2, (1 << 20) - 1, (2 << 20) + 5, len(used) - 1):
        used[number] = False
    volume = Volume(32, used)
    assert fat_free(volume.read, volume.length) == volume.free()


def test_copies_that_differ_are_not_believed() -> None:
    volume = Volume(16, plan(16, 1, 100))
    volume.raw[volume.fats[1] + 2 * 50] ^= 0xFF
    with pytest.raises(BadImage, match="copies of its FAT differ"):
        fat_free(volume.read, volume.length)


def test_one_of_two_fats_may_be_the_only_one_kept() -> None:
    volume = Volume(32, plan(32, 1, 100))
    volume.raw[volume.fats[0] : volume.fats[0] + 400] = b"\xff" * 400
    struct.pack_into("<H", volume.raw, 40, 0x80 | 1)
    assert fat_free(volume.read, volume.length) == volume.free()
    struct.pack_into("<H", volume.raw, 40, 0x80 | 2)
    with pytest.raises(BadImage, match="does not have"):
        fat_free(volume.read, volume.length)


@pytest.mark.parametrize(
    ("bits", "place", "mask"), [(12, 37, 1), (16, 37, 1), (32, 65, 1)], ids=["fat12", "fat16", "fat32"]
)
def test_the_state_byte_makes_it_dirty(bits: int, place: int, mask: int) -> None:
    volume = Volume(bits, plan(bits, 1, 100))
    volume.raw[place] |= mask
    assert "not cleanly" in fat_trouble(volume.read, volume.length)


@pytest.mark.parametrize(("bits", "byte", "mask"), [(16, 3, 0x80), (32, 7, 0x08)])
def test_the_clean_bit_of_the_second_entry_counts(bits: int, byte: int, mask: int) -> None:
    volume = Volume(bits, plan(bits, 1, 100))
    volume.raw[volume.fats[0] + byte] &= ~mask
    assert "not cleanly" in fat_trouble(volume.read, volume.length)


@pytest.mark.parametrize(
    ("at", "form", "value", "words"),
    [
        (510, "<H", 0, "boot sector cannot be read"),
        (11, "<H", 513, "boot sector cannot be read"),
        (13, "<B", 3, "boot sector cannot be read"),
        (14, "<H", 0, "contradicts"),
        (16, "<B", 0, "contradicts"),
        (22, "<H", 1, "too short"),
        (32, "<I", 1 << 30, "contradicts"),
        (32, "<I", 100, "contradicts"),
    ],
)
def test_a_forged_boot_sector_is_refused(at: int, form: str, value: int, words: str) -> None:
    volume = Volume(16, plan(16, 1, 4000))
    struct.pack_into(form, volume.raw, at, value)
    with pytest.raises(BadImage, match=words):
        fat_free(volume.read, volume.length)


def test_a_kind_that_contradicts_its_clusters_is_refused() -> None:
    volume = Volume(16, [False] * 65525)
    with pytest.raises(BadImage, match="65525 clusters are too many"):
        fat_free(volume.read, volume.length)


def test_files_of_a_fat32_with_few_clusters_are_found() -> None:
    """`mkfs.fat -F 32` makes small EFI system partitions so; by its clusters alone it were a FAT16."""
    reserved, fat_sectors, clusters = 32, 8, 1000
    boot = bytearray(512)
    struct.pack_into("<HBHBHHBH", boot, 11, 512, 1, reserved, 1, 0, 0, 0xF8, 0)
    struct.pack_into("<II", boot, 32, reserved + fat_sectors + clusters, fat_sectors)
    struct.pack_into("<I", boot, 44, 2)
    boot[510:512] = b"\x55\xaa"
    volume = bytearray(512 * (reserved + fat_sectors + clusters))
    volume[:512] = boot
    struct.pack_into("<IIII", volume, 512 * reserved, 0x0FFFFFF8, 0x0FFFFFFF, 0x0FFFFFFF, 0x0FFFFFFF)
    root = 512 * (reserved + fat_sectors)
    volume[root : root + 11] = b"LOADER  EFI"
    struct.pack_into("<H4xHI", volume, root + 20, 0, 3, 5)
    volume[root + 512 : root + 517] = b"hello"
    fat = FatVolume(lambda offset, length: bytes(volume[offset : offset + length]), len(volume))
    found = fat.find("\\loader.efi")
    assert found is not None
    assert fat.content(found, 100) == b"hello"
