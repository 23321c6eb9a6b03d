"""The largest disk sector that a file system works on, by its own superblock. Pure: bytes in.

A file system reads and writes whole sectors of its disk, so none of its units may be smaller than one:
ext2/3/4 its blocks (ext4's on-disk layout, "The Super Block"), XFS the sectors of its headers and log
("XFS Algorithms & Data Structures", 8), btrfs its ``sectorsize`` (btrfs on-disk format), NTFS its
clusters, file records and index records, all of which Windows writes in one piece (boot sector, BPB).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

Reader = Callable[[int, int], bytes]

BTRFS_SUPERBLOCK = 65536
# Pages: what swap is written in, on every machine we serve.
SWAP_PAGE = 4096


def largest_sector(fstype: str, length: int, read: Reader) -> int:
    """The largest sector in bytes; 0 when it is not known, or depends on more than size.

    ``length`` is the partition's, ``read`` takes an offset in it and a length (both in bytes).
    """
    match fstype:
        case "ext2" | "ext3" | "ext4":
            return _power(1024 << min(_u32(read(1024, 64), 24), 22))
        case "xfs":
            return _xfs(read(0, 512))
        case "btrfs":
            return _power(_u32(read(BTRFS_SUPERBLOCK, 512), 144))
        case "ntfs":
            return _ntfs(read(0, 512), length)
        case "swap":
            return SWAP_PAGE
        case _:
            return 0


def _xfs(superblock: bytes) -> int:
    (sector,) = struct.unpack_from(">H", superblock, 102)
    (log_sector,) = struct.unpack_from(">H", superblock, 194)
    return _power(min(sector, log_sector or sector))


def _ntfs(boot: bytes, length: int) -> int:
    sector, per_cluster = struct.unpack_from("<H", boot, 11)[0], boot[13]
    (sectors,) = struct.unpack_from("<Q", boot, 40)
    # The copy of the boot sector must be in the partition's last sector, where a new one goes.
    if not sector or (sectors + 1) * sector != length:
        return 0
    cluster = sector * (per_cluster if per_cluster <= 0x80 else 1 << (256 - per_cluster))
    records = (_record(boot, at, cluster) for at in (64, 68))
    return _power(min(cluster, *records))


def _record(boot: bytes, at: int, cluster: int) -> int:
    """The size of a record: in clusters, or, negative, as the power of two of bytes."""
    (value,) = struct.unpack_from("<b", boot, at)
    return int(value) * cluster if value > 0 else 1 << min(-int(value), 31)


def _power(value: int) -> int:
    """``value`` when it is a size that a sector can have, else 0."""
    return value if 512 <= value <= 65536 and value & (value - 1) == 0 else 0


def _u32(data: bytes, offset: int) -> int:
    return int(struct.unpack_from("<I", data, offset)[0])
