"""Growing a partition of a disk that was just restored, and its file system with it.

The file system's own tool sees the partition through a loop device: no partition node is needed. XFS
grows only while it is mounted; it is mounted in a folder of its own for that moment.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from castcore.disk import (
    DiskLayout,
    Growth,
    GrowTool,
    TableType,
    Write,
    grown_gpt,
    grown_mbr,
    table_length,
)
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.loopdevice import writable_loop
from castcore.edge.run import ProgramFailed, require, run
from castcore.errors import DiskFailed

SECONDS = 3600.0
# e2fsck(8): 1 and 2 say that errors were corrected.
_CHECKED = (0, 1, 2)
_PROGRAMS = {
    GrowTool.EXT: ("e2fsck", "resize2fs", "losetup"),
    GrowTool.NTFS: ("ntfsresize", "losetup"),
    GrowTool.XFS: ("xfs_growfs", "mount", "umount", "losetup"),
}


def require_tools(growths: Iterable[Growth]) -> None:
    """Return when all that ``growths`` need is installed. Raises MissingProgram."""
    needed = {program for grown in growths for program in _PROGRAMS[grown.tool]}
    require(needed, hint="install e2fsprogs, ntfs-3g or xfsprogs, or restore without growing")


def grow(disk: BlockFile, layout: DiskLayout, grown: Growth) -> None:
    """Make ``grown`` true of ``disk``, which was restored from an image of ``layout``.

    Raises BadImage, DoesNotFit, DiskFailed: the table then names the larger partition, and its file
    system is as it was or has to be checked.
    """
    _grow_table(disk, layout, grown)
    try:
        with writable_loop(disk.path, grown.after) as device:
            _grow_content(device, grown.tool)
    except ProgramFailed as error:
        raise DiskFailed(
            f"{disk.path}: partition {grown.number} was restored, but its file system did not grow:"
            f" {error.what}",
            hint="check it and grow it with its own tool, or restore again",
        ) from None


def _grow_table(disk: BlockFile, layout: DiskLayout, grown: Growth) -> None:
    sector = disk.sector_size
    if layout.table is TableType.MBR:
        steps: tuple[tuple[Write, ...], ...] = ((grown_mbr(disk.read(0, sector), sector, grown),),)
    else:
        primary = disk.read(0, table_length(disk.read(0, 2 * sector), sector))
        steps = grown_gpt(primary, sector, disk.size, grown)
    for step in steps:
        for write in step:
            disk.write(write.offset, write.data)
        disk.flush()


def _grow_content(device: str, tool: GrowTool) -> None:
    match tool:
        case GrowTool.EXT:
            run(["e2fsck", "-f", "-p", device], timeout=SECONDS, ok=_CHECKED)
            run(["resize2fs", device], timeout=SECONDS)
        case GrowTool.NTFS:
            run(["ntfsresize", "--force", "--force", "--no-progress-bar", device], timeout=SECONDS)
        case _:
            with _mounted(device) as point:
                run(["xfs_growfs", point], timeout=SECONDS)


@contextmanager
def _mounted(device: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as point:
        # nouuid: the disk it was imaged from may be in this machine too.
        run(["mount", "-t", "xfs", "-o", "nouuid,nosuid,nodev,noexec", device, point], timeout=SECONDS)
        try:
            yield point
        finally:
            run(["umount", point], timeout=SECONDS)
