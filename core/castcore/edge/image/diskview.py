"""A disk of an image, readable at any place: what is not in use reads as zeros, its table is whole."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict

from castcore.disk import Extent, Extents, Partition, TableType, merge, subtract
from castcore.edge.image.imagefile import Image
from castcore.image import CHUNK_SIZE, ChunkKind, head_chunks, place_head
from castcore.image.regions import chunk_ranges, chunk_total

# What a reader that jumps about keeps at hand, for all disks of an image together: 64 MiB.
CACHED_CHUNKS = 64


class ChunkCache:
    """The contents read last, each proven; usable from several threads."""

    def __init__(self, image: Image, most: int = CACHED_CHUNKS) -> None:
        self._image, self._most = image, most
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, bytes | memoryview] = OrderedDict()

    def content(self, chunk: int) -> bytes | memoryview:
        """The content of ``chunk``. Raises DiskFailed or BadImage."""
        with self._lock:
            if chunk in self._kept:
                self._kept.move_to_end(chunk)
                return self._kept[chunk]
        content = self._image.content(chunk)
        with self._lock:
            self._kept[chunk] = content
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return content


class DiskView:
    """Disk number ``disk`` of ``image``, as it is restored to a disk of the source's own size.

    Of a disk that was not captured as a whole it shows what is held, in its place, and no table.

    ``size`` is in bytes; ``data`` are the extents that may hold something but zeros. Raises BadImage,
    DiskFailed.
    """

    def __init__(self, image: Image, disk: int, cache: ChunkCache) -> None:
        held = image.manifest.disks[disk]
        self.size = held.layout.size
        self._cache = cache
        base = sum(chunk_total(d.in_use) for d in image.manifest.disks[:disk])
        self._firsts: list[int] = []
        self._runs: list[tuple[int, int]] = []  # (first region after the run, chunk of its first)
        for first, after in chunk_ranges(held.in_use):
            self._firsts.append(first)
            self._runs.append((after, base))
            base += after - first
        self._placed = _placed(image, disk)
        zeros = [
            Extent(r.offset, r.length)
            for r in (image.index.records[n] for n in image.index.chunks_of_kind(ChunkKind.ZERO))
            if r.disk == disk
        ]
        placed = [Extent(at, len(data)) for at, data in self._placed]
        self.data: Extents = merge([*subtract(held.in_use, zeros), *placed])
        self._ends = [extent.end for extent in self.data]

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from byte ``offset``, all inside the disk. Raises DiskFailed or BadImage."""
        out = bytearray(length)
        at, end = offset, offset + length
        while at < end:
            region, within = divmod(at, CHUNK_SIZE)
            size = min(CHUNK_SIZE - within, end - at)
            chunk = self._chunk(region)
            if chunk is not None:
                content = memoryview(self._cache.content(chunk))
                out[at - offset : at - offset + size] = content[within : within + size]
            at += size
        for place, data in self._placed:
            low, high = max(place, offset), min(place + len(data), end)
            if low < high:
                out[low - offset : high - offset] = data[low - place : high - place]
        return bytes(out)

    def runs(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """The runs that follow each other from ``offset``, each with whether it may hold data."""
        found: list[tuple[int, bool]] = []
        at, end = offset, min(offset + length, self.size)
        number = bisect_right(self._ends, at)
        while at < end and len(found) < most:
            extent = self.data[number] if number < len(self.data) else Extent(self.size, 0)
            if at < extent.start:
                upto, is_data = min(extent.start, end), False
            else:
                upto, is_data = min(extent.end, end), True
                number += 1
            found.append((upto - at, is_data))
            at = upto
        return found

    def _chunk(self, region: int) -> int | None:
        """The number of the chunk that is region number ``region``; None: nothing of it is in use."""
        run = bisect_right(self._firsts, region) - 1
        if run < 0 or region >= self._runs[run][0]:
            return None
        return self._runs[run][1] + region - self._firsts[run]


class PartitionView:
    """Partition ``partition`` of ``view`` by itself, from its first byte on."""

    def __init__(self, view: DiskView, partition: Partition) -> None:
        self.size = partition.length
        self._view, self._start = view, partition.start

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from byte ``offset``, all inside it. Raises DiskFailed or BadImage."""
        return self._view.read(self._start + offset, length)

    def runs(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """The runs that follow each other from ``offset``, each with whether it may hold data."""
        return self._view.runs(self._start + offset, min(length, self.size - offset), most)


def _placed(image: Image, disk: int) -> list[tuple[int, bytes]]:
    """What of a disk differs from its chunks once it is restored: (offset, bytes)."""
    held = image.manifest.disks[disk]
    if held.layout.table is not TableType.GPT:
        return []
    for chunk, number in head_chunks(image.manifest).items():
        if number == disk:
            placed = place_head(held, bytes(image.content(chunk)), held.layout.size)
            return [(0, placed.head), *placed.elsewhere]
    return []
