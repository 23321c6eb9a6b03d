"""Master boot records and the chain of extended boot records: what stands where, and of what type.

There is no specification but practice; UEFI 2.10, section 5.2.1 describes the record. Pure: the
reader of sectors is given.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from castcore.errors import BadImage

SIGNATURE = b"\x55\xaa"
TABLE = 446
# Boot indicator, CHS start, type, CHS end, first sector, sectors.
RECORD = struct.Struct("<B3sB3sII")
ACTIVE = 0x80
EXTENDED = frozenset({0x05, 0x0F, 0x85})
# A chain longer than this is a loop or hostile; Linux itself stops at 256 partitions.
MOST_LOGICAL = 256


@dataclass(frozen=True, slots=True)
class MbrEntry:
    """One partition record; ``start`` and ``length`` are sectors of the whole disk."""

    type: int
    bootable: bool
    start: int
    length: int

    @property
    def extended(self) -> bool:
        """Whether the entry is the container of logical partitions."""
        return self.type in EXTENDED


@dataclass(frozen=True, slots=True)
class BootRecord:
    """One extended boot record at sector ``lba``, and the logical partition it names, if any."""

    lba: int
    logical: MbrEntry | None


def parse_mbr(sector: bytes) -> tuple[MbrEntry | None, ...]:
    """The four primary entries of the first ``sector``. Raises BadImage when it is no boot record."""
    return tuple(_entries(sector, "the first sector"))


def disk_signature(sector: bytes) -> str:
    """The disk signature in the first ``sector`` as eight hex digits, as blkid and Windows spell it."""
    return f"{int.from_bytes(sector[440:444], 'little'):08x}"


def boot_records(read: Callable[[int], bytes], extended: MbrEntry) -> tuple[BootRecord, ...]:
    """The chain of extended boot records that starts with ``extended``, in its order.

    ``read`` returns the sector with a number. Raises BadImage when the chain is damaged.
    """
    found: list[BootRecord] = []
    lba = extended.start
    while True:
        if len(found) == MOST_LOGICAL or any(r.lba == lba for r in found):
            raise BadImage(f"partition table: the chain of logical partitions loops at sector {lba}")
        first, link, *_ = _entries(read(lba), f"sector {lba}")
        # A logical partition counts from its own record, a link from the extended partition.
        logical = (
            None
            if first is None
            else MbrEntry(first.type, first.bootable, lba + first.start, first.length)
        )
        found.append(BootRecord(lba, logical))
        if link is None or not link.extended:
            return tuple(found)
        lba = extended.start + link.start


def _entries(sector: bytes, name: str) -> Iterator[MbrEntry | None]:
    if len(sector) < 512 or sector[510:512] != SIGNATURE:
        raise BadImage(f"partition table: {name} is no boot record")
    for flags, _, kind, _, start, length in RECORD.iter_unpack(sector[TABLE:510]):
        used = kind != 0 and length != 0
        yield MbrEntry(kind, flags & ACTIVE != 0, start, length) if used else None
