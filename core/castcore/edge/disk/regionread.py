"""Reading the contents of chunks from a disk: their regions with every byte not in use as zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from castcore.disk import Extent, Extents, merge, subtract
from castcore.edge.disk.directio import BUFFER, own_buffer
from castcore.errors import DiskFailed
from castcore.image import Index, UsedBytes
from castcore.units import KIB

# One read over a small hole is cheaper than two reads around it.
READ_OVER = 64 * KIB
_ZEROS = memoryview(bytes(BUFFER))


class Readable(Protocol):
    """What a region is read from; :class:`castcore.edge.disk.blockdev.BlockFile` is one."""

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` from byte ``offset`` on. Raises DiskFailed."""
        ...


def read_region(device: Readable, region: Extent, in_use: UsedBytes) -> memoryview:
    """The content of ``region``, at most `BUFFER` bytes, in this thread's own buffer.

    The thread's next read takes that. What is not in use need not be readable. Raises DiskFailed.
    """
    content = own_buffer()[: region.length]
    parts = in_use.within(region.start, region.length)
    if parts == (region,):
        device.read_into(region.start, content)
        return content
    runs = merge(parts, gap=READ_OVER)
    try:
        _read_extents(device, runs, region, content)
    except DiskFailed:
        if runs == parts:
            raise
        _read_extents(device, parts, region, content)  # it may have been in a hole
    for hole in subtract((region,), parts):
        content[hole.start - region.start : hole.end - region.start] = _ZEROS[: hole.length]
    return content


def _read_extents(device: Readable, extents: Extents, region: Extent, content: memoryview) -> None:
    for extent in extents:
        device.read_into(extent.start, content[extent.start - region.start : extent.end - region.start])


def read_run(device: Readable, index: Index, run: Sequence[int], in_use: UsedBytes) -> list[memoryview]:
    """The content of each chunk of a ``run`` (`Index.runs` of at most `BUFFER` bytes), read at once.

    They lie in this thread's own buffer. Raises DiskFailed.
    """
    first, last = index.records[run[0]], index.records[run[-1]]
    region = Extent(first.offset, last.offset + last.length - first.offset)
    content = read_region(device, region, in_use)
    records = (index.records[chunk] for chunk in run)
    return [content[r.offset - first.offset :][: r.length] for r in records]
