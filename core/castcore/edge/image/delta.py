"""What target disks hold of an image already, so that a restore writes only the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from castcore.cast.chunkset import ChunkSet
from castcore.disk import Extent
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.heldchunks import equal_chunks
from castcore.edge.disk.regionread import read_region
from castcore.edge.image.imagefile import Image
from castcore.edge.image.verify import placed_heads
from castcore.edge.memory import keep_freed_memory
from castcore.errors import DiskFailed
from castcore.image import ChunkKind, PlacedHead, UsedBytes, head_chunks
from castcore.progress import ProgressCallback, silent


@dataclass(frozen=True)
class Held:
    """``chunks`` are on the targets, proven by reading them, each disk's first one apart.

    ``whole``: so are all others, the first ones and the partition tables: nothing is to be written.
    ``read`` is how many bytes of the targets were compared.
    """

    chunks: ChunkSet
    whole: bool
    read: int


def compare(
    image: Image,
    targets: Sequence[BlockFile],
    *,
    claimed: ChunkSet | None = None,
    progress: ProgressCallback = silent,
) -> Held:
    """Read ``targets``, all of what ``image`` has or the ``claimed`` chunks, and tell what is there.

    Nothing is written. Raises BadImage when the image's first chunk is damaged, DiskFailed.
    """
    manifest, index = image.manifest, image.index
    keep_freed_memory()
    for target in targets:
        target.go_direct()
    held = equal_chunks(manifest, index, targets, claimed=claimed, progress=progress)
    asked = held.mask() if claimed is None else claimed.mask()
    read = sum(r.length for r, one in zip(index.records, asked, strict=True) if one or claimed is None)
    heads = head_chunks(manifest)
    whole = len(held) == len(index) - len(heads) and _same_heads(image, targets)
    return Held(held, whole, read)


def missing_data(image: Image, held: ChunkSet) -> list[int]:
    """The chunks that a restore over ``held`` reads from ``image``, rising."""
    mask = held.mask()
    return [c for c in image.index.chunks_of_kind(ChunkKind.DATA) if not mask[c]]


def _same_heads(image: Image, targets: Sequence[BlockFile]) -> bool:
    placed = placed_heads(image, targets)
    return all(_same_head(image, targets[number], number, head) for number, head in placed.items())


def _same_head(image: Image, target: BlockFile, number: int, head: PlacedHead) -> bool:
    in_use = UsedBytes(image.manifest.disks[number].in_use)
    try:
        content = read_region(target, Extent(0, len(head.head)), in_use)
        backups = [target.read(offset, len(data)) == data for offset, data in head.elsewhere]
    except DiskFailed:  # writing it may mend it
        return False
    return content == head.head and all(backups)
