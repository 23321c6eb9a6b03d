"""What a disk is, as frozen values: identity, table, partitions, and the bytes that are in use.

Nothing here opens a device. ``castcore.edge.disk.probe`` builds these from a real disk, tests from
literals; ``to_json``/``from_json`` are how they stand in a manifest and in a client's report.
All positions and lengths are bytes from the start of the whole disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from castcore.disk.extent import Extent
from castcore.plain import from_plain, to_plain


class TableType(StrEnum):
    """How the disk is divided."""

    GPT = "gpt"
    MBR = "mbr"
    NONE = "none"


class Taken(StrEnum):
    """Which bytes of a partition an image holds."""

    USED = "used-extents"
    EVERY = "every-sector"
    HEADER = "header-only"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. ``type`` is a GPT type GUID or an MBR type as two hex digits, lower case.

    ``fstype``, ``fs_uuid``, ``label`` are blkid's words ("" when unknown); ``largest_sector`` is the
    largest disk sector in bytes that its content works on, 0 when that is not known; ``taken`` says what
    the image holds of it and ``why`` gives the reason where that is not ``USED``.
    """

    number: int
    start: int
    length: int
    type: str = ""
    uuid: str = ""
    name: str = ""
    bootable: bool = False
    fstype: str = ""
    fs_uuid: str = ""
    label: str = ""
    largest_sector: int = 0
    taken: Taken = Taken.EVERY
    why: str = ""

    @property
    def extent(self) -> Extent:
        """The partition as an extent of the disk."""
        return Extent(self.start, self.length)


@dataclass(frozen=True, slots=True)
class DiskLayout:
    """One disk as imaged: ``size`` and ``sector_size`` in bytes, its table and partitions."""

    size: int
    sector_size: int
    table: TableType
    table_uuid: str = ""
    partitions: tuple[Partition, ...] = ()

    def __post_init__(self) -> None:
        if self.sector_size <= 0:
            raise ValueError(f"no disk has sectors of {self.sector_size} bytes")

    @property
    def left_out(self) -> tuple[int, ...]:
        """The partitions that were not captured, by number: such an image is of no whole disk."""
        return tuple(p.number for p in self.partitions if p.taken is Taken.NOTHING)


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A disk of a machine as probed: who it is and whether it may be written.

    ``path`` is its device node or file; ``stable_id`` names it across boots (WWN, else serial, else
    path by bus); ``names`` are udev's stable links to it ("by-id/wwn-0x5...", "by-path/pci-0000:...").
    ``held_by`` says who uses it ("mounted at /", "swap"...), "" when free. ``first_path`` is the device
    node that stands for the whole LUN when this one is a further path to it, "" when this one does.
    ``boot_medium``: the running system was started from it. ``array`` says of which firmware RAID it is
    a member and what has become of that ("Volume0, which is /dev/md126"), "" when that is not known.
    """

    path: str
    stable_id: str
    size: int
    sector_size: int
    model: str = ""
    serial: str = ""
    wwn: str = ""
    bus: str = ""
    removable: bool = False
    read_only: bool = False
    held_by: str = ""
    names: tuple[str, ...] = ()
    first_path: str = ""
    boot_medium: bool = False
    array: str = ""
    layout: DiskLayout | None = None


def layout_to_json(layout: DiskLayout) -> dict[str, Any]:
    """``layout`` as JSON values."""
    return cast(dict[str, Any], to_plain(layout))


def layout_from_json(value: Any) -> DiskLayout:
    """The layout that ``value`` spells. Raises BadPacket when it spells none."""
    return from_plain(DiskLayout, value)


def facts_to_json(facts: DiskFacts) -> dict[str, Any]:
    """``facts`` as JSON values."""
    return cast(dict[str, Any], to_plain(facts))


def facts_from_json(value: Any) -> DiskFacts:
    """The disk facts that ``value`` spells. Raises BadPacket when it spells none."""
    return from_plain(DiskFacts, value)
