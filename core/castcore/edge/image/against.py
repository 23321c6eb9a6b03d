"""Proving that disks hold what an image says, also those that got it in sectors of their own."""

from __future__ import annotations

from collections.abc import Sequence

from castcore.disk import Conversion, conversion
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.imagefile import Image
from castcore.edge.image.reworks import changed_bytes
from castcore.edge.image.verify import Verified, placed_heads, require_size, verify_targets
from castcore.errors import Untrusted
from castcore.progress import ProgressCallback, silent


def verify_against(
    image: Image, targets: Sequence[BlockFile], *, progress: ProgressCallback = silent
) -> Verified:
    """Prove that ``targets``, in the order of the image's disks, hold every byte of it.

    Of a disk with other sectors than the imaged one that is every byte but those that a restore makes
    anew for them. Raises Untrusted, BadImage, DiskFailed.
    """
    require_size(image.manifest, targets)
    changes = _conversions(image, targets)
    heads = placed_heads(image, targets, converted=bool(changes))
    return verify_targets(
        image.manifest,
        image.index,
        targets,
        heads,
        changed=changed_bytes(image, changes),
        progress=progress,
    )


def _conversions(image: Image, targets: Sequence[BlockFile]) -> dict[int, Conversion]:
    changes = {}
    for number, (disk, target) in enumerate(zip(image.manifest.disks, targets, strict=True)):
        if target.sector_size == disk.layout.sector_size:
            continue
        change = conversion(disk.layout, target.sector_size)
        if not isinstance(change, Conversion):
            raise Untrusted(
                f"{target.path} does not hold what {image.manifest.name} says: it has sectors of"
                f" {target.sector_size} bytes, the imaged disk {disk.layout.sector_size}",
                hint="name the disk that the image was restored to",
            )
        changes[number] = change
    return changes
