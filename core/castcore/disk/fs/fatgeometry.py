"""Where everything is in a FAT12, FAT16 or FAT32 volume, by its boot sector. Pure.

"Microsoft Extensible Firmware Initiative FAT32 File System Specification" 1.03 (2000): section 3
(boot sector and BPB), 3.5 (which kind of FAT).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from castcore.disk.extent import Extent
from castcore.errors import BadImage

BOOT_SECTOR = 512
SECTORS = frozenset({512, 1024, 2048, 4096})
# The fewest clusters of FAT16 and FAT32 (section 3.5).
FAT16_CLUSTERS = 4085
FAT32_CLUSTERS = 65525
MOST_CLUSTERS = (1 << 28) - 16
# The first two entries of a FAT are no clusters' but hold the medium and the state.
RESERVED = 2
ENTRY_SIZE = 32
# Bit 0 of the byte before the extended boot signature: Windows NT's and Linux's mark while mounted.
STATE_BYTE = {12: 37, 16: 37, 32: 65}
FLAGS_ONE_FAT = 0x80


@dataclass(frozen=True, slots=True)
class FatGeometry:
    """Positions and lengths in bytes; ``bits`` is 12, 16 or 32.

    ``root`` is the root directory's own place (empty on FAT32), ``root_cluster`` its first cluster (0 on
    the others).
    """

    bits: int
    cluster: int
    clusters: int
    data: int
    root: Extent
    root_cluster: int
    fats: tuple[int, ...]  # where the copies of the FAT that are in use start
    state: int  # the boot sector's state byte

    def table(self, fat: int, first: int, count: int) -> Extent:
        """The bytes of ``count`` entries from number ``first`` on; both are even or it is no FAT12."""
        return Extent(self.fats[fat] + first * self.bits // 8, -(-count * self.bits // 8))


def fat_geometry(boot: bytes, length: int) -> FatGeometry:
    """The geometry that the boot sector ``boot`` of a partition of ``length`` bytes tells.

    Raises BadImage when it is damaged or none.
    """
    if len(boot) < BOOT_SECTOR:
        raise BadImage("its boot sector cannot be read")
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
    root_sectors = -(-root_entries * ENTRY_SIZE // sector)
    data = reserved + fats * fat_sectors + root_sectors
    sectors = sectors16 or sectors32
    if not (reserved and fats and fat_sectors and data < sectors and sectors * sector <= length):
        raise BadImage("its boot sector contradicts itself or its partition")
    clusters = (sectors - data) // per_cluster
    bits = _bits(clusters, is_fat32=fat16_sectors == 0)
    if (clusters + RESERVED) * bits > fat_sectors * sector * 8:
        raise BadImage("its FAT is too short for its clusters")
    return FatGeometry(
        bits=bits,
        cluster=per_cluster * sector,
        clusters=clusters,
        data=data * sector,
        root=Extent((reserved + fats * fat_sectors) * sector, root_entries * ENTRY_SIZE),
        root_cluster=int.from_bytes(boot[44:48], "little") if bits == 32 else 0,
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
