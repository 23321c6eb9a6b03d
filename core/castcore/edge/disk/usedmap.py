"""Which bytes of a file system are in use, by partclone's domain map of it.

The map is asked for only when the file system was left clean (:mod:`castcore.disk.fshealth`).
Whatever goes wrong, the answer is "every sector" with the reason: more bytes, never fewer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Extent, Extents, Taken, fshealth, shift, subtract
from castcore.disk.domainmap import free_extents
from castcore.disk.xfslog import xfs_trouble
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.loopdevice import read_only_loop
from castcore.edge.disk.ntfs import ntfs_trouble
from castcore.edge.run import ProgramFailed, run
from castcore.errors import BadImage, MissingProgram

# btrfs is missing on purpose: its map omits blocks (partclone issue 303). So is f2fs, whose
# roll-forward log holds data that no checkpoint, and so no map, knows of.
PROGRAMS = {
    "ext2": "partclone.ext2",
    "ext3": "partclone.ext3",
    "ext4": "partclone.ext4",
    "ntfs": "partclone.ntfs",
    "xfs": "partclone.xfs",
    "vfat": "partclone.vfat",
    "exfat": "partclone.exfat",
}
# A domain map of a full 20 TB ext4 takes minutes; a hanging program must still end.
SECONDS = 3600.0
SYS = Path("/sys")
DEV = Path("/dev")
BOILERPLATE = ("partclone fail", "please run fsck", "partclone v", "starting to map")


@dataclass(frozen=True, slots=True)
class Use:
    """The extents of the disk in use in one partition; ``why`` is "" when nothing is to be said."""

    in_use: Extents
    taken: Taken = Taken.USED
    why: str = ""


def has_map(fstype: str) -> bool:
    """Whether extents in use can be had for ``fstype`` (blkid's name)."""
    return fstype in PROGRAMS


def used_by(disk: BlockFile, extent: Extent, fstype: str, *, trust_dirty: bool = False) -> Use:
    """What the file system ``fstype`` in ``extent`` of ``disk`` uses of it.

    Bytes of ``extent`` after the file system's own end are in use. One that was not left clean is
    all in use, unless ``trust_dirty``. Raises DiskFailed when the disk cannot be read.
    """
    try:
        with _from_its_start(disk, extent) as source:
            trouble = _trouble(disk, extent, fstype, source)
            if trouble and not trust_dirty:
                return _all_of(extent, f"{fstype}: {trouble}")
            text = _domain_map(PROGRAMS[fstype], source, unchecked=bool(trouble))
    except ProgramFailed as error:
        return _all_of(extent, f"{fstype}: {_said(error)}")
    except MissingProgram as error:
        return _all_of(extent, f"{fstype}: {error.what}")
    try:
        free = free_extents(text, extent.length)
    except BadImage as error:
        return _all_of(extent, f"{fstype}: {error.what}")
    why = f"{fstype}: {trouble}; its map of free blocks is trusted nonetheless" if trouble else ""
    return Use(subtract((extent,), shift(free, extent.start)), why=why)


def _all_of(extent: Extent, why: str) -> Use:
    return Use((extent,), Taken.EVERY, why)


def _trouble(disk: BlockFile, extent: Extent, fstype: str, source: str) -> str:
    def read(offset: int, length: int) -> bytes:
        if offset + length > extent.length:
            raise BadImage(f"it names byte {offset}, after its partition's end")
        return disk.read(extent.start + offset, length)

    match fstype:
        case "ext2" | "ext3" | "ext4":
            return fshealth.ext_trouble(read(1024, 1024))
        case "exfat":
            return fshealth.exfat_trouble(read(0, 512))
        case "xfs":
            return xfs_trouble(read)
        case "ntfs":
            return ntfs_trouble(source)
        case _:
            return fshealth.fat_trouble(read(0, 512))


def _domain_map(program: str, source: str, *, unchecked: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as folder:
        target = Path(folder, "map")
        log = ["-L", str(Path(folder, "log"))]
        check = ["--ignore_fschk"] if unchecked else []
        run([program, "-D", "-q", *check, *log, "-s", source, "-o", str(target)], timeout=SECONDS)
        return target.read_text(errors="replace") if target.exists() else ""


@contextmanager
def _from_its_start(disk: BlockFile, extent: Extent) -> Iterator[str]:
    """A path that starts where ``extent`` does: the file itself, a partition node, a loop device."""
    own = disk.path if extent == Extent(0, disk.size) else _partition_node(disk.path, extent)
    if own:
        yield own
    else:
        with read_only_loop(disk.path, extent) as loop:
            yield loop


def _partition_node(path: str, extent: Extent) -> str:
    """The kernel's node for exactly ``extent`` of the block device ``path``, "" when there is none."""
    disk = SYS / "class/block" / os.path.basename(os.path.realpath(path))
    for mark in disk.glob("*/partition"):
        start, length = (int((mark.parent / name).read_text()) * 512 for name in ("start", "size"))
        node = DEV / mark.parent.name
        if Extent(start, length) == extent and node.exists():
            return str(node)
    return ""


def _said(error: ProgramFailed) -> str:
    lines = [line.strip() for line in error.stderr.replace("\r", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if not line.lower().startswith(BOILERPLATE)]
    return telling[-1] if telling else error.what
