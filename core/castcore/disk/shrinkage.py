"""Making a disk smaller: by how much each partition shrinks, where the others move, and the new table.

Only a file system's own tool knows how small it can become; those minimums are given. What is decided
here is which partitions give how much, that nothing is moved that may not move, and that all fits.
Pure: layouts, numbers and bytes in; moves and writes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from castcore.disk.extent import Extent, subtract
from castcore.disk.fit import Imaged, needed_size
from castcore.disk.gpt import HEADER, Write, encode_header, parse_gpt, relocated_backup
from castcore.disk.growth import record_with_length
from castcore.disk.layout import DiskLayout, Partition, TableType, Taken
from castcore.disk.sectors import BIOS_BOOT
from castcore.errors import BadImage, DoesNotFit, FleetcastError, Refused
from castcore.units import MIB, exactly, human, round_down, round_up

# What a file system's own tool can make smaller.
SHRINKABLE = frozenset({"ext2", "ext3", "ext4", "ntfs"})


@dataclass(frozen=True, slots=True)
class Move:
    """Partition ``number`` goes from the extent ``before`` to ``after``; both in bytes of the disk."""

    number: int
    before: Extent
    after: Extent

    @property
    def shrinks(self) -> bool:
        """Whether its content has to become smaller."""
        return self.after.length < self.before.length


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """A disk of ``size`` bytes, and where each partition is on it, by their place on the disk."""

    size: int
    moves: tuple[Move, ...]


def shrinkable(layout: DiskLayout) -> tuple[Partition, ...]:
    """The partitions that could give room, by number; Raises Refused with what each lacks, if none."""
    found = [p for p in layout.partitions if not _unshrinkable(layout, p)]
    if not found:
        against = (
            "; ".join(_unshrinkable(layout, p) for p in layout.partitions) or "it has no partitions"
        )
        raise Refused(f"nothing of the image can be made smaller: {against}")
    return tuple(found)


def shrinkage(disk: Imaged, minimums: Mapping[int, int], size: int) -> Shrinkage:
    """How ``disk`` gets on ``size`` bytes (0: as small as can be) when each partition of ``minimums``
    has at least so many bytes.

    Those with the most room to spare give first. Raises DoesNotFit with both figures, Refused.
    """
    layout = disk.layout
    _require_movable(disk)
    needed = needed_size(layout, disk.in_use)
    if size and needed <= size:
        raise Refused(
            f"the image needs {exactly(needed)}, so it fits {exactly(size)} as it is",
            hint="restore it; nothing has to be shrunk",
        )
    room = {
        p.number: round_down(max(0, p.length - round_up(minimums[p.number], MIB)), MIB)
        for p in layout.partitions
        if p.number in minimums
    }
    wanted = needed - size if size else sum(room.values())
    cuts = _cuts(room, round_up(wanted, MIB)) if size else room
    if sum(cuts.values()) < wanted or not any(cuts.values()):
        least = needed - sum(room.values())
        raise DoesNotFit(
            f"the image cannot get smaller than {exactly(least)}"
            f"{f', {exactly(size)} are asked for' if size else ''}",
            hint="choose a larger size, or delete files and capture again",
        )
    moves = tuple(_moves(layout, cuts))
    _require_room_to_move(layout, moves)
    return Shrinkage(size or needed - sum(cuts.values()), moves)


def moved_gpt(primary: bytes, sector_size: int, shrunk: Shrinkage) -> tuple[Write, ...]:
    """The writes that make the table in ``primary`` that of the smaller disk. Raises BadImage."""
    table = parse_gpt(primary, sector_size)
    raw, header = bytearray(table.raw_entries), table.header
    for move in shrunk.moves:
        at = (move.number - 1) * header.entry_size + 32
        first, last = struct.unpack_from("<QQ", raw, at)
        if (first * sector_size, (last + 1) * sector_size) != (move.before.start, move.before.end):
            raise _misplaced(move)
        struct.pack_into(
            "<QQ", raw, at, move.after.start // sector_size, move.after.end // sector_size - 1
        )
    start = header.entries_lba * sector_size
    changed = bytearray(primary)
    changed[start : start + len(raw)] = raw
    encoded = encode_header(replace(header, entries_crc=crc32(raw)), table.raw_header[HEADER.size :])
    changed[sector_size : sector_size + header.size] = encoded
    return Write(start, bytes(raw)), *relocated_backup(bytes(changed), sector_size, shrunk.size)


def moved_mbr(sector: bytes, sector_size: int, shrunk: Shrinkage) -> tuple[Write, ...]:
    """The first sector with the partitions' new lengths; on an MBR none moves. Raises BadImage."""
    for move in shrunk.moves:
        if move.shrinks:
            sector = record_with_length(sector, sector_size, move.number, move.before, move.after)
    return (Write(0, sector),)


def boot_sector_moved(sector: bytes, sector_size: int, move: Move) -> bytes:
    """A NTFS or FAT boot sector whose "hidden sectors" follow the partition's start.

    Old boot code finds its partition by them. Where they said something else they stay.
    """
    (hidden,) = struct.unpack_from("<I", sector, 28)
    after = move.after.start // sector_size
    if hidden != move.before.start // sector_size or after > 0xFFFFFFFF:
        return sector
    return sector[:28] + struct.pack("<I", after) + sector[32:]


def _unshrinkable(layout: DiskLayout, partition: Partition) -> str:
    name = f"partition {partition.number} ({partition.fstype or 'unknown content'})"
    if partition.fstype not in SHRINKABLE:
        return f"{name}: no tool makes it smaller"
    if partition.taken is not Taken.USED:
        return f"{name}: {partition.why or 'every sector of it was taken'}"
    if layout.table is TableType.NONE:
        return f"{name}: it fills a disk without a partition table"
    if layout.table is TableType.MBR and partition.number > 4:
        return f"{name}: it is a logical partition"
    if layout.table is TableType.MBR and any(p.start > partition.start for p in layout.partitions):
        return f"{name}: behind it are others, and systems on an MBR are found by their place"
    return ""


def _require_movable(disk: Imaged) -> None:
    """Refuse a disk on which bytes outside of partitions hold a place. Raises Refused."""
    layout = disk.layout
    starts = [p.start for p in layout.partitions]
    front = Extent(0, min(starts, default=0))
    for stray in subtract(disk.in_use, [front, *(p.extent for p in layout.partitions)]):
        raise Refused(
            f"{human(stray.length)} at byte {stray.start} are in use and belong to no partition:"
            " where they would have to go nobody knows"
        )


def _cuts(room: Mapping[int, int], wanted: int) -> dict[int, int]:
    """What each partition gives of its ``room`` to reach ``wanted``, the roomiest first."""
    cuts = {}
    for number, has in sorted(room.items(), key=lambda item: (-item[1], item[0])):
        cuts[number] = min(has, wanted)
        wanted -= cuts[number]
    return cuts


def _moves(layout: DiskLayout, cuts: Mapping[int, int]) -> Iterator[Move]:
    gone = 0
    for p in sorted(layout.partitions, key=lambda p: p.start):
        cut = cuts.get(p.number, 0)
        yield Move(p.number, p.extent, Extent(p.start - gone, p.length - cut))
        gone += cut


def _require_room_to_move(layout: DiskLayout, moves: Sequence[Move]) -> None:
    # GRUB's core image: its boot sector lists the sectors where it is.
    fixed = {p.number for p in layout.partitions if p.type == BIOS_BOOT}
    for move in moves:
        if move.number in fixed and move.after != move.before:
            raise Refused(
                f"partition {move.number} holds boot code that is found by its place: nothing before it"
                " can be made smaller"
            )


def _misplaced(move: Move) -> FleetcastError:
    return BadImage(f"partition table: partition {move.number} is not where the image says")
