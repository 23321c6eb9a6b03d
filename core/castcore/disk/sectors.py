"""An image of a disk with one sector size on a disk with another: whether it can be, and what changes.

A GPT counts in sectors, so all of it is made anew; the bytes of the partitions stay, but for file
systems that hold the sector size themselves: a FAT is made anew with the same files, NTFS boot sectors
are written anew. Pure: layouts and bytes in; reasons, changes and writes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from zlib import crc32

from castcore.disk.bootentry import EFI_SYSTEM
from castcore.disk.extent import Extent, Extents, merge
from castcore.disk.gpt import (
    HEADER,
    MBR_SIGNATURE,
    PROTECTIVE,
    Write,
    encode_header,
    parse_gpt,
    protective_for,
    relocated_backup,
)
from castcore.disk.layout import DiskLayout, Partition, TableType, Taken
from castcore.errors import DoesNotFit
from castcore.units import round_up

SIZES = (512, 4096)
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
MICROSOFT_RESERVED = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
_USUAL_TABLE = 128 * 128


class Rework(StrEnum):
    """What becomes of a partition's content that holds the sector size itself."""

    FAT = "fat"
    NTFS = "ntfs"


@dataclass(frozen=True, slots=True)
class Conversion:
    """From sectors of ``old`` bytes to sectors of ``new``; ``reworks`` are by partition."""

    old: int
    new: int
    reworks: tuple[tuple[Partition, Rework], ...]
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> Extents:
        """The bytes of the disk that will not be the image's."""
        return merge(e for p, rework in self.reworks for e in _changed(p, rework))


def conversion(layout: DiskLayout, new: int) -> Conversion | tuple[str, ...]:
    """How ``layout`` gets on a disk with sectors of ``new`` bytes, or every reason why it cannot."""
    old = layout.sector_size
    if old not in SIZES or new not in SIZES:
        return (f"sectors of {old} bytes do not become sectors of {new}",)
    if layout.table is not TableType.GPT:
        kind = "an MBR counts" if layout.table is TableType.MBR else "a disk without a table is bound"
        return (f"{kind} {'in' if layout.table is TableType.MBR else 'to'} its own sectors",)
    against = [reason for p in layout.partitions if (reason := _against(layout, p, new))]
    starts = [p.start for p in layout.partitions]
    room = 2 * new + round_up(_USUAL_TABLE, new)
    if starts and min(starts) < room:
        against.append(
            f"the first partition starts at byte {min(starts)}, the table ends at byte {room}"
        )
    if against:
        return tuple(against)
    reworks = tuple((p, r) for p in layout.partitions if (r := _rework(p)) is not None)
    bios = any(p.type == BIOS_BOOT for p in layout.partitions)
    notes = ("it starts by UEFI only: BIOS boot code is bound to its sectors",) if bios else ()
    return Conversion(old, new, reworks, notes)


def converted_head(head: bytes, old: int, new: int, size: int) -> tuple[Write, ...]:
    """The writes that replace the table in ``head`` by one in sectors of ``new`` bytes.

    ``head`` holds the disk's start up to the first partition, or at least the table. Raises BadImage,
    DoesNotFit where the table cannot be converted.
    """
    table = parse_gpt(head, old)
    if head[510:512] == MBR_SIGNATURE and any(
        head[446 + 16 * i + 4] not in (0, PROTECTIVE) for i in range(4)
    ):
        raise DoesNotFit("the disk has a hybrid MBR, which counts in its own sectors")
    count, size_of_one = table.header.entry_count, table.header.entry_size
    entry_bytes = round_up(count * size_of_one, new)
    raw = bytearray(table.raw_entries)
    for entry in table.entries:
        first, after = entry.first_lba * old, (entry.last_lba + 1) * old
        if first % new or after % new or first < 2 * new + entry_bytes:
            raise DoesNotFit(
                f"partition {entry.number} (bytes {first} to {after}) does not lie on sectors"
                f" of {new} bytes behind the table"
            )
        at = (entry.number - 1) * size_of_one + 32
        struct.pack_into("<QQ", raw, at, first // new, after // new - 1)
    last = size // new - 1
    backup = last - entry_bytes // new
    header = replace(
        table.header,
        alternate_lba=last,
        first_usable=2 + entry_bytes // new,
        last_usable=backup - 1,
        entries_lba=2,
        entries_crc=crc32(raw),
    )
    mbr = protective_for(head[:512], last)
    front = mbr.ljust(new, b"\0") + encode_header(header, table.raw_header[HEADER.size :]).ljust(
        new, b"\0"
    )
    front += bytes(raw).ljust(entry_bytes, b"\0")
    old_end = table.header.entries_lba * old + len(table.raw_entries)
    made = front.ljust(old_end, b"\0")
    return Write(0, made), *relocated_backup(front, new, size)[2:]


def fat_bits(length: int, sector: int) -> int:
    """What kind of FAT a partition of ``length`` bytes gets: FAT32 where it has clusters enough.

    (Microsoft's FAT specification, "FAT Type Determination", with some for the tables themselves.)
    """
    sectors = length // sector
    return 32 if sectors > 66_000 else 16 if sectors > 4_200 else 12


def ntfs_boot_sectors(boot: bytes, length: int, old: int, new: int) -> tuple[Write, Write]:
    """The boot sector and its copy, by their offset in a partition of ``length`` bytes, for sectors of
    ``new`` bytes. ``boot`` is the partition's first sector of the larger size.
    """
    per_cluster, (hidden,) = boot[13], struct.unpack_from("<I", boot, 28)
    cluster = old * (per_cluster if per_cluster <= 0x80 else 1 << (256 - per_cluster))
    made = bytearray(boot)
    struct.pack_into("<H", made, 11, new)
    made[13] = _per_cluster(cluster // new)
    # Behind 2^32 sectors nobody can be told; boot code there does not use it.
    struct.pack_into("<I", made, 28, hidden * old // new & 0xFFFFFFFF)
    struct.pack_into("<Q", made, 40, length // new - 1)
    sector = bytes(made[:new]).ljust(new, b"\0")
    return Write(0, sector), Write(length - new, sector)


def _per_cluster(sectors: int) -> int:
    return sectors if sectors <= 0x80 else 256 - (sectors.bit_length() - 1)


def _against(layout: DiskLayout, partition: Partition, new: int) -> str:
    name = f"partition {partition.number}"
    if partition.start % new or partition.length % new:
        place = f"byte {partition.start}, {partition.length} bytes"
        return f"{name} ({place}) does not lie on sectors of {new} bytes"
    if partition.type == MICROSOFT_RESERVED:
        return ""
    if partition.type == BIOS_BOOT:
        has_efi = any(p.type in EFI_SYSTEM for p in layout.partitions)
        return "" if has_efi else f"{name} holds BIOS boot code, and there is no EFI system partition"
    return _content_against(name, partition, new)


def _content_against(name: str, partition: Partition, new: int) -> str:
    fstype, largest = partition.fstype, partition.largest_sector
    if fstype not in ("ext2", "ext3", "ext4", "xfs", "btrfs", "ntfs", "vfat", "swap"):
        return f"{name} holds {fstype or 'unknown content'}, which may be bound to its sectors"
    if fstype in ("vfat", "ntfs") and partition.taken is not Taken.USED:
        return f"{name} ({fstype}) would have to change: {partition.why or 'every sector was taken'}"
    if fstype != "vfat" and largest < new:
        units = f"units of {largest} bytes" if largest else "units of unknown size"
        return f"{name} ({fstype}) is written in {units}, the disk in sectors of {new}"
    return ""


def _rework(partition: Partition) -> Rework | None:
    return {"vfat": Rework.FAT, "ntfs": Rework.NTFS}.get(partition.fstype)


def _changed(partition: Partition, rework: Rework) -> Iterator[Extent]:
    if rework is Rework.FAT:
        yield partition.extent
        return
    yield Extent(partition.start, max(SIZES))
    yield Extent(partition.extent.end - max(SIZES), max(SIZES))
