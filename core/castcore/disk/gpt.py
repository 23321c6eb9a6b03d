"""GUID partition tables: reading a primary table, and its twin for a disk of another size.

UEFI Specification 2.10, section 5.3. An image holds the primary table of its source as data; the
backup at the disk's end and the numbers that name the disk's size are made anew for every target
by :func:`relocated_backup`. Pure: bytes in, writes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from uuid import UUID
from zlib import crc32

from castcore.disk.layout import Partition
from castcore.errors import BadImage, DoesNotFit
from castcore.units import MIB, exactly, round_up

SIGNATURE = b"EFI PART"
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
# Type GUID, unique GUID, first LBA, last LBA, attributes, name (table 5-6).
ENTRY = struct.Struct("<16s16sQQQ72s")
USUAL_ENTRY_BYTES = 128 * 128
MBR_SIGNATURE = b"\x55\xaa"
MBR_TABLE = 446
PROTECTIVE = 0xEE
# Entries normally begin in the third sector. A table that reaches further is not read as one (its
# disk is then cloned sector by sector), so that an image's first chunk always holds all of it.
MOST_TABLE_BYTES = MIB
UNUSED = bytes(16)


@dataclass(frozen=True, slots=True)
class Write:
    """``data`` to be written at byte ``offset`` of a disk."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class GptEntry:
    """One used entry; ``first_lba`` and ``last_lba`` are sectors, both inside the partition."""

    number: int
    type: str
    uuid: str
    first_lba: int
    last_lba: int
    attributes: int
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """A GPT header's fields in their order on the disk (UEFI 2.10, table 5-5); places are sectors."""

    signature: bytes
    revision: int
    size: int
    crc: int
    reserved: int
    my_lba: int
    alternate_lba: int
    first_usable: int
    last_usable: int
    disk_guid: bytes
    entries_lba: int
    entry_count: int
    entry_size: int
    entries_crc: int


@dataclass(frozen=True, slots=True)
class Gpt:
    """A checked primary table; ``raw_header`` and ``raw_entries`` are its bytes on the disk."""

    header: Header
    raw_header: bytes
    raw_entries: bytes
    entries: tuple[GptEntry, ...]


def has_signature(start: bytes, sector_size: int) -> bool:
    """Whether ``start``, the first bytes of a disk, claim to hold a GUID partition table."""
    return start[sector_size : sector_size + 8] == SIGNATURE


def table_length(start: bytes, sector_size: int) -> int:
    """Bytes from the disk's start to the end of the primary entries.

    ``start`` holds at least the first two sectors. Raises BadImage when the header is damaged.
    """
    header = _primary_header(start, sector_size)
    return header.entries_lba * sector_size + header.entry_count * header.entry_size


def parse_gpt(primary: bytes, sector_size: int) -> Gpt:
    """The table in ``primary``, the disk's bytes from 0 to at least :func:`table_length`.

    Raises BadImage when header or entries are damaged or ``primary`` is too short.
    """
    header = _primary_header(primary, sector_size)
    start = header.entries_lba * sector_size
    raw = primary[start : start + header.entry_count * header.entry_size]
    if len(raw) != header.entry_count * header.entry_size:
        raise BadImage(f"partition table: its entries end after the {len(primary)} bytes given")
    if crc32(raw) != header.entries_crc:
        raise BadImage("partition table: the checksum of its entries is wrong")
    return Gpt(
        header=header,
        raw_header=primary[sector_size : sector_size + header.size],
        raw_entries=raw,
        entries=tuple(_entries(raw, header.entry_size)),
    )


def partitions_of(table: Gpt, sector_size: int) -> tuple[Partition, ...]:
    """The partitions of ``table``, by number; what they hold is not known here."""
    return tuple(
        Partition(
            e.number,
            e.first_lba * sector_size,
            (e.last_lba + 1 - e.first_lba) * sector_size,
            e.type,
            e.uuid,
            e.name,
        )
        for e in table.entries
    )


def primary_from_backup(backup: bytes, sector_size: int) -> bytes:
    """The disk's first bytes, as its primary table would be, from ``backup``: the disk's last bytes.

    ``backup`` ends with the disk and holds at least the entries. Raises BadImage when it is damaged.
    """
    raw = backup[-sector_size:]
    if len(raw) < HEADER.size or raw[:8] != SIGNATURE:
        raise BadImage("partition table: the last sector holds no GPT header")
    header = Header(*HEADER.unpack_from(raw))
    if not HEADER.size <= header.size <= len(raw) or _header_crc(raw[: header.size]) != header.crc:
        raise BadImage("partition table: the backup header is damaged")
    behind = (header.my_lba - header.entries_lba) * sector_size
    entries = backup[-behind - sector_size : -sector_size] if 0 < behind < len(backup) else b""
    twin = replace(header, my_lba=1, alternate_lba=header.my_lba, entries_lba=2)
    front = bytes(sector_size) + encode_header(twin, raw[HEADER.size : header.size])
    return front.ljust(2 * sector_size, b"\0") + entries


def relocated_backup(primary: bytes, sector_size: int, new_size: int) -> tuple[Write, ...]:
    """What makes the table in ``primary`` right on a disk of ``new_size`` bytes.

    The writes are, each of whole sectors: the first sector (protective MBR), the primary header, the
    backup entries and, last, the backup header in the disk's last sector. On a disk of the source's
    own size the primary ones equal what is there. Raises BadImage when the table is damaged,
    DoesNotFit when a partition reaches into the backup's place.
    """
    table = parse_gpt(primary, sector_size)
    last = new_size // sector_size - 1
    entry_bytes = round_up(len(table.raw_entries), sector_size)
    backup_lba = last - entry_bytes // sector_size
    _require_room(table, sector_size, backup_lba, new_size)
    header = replace(table.header, alternate_lba=last)
    first_sector = primary[:sector_size]
    if table.header.alternate_lba != last:
        header = replace(header, last_usable=backup_lba - 1)
        first_sector = protective_for(first_sector, last)
    twin = replace(header, my_lba=last, alternate_lba=1, entries_lba=backup_lba)
    # The header's sector after the header is reserved; what the source has there stays.
    rest = primary[sector_size + header.size : 2 * sector_size]
    tail = table.raw_header[HEADER.size :]
    return (
        Write(0, first_sector),
        Write(sector_size, encode_header(header, tail) + rest),
        Write(backup_lba * sector_size, table.raw_entries.ljust(entry_bytes, b"\0")),
        Write(last * sector_size, encode_header(twin, tail).ljust(sector_size, b"\0")),
    )


def _primary_header(start: bytes, sector_size: int) -> Header:
    raw = start[sector_size : 2 * sector_size]
    if len(raw) < HEADER.size or raw[:8] != SIGNATURE:
        raise BadImage("partition table: the second sector holds no GPT header")
    header = Header(*HEADER.unpack_from(raw))
    if not HEADER.size <= header.size <= len(raw):
        raise BadImage(f"partition table: a GPT header of {header.size} bytes")
    if _header_crc(raw[: header.size]) != header.crc:
        raise BadImage("partition table: the checksum of the GPT header is wrong")
    if header.my_lba != 1 or header.entries_lba < 2:
        raise BadImage("partition table: the GPT header is out of its place")
    entry_bytes = header.entry_count * header.entry_size
    end = header.entries_lba * sector_size + entry_bytes
    if header.entry_size < ENTRY.size or entry_bytes == 0 or end > MOST_TABLE_BYTES:
        raise BadImage(
            f"partition table: {header.entry_count} entries of {header.entry_size} bytes"
            f" from sector {header.entries_lba} on (each at least {ENTRY.size} bytes,"
            f" all in the disk's first {MOST_TABLE_BYTES} bytes)"
        )
    return header


def _entries(raw: bytes, size: int) -> Iterator[GptEntry]:
    for index in range(len(raw) // size):
        kind, unique, first, last, attributes, name = ENTRY.unpack_from(raw, index * size)
        if kind == UNUSED:
            continue
        if last < first:
            raise BadImage(f"partition table: partition {index + 1} ends before it starts")
        text = name.decode("utf-16-le", errors="replace").split("\0", 1)[0]
        yield GptEntry(index + 1, guid(kind), guid(unique), first, last, attributes, text)


def guid(raw: bytes) -> str:
    """A GUID's 16 bytes as text, lower case (its first three fields are little-endian)."""
    return str(UUID(bytes_le=raw))


def _require_room(table: Gpt, sector_size: int, backup_lba: int, new_size: int) -> None:
    end = max((e.last_lba + 1 for e in table.entries), default=table.header.first_usable)
    if end > backup_lba:
        backup = round_up(len(table.raw_entries), sector_size) + sector_size
        raise DoesNotFit(
            f"the partitions and the backup table need {exactly(end * sector_size + backup)},"
            f" the disk has {exactly(new_size)}",
            hint="choose a larger disk",
        )


def _header_crc(raw: bytes) -> int:
    return crc32(raw[:16] + bytes(4) + raw[20:])


def encode_header(header: Header, tail: bytes) -> bytes:
    """The bytes of ``header`` with its checksum made anew; ``tail`` follows the fields we know."""
    raw = HEADER.pack(*astuple(replace(header, crc=0))) + tail
    return raw[:16] + _header_crc(raw).to_bytes(4, "little") + raw[20:]


def protective_for(sector: bytes, last_lba: int) -> bytes:
    """The protective MBR in ``sector`` for a disk whose last sector is ``last_lba``.

    Only a record that stands alone is changed: beside others (a hybrid MBR) it does not span the disk.
    """
    if sector[510:512] != MBR_SIGNATURE:
        return sector
    places = [i for i in range(4) if sector[MBR_TABLE + 16 * i + 4] != 0]
    if len(places) != 1 or sector[MBR_TABLE + 16 * places[0] + 4] != PROTECTIVE:
        return sector
    record = MBR_TABLE + 16 * places[0]
    size = min(last_lba, 0xFFFFFFFF)
    return (
        sector[: record + 5]
        # The end as cylinder, head, sector: "not representable" (UEFI 2.10, table 5-4).
        + b"\xff\xff\xff"
        + sector[record + 8 : record + 12]
        + size.to_bytes(4, "little")
        + sector[record + 16 :]
    )
