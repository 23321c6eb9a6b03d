"""What a restored disk holds, chunk by chunk, for others to have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.regionread import read_region
from castcore.errors import DiskFailed
from castcore.image import Index, Manifest, UsedBytes
from castcore.trust import digest


class WrittenChunks:
    """Reads chunks back from the disks at ``paths``, in the order of the manifest's.

    It opens them for reading only, beside whoever writes them. Raises NotFound, DiskFailed.
    """

    def __init__(self, manifest: Manifest, index: Index, paths: Sequence[str]) -> None:
        self._index = index
        self._in_use = [UsedBytes(disk.in_use) for disk in manifest.disks]
        with ExitStack() as opened:
            self._disks = [opened.enter_context(BlockFile.open_source(path)) for path in paths]
            self._opened = opened.pop_all()

    def content(self, chunk: int) -> bytes | None:
        """The proven content of ``chunk``; None when the disk does not hold it.

        It does not yet, or holds another in its place: the partition table of a larger disk.
        """
        if not 0 <= chunk < len(self._index):
            return None
        record = self._index.records[chunk]
        region = Extent(record.offset, record.length)
        try:
            content = read_region(self._disks[record.disk], region, self._in_use[record.disk])
        except DiskFailed:
            return None
        return bytes(content) if digest(content) == record.digest else None

    def close(self) -> None:
        """Close the disks; `content` must not be under way."""
        self._opened.close()
