"""FAT12, FAT16 and FAT32: which clusters are free, by the allocation table itself.

"Microsoft Extensible Firmware Initiative FAT32 File System Specification" 1.03 (2000): section 3
(boot sector and BPB), 3.5 (which kind of FAT), 4 (FAT entries). Partclone (0.3.23, 0.3.36) misreads
the 12-bit entries of FAT12 and loses files.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castcore.disk.extent import Extent, Extents, merge
from castcore.disk.fs import Reader
from castcore.disk.fs.bitruns import extents_where
from castcore.errors import BadImage
from castcore.units import MIB

BOOT_SECTOR = 512
SECTORS = frozenset({512, 1024, 2048, 4096})
# The fewest clusters of FAT16 and FAT32 (section 3.5).
FAT16_CLUSTERS = 4085
FAT32_CLUSTERS = 65525
MOST_CLUSTERS = (1 << 28) - 16
# The first two entries of a FAT are no clusters' but hold the medium and the state.
RESERVED = 2
# Entries are looked at this many at a time: a whole number of bytes of any kind of FAT.
PIECE = MIB

CLEAN_BIT = {16: 1 << 15, 32: 1 << 27}
# Bit 0 of the byte before the extended boot signature: Windows NT's and Linux's mark while mounted.
STATE_BYTE = {12: 37, 16: 37, 32: 65}
STATE_DIRTY = 1
FLAGS_ONE_FAT = 0x80


@dataclass(frozen=True, slots=True)
class _Volume:
    """Where everything is: positions and lengths in bytes."""

    bits: int
    cluster: int
    clusters: int
    data: int
    fats: tuple[int, ...]  # where the copies of the FAT that are in use start
    state: int  # the boot sector's state byte

    def table(self, fat: int, first: int, count: int) -> Extent:
        """The bytes of ``count`` entries from number ``first`` on; both are even or it is no FAT12."""
        return Extent(self.fats[fat] + first * self.bits // 8, -(-count * self.bits // 8))


def fat_trouble(read: Reader, length: int) -> str:
    """ "" when the volume of ``length`` bytes was left clean, else why not. Raises BadImage."""
    volume = _volume(read, length)
    clean = CLEAN_BIT.get(volume.bits, 0)
    state = int(_entries(read, volume, 0, 0, RESERVED)[1])
    if volume.state & STATE_DIRTY or state & clean != clean:
        return "was not cleanly unmounted"
    return ""


def fat_free(read: Reader, length: int) -> Extents:
    """The free clusters of the volume in a partition of ``length`` bytes.

    Raises BadImage when its boot sector is damaged or the copies of its FAT differ.
    """
    volume = _volume(read, length)
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


def _shifted(flags: NDArray[np.bool_], start: int, cluster: int) -> list[Extent]:
    # The first two entries, which are no clusters', may put the start of the first piece below 0.
    skip = RESERVED if start < 0 else 0
    return extents_where(flags[skip:], start=start + skip * cluster, unit=cluster)


def _entries(read: Reader, volume: _Volume, fat: int, first: int, count: int) -> NDArray[np.uint32]:
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


def _volume(read: Reader, length: int) -> _Volume:
    boot = read(0, BOOT_SECTOR)
    sector, per_cluster, reserved, fats, root_entries, sectors16 = struct.unpack_from(
        "<HBHBHH", boot, 11
    )
    fat16_sectors, sectors32 = (
        struct.unpack_from("<H", boot, 22)[0],
        struct.unpack_from("<I", boot, 32)[0],
    )
    fat32_sectors, flags = struct.unpack_from("<IH", boot, 36)
    fat_sectors = fat16_sectors or fat32_sectors
    power_of_two = per_cluster and not per_cluster & (per_cluster - 1)
    if boot[510:512] != b"\x55\xaa" or sector not in SECTORS or not power_of_two:
        raise BadImage("its boot sector cannot be read")
    root_sectors = -(-root_entries * 32 // sector)
    data = reserved + fats * fat_sectors + root_sectors
    sectors = sectors16 or sectors32
    if not (reserved and fats and fat_sectors and data < sectors and sectors * sector <= length):
        raise BadImage("its boot sector contradicts itself or its partition")
    clusters = (sectors - data) // per_cluster
    bits = _bits(clusters, is_fat32=fat16_sectors == 0)
    if (clusters + RESERVED) * bits > fat_sectors * sector * 8:
        raise BadImage("its FAT is too short for its clusters")
    return _Volume(
        bits=bits,
        cluster=per_cluster * sector,
        clusters=clusters,
        data=data * sector,
        fats=tuple((reserved + n * fat_sectors) * sector for n in _active(bits, flags, fats)),
        state=boot[STATE_BYTE[bits]],
    )


def _bits(clusters: int, *, is_fat32: bool) -> int:
    """The kind of FAT. A FAT32 has no 16-bit FAT size; Linux and mkfs.fat call small ones so too."""
    if is_fat32 and clusters <= MOST_CLUSTERS:
        return 32
    if is_fat32 or clusters >= FAT32_CLUSTERS:
        raise BadImage(f"{clusters} clusters are too many for its kind of FAT")
    return 16 if clusters >= FAT16_CLUSTERS else 12


def _active(bits: int, flags: int, fats: int) -> range:
    """The numbers of the FATs that are kept up to date: all, or on some FAT32 volumes just one."""
    if bits != 32 or not flags & FLAGS_ONE_FAT:
        return range(fats)
    active = flags & 0xF
    if active >= fats:
        raise BadImage("its boot sector names a FAT that it does not have")
    return range(active, active + 1)
