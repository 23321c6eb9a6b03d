"""Shrinking any disk: every partition keeps its order, its least size and its place among the others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from castcore.disk import (
    DiskLayout,
    Extent,
    Extents,
    Move,
    Partition,
    TableType,
    Taken,
    boot_sector_moved,
    moved_gpt,
    moved_mbr,
    needed_size,
    shrinkable,
    shrinkage,
)
from castcore.disk.gpt import parse_gpt
from castcore.errors import DoesNotFit, Refused
from castcore.units import MIB
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.property.test_disk_gpt import primary_table

BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"


@dataclass(frozen=True)
class Disk:
    layout: DiskLayout
    in_use: Extents


@st.composite
def disks(draw: DrawFn) -> Disk:
    at, partitions = MIB, []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        at += draw(st.integers(0, 3)) * MIB
        length = draw(st.integers(1, 500)) * MIB
        fstype = draw(st.sampled_from(("ext4", "ntfs", "vfat", "xfs", "")))
        taken = Taken.USED if fstype else Taken.EVERY
        partitions.append(Partition(number, at, length, fstype=fstype, taken=taken))
        at += length
    layout = DiskLayout(at + 5 * MIB, 512, TableType.GPT, partitions=tuple(partitions))
    return Disk(layout, (Extent(0, 17408), *(Extent(p.start, 512) for p in partitions)))


def minimums(disk: Disk, data: st.DataObject) -> dict[int, int]:
    return {p.number: data.draw(st.integers(1, p.length)) for p in shrinkable(disk.layout)}


@given(disks(), st.integers(0, 2000), st.data())
def test_a_smaller_disk_holds_all_partitions_in_their_order(
    disk: Disk, mib: int, data: st.DataObject
) -> None:
    if not any(p.fstype in ("ext4", "ntfs") for p in disk.layout.partitions):
        with pytest.raises(Refused, match="nothing of the image"):
            shrinkable(disk.layout)
        return
    least, size = minimums(disk, data), mib * MIB
    needed = needed_size(disk.layout, disk.in_use)
    try:
        made = shrinkage(disk, least, size)
    except Refused:
        assert size >= needed
        return
    except DoesNotFit:
        room = sum(p.length - -(-least[p.number] // MIB) * MIB for p in shrinkable(disk.layout))
        assert needed - room > size or room == 0
        return
    assert made.size == size or not size
    assert made.size < needed
    end = 0
    for move, p in zip(made.moves, disk.layout.partitions, strict=True):
        assert move.before == p.extent
        assert end <= move.after.start <= move.before.start
        assert (move.before.start - move.after.start) % MIB == 0
        assert least.get(p.number, p.length) <= move.after.length <= p.length
        end = move.after.end
    assert end + 33 * 512 <= made.size


@given(disks(), st.data())
def test_the_gaps_between_partitions_stay(disk: Disk, data: st.DataObject) -> None:
    if not any(p.fstype in ("ext4", "ntfs") for p in disk.layout.partitions):
        return
    try:
        moves = shrinkage(disk, minimums(disk, data), 0).moves
    except DoesNotFit:
        return
    for one, other in itertools.pairwise(moves):
        assert other.after.start - one.after.end == other.before.start - one.before.end


def test_what_is_too_much_is_told_with_both_figures() -> None:
    parts = (Partition(1, MIB, 100 * MIB, fstype="ext4", taken=Taken.USED),)
    disk = Disk(DiskLayout(200 * MIB, 512, TableType.MBR, partitions=parts), (Extent(0, 512),))
    with pytest.raises(
        DoesNotFit, match=rf"smaller than .*{61 * MIB} bytes.*, .*{9 * MIB} bytes.* asked for"
    ):
        shrinkage(disk, {1: 60 * MIB}, 9 * MIB)


def test_boot_code_found_by_its_place_is_not_moved() -> None:
    parts = (
        Partition(1, MIB, 100 * MIB, fstype="ext4", taken=Taken.USED),
        Partition(2, 101 * MIB, MIB, type=BIOS_BOOT),
    )
    disk = Disk(DiskLayout(200 * MIB, 512, TableType.GPT, partitions=parts), (Extent(0, 512),))
    with pytest.raises(Refused, match="partition 2 holds boot code"):
        shrinkage(disk, {1: 10 * MIB}, 0)


def test_bytes_in_use_of_no_partition_are_not_lost() -> None:
    parts = (Partition(1, MIB, 100 * MIB, fstype="ext4", taken=Taken.USED),)
    stray = (Extent(0, 512), Extent(150 * MIB, 4096))
    disk = Disk(DiskLayout(200 * MIB, 512, TableType.GPT, partitions=parts), stray)
    with pytest.raises(Refused, match=rf"4.0 KiB at byte {150 * MIB} are in use"):
        shrinkage(disk, {1: 10 * MIB}, 0)


@pytest.mark.parametrize(
    ("partitions", "why"),
    [
        ((Partition(1, MIB, MIB, fstype="btrfs", taken=Taken.USED),), "btrfs.*no tool"),
        ((Partition(1, MIB, MIB, fstype="ext4", taken=Taken.EVERY, why="was dirty"),), "was dirty"),
        ((Partition(5, MIB, MIB, fstype="ext4", taken=Taken.USED),), "logical"),
        (
            (Partition(1, MIB, MIB, fstype="ext4", taken=Taken.USED), Partition(2, 2 * MIB, MIB)),
            "behind it are others.*2 .unknown content.: no tool",
        ),
        ((), "no partitions"),
    ],
)
def test_what_cannot_shrink_on_an_mbr_says_why(partitions: tuple[Partition, ...], why: str) -> None:
    with pytest.raises(Refused, match=why):
        shrinkable(DiskLayout(4 * MIB, 512, TableType.MBR, partitions=partitions))


def test_the_tables_of_the_smaller_disk() -> None:
    front = primary_table(
        sector=512,
        sectors=1_000_000,
        count=128,
        entry_size=128,
        parts=[(2048, 206847), (206848, 411647)],
    )
    one, two = Extent(MIB, 100 * MIB), Extent(101 * MIB, 100 * MIB)
    parts = (
        Partition(1, one.start, one.length, fstype="ext4", taken=Taken.USED),
        Partition(2, two.start, two.length, fstype="xfs", taken=Taken.USED),
    )
    disk = Disk(DiskLayout(512_000_000, 512, TableType.GPT, partitions=parts), (Extent(0, 512),))
    made = shrinkage(disk, {1: 20 * MIB}, 130 * MIB)
    after = bytearray(130 * MIB)
    after[: len(front)] = front
    for write in moved_gpt(front, 512, made):
        after[write.offset : write.offset + len(write.data)] = write.data
    table = parse_gpt(bytes(after[: 1 << 16]), 512)
    assert [(e.first_lba, e.last_lba) for e in table.entries] == [
        (m.after.start // 512, m.after.end // 512 - 1) for m in made.moves
    ]
    assert table.header.alternate_lba == 130 * MIB // 512 - 1
    assert after[-512:-504] == b"EFI PART"


def test_an_mbr_gets_its_new_length() -> None:
    record = (
        bytes([0x80, 1, 1, 1, 0x83, 2, 2, 2])
        + (2048).to_bytes(4, "little")
        + (4096).to_bytes(4, "little")
    )
    sector = (bytes(446) + record).ljust(510, b"\0") + b"\x55\xaa"
    parts = (Partition(1, MIB, 2 * MIB, type="83", fstype="ext4", taken=Taken.USED),)
    disk = Disk(DiskLayout(8 * MIB, 512, TableType.MBR, partitions=parts), (Extent(0, 512),))
    (write,) = moved_mbr(sector, 512, shrinkage(disk, {1: MIB}, 0))
    assert write.data[458:462] == (2048).to_bytes(4, "little")


def test_hidden_sectors_follow_only_where_they_told_the_truth() -> None:
    move = Move(1, Extent(8 * MIB, MIB), Extent(4 * MIB, MIB))
    boot = bytearray(512)
    boot[28:32] = (8 * MIB // 512).to_bytes(4, "little")
    assert boot_sector_moved(bytes(boot), 512, move)[28:32] == (4 * MIB // 512).to_bytes(4, "little")
    assert boot_sector_moved(bytes(512), 512, move) == bytes(512)
