"""Other sector sizes: what may be converted, what is refused and why, and the tables that come of it."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from castcore.disk import (
    Conversion,
    DiskFacts,
    DiskLayout,
    Extent,
    Fit,
    Partition,
    Plan,
    Rework,
    TableType,
    Taken,
    Wishes,
    conversion,
    converted_head,
    fat_bits,
    fit,
    needed_size,
    ntfs_boot_sectors,
    plan_restore,
)
from castcore.disk.fssector import largest_sector
from castcore.disk.gpt import parse_gpt
from castcore.errors import DoesNotFit
from castcore.units import MIB
from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_disk_gpt import primary_table

EFI = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
MSR = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
BIOS = "21686148-6449-6e6f-744e-656564454649"
ESP = Partition(1, MIB, 100 * MIB, type=EFI, fstype="vfat", taken=Taken.USED)
ROOT = Partition(2, 101 * MIB, 100 * MIB, fstype="ext4", largest_sector=4096, taken=Taken.USED)
LAYOUT = DiskLayout(300 * MIB, 512, TableType.GPT, partitions=(ESP, ROOT))


def reasons(layout: DiskLayout, new: int = 4096) -> tuple[str, ...]:
    verdict = conversion(layout, new)
    assert not isinstance(verdict, Conversion)
    return verdict


def test_what_lies_on_larger_sectors_is_converted() -> None:
    ntfs = Partition(3, 201 * MIB, 50 * MIB, fstype="ntfs", largest_sector=4096, taken=Taken.USED)
    reserved = Partition(4, 251 * MIB, MIB, type=MSR, why="reserved by Windows")
    swap = Partition(5, 252 * MIB, MIB, fstype="swap", largest_sector=4096, taken=Taken.HEADER)
    layout = replace(LAYOUT, partitions=(ESP, ROOT, ntfs, reserved, swap))
    verdict = conversion(layout, 4096)
    assert isinstance(verdict, Conversion)
    assert verdict.reworks == ((ESP, Rework.FAT), (ntfs, Rework.NTFS))
    assert verdict.changed == (
        ESP.extent,
        Extent(201 * MIB, 4096),
        Extent(251 * MIB - 4096, 4096),
    )
    assert isinstance(conversion(replace(layout, sector_size=4096), 512), Conversion)


@pytest.mark.parametrize(
    ("partition", "why"),
    [
        (replace(ROOT, start=101 * MIB + 512), "does not lie on sectors of 4096 bytes"),
        (replace(ROOT, length=MIB + 512), "does not lie on sectors of 4096 bytes"),
        (replace(ROOT, largest_sector=1024), "units of 1024 bytes, the disk in sectors of 4096"),
        (replace(ROOT, largest_sector=0), "units of unknown size"),
        (replace(ROOT, fstype="ntfs", largest_sector=1024), "units of 1024"),
        (
            replace(ROOT, fstype="ntfs", taken=Taken.EVERY, why="was dirty"),
            "would have to change: was dirty",
        ),
        (replace(ESP, number=2, taken=Taken.EVERY), "every sector was taken"),
        (replace(ROOT, fstype="LVM2_member"), "holds LVM2_member, which may be bound"),
        (replace(ROOT, fstype="exfat"), "holds exfat"),
        (replace(ROOT, fstype=""), "holds unknown content"),
    ],
)
def test_what_is_bound_to_its_sectors_says_why(partition: Partition, why: str) -> None:
    (reason,) = reasons(replace(LAYOUT, partitions=(ESP, partition)))
    assert reason.startswith("partition 2")
    assert why in reason


def test_boot_code_of_a_bios_needs_another_way_to_start() -> None:
    code = Partition(3, 201 * MIB, MIB, type=BIOS)
    (reason,) = reasons(replace(LAYOUT, partitions=(ROOT, code)))
    assert "no EFI system partition" in reason
    verdict = conversion(replace(LAYOUT, partitions=(ESP, ROOT, code)), 4096)
    assert isinstance(verdict, Conversion)
    assert "UEFI only" in verdict.notes[0]


def test_other_tables_and_sizes_are_refused() -> None:
    assert reasons(replace(LAYOUT, table=TableType.MBR)) == ("an MBR counts in its own sectors",)
    assert "without a table" in reasons(replace(LAYOUT, table=TableType.NONE))[0]
    assert "2048" in reasons(LAYOUT, 2048)[0]
    early = replace(ROOT, number=1, start=20480)
    assert "the table ends at byte 24576" in reasons(replace(LAYOUT, partitions=(early,)))[0]


def test_fit_and_plan_tell_of_it() -> None:
    class Disk:
        layout = LAYOUT
        in_use = (Extent(0, MIB),)

    target = DiskFacts("/dev/sda", "wwn-1", 301 * MIB, 4096)
    assert not fit(LAYOUT, Disk.in_use, target).ok
    assert fit(LAYOUT, Disk.in_use, target, convert=True).ok
    assert needed_size(LAYOUT, Disk.in_use, 4096) == 201 * MIB + 5 * 4096
    made = plan_restore("office", [Disk()], [target], Wishes(convert=True))
    assert isinstance(made, Plan)
    assert [a.kind.value for a in made.actions] == ["check", "clear", "write", "convert", "table"]
    assert "partition 1 anew as FAT16" in made.actions[3].text
    assert "in sectors of 4096 bytes" in made.actions[4].text
    refused = plan_restore("office", [Disk()], [target], Wishes())
    assert isinstance(refused, Fit)
    assert "sectors of 4096 bytes" in refused.reasons[0].text
    assert "sectors of 512 bytes" in refused.reasons[0].text


@given(st.booleans(), st.lists(st.tuples(st.integers(8, 500), st.integers(1, 500)), max_size=5))
def test_a_converted_table_names_the_same_bytes(up: bool, sizes: list[tuple[int, int]]) -> None:
    old, new = (512, 4096) if up else (4096, 512)
    parts, at = [], 24576
    for gap, length in sizes:
        start = at + gap * 4096
        at = start + length * 4096
        parts.append((start // old, at // old - 1))
    size = at + 64 * MIB
    head = primary_table(sector=old, sectors=size // old, count=128, entry_size=128, parts=parts)
    writes = converted_head(head.ljust(MIB, b"\xee"), old, new, size - 4096)
    disk = bytearray(size - 4096)
    for write in writes:
        disk[write.offset : write.offset + len(write.data)] = write.data
    table, before = parse_gpt(bytes(disk[:MIB]), new), parse_gpt(head, old)
    assert [(e.first_lba * new, (e.last_lba + 1) * new) for e in table.entries] == [
        (e.first_lba * old, (e.last_lba + 1) * old) for e in before.entries
    ]
    assert [(e.uuid, e.name, e.type) for e in table.entries] == [
        (e.uuid, e.name, e.type) for e in before.entries
    ]
    last = len(disk) // new - 1
    assert (table.header.alternate_lba, table.header.entries_lba) == (last, 2)
    assert table.header.first_usable * new >= 2 * new + 128 * 128
    backup = disk[last * new : last * new + 92]
    assert struct.unpack_from("<QQ", backup, 24) == (last, 1)
    place = struct.unpack_from("<Q", backup, 72)[0]
    assert disk[place * new : place * new + 128 * 128] == table.raw_entries
    assert place == table.header.last_usable + 1
    assert struct.unpack_from("<I", disk, 446 + 12)[0] == last


def test_tables_that_cannot_be_converted_are_refused() -> None:
    head = primary_table(sector=512, sectors=100_000, count=128, entry_size=128, parts=[(2049, 4095)])
    with pytest.raises(DoesNotFit, match=r"partition 1 .* does not lie on sectors of 4096"):
        converted_head(head, 512, 4096, 100_000 * 512)
    hybrid = bytearray(head)
    hybrid[446 + 16 + 4] = 0x83
    with pytest.raises(DoesNotFit, match="hybrid MBR"):
        converted_head(bytes(hybrid), 512, 4096, 100_000 * 512)


def ntfs_boot(sector: int, per_cluster: int, record: int, index: int, length: int) -> bytes:
    boot = bytearray(4096)
    struct.pack_into("<H", boot, 11, sector)
    boot[13] = per_cluster
    struct.pack_into("<I", boot, 28, MIB // sector)
    struct.pack_into("<Q", boot, 40, length // sector - 1)
    struct.pack_into("<b", boot, 64, record)
    struct.pack_into("<b", boot, 68, index)
    boot[510:512] = b"\x55\xaa"
    return bytes(boot)


@pytest.mark.parametrize(
    ("boot", "largest"),
    [
        (ntfs_boot(512, 8, -10, 1, 10 * MIB), 1024),
        (ntfs_boot(512, 8, -12, 1, 10 * MIB), 4096),
        (ntfs_boot(4096, 1, 1, 1, 10 * MIB), 4096),
        (ntfs_boot(512, 2, -12, -12, 10 * MIB), 1024),
        (ntfs_boot(512, 244, -16, -16, 10 * MIB), 65536),  # 2^12 sectors a cluster
        (ntfs_boot(512, 8, -12, 1, 9 * MIB), 0),
    ],
)
def test_what_ntfs_is_written_in(boot: bytes, largest: int) -> None:
    assert largest_sector("ntfs", 10 * MIB, lambda at, n: boot[at : at + n]) == largest


def test_ntfs_boot_sectors_there_and_back() -> None:
    length = 10 * MIB
    old = ntfs_boot(4096, 2, 1, 1, length)
    first, copy = ntfs_boot_sectors(old, length, 4096, 512)
    assert (first.offset, copy.offset, len(first.data)) == (0, length - 512, 512)
    assert first.data == copy.data
    sector, per_cluster = struct.unpack_from("<HB", first.data, 11)
    assert (sector, per_cluster) == (512, 16)
    assert struct.unpack_from("<I", first.data, 28)[0] == MIB // 512
    assert struct.unpack_from("<Q", first.data, 40)[0] == length // 512 - 1
    again, _ = ntfs_boot_sectors(first.data.ljust(4096, b"\0"), length, 512, 4096)
    assert again.data[:512] == old[:512]


@pytest.mark.parametrize(
    ("fstype", "at", "value", "largest"),
    [
        ("ext4", 1024 + 24, struct.pack("<I", 2), 4096),
        ("ext2", 1024 + 24, struct.pack("<I", 0), 1024),
        ("ext4", 1024 + 24, struct.pack("<I", 99), 0),
        ("btrfs", 65536 + 144, struct.pack("<I", 4096), 4096),
        ("xfs", 102, struct.pack(">H", 512), 512),
        ("xfs", 102, struct.pack(">H", 4096), 4096),
        ("swap", 0, b"", 4096),
        ("crypto_LUKS", 0, b"", 0),
    ],
)
def test_what_others_are_written_in(fstype: str, at: int, value: bytes, largest: int) -> None:
    content = bytearray(1 << 17)
    content[at : at + len(value)] = value
    assert largest_sector(fstype, len(content), lambda o, n: bytes(content[o : o + n])) == largest


def test_the_log_of_xfs_counts_too() -> None:
    superblock = bytearray(512)
    struct.pack_into(">H", superblock, 102, 4096)
    struct.pack_into(">H", superblock, 194, 512)
    assert largest_sector("xfs", MIB, lambda at, n: bytes(superblock[at : at + n])) == 512


def test_a_fat_is_as_large_as_its_clusters_allow() -> None:
    assert fat_bits(100 * MIB, 512) == 32
    assert fat_bits(100 * MIB, 4096) == 16
    assert fat_bits(300 * MIB, 4096) == 32
    assert fat_bits(16 * MIB, 4096) == 12
