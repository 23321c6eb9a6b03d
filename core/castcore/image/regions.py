"""Which bytes of a chunk's region are in use, and which chunks a disk therefore has."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from castcore.disk import Extent, Extents
from castcore.image.record import CHUNK_SIZE


class UsedBytes:
    """The extents in use of one disk, in normal form, looked up by region."""

    def __init__(self, extents: Extents) -> None:
        self._extents = extents
        self._starts = [e.start for e in extents]

    def within(self, offset: int, length: int) -> Extents:
        """The extents of the disk in use among its ``length`` bytes from ``offset`` on."""
        end = offset + length
        at = max(bisect_right(self._starts, offset) - 1, 0)
        found = []
        while at < len(self._extents) and self._starts[at] < end:
            extent = self._extents[at]
            low, high = max(extent.start, offset), min(extent.end, end)
            if low < high:
                found.append(Extent(low, high - low))
            at += 1
        return tuple(found)


def chunk_ranges(in_use: Extents) -> list[tuple[int, int]]:
    """The numbers of the regions that ``in_use`` touches, as disjoint rising ``(first, after)``.

    Region ``n`` starts at byte ``n * CHUNK_SIZE``. As long as ``in_use``, never longer.
    """
    ranges: list[tuple[int, int]] = []
    for extent in in_use:
        first, after = extent.start // CHUNK_SIZE, -(-extent.end // CHUNK_SIZE)
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(after, ranges[-1][1]))
        else:
            ranges.append((first, after))
    return ranges


def chunk_regions(in_use: Extents, disk_size: int) -> Iterator[Extent]:
    """The region of every chunk that a disk of ``disk_size`` bytes has, rising."""
    for first, after in chunk_ranges(in_use):
        for number in range(first, after):
            start = number * CHUNK_SIZE
            yield Extent(start, min(CHUNK_SIZE, disk_size - start))


def chunk_total(in_use: Extents) -> int:
    """How many chunks ``in_use`` makes."""
    return sum(after - first for first, after in chunk_ranges(in_use))
