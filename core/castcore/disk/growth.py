"""Growing a disk's last partition into the free space behind it: how far, by what tool, in which writes.

The table is changed first, the file system afterwards: a partition that is larger than its file system
harms nothing. Pure: layouts and bytes in, a growth or the reason against it and writes out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import StrEnum
from zlib import crc32

from castcore.disk.extent import Extent
from castcore.disk.gpt import (
    HEADER,
    USUAL_ENTRY_BYTES,
    Write,
    encode_header,
    parse_gpt,
    relocated_backup,
)
from castcore.disk.layout import DiskLayout, Partition, TableType
from castcore.disk.mbr import EXTENDED, RECORD, TABLE
from castcore.errors import BadImage
from castcore.units import MIB, human, round_down, round_up

MBR_SECTORS = 1 << 32
# Cylinder, head, sector of what they cannot name.
_NO_CHS = b"\xfe\xff\xff"


class GrowTool(StrEnum):
    """What makes a file system fill its partition."""

    EXT = "resize2fs"
    NTFS = "ntfsresize"
    XFS = "xfs_growfs"


_TOOLS = {
    "ext2": GrowTool.EXT,
    "ext3": GrowTool.EXT,
    "ext4": GrowTool.EXT,
    "ntfs": GrowTool.NTFS,
    "xfs": GrowTool.XFS,
}


@dataclass(frozen=True, slots=True)
class Growth:
    """Partition ``number`` goes from the extent ``before`` to ``after`` (bytes of the whole disk)."""

    number: int
    before: Extent
    after: Extent
    tool: GrowTool


def growth(layout: DiskLayout, number: int, size: int, sector_size: int = 0) -> Growth | str:
    """How partition ``number`` of ``layout`` grows on a disk of ``size`` bytes, or why it does not.

    ``sector_size`` is the disk's (0: the image's).
    """
    name = f"partition {number} cannot grow"
    partition = next((p for p in layout.partitions if p.number == number), None)
    if partition is None or layout.table is TableType.NONE:
        known = ", ".join(str(p.number) for p in layout.partitions if p.number) or "none"
        return f"{name}: the image has no such partition (it has: {known})"
    tool = _TOOLS.get(partition.fstype)
    if tool is None:
        return f"{name}: no tool grows its content ({partition.fstype or 'unknown'}) unmounted"
    if against := _place_against(layout, partition):
        return f"{name}: {against}"
    end = _limit(layout.table, size, sector_size or layout.sector_size)
    if end <= partition.extent.end:
        return (
            f"{name}: it ends at {human(partition.extent.end)},"
            f" and a disk of {human(size)} has room up to {human(end)}"
        )
    return Growth(number, partition.extent, Extent(partition.start, end - partition.start), tool)


def grown_gpt(
    primary: bytes, sector_size: int, size: int, grown: Growth
) -> tuple[tuple[Write, ...], ...]:
    """The writes that make ``grown`` true of the table in ``primary`` on a disk of ``size`` bytes.

    In two steps, each to be durable before the next: the backup table, then the primary one. Whatever
    is lost between them, one of the two is whole. Raises BadImage, DoesNotFit.
    """
    table = parse_gpt(primary, sector_size)
    entry = next((e for e in table.entries if e.number == grown.number), None)
    first = grown.before.start // sector_size
    if entry is None or (entry.first_lba, (entry.last_lba + 1) * sector_size) != (
        first,
        grown.before.end,
    ):
        raise BadImage(f"partition table: partition {grown.number} is not where the image says")
    last = min(grown.after.end // sector_size - 1, table.header.last_usable)
    raw = bytearray(table.raw_entries)
    struct.pack_into("<Q", raw, (grown.number - 1) * table.header.entry_size + 40, last)
    header = replace(table.header, entries_crc=crc32(raw))
    start = header.entries_lba * sector_size
    changed = bytearray(primary)
    changed[start : start + len(raw)] = raw
    tail = table.raw_header[HEADER.size :]
    changed[sector_size : sector_size + header.size] = encode_header(header, tail)
    protective, front, entries, twin = relocated_backup(bytes(changed), sector_size, size)
    return (entries, twin), (Write(start, bytes(raw)), front, protective)


def grown_mbr(sector: bytes, sector_size: int, grown: Growth) -> Write:
    """The first sector with partition ``grown.number`` at its new length. Raises BadImage."""
    return Write(0, record_with_length(sector, sector_size, grown.number, grown.before, grown.after))


def record_with_length(
    sector: bytes, sector_size: int, number: int, before: Extent, after: Extent
) -> bytes:
    """The MBR ``sector`` whose primary record ``number`` is as long as ``after``, no more ``before``.

    Raises BadImage when the record does not say ``before``.
    """
    at = TABLE + RECORD.size * (number - 1)
    flags, chs, kind, _, start, length = RECORD.unpack_from(sector, at)
    if (start * sector_size, length * sector_size) != (before.start, before.length):
        raise BadImage(f"partition table: partition {number} is not where the image says")
    record = RECORD.pack(flags, chs, kind, _NO_CHS, start, after.length // sector_size)
    return sector[:at] + record + sector[at + RECORD.size :]


def _place_against(layout: DiskLayout, partition: Partition) -> str:
    behind = [p for p in layout.partitions if p.start >= partition.extent.end]
    if behind:
        return f"partition {min(behind, key=lambda p: p.start).number} stands behind it"
    if layout.table is TableType.MBR and partition.number > 4:
        return "it is a logical partition, inside an extended one"
    if layout.table is TableType.MBR and int(partition.type or "0", 16) in EXTENDED:
        return "it holds the logical partitions"
    return ""


def _limit(table: TableType, size: int, sector: int) -> int:
    """The first byte that a partition on a disk of ``size`` bytes must not reach, at a MiB's start."""
    if table is TableType.GPT:
        size = round_down(size, sector) - round_up(USUAL_ENTRY_BYTES, sector) - sector
    else:
        size = min(size, MBR_SECTORS * sector)
    return round_down(size, MIB)
