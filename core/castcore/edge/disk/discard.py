"""Telling disks what of them is free: flash wears less and thin volumes shrink."""

from __future__ import annotations

from collections.abc import Sequence

from castcore.disk import Extent, align, subtract
from castcore.edge.disk.blockdev import BlockFile
from castcore.image import Manifest
from castcore.units import MIB

# Smaller holes are not worth a command each; most disks free whole blocks of about this size.
LEAST = MIB
# One call frees at most this much, so that Ctrl-C is answered in between.
STEP = 1 << 30


def discard_unused(manifest: Manifest, targets: Sequence[BlockFile]) -> int:
    """Discard what no byte in use of ``manifest`` needs on ``targets``; return the bytes, 0: none can.

    Raises DiskFailed.
    """
    return sum(
        _discard(target, free)
        for disk, target in zip(manifest.disks, targets, strict=True)
        for free in subtract(
            [Extent(0, target.size - target.size % LEAST)], align(disk.in_use, LEAST, limit=target.size)
        )
    )


def _discard(target: BlockFile, free: Extent) -> int:
    done = 0
    while done < free.length:
        step = min(STEP, free.length - done)
        if not target.discard(free.start + done, step):
            break
        done += step
    return done
