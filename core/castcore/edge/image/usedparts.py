"""Parts of an image's disk, read out of its chunks and proven."""

from __future__ import annotations

from collections.abc import Iterator

from castcore.disk import Extent
from castcore.edge.image.imagefile import Image
from castcore.image import UsedBytes


def used_parts(image: Image, number: int, extent: Extent) -> Iterator[tuple[int, bytes]]:
    """The bytes in use of ``extent`` of disk ``number``, by their offset on the disk, rising.

    Each chunk is proven before any byte of it is given. Raises BadImage, DiskFailed.
    """
    used = UsedBytes(image.manifest.disks[number].in_use)
    for chunk, record in enumerate(image.index.records):
        start, end = max(record.offset, extent.start), min(record.offset + record.length, extent.end)
        if record.disk != number or start >= end:
            continue
        content = image.content(chunk)
        for part in used.within(start, end - start):
            at = part.start - record.offset
            yield part.start, bytes(content[at : at + part.length])
