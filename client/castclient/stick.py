"""Which stick the logs go to. Pure: what is plugged in, and what must never be touched."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from castcore.disk import DiskFacts

# By the type that blkid tells: what the kernel mounts it as.
FILE_SYSTEMS = {"vfat": "vfat", "exfat": "exfat", "ext2": "ext4", "ext3": "ext4", "ext4": "ext4"}
# Partitions by which a medium of ours is known; its images and licences are nobody's place for logs.
OURS = frozenset({"fleetcast-ledger", "fleetcast-data"})


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system on a disk: ``plugged_in`` is when udev met the disk, in monotonic seconds."""

    path: str
    disk: str
    kind: str
    name: str = ""
    plugged_in: float = 0.0


def pick(
    volumes: Iterable[Volume],
    disks: Iterable[DiskFacts],
    *,
    since: float,
    targets: Collection[str] = (),
) -> Volume | None:
    """The volume on the stick plugged in last, after ``since``; None when there is none to be used.

    A stick is a disk that can be pulled out, that we were not started from, that nobody uses, and
    that is none of the cast's ``targets`` (paths of disks). Its largest label wins nothing: of several
    file systems on it the first is taken.
    """
    volumes = tuple(volumes)
    own = {v.disk for v in volumes if v.name in OURS}
    sticks = {
        disk.path
        for disk in disks
        if disk.removable or disk.bus == "usb"
        if not (disk.boot_medium or disk.read_only or disk.held_by or disk.array)
        if disk.path not in own and disk.path not in targets
    }
    fit = [v for v in volumes if v.disk in sticks and v.kind in FILE_SYSTEMS and v.plugged_in >= since]
    return min(fit, key=lambda v: (-v.plugged_in, v.path), default=None)
