"""A new GUID partition table: the writes that put it on a disk, in the order that is safe.

UEFI Specification 2.10, section 5.3. The first sector comes last: until it is written no firmware
starts anything from the disk. Pure: partitions in, writes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID
from zlib import crc32

from castcore.disk.gpt import (
    ENTRY,
    HEADER,
    MBR_SIGNATURE,
    PROTECTIVE,
    SIGNATURE,
    Header,
    Write,
    encode_header,
    relocated_backup,
)
from castcore.disk.layout import Partition
from castcore.disk.mbr import ACTIVE, RECORD, TABLE
from castcore.units import round_up

REVISION = 0x10000
ENTRY_COUNT = 128
# Boot code of a BIOS stands before the disk signature.
BOOT_CODE = 440


def new_table(
    partitions: Sequence[Partition], *, size: int, sector_size: int, uuid: str, boot_code: bytes = b""
) -> tuple[Write, ...]:
    """The table with ``partitions`` for a disk of ``size`` bytes: backup, primary, first sector.

    ``uuid`` is the disk's; ``boot_code`` (at most 440 bytes) is what a BIOS starts. Raises
    DoesNotFit when a partition reaches into the backup's place, ValueError for what no table can say.
    """
    if len(boot_code) > BOOT_CODE:
        raise ValueError(f"boot code of {len(boot_code)} bytes: a first sector has room for {BOOT_CODE}")
    entries = _entries(partitions, sector_size)
    reserved = round_up(len(entries), sector_size) // sector_size
    last = size // sector_size - 1
    header = Header(
        SIGNATURE,
        REVISION,
        HEADER.size,
        crc=0,
        reserved=0,
        my_lba=1,
        alternate_lba=last,
        first_usable=2 + reserved,
        last_usable=last - reserved - 1,
        disk_guid=UUID(uuid).bytes_le,
        entries_lba=2,
        entry_count=ENTRY_COUNT,
        entry_size=ENTRY.size,
        entries_crc=crc32(entries),
    )
    front = _first_sector(boot_code, last).ljust(sector_size, b"\0")
    front += encode_header(header, b"").ljust(sector_size, b"\0")
    front += entries.ljust(reserved * sector_size, b"\0")
    first, primary, *backup = relocated_backup(front, sector_size, size)
    return (
        *backup,
        Write(2 * sector_size, front[2 * sector_size :]),
        primary,
        first,
    )


def _entries(partitions: Sequence[Partition], sector_size: int) -> bytes:
    raw = bytearray(ENTRY_COUNT * ENTRY.size)
    for p in partitions:
        if not 1 <= p.number <= ENTRY_COUNT or p.start % sector_size or p.length % sector_size:
            raise ValueError(f"partition {p.number}: not on sectors of {sector_size} bytes")
        first, after = p.start // sector_size, p.extent.end // sector_size
        kind, unique = UUID(p.type).bytes_le, UUID(p.uuid).bytes_le
        name = p.name.encode("utf-16-le")
        ENTRY.pack_into(raw, (p.number - 1) * ENTRY.size, kind, unique, first, after - 1, 0, name)
    return bytes(raw)


def _first_sector(boot_code: bytes, last_lba: int) -> bytes:
    """The protective MBR (UEFI 2.10, table 5-4), with ``boot_code`` before it.

    Some BIOSes start no disk without an active record, some UEFI firmware takes no disk for a GPT whose
    protective record is active. So an empty record beside it is, where there is something to start: what
    xorriso calls ``mbr_force_bootable``.
    """
    sector = bytearray(512)
    sector[: len(boot_code)] = boot_code
    size = min(last_lba, 0xFFFFFFFF)
    RECORD.pack_into(sector, TABLE, 0, b"\0\2\0", PROTECTIVE, b"\xff\xff\xff", 1, size)
    if boot_code:
        RECORD.pack_into(sector, TABLE + RECORD.size, ACTIVE, b"\0\0\0", 0, b"\0\0\0", 0, 1)
    sector[510:512] = MBR_SIGNATURE
    return bytes(sector)
