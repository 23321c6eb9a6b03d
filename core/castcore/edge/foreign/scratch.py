"""A sparse file that reads as a disk as far as probing goes: tables, the start of each partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.store import writing_to
from castcore.foreign.assembly import Piece
from castcore.units import MIB

# Every mark by which blkid tells a file system from its start, and the labels of most.
SHOWN = MIB


class Scratch:
    """The file ``path`` of ``size`` bytes, for a disk with sectors of ``sector_size`` bytes."""

    def __init__(self, path: Path, size: int, sector_size: int) -> None:
        self.path, self.size, self.sector_size = path, size, sector_size
        with writing_to(path), path.open("xb") as file:
            file.truncate(size)

    def put(self, offset: int, data: bytes) -> None:
        """Write ``data`` at byte ``offset``; what lies after the end is left out."""
        with writing_to(self.path), self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data[: max(0, self.size - offset)])

    def opened(self) -> BlockFile:
        """The file as a disk to read. Raises DiskFailed."""
        return BlockFile.open_source(self.path, sector_size=self.sector_size)

    def showing(self, pieces: Iterable[Piece], partitions: Iterable[Extent]) -> Iterator[Piece]:
        """``pieces``, of which those that begin one of ``partitions`` are written here as well."""
        heads = [Extent(p.start, min(p.length, SHOWN)) for p in partitions]
        for at, data in pieces:
            for head in heads:
                if at < head.end and head.start < at + len(data):
                    self.put(at, data)
                    break
            yield at, data


@contextmanager
def scratch_disk(path: Path, size: int, sector_size: int) -> Iterator[Scratch]:
    """A new scratch file, gone when the block is left. Raises NoSpace, DiskFailed."""
    try:
        yield Scratch(path, size, sector_size)
    finally:
        path.unlink(missing_ok=True)
