"""Reading a chunk's content from a disk: its region with every byte not in use as zero."""

from __future__ import annotations

from typing import Protocol

from castcore.disk import Extent, merge, subtract
from castcore.image import Content, UsedBytes
from castcore.units import KIB

# One read over a small hole is cheaper than two reads around it.
READ_OVER = 64 * KIB


class Readable(Protocol):
    """What a region is read from; :class:`castcore.edge.disk.blockdev.BlockFile` is one."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Raises DiskFailed."""
        ...


def read_region(device: Readable, region: Extent, in_use: UsedBytes) -> Content:
    """The content of ``region``. Raises DiskFailed."""
    parts = in_use.within(region.start, region.length)
    if parts == (region,):
        return device.read(region.start, region.length)
    content = bytearray(region.length)
    runs = merge(parts, gap=READ_OVER)
    for run in runs:
        content[run.start - region.start : run.end - region.start] = device.read(run.start, run.length)
    for hole in subtract(runs, parts):
        content[hole.start - region.start : hole.end - region.start] = bytes(hole.length)
    return content
