"""Which bytes of a region are in use, by what stands in it: swap, volumes, file systems, the unknown."""

from __future__ import annotations

from pathlib import Path

from castcore.disk import Extent, Taken, shift, subtract
from castcore.disk.dmtable import free_below
from castcore.disk.lvm import LogicalVolume, contiguous, read_physical_volume
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.contents import Contents, probe_region
from castcore.edge.disk.unlock import TYPES, unlocked
from castcore.edge.disk.usedmap import Use, all_of, has_map, reader, used_by
from castcore.errors import BadImage, Refused

SWAP_SIGNATURES = (b"SWAPSPACE2", b"SWAP-SPACE")
# The header fills the first page of the machine that made it, whose last ten bytes are the mark.
SWAP_PAGES = (4096, 8192, 16384, 32768, 65536)
PHYSICAL_VOLUME = "LVM2_member"


def use_of(disk: BlockFile, extent: Extent, found: Contents, *, trust_dirty: bool = False) -> Use:
    """What is in use of ``extent`` of ``disk``, in which blkid ``found`` something.

    Raises DiskFailed when the disk cannot be read.
    """
    if found.trouble:
        return all_of(extent, found.trouble)
    match found.fstype:
        case "":
            return all_of(extent, "unknown content")
        case "swap":
            return _swap(disk, extent)
        case kind if kind == PHYSICAL_VOLUME:
            return _volumes(disk, extent, trust_dirty=trust_dirty)
        case kind if has_map(kind):
            return used_by(disk, extent, kind, trust_dirty=trust_dirty)
        case kind:
            return all_of(extent, f"{kind}: its free blocks cannot be told")


def use_inside(
    disk: BlockFile, extent: Extent, fstype: str, key: Path, *, trust_dirty: bool = False
) -> Use:
    """What is in use of an encrypted volume in ``extent`` of ``disk`` that ``key`` opens.

    Raises Refused when ``fstype`` is none that can be opened or the key is wrong, NotFound,
    MissingProgram, ProgramFailed.
    """
    if fstype not in TYPES:
        raise Refused(
            f"there is nothing to unlock: blkid finds {fstype or 'nothing it knows'}",
            hint="only LUKS and BitLocker volumes can be unlocked",
        )
    try:
        with unlocked(disk, extent, fstype, key) as (inside, segments):
            whole = Extent(0, inside.size)
            found = probe_region(inside.path, whole)
            use = use_of(inside, whole, found, trust_dirty=trust_dirty)
            free = free_below(segments, use.in_use)
    except BadImage as error:
        return all_of(extent, f"{fstype}, unlocked: {error.what}")
    why = f"{fstype}, unlocked: {found.fstype} {use.taken}" + (f" ({use.why})" if use.why else "")
    return Use(subtract([extent], shift(free, extent.start)), use.taken, why)


def _swap(disk: BlockFile, extent: Extent) -> Use:
    for page in SWAP_PAGES:
        mark = Extent(extent.start + page - len(SWAP_SIGNATURES[0]), len(SWAP_SIGNATURES[0]))
        if page <= extent.length and disk.read(mark.start, mark.length) in SWAP_SIGNATURES:
            return Use((Extent(extent.start, page),), Taken.HEADER, "swap: only its header")
    return all_of(extent, "swap without a header")


def _volumes(disk: BlockFile, extent: Extent, *, trust_dirty: bool) -> Use:
    """An LVM physical volume: its metadata, and of each linear logical volume what is in use there."""
    try:
        volume_group = read_physical_volume(reader(disk, extent), extent.length)
    except BadImage as error:
        return all_of(extent, f"{PHYSICAL_VOLUME}: {error.what}")
    free = list(shift(volume_group.free, extent.start))
    said = []
    for volume in volume_group.volumes:
        pieces = shift(volume.extents, extent.start)
        use = _volume(disk, LogicalVolume(volume.name, pieces, volume.whole), trust_dirty=trust_dirty)
        free += subtract(pieces, use.in_use)
        said.append(
            f"{volume_group.group}/{volume.name} {use.taken}" + (f" ({use.why})" if use.why else "")
        )
    return Use(subtract([extent], free), why=f"LVM: {', '.join(said) or 'no logical volume'}")


def _volume(disk: BlockFile, volume: LogicalVolume, *, trust_dirty: bool) -> Use:
    place = contiguous(volume)
    if volume.whole or place is None:
        return Use(volume.extents, Taken.EVERY, volume.whole or "lies in several pieces")
    found = probe_region(disk.path, place)
    if found.fstype == PHYSICAL_VOLUME:
        return all_of(place, "holds another physical volume")
    return use_of(disk, place, found, trust_dirty=trust_dirty)
