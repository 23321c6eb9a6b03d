"""Clonezilla's image folders (``ocs-sr savedisk``): which file holds what.

There is no specification; the names are those that Clonezilla's own scripts write and look for
(scripts/sbin/ocs-functions: save_part_by_partclone, save_part_by_dd, save_hidden_data_after_MBR,
output_swap_partition_uuid_label). Pure: names and small texts in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from castcore.errors import BadImage, Refused

DISKS_FILE, PARTS_FILE = "disk", "parts"
# What tells that the folder holds more than disks with partitions, with the reason for refusing.
BEYOND = {
    "lvm_vg_dev.list": "logical volumes (LVM)",
    "luks-dev.list": "LUKS containers opened when it was saved",
    "dev-md.list": "md RAID devices",
    "mdstat.txt": "md RAID devices",
    "ecryptfs.info": "encrypted files",
    "gocryptfs.info": "encrypted files",
}
RESTORE_FIRST = "restore it with Clonezilla to a disk, and capture that with `fleetcast capture`"
_COMPRESSION = r"(?:\.(?:gz|bz2|lzo|lzma|xz|lzip|lz|lrz|lz4|zst|uncomp))?"
_SPLIT = r"(?:\.(?P<split>(?!info)[a-z]{2,5}))?"
_IMAGE = re.compile(rf"(?P<kind>[a-z0-9+_]+-ptcl|dd|[a-z0-9+_]+)-img{_COMPRESSION}{_SPLIT}")
_DISK_LINE = re.compile(r"^Disk /dev/\S+: *(\d+)s *$", re.MULTILINE)
_SECTOR_LINE = re.compile(r"^Sector size \(logical/physical\): *(\d+)B/\d+B *$", re.MULTILINE)
_TABLE_LINE = re.compile(r"^Partition Table: *(\S+) *$", re.MULTILINE)
_SETTING = re.compile(r"^(UUID|LABEL)=\"([^\"]*)\" *$", re.MULTILINE)
_LOGICAL = re.compile(r"type=\s*(?:5|f|85)\b|Id=\s*(?:5|f|85)\b", re.IGNORECASE)
SECTOR_SIZES = (512, 4096)


class Holds(StrEnum):
    """How the bytes of a partition are kept."""

    PARTCLONE = "partclone"
    BYTES = "dd"


@dataclass(frozen=True, slots=True)
class PartitionFiles:
    """The files of one partition's image, in the order in which they make one stream."""

    holds: Holds
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiskLines:
    """What parted said of a disk: bytes, bytes a sector, its word for the table (``gpt``, ``msdos``)."""

    size: int
    sector_size: int
    table: str


@dataclass(frozen=True, slots=True)
class SwapInfo:
    """What Clonezilla keeps of swap: ``uuid`` and ``label``, "" where it has none."""

    uuid: str
    label: str


def file_name(device: str) -> str:
    """How Clonezilla spells a device in a file's name: ``cciss/c0d0p1`` is ``cciss-c0d0p1``."""
    return device.replace("/", "-")


def device_names(text: str) -> tuple[str, ...]:
    """The devices that a file ``disk`` or ``parts`` lists. Raises BadImage."""
    names = tuple(dict.fromkeys(text.split()))
    if (
        not names
        or len(names) > 4096
        or any(not re.fullmatch(r"[A-Za-z0-9][\w/.+-]*", n) for n in names)
    ):
        raise BadImage(f"it lists no devices: {text[:60]!r}")
    return names


def partition_number(partition: str, disk: str) -> int | None:
    """The number of ``partition`` on ``disk``; 0: it is the disk itself; None: it is another disk's."""
    if partition == disk:
        return 0
    found = re.fullmatch(rf"{re.escape(disk)}p?([1-9]\d{{0,4}})", partition)
    # nvme0n1p1 is the first of nvme0n1; sda11 is no partition of sda1.
    return int(found[1]) if found and (disk[-1].isdigit() == ("p" in found[0][len(disk) :])) else None


def require_plain(names: Iterable[str]) -> None:
    """Raise Refused when the folder holds what lies between disks and file systems."""
    for name in sorted(set(names) & BEYOND.keys()):
        raise Refused(
            f"it holds {BEYOND[name]} ({name}), which this import does not put together",
            hint=RESTORE_FIRST,
        )


def partition_files(names: Iterable[str], partition: str) -> PartitionFiles | None:
    """The image of ``partition`` among the folder's ``names``; None when there is none.

    Raises BadImage when parts of it are missing, Refused when another program made it.
    """
    prefix = file_name(partition) + "."
    streams: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for name in sorted(n for n in names if n.startswith(prefix)):
        found = _IMAGE.fullmatch(name[len(prefix) :])
        if found is None:
            _refuse_others(name, name[len(prefix) :])
            continue
        split = found["split"] or ""
        stream = name.removesuffix("." + split) if split else name
        streams.setdefault(stream, []).append(split)
        kinds[stream] = found["kind"]
    if not streams:
        return None
    if len(streams) > 1:
        raise BadImage(f"{partition} has several images: {', '.join(sorted(streams))}")
    ((stream, splits),) = streams.items()
    kind = kinds[stream]
    if kind == "ntfs":
        raise _unread(stream, "ntfsclone")
    return PartitionFiles(
        Holds.BYTES if kind in ("dd", "dd-ptcl") else Holds.PARTCLONE, split_in_order(stream, splits)
    )


def split_in_order(stream: str, splits: Sequence[str]) -> tuple[str, ...]:
    """The files of ``stream`` that split(1) wrote, each named by its suffix, in order; "" is the whole.

    Raises BadImage when one between the first and the last is missing.
    """
    if list(splits) == [""]:
        return (stream,)
    width = len(splits[0])
    wanted = [_suffix(n, width) for n in range(len(splits))]
    if sorted(splits) != wanted:
        missing = next((w for w in wanted if w not in splits), wanted[0])
        raise BadImage(f"{stream}.{missing} is missing")
    return tuple(f"{stream}.{split}" for split in wanted)


def parse_parted(text: str) -> DiskLines:
    """The disk that ``DISK-pt.parted`` (`parted unit s print`) describes. Raises BadImage."""
    disk, sector, table = (line.search(text) for line in (_DISK_LINE, _SECTOR_LINE, _TABLE_LINE))
    if disk is None or table is None:
        raise BadImage("its -pt.parted file names no disk's size and partition table")
    sector_size = int(sector[1]) if sector else 512
    if sector_size not in SECTOR_SIZES or len(disk[1]) > 15:
        raise BadImage(f"its -pt.parted file speaks of {disk[1][:20]} sectors of {sector_size} bytes")
    return DiskLines(int(disk[1]) * sector_size, sector_size, table[1])


def parse_swap(text: str) -> SwapInfo:
    """The file ``swappt-PARTITION.info``."""
    found = dict(_SETTING.findall(text))
    return SwapInfo(found.get("UUID", ""), found.get("LABEL", ""))


def has_logical(sfdisk_script: str) -> bool:
    """Whether an MBR that `sfdisk -d` dumped has an extended partition."""
    return _LOGICAL.search(sfdisk_script) is not None


def _suffix(number: int, width: int) -> str:
    """What split(1) names piece ``number``: aa, ab ... az, ba ..."""
    letters = ""
    for _ in range(width):
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def _refuse_others(name: str, rest: str) -> None:
    # Old Clonezilla: partimage's own volumes (.000) or its stream, split (.aa).
    if re.fullmatch(r"\d{3}|aa", rest):
        raise _unread(name, "partimage")


def _unread(name: str, program: str) -> Refused:
    return Refused(
        f"{name} was made by {program}, whose images are not read",
        hint=RESTORE_FIRST,
    )
