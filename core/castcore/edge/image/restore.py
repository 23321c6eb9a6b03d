"""Restoring an image to disks, once a plan was shown and not refused (castcore.disk.plan)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.image.imagefile import Image
from castcore.edge.inorder import in_order
from castcore.errors import Untrusted
from castcore.image import ChunkKind
from castcore.progress import Progress, ProgressCallback, silent


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What was restored: ``written`` bytes in ``seconds``; ``root`` is the image's index digest."""

    root: bytes
    chunks: int
    written: int
    seconds: float
    verified: bool


def restore(
    image: Image,
    targets: Sequence[BlockFile],
    *,
    verify: bool = False,
    progress: ProgressCallback = silent,
) -> RestoreResult:
    """Write ``image`` to ``targets``; with ``verify``, read it back from the disks afterwards.

    Raises BadImage naming the pack and chunk that are damaged (the target then has no partition
    table), DoesNotFit, DiskFailed, and with ``verify`` Untrusted.
    """
    started = time.monotonic()
    sink = DiskSink(image.manifest, image.index, targets)
    sink.prepare(progress)

    def move(chunk: int) -> int:
        stored = image.read_stored(chunk)
        try:
            return sink.put(chunk, stored)
        except Untrusted as error:
            raise image.damaged(chunk, error.what) from None

    goal = image.manifest.used
    with closing(in_order(move, image.index.chunks_of_kind(ChunkKind.DATA))) as moved:
        for _ in moved:
            progress(Progress("restore", sink.written, goal))
    sink.finish()
    if verify:
        sink.verify(progress)
    return RestoreResult(
        root=image.manifest.index_digest,
        chunks=len(image.index),
        written=sink.written,
        seconds=time.monotonic() - started,
        verified=verify,
    )
