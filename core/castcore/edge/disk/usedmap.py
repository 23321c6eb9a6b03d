"""Which bytes of a file system are in use: by our own readers, or by partclone's domain map of it.

Either is asked only when the file system was left clean. Whatever goes wrong, the answer is "every
sector" with the reason: more bytes, never fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from castcore.disk import Extent, Extents, Taken, fshealth, shift, subtract
from castcore.disk.domainmap import free_extents
from castcore.disk.fs import Reader
from castcore.disk.fs.btrfs import btrfs_free, btrfs_trouble
from castcore.disk.fs.f2fs import f2fs_free, f2fs_trouble
from castcore.disk.fs.fatmap import fat_free, fat_trouble
from castcore.disk.xfslog import xfs_trouble
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.ntfs import ntfs_trouble
from castcore.edge.disk.partclonemap import PROGRAMS, domain_map, from_its_start, said
from castcore.edge.run import ProgramFailed
from castcore.errors import BadImage, MissingProgram


@dataclass(frozen=True, slots=True)
class OwnReader:
    """A reader of ours: what speaks against believing the file system, and what it calls free.

    Both take the reader of bytes and the partition's length.
    """

    trouble: Callable[[Reader, int], str]
    free: Callable[[Reader, int], Extents]


# Partclone loses files of FAT12, its map of btrfs omits blocks (issue 303), and F2FS's roll-forward
# log holds data that its map does not know of.
OWN = {
    "vfat": OwnReader(fat_trouble, fat_free),
    "btrfs": OwnReader(btrfs_trouble, btrfs_free),
    "f2fs": OwnReader(f2fs_trouble, f2fs_free),
}


@dataclass(frozen=True, slots=True)
class Use:
    """The extents of the disk in use in one partition; ``why`` is "" when nothing is to be said."""

    in_use: Extents
    taken: Taken = Taken.USED
    why: str = ""


def has_map(fstype: str) -> bool:
    """Whether extents in use can be had for ``fstype`` (blkid's name)."""
    return fstype in OWN or fstype in PROGRAMS


def used_by(disk: BlockFile, extent: Extent, fstype: str, *, trust_dirty: bool = False) -> Use:
    """What the file system ``fstype`` in ``extent`` of ``disk`` uses of it.

    Bytes of ``extent`` after the file system's own end are in use. One that was not left clean is
    all in use, unless ``trust_dirty``. Raises DiskFailed when the disk cannot be read.
    """
    read = reader(disk, extent)
    try:
        if fstype in OWN:
            trouble, free = _by_us(read, extent.length, OWN[fstype], trust_dirty=trust_dirty)
        else:
            with from_its_start(disk, extent) as source:
                trouble, free = _by_partclone(
                    read, extent.length, fstype, source, trust_dirty=trust_dirty
                )
    except ProgramFailed as error:
        return all_of(extent, f"{fstype}: {said(error)}")
    except (MissingProgram, BadImage) as error:
        return all_of(extent, f"{fstype}: {error.what}")
    if trouble and not trust_dirty:
        return all_of(extent, f"{fstype}: {trouble}")
    why = f"{fstype}: {trouble}; its map of free blocks is trusted nonetheless" if trouble else ""
    return Use(subtract((extent,), shift(free, extent.start)), why=why)


def all_of(extent: Extent, why: str) -> Use:
    """Every sector of ``extent``, and why."""
    return Use((extent,), Taken.EVERY, why)


def reader(disk: BlockFile, extent: Extent) -> Reader:
    """Reads ``extent`` of ``disk``; what lies outside of it is a BadImage."""

    def read(offset: int, length: int) -> bytes:
        if offset + length > extent.length:
            raise BadImage(f"it names byte {offset}, after its partition's end")
        return disk.read(extent.start + offset, length)

    return read


def _by_us(read: Reader, length: int, own: OwnReader, *, trust_dirty: bool) -> tuple[str, Extents]:
    """What troubles the file system, and what is free of it unless that forbids to ask."""
    trouble = own.trouble(read, length)
    return trouble, () if trouble and not trust_dirty else own.free(read, length)


def _by_partclone(
    read: Reader, length: int, fstype: str, source: str, *, trust_dirty: bool
) -> tuple[str, Extents]:
    trouble = _trouble(read, fstype, source)
    if trouble and not trust_dirty:
        return trouble, ()
    return trouble, free_extents(domain_map(fstype, source, unchecked=bool(trouble)), length)


def _trouble(read: Reader, fstype: str, source: str) -> str:
    match fstype:
        case "ext2" | "ext3" | "ext4":
            return fshealth.ext_trouble(read(1024, 1024))
        case "exfat":
            return fshealth.exfat_trouble(read(0, 512))
        case "xfs":
            return xfs_trouble(read)
        case _:
            return ntfs_trouble(source)
