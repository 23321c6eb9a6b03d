"""FAT12, FAT16 and FAT32: which clusters are free, by the allocation table itself.

"Microsoft Extensible Firmware Initiative FAT32 File System Specification" 1.03 (2000), section 4 (FAT
entries). Partclone (0.3.23, 0.3.36) misreads
the 12-bit entries of FAT12 and loses files.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.disk.extent import Extent, Extents, merge
from castcore.disk.fs import Reader
from castcore.disk.fs.bitruns import extents_where
from castcore.disk.fs.fatgeometry import BOOT_SECTOR, RESERVED, FatGeometry, fat_geometry
from castcore.errors import BadImage
from castcore.units import MIB

# Entries are looked at this many at a time: a whole number of bytes of any kind of FAT.
PIECE = MIB

CLEAN_BIT = {16: 1 << 15, 32: 1 << 27}
STATE_DIRTY = 1


def fat_trouble(read: Reader, length: int) -> str:
    """ "" when the volume of ``length`` bytes was left clean, else why not. Raises BadImage."""
    volume = _geometry(read, length)
    clean = CLEAN_BIT.get(volume.bits, 0)
    state = int(_entries(read, volume, 0, 0, RESERVED)[1])
    if volume.state & STATE_DIRTY or state & clean != clean:
        return "was not cleanly unmounted"
    return ""


def fat_free(read: Reader, length: int) -> Extents:
    """The free clusters of the volume in a partition of ``length`` bytes.

    Raises BadImage when its boot sector is damaged or the copies of its FAT differ.
    """
    volume = _geometry(read, length)
    free: list[Extent] = []
    after = volume.clusters + RESERVED
    for first in range(0, after, PIECE):
        count = min(PIECE, after - first)
        entries = _entries(read, volume, 0, first, count)
        for copy in range(1, len(volume.fats)):
            differ = entries != _entries(read, volume, copy, first, count)
            differ[: max(0, RESERVED - first)] = False
            if differ.any():
                raise BadImage("the copies of its FAT differ")
        flags = entries == 0
        flags[: max(0, RESERVED - first)] = False
        start = volume.data + (first - RESERVED) * volume.cluster
        free += _shifted(flags, start, volume.cluster)
    return merge(free)


def _geometry(read: Reader, length: int) -> FatGeometry:
    return fat_geometry(read(0, BOOT_SECTOR), length)


def _shifted(flags: NDArray[np.bool_], start: int, cluster: int) -> list[Extent]:
    # The first two entries, which are no clusters', may put the start of the first piece below 0.
    skip = RESERVED if start < 0 else 0
    return extents_where(flags[skip:], start=start + skip * cluster, unit=cluster)


def _entries(read: Reader, volume: FatGeometry, fat: int, first: int, count: int) -> NDArray[np.uint32]:
    place = volume.table(fat, first, count)
    raw = read(place.start, place.length)
    if volume.bits == 32:
        return np.frombuffer(raw, "<u4").astype(np.uint32) & np.uint32(0x0FFFFFFF)
    if volume.bits == 16:
        return np.frombuffer(raw, "<u2").astype(np.uint32)
    # Two entries of 12 bits in three bytes, the first in the lower bits.
    threes = np.frombuffer(raw.ljust(-(-len(raw) // 3) * 3, b"\0"), np.uint8).reshape(-1, 3)
    low, middle, high = (threes[:, column].astype(np.uint32) for column in range(3))
    both = np.stack((low | (middle & 0xF) << 8, middle >> 4 | high << 4), axis=1)
    entries: NDArray[np.uint32] = both.reshape(-1)[:count]
    return entries
