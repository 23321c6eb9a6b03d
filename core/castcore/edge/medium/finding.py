"""Which disks and files are deploy media. Only their partition tables are read: nothing is mounted."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass

from castcore.disk import Extent, Partition, parse_gpt, partitions_of, primary_from_backup, table_length
from castcore.disk.gpt import PROTECTIVE, guid, has_signature
from castcore.disk.mbr import parse_mbr
from castcore.edge.disk import probe
from castcore.edge.disk.blockdev import BlockFile
from castcore.errors import BadImage, FleetcastError, NotFound
from castcore.medium import MediumParts, recognise
from castcore.units import MIB

# Tables of ours, and every usual one, end in the first MiB, and begin in the last.
ENDS = MIB
FIRST_SECTOR = 512


@dataclass(frozen=True, slots=True)
class FoundMedium:
    """A deploy medium as its table tells it; ``size`` in bytes.

    ``id`` is the table's UUID, and the one in its ``medium.json``; ``serial`` is what its ledger is
    bound to (:func:`serial_of`).
    """

    device: str
    id: str
    serial: str
    size: int
    sector_size: int
    parts: MediumParts

    @property
    def ledger(self) -> Extent:
        """Where the ledger lies, in bytes of the whole disk."""
        return self.parts.ledger.extent


def find_media() -> tuple[FoundMedium, ...]:
    """The deploy media among this machine's disks, by path. A disk that cannot be read is none."""
    found = []
    for facts in probe.identities():
        with suppress(FleetcastError):
            medium = _medium(facts.path, facts.serial)
            found += [medium] if medium is not None else []
    return tuple(found)


def medium_at(path: str | os.PathLike[str]) -> FoundMedium | None:
    """The deploy medium that the disk, loop device or image file ``path`` is; None when it is none.

    Raises NotFound, DiskFailed.
    """
    name = os.fspath(path)
    return _medium(name, _serial(name))


def read_partitions(disk: BlockFile) -> tuple[str, tuple[Partition, ...]]:
    """The UUID of the GUID partition table of ``disk`` and its partitions; "" and none without one.

    An update that was cut off may have left the primary table half written: the backup counts then,
    unless the first sector says that the disk was divided anew. Raises DiskFailed.
    """
    sector = disk.sector_size
    start = disk.read(0, min(ENDS, disk.size))
    with suppress(BadImage):
        if has_signature(start, sector):
            return _read(start[: table_length(start, sector)], sector)
    if not _backup_counts(start[:FIRST_SECTOR]):
        return "", ()
    with suppress(BadImage):
        length = min(ENDS, disk.size)
        return _read(primary_from_backup(disk.read(disk.size - length, length), sector), sector)
    return "", ()


def serial_of(serial: str, medium_id: str) -> str:
    """What a medium's ledger is bound to: the disk's own ``serial``, else its table's UUID.

    Image files, and sticks without a number, have no better one.
    """
    return serial or medium_id


def _medium(path: str, serial: str) -> FoundMedium | None:
    with BlockFile.open_source(path) as disk:
        uuid, partitions = read_partitions(disk)
        parts = recognise(partitions)
        if parts is None:
            return None
        return FoundMedium(path, uuid, serial_of(serial, uuid), disk.size, disk.sector_size, parts)


def _backup_counts(first: bytes) -> bool:
    """Whether the first sector is of a GPT, or not yet written: what is torn of ours has no other."""
    try:
        return not any(first) or any(e is not None and e.type == PROTECTIVE for e in parse_mbr(first))
    except BadImage:
        return False


def _read(primary: bytes, sector: int) -> tuple[str, tuple[Partition, ...]]:
    table = parse_gpt(primary, sector)
    return guid(table.header.disk_guid), partitions_of(table, sector)


def _serial(name: str) -> str:
    """The serial number of the disk ``name``; "" for files and loop devices."""
    try:
        if not stat.S_ISBLK(os.stat(name).st_mode):
            return ""
    except OSError:
        raise NotFound(f"{name} does not exist") from None
    real = os.path.realpath(name)
    return next((facts.serial for facts in probe.identities() if facts.path == real), "")
