"""Images of a library that have a manifest alone: as much as pages and lists look at."""

from __future__ import annotations

from pathlib import Path

from castcore.disk import DiskLayout, Extent, Extents, Partition, TableType, Taken
from castcore.edge.image.store import MANIFEST_FILE, SUFFIX
from castcore.image import ImageDisk, Manifest, Source, encode_manifest
from castcore.units import GIB, MIB

CREATED = 1_795_788_300  # 2026-11-27 14:05 UTC
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
RESERVED = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
DATA = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"


def office_disk() -> ImageDisk:
    """Windows and Linux on one disk of 64 GiB, 4 GiB of it free at the end."""
    layout = DiskLayout(
        64 * GIB,
        512,
        TableType.GPT,
        partitions=(
            Partition(1, MIB, 512 * MIB, ESP, fstype="vfat", label="EFI", taken=Taken.USED),
            Partition(2, 513 * MIB, 16 * MIB, RESERVED, taken=Taken.EVERY, why="no file system"),
            Partition(3, GIB, 40 * GIB, DATA, fstype="ntfs", label="Windows", taken=Taken.USED),
            Partition(4, 41 * GIB, 17 * GIB, LINUX, fstype="ext4", label="data", taken=Taken.USED),
            Partition(5, 58 * GIB, 2 * GIB, SWAP, fstype="swap", taken=Taken.HEADER, why="swap space"),
        ),
    )
    in_use = (
        Extent(MIB, 40 * MIB),
        Extent(513 * MIB, 16 * MIB),
        Extent(GIB, 18 * GIB),
        Extent(41 * GIB, 3 * GIB),
        Extent(58 * GIB, 4096),
    )
    return ImageDisk(layout, in_use)


def plain_disk(size: int, in_use: Extents, unreadable: Extents = ()) -> ImageDisk:
    """A disk without partitions."""
    return ImageDisk(DiskLayout(size, 4096, TableType.NONE), in_use, unreadable)


def shelve(store: Path, name: str, *disks: ImageDisk, machine: str = "", root: int = 0xAB) -> Path:
    """Put the image ``name`` of ``disks`` into ``store``."""
    manifest = Manifest(
        name=name,
        created=CREATED,
        disks=disks,
        index_digest=bytes([root]) * 32,
        chunk_count=100,
        packs=(GIB,) * 9,
        source=Source(path="/dev/sda", format="block device", machine=machine),
        made_by="fleetcast tests",
    )
    path = store / f"{name}{SUFFIX}"
    path.mkdir()
    (path / MANIFEST_FILE).write_bytes(encode_manifest(manifest))
    return path
