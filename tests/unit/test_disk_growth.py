"""Which partition grows how far, and the tables that say so."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from zlib import crc32

import pytest
from castcore.disk import (
    DiskFacts,
    DiskLayout,
    Extent,
    Fit,
    Growth,
    GrowTool,
    Partition,
    Plan,
    ReasonCode,
    TableType,
    Wishes,
    grown_gpt,
    grown_mbr,
    plan_restore,
    relocated_backup,
)
from castcore.disk.gpt import parse_gpt
from castcore.disk.growth import growth
from castcore.errors import BadImage
from castcore.units import GIB, MIB

from tests.property.test_disk_gpt import primary_table

SECTOR = 512
ROOT = Partition(2, 101 * MIB, GIB, type="0fc6", fstype="ext4")
LAYOUT = DiskLayout(
    2 * GIB, SECTOR, TableType.GPT, partitions=(Partition(1, MIB, 100 * MIB, fstype="vfat"), ROOT)
)


def test_the_last_partition_grows_to_the_last_whole_mib_before_the_backup_table() -> None:
    grown = growth(LAYOUT, 2, 4 * GIB)
    assert grown == Growth(2, ROOT.extent, Extent(101 * MIB, 4 * GIB - 102 * MIB), GrowTool.EXT)
    old = replace(
        LAYOUT, table=TableType.MBR, partitions=(LAYOUT.partitions[0], replace(ROOT, type="83"))
    )
    assert growth(old, 2, 4 * GIB) == replace(grown, after=Extent(101 * MIB, 4 * GIB - 101 * MIB))


def test_an_mbr_ends_at_its_last_sector_number() -> None:
    old = replace(LAYOUT, table=TableType.MBR, partitions=(replace(ROOT, type="07", fstype="ntfs"),))
    grown = growth(old, 2, 3000 * GIB)
    assert isinstance(grown, Growth)
    assert grown.after.end == 2048 * GIB
    assert grown.tool is GrowTool.NTFS


@pytest.mark.parametrize(
    ("layout", "number", "size", "why"),
    [
        (LAYOUT, 3, 4 * GIB, r"no such partition \(it has: 1, 2\)"),
        (LAYOUT, 1, 4 * GIB, r"no tool grows its content \(vfat\)"),
        (LAYOUT, 2, 1100 * MIB + 33 * SECTOR, "has room up to 1.1 GiB"),
        (
            replace(LAYOUT, partitions=(*LAYOUT.partitions, Partition(5, 1200 * MIB, MIB))),
            2,
            4 * GIB,
            "partition 5 stands behind it",
        ),
        (
            replace(LAYOUT, table=TableType.MBR, partitions=(replace(ROOT, number=6, type="83"),)),
            6,
            4 * GIB,
            "logical partition",
        ),
        (replace(LAYOUT, table=TableType.NONE), 2, 4 * GIB, "no such partition"),
    ],
)
def test_what_cannot_grow_says_why(layout: DiskLayout, number: int, size: int, why: str) -> None:
    verdict = growth(layout, number, size)
    assert isinstance(verdict, str)
    assert re.search(why, verdict)


def test_a_plan_tells_of_the_growth_or_why_there_is_none() -> None:
    class Disk:
        layout = LAYOUT
        in_use = (Extent(0, MIB),)

    target = DiskFacts("/dev/sda", "wwn-1", 4 * GIB, SECTOR)
    made = plan_restore("office", [Disk()], [target], Wishes(grow=((0, 2),)))
    assert isinstance(made, Plan)
    assert made.actions[-1].kind == "grow"
    assert f"from 1.0 GiB ({GIB} bytes)" in made.actions[-1].text
    assert [number for number, _ in made.growths] == [0]
    for wish in ((0, 1), (1, 2)):
        refused = plan_restore("office", [Disk()], [target], Wishes(grow=(wish,)))
        assert isinstance(refused, Fit)
        assert [r.code for r in refused.reasons] == [ReasonCode.GROW]


@pytest.mark.parametrize("sector", [512, 4096])
def test_one_of_both_tables_is_whole_after_every_write(sector: int) -> None:
    sectors, new = 100_000, 300_000
    front = primary_table(
        sector=sector, sectors=sectors, count=128, entry_size=128, parts=[(2048, 4095), (4096, 8191)]
    )
    before = Extent(4096 * sector, 4096 * sector)
    disk = bytearray(new * sector)
    disk[: len(front)] = front
    for write in relocated_backup(front, sector, new * sector):  # as a restore leaves it
        disk[write.offset : write.offset + len(write.data)] = write.data
    grown = Growth(2, before, Extent(before.start, 200_000 * sector), GrowTool.EXT)
    steps = grown_gpt(bytes(disk[: len(front)]), sector, new * sector, grown)
    for step in steps:
        for write in step:
            disk[write.offset : write.offset + len(write.data)] = write.data
            assert _whole(disk, sector) >= 1
    assert _whole(disk, sector) == 2
    entries = parse_gpt(bytes(disk[: len(front)]), sector).entries
    assert [(e.first_lba, e.last_lba) for e in entries] == [(2048, 4095), (4096, 4096 + 199_999)]


def _whole(disk: bytearray, sector: int) -> int:
    """How many of the two tables are whole."""
    found = 0
    primary = bytes(disk[: 64 * 1024])
    # A backup read as if it were the primary one: its own place is checked apart.
    last = len(disk) // sector - 1
    try:
        parse_gpt(primary, sector)
        found += 1
    except BadImage:
        pass
    header = disk[last * sector : last * sector + 92]
    (entries_lba,) = struct.unpack_from("<Q", header, 72)
    entries_crc = struct.unpack_from("<I", header, 88)[0]
    own = struct.unpack_from("<I", header, 16)[0]
    entries = disk[entries_lba * sector : entries_lba * sector + 128 * 128]
    good = crc32(header[:16] + bytes(4) + header[20:]) == own and crc32(entries) == entries_crc
    return found + int(good)


def test_a_table_of_another_disk_is_never_changed() -> None:
    front = primary_table(sector=512, sectors=100_000, count=128, entry_size=128, parts=[(2048, 4095)])
    for number, start in ((1, 2049), (2, 2048)):
        wrong = Growth(number, Extent(start * 512, 2048 * 512), Extent(start * 512, MIB), GrowTool.EXT)
        with pytest.raises(BadImage, match="not where the image says"):
            grown_gpt(front, 512, 200_000 * 512, wrong)


def test_an_mbr_changes_in_one_record() -> None:
    record = struct.pack("<B3sB3sII", 0x80, b"\1\2\3", 0x83, b"\4\5\6", 2048, 4096)
    sector = (bytes(446) + record + record).ljust(510, b"\0") + b"\x55\xaa"
    grown = Growth(2, Extent(MIB, 2 * MIB), Extent(MIB, 7 * MIB), GrowTool.EXT)
    after = grown_mbr(sector, 512, grown).data
    assert after[:462] == sector[:462]
    assert struct.unpack_from("<B3sB3sII", after, 462)[-2:] == (2048, 7 * 2048)
    with pytest.raises(BadImage):
        grown_mbr(sector, 512, replace(grown, before=Extent(MIB, MIB)))
