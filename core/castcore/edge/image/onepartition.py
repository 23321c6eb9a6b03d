"""Writing one partition of an image to a partition of a disk; nothing else of the disk is touched.

Its first MiB, where every file system tells what it is, is cleared first and written last: what was cut
off is no file system that looks whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from castcore.disk import Extent, Move, Partition, boot_sector_moved
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restore import RestoreResult
from castcore.edge.image.usedparts import used_parts
from castcore.errors import Untrusted
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import MIB

HEAD = MIB
# File systems whose boot sector says how many sectors stand before their partition; their copy of it.
_FAT32_COPY = 6


def restore_partition(
    image: Image,
    number: int,
    source: Partition,
    disk: BlockFile,
    place: Partition,
    *,
    verify: bool = False,
    progress: ProgressCallback = silent,
) -> RestoreResult:
    """Write partition ``source`` of disk ``number`` of ``image`` to ``place`` of ``disk``.

    With ``verify`` it is read back. Raises BadImage naming the damaged chunk (the partition then holds
    no file system), DiskFailed, Untrusted.
    """
    started = time.monotonic()
    wanted = _Wanted(image, number, source, place, disk.sector_size)
    length = min(HEAD, source.length)
    disk.zero(place.start, length)
    disk.flush()
    written = 0
    for offset, data in wanted.parts():
        progress(Progress("restore", offset, source.length))
        skipped = min(len(data), max(0, HEAD - offset))
        disk.write(place.start + offset + skipped, data[skipped:])
        written += len(data)
    disk.flush()
    for offset, data in wanted.parts(Extent(source.start, length)):
        disk.write(place.start + offset, data)
    disk.flush()
    if verify:
        _verify(wanted, source, disk, place, progress)
    return RestoreResult(
        root=image.manifest.index_digest,
        chunks=len(image.index),
        written=written,
        seconds=time.monotonic() - started,
        verified=verify,
    )


def _verify(
    wanted: _Wanted, source: Partition, disk: BlockFile, place: Partition, progress: ProgressCallback
) -> None:
    disk.drop_cache()
    for offset, data in wanted.parts():
        progress(Progress("verify", offset, source.length))
        if disk.read(place.start + offset, len(data)) != data:
            raise Untrusted(
                f"{disk.path}: partition {place.number} differs at byte {offset} from what was written",
                hint="restore again; a disk that does it twice is failing",
            )


class _Wanted:
    """The bytes that the partition shall hold, by their offset in it, each chunk of them proven."""

    def __init__(
        self, image: Image, number: int, source: Partition, place: Partition, sector_size: int
    ) -> None:
        self._image, self._number, self._source = image, number, source
        self._move = Move(source.number, source.extent, Extent(place.start, source.length))
        self._sector = sector_size
        copies = {"ntfs": source.length - sector_size, "vfat": _FAT32_COPY * sector_size}
        self._boots = {0, copies[source.fstype]} if source.fstype in copies else set[int]()

    def parts(self, within: Extent | None = None) -> Iterator[tuple[int, bytes]]:
        """Those of the source disk's extent ``within``, or all."""
        for at, data in used_parts(self._image, self._number, within or self._source.extent):
            offset = at - self._source.start
            yield offset, self._following(offset, data)

    def _following(self, offset: int, data: bytes) -> bytes:
        """``data`` with the boot sectors in it telling where the partition starts now."""
        for boot in self._boots:
            at = boot - offset
            sector = data[at : at + self._sector] if at >= 0 else b""
            if len(sector) == self._sector and sector[510:512] == b"\x55\xaa":
                moved = boot_sector_moved(sector, self._sector, self._move)
                data = data[:at] + moved + data[at + self._sector :]
        return data
