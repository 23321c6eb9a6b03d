"""Partition tables, judged by libparted on a sparse copy of the bytes that hold them.

libparted opens its device for writing and asks questions; it therefore never sees the disk itself
but an anonymous file of the same size that holds the table and nothing else. It decides whether
there is a table and which partitions it has; their types and names come from our own readers,
because libparted before 3.6 (Debian 12) does not tell them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import _ped
import parted

from castcore.disk import Extent, Extents, Partition, TableType, Write, relocated_backup
from castcore.disk.gpt import guid, has_signature, parse_gpt, table_length
from castcore.disk.mbr import EXTENDED, MbrEntry, boot_records, disk_signature, parse_mbr
from castcore.edge.disk.blockdev import BlockFile
from castcore.errors import BadImage, DoesNotFit

E = TypeVar("E")
# libparted keeps global state, among it the sector size that files are read with.
_PARTED = threading.Lock()
PARTED_ERRORS = (
    _ped.PartedException,
    _ped.DeviceException,
    _ped.DiskException,
    _ped.DiskLabelException,
    _ped.PartitionException,
    _ped.IOException,
)
# Where the labels that libparted knows, and the file systems it tells them from, have their marks.
MARKS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Table:
    """A disk's table; ``records`` are its own bytes (headers, entries, boot records).

    ``backup`` is where a GPT's backup belongs on this disk. ``trouble`` says why there is no table to
    go by where the disk is not simply without one.
    """

    type: TableType
    uuid: str = ""
    partitions: tuple[Partition, ...] = ()
    records: tuple[Extent, ...] = ()
    backup: Extents = ()
    trouble: str = ""


def read_table(disk: BlockFile) -> Table:
    """The partition table of ``disk``. Raises DiskFailed when its front cannot be read."""
    start = disk.read(0, min(MARKS, disk.size))
    if len(start) < 2 * disk.sector_size:
        return Table(TableType.NONE)
    try:
        if has_signature(start, disk.sector_size):
            return _gpt(disk, start)
        return _mbr_or_none(disk, start)
    except (BadImage, DoesNotFit) as error:
        return Table(TableType.NONE, trouble=error.what)
    except PARTED_ERRORS as error:
        return Table(TableType.NONE, trouble=f"partition table: {str(error).strip()}")


def _gpt(disk: BlockFile, start: bytes) -> Table:
    length = table_length(start, disk.sector_size)
    if length > disk.size:
        raise BadImage("partition table: its entries lie after the disk's end")
    primary = disk.read(0, length)
    table = parse_gpt(primary, disk.sector_size)
    # A backup that is missing, stale or not at the end is made anew anyway: show a right one.
    repaired = relocated_backup(primary, disk.sector_size, disk.size)
    kind, found = _by_libparted(disk, (Write(0, primary), *repaired))
    if kind != "gpt":
        raise BadImage(f"partition table: a GPT header, but the disk reads as {kind or 'unknown'}")
    entries = {e.first_lba * disk.sector_size: e for e in table.entries}
    partitions = []
    for number, extent in found:
        entry = _entry_at(entries, extent)
        # Attribute bit 2: legacy BIOS bootable (UEFI 2.10, table 5-7).
        bootable = bool(entry.attributes >> 2 & 1)
        partitions.append(
            Partition(number, extent.start, extent.length, entry.type, entry.uuid, entry.name, bootable)
        )
    return Table(
        TableType.GPT,
        guid(table.header.disk_guid),
        tuple(partitions),
        records=(Extent(0, length),),
        backup=(Extent(repaired[-2].offset, disk.size - repaired[-2].offset),),
    )


def _mbr_or_none(disk: BlockFile, start: bytes) -> Table:
    sector = disk.sector_size
    records: dict[int, bytes] = {}
    entries: dict[int, MbrEntry] = {}
    if start[510:512] == b"\x55\xaa":
        entries, records = _mbr_entries(disk, start)
    pieces = [Write(0, start), *(Write(at, data) for at, data in records.items())]
    kind, found = _by_libparted(disk, pieces)
    if kind in ("", "loop"):
        return Table(TableType.NONE)
    if kind != "msdos":
        return Table(TableType.NONE, trouble=f"a partition table of type {kind}, which is not read")
    partitions = []
    for number, extent in found:
        entry = _entry_at(entries, extent)
        partitions.append(
            Partition(number, extent.start, extent.length, f"{entry.type:02x}", bootable=entry.bootable)
        )
    own = tuple(Extent(at, sector) for at in (0, *records))
    return Table(TableType.MBR, disk_signature(start), tuple(partitions), own)


def _mbr_entries(disk: BlockFile, start: bytes) -> tuple[dict[int, MbrEntry], dict[int, bytes]]:
    """The entries by the byte they start at, and the extended boot records by theirs."""
    sector = disk.sector_size
    entries: dict[int, MbrEntry] = {}
    records: dict[int, bytes] = {}

    def read(lba: int) -> bytes:
        if (lba + 1) * sector > disk.size:
            raise BadImage(f"partition table: sector {lba} lies after the disk's end")
        return records.setdefault(lba * sector, disk.read(lba * sector, sector))

    for entry in filter(None, parse_mbr(start)):
        entries[entry.start * sector] = entry
        # A FAT or NTFS boot sector ends like an MBR: what its code bytes name may be no chain at all.
        if entry.type in EXTENDED and entry.start:
            logicals = [r.logical for r in boot_records(read, entry) if r.logical]
            entries |= {e.start * sector: e for e in logicals}
    return entries, records


def _entry_at(entries: Mapping[int, E], extent: Extent) -> E:
    try:
        return entries[extent.start]
    except KeyError:
        raise BadImage(f"partition table: no entry names the partition at byte {extent.start}") from None


def _by_libparted(disk: BlockFile, pieces: Sequence[Write]) -> tuple[str, list[tuple[int, Extent]]]:
    """libparted's name of the label ("" for none) that ``pieces`` make, and its partitions."""
    with _PARTED, _sparse_copy(disk.size, pieces) as path, _sector_size(disk.sector_size):
        device = parted.getDevice(path)
        try:
            try:
                label = parted.Disk(device)
            except _ped.DiskLabelException as error:
                if "unrecognised disk label" in str(error):
                    return "", []
                raise
            sector = disk.sector_size
            found = [
                (p.number, Extent(p.geometry.start * sector, p.geometry.length * sector))
                for p in label.partitions
                if p.number > 0
            ]
            return str(label.type), found
        finally:
            device.removeFromCache()


@contextmanager
def _sparse_copy(size: int, pieces: Sequence[Write]) -> Iterator[str]:
    fd = os.memfd_create("table", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        for piece in pieces:
            os.pwrite(fd, piece.data, piece.offset)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


@contextmanager
def _sector_size(size: int) -> Iterator[None]:
    # The one way to tell libparted the sector size of what is no block device.
    os.environ["PARTED_SECTOR_SIZE"] = str(size)
    try:
        yield
    finally:
        del os.environ["PARTED_SECTOR_SIZE"]
