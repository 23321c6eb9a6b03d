"""What must differ between a disk as imaged and as restored: the GPT, made for the target's size.

The image holds the disk's head (its first chunk) as it was; the target gets it with the primary
header naming the backup at the target's own end, and that backup there (UEFI 2.10, 5.3.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from castcore.disk import Extent, TableType, Write, converted_head, intersect, relocated_backup
from castcore.errors import DoesNotFit
from castcore.image.manifest import ImageDisk, Manifest
from castcore.image.record import CHUNK_SIZE
from castcore.image.regions import chunk_total


@dataclass(frozen=True, slots=True)
class PlacedHead:
    """``head``: the first chunk as the target needs it; ``elsewhere``: (offset, bytes) beyond it."""

    head: bytes
    elsewhere: tuple[tuple[int, bytes], ...] = ()


def place_head(disk: ImageDisk, head: bytes, target_size: int, sector_size: int = 0) -> PlacedHead:
    """The first chunk's content ``head`` for a target of ``target_size`` bytes.

    ``sector_size`` is the target's (0: the image's); other sectors need another GPT. Raises BadImage,
    DoesNotFit.

    The table stays as imaged where the image itself says what stands at the target's end: every
    sector was taken, and the target has the source's size (or less than a backup more).
    """
    layout = disk.layout
    if layout.table is not TableType.GPT:
        return PlacedHead(head)
    old = layout.sector_size
    converts = sector_size not in (0, old)
    if converts:
        placed = _laid_over(head, converted_head(head, old, sector_size, target_size))
    else:
        placed = _laid_over(head, relocated_backup(head, old, target_size))
    backup = (Extent(offset, len(data)) for offset, data in placed.elsewhere)
    if not intersect(disk.in_use, backup):
        return placed
    if converts:
        raise DoesNotFit("what is in use at the image's end is where the backup table has to be")
    return PlacedHead(head)


def _laid_over(head: bytes, writes: Iterable[Write]) -> PlacedHead:
    changed = bytearray(head)
    elsewhere = []
    for write in writes:
        inside = max(0, min(len(write.data), len(head) - write.offset))
        changed[write.offset : write.offset + inside] = write.data[:inside]
        if inside < len(write.data):
            elsewhere.append((write.offset + inside, write.data[inside:]))
    return PlacedHead(bytes(changed), tuple(elsewhere))


def head_chunks(manifest: Manifest) -> dict[int, int]:
    """The disk number by the chunk number of each disk's first region, where that is in use.

    Of a disk that was captured without some of its partitions the image holds no partition table.
    """
    heads, chunk = {}, 0
    for number, disk in enumerate(manifest.disks):
        starts = disk.in_use and disk.in_use[0].start < CHUNK_SIZE
        if starts and not disk.layout.left_out:
            heads[chunk] = number
        chunk += chunk_total(disk.in_use)
    return heads
