"""Parts of an image: one partition of a disk, or what is in use of an extent; every chunk proven."""

from __future__ import annotations

from collections.abc import Iterator

from castcore.disk import Extent, Partition, Taken
from castcore.edge.disk.disklayout import is_extended
from castcore.edge.image.imagefile import Image
from castcore.errors import NotFound, Refused
from castcore.image import ChunkKind, UsedBytes

TAKE_A_PARTITION = "take a partition that it holds: `fleetcast image export --partition N`, or `nbd`"


def require_all_partitions(image: Image, *, hint: str = TAKE_A_PARTITION) -> None:
    """Return when every disk of ``image`` was captured with all its partitions; else raise Refused."""
    for number, disk in enumerate(image.manifest.disks):
        if disk.layout.left_out:
            without = ", ".join(map(str, disk.layout.left_out))
            raise Refused(
                f"{image.manifest.name} was captured without partition {without} of disk {number}:"
                " it holds no whole disk",
                hint=hint,
            )


def held_partition(image: Image, disk: int, number: int) -> Partition:
    """Partition ``number`` of disk ``disk`` of ``image``. Raises NotFound when it has not got it."""
    held = held_partitions(image, disk) if disk < len(image.manifest.disks) else ()
    for partition in held:
        if partition.number == number:
            return partition
    known = ", ".join(str(p.number) for p in held) or "none"
    raise NotFound(
        f"{image.manifest.name} holds no partition {number} of disk {disk} (it holds: {known})",
        hint="`fleetcast image show` lists them",
    )


def held_partitions(image: Image, disk: int) -> tuple[Partition, ...]:
    """The partitions of a disk that the image holds; not the extended one, which is a container."""
    return tuple(
        p
        for p in image.manifest.disks[disk].layout.partitions
        if p.number and p.taken is not Taken.NOTHING and not is_extended(p)
    )


def used_parts(
    image: Image, number: int, extent: Extent, *, zeros: bool = True
) -> Iterator[tuple[int, bytes]]:
    """The bytes in use of ``extent`` of disk ``number``, by their offset on the disk, rising.

    Each chunk is proven before any byte of it is given; without ``zeros`` those that hold nothing else
    are left out. Raises BadImage, DiskFailed.
    """
    used = UsedBytes(image.manifest.disks[number].in_use)
    for chunk, record in enumerate(image.index.records):
        start, end = max(record.offset, extent.start), min(record.offset + record.length, extent.end)
        if record.disk != number or start >= end:
            continue
        if record.kind is ChunkKind.ZERO and not zeros:
            continue
        content = image.content(chunk)
        for part in used.within(start, end - start):
            at = part.start - record.offset
            yield part.start, bytes(content[at : at + part.length])
