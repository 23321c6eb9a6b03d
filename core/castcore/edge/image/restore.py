"""Restoring an image to disks, once a plan was shown and not refused (castcore.disk.plan)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from castcore.disk import Conversion
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.discard import discard_unused
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.image.delta import Held
from castcore.edge.image.imagefile import Image
from castcore.edge.image.restorerecord import RestoreRecord
from castcore.edge.image.reworks import changed_bytes, made_for
from castcore.edge.image.verify import placed_heads, verify_targets
from castcore.edge.inorder import in_order, waiting_threads
from castcore.edge.memory import keep_freed_memory
from castcore.errors import Untrusted
from castcore.progress import Progress, ProgressCallback, silent

# So much of a restore a cut may cost at most, beside what was on its way.
KEEP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What was restored: ``written`` bytes in ``seconds``; ``root`` is the image's index digest.

    ``read`` bytes of the targets were compared before; ``kept`` chunks of ``chunks`` were there already.
    """

    root: bytes
    chunks: int
    written: int
    seconds: float
    verified: bool
    read: int = 0
    kept: int = 0


def restore(
    image: Image,
    targets: Sequence[BlockFile],
    *,
    held: Held | None = None,
    conversions: Mapping[int, Conversion] | None = None,
    record: RestoreRecord | None = None,
    discard: bool = False,
    verify: bool = False,
    progress: ProgressCallback = silent,
) -> RestoreResult:
    """Write ``image`` to ``targets``; with ``verify``, read it back from the disks afterwards.

    ``conversions``, by disk, are what changes on those whose sectors are not the image's.
    What they hold already (``held``) is not written; when they hold it all, nothing is. ``record`` is
    kept up to date for a later `--resume`. ``discard``: tell the disks that what is not in use is free.
    Raises BadImage naming the pack and chunk that are damaged (the target then has no partition
    table), DoesNotFit, DiskFailed, and with ``verify`` Untrusted (nor has a target that was written).
    """
    started = time.monotonic()
    changes = conversions or {}
    converted = bool(changes)
    sink = DiskSink(image.manifest, image.index, targets, converted=converted)
    heads = placed_heads(image, targets, converted=converted)
    keep_freed_memory()
    for target in targets:
        target.go_direct()
    if held is None or not held.whole or changes:
        with made_for(image, changes) as reworks:
            if held is not None:
                sink.adopt(held.chunks)
            sink.write_zeros(progress)
            if discard:
                discard_unused(image.manifest, targets)
            _move(image, sink, record, progress)
            for number in changes:
                reworks.write(number, targets[number])
        sink.finish()
    if verify:
        changed = changed_bytes(image, changes)
        with sink.proving():
            verify_targets(
                image.manifest, image.index, targets, heads, changed=changed, progress=progress
            )
    if record is not None:
        record.remove()
    return RestoreResult(
        root=image.manifest.index_digest,
        chunks=len(image.index),
        written=sink.written,
        seconds=time.monotonic() - started,
        verified=verify,
        read=held.read if held else 0,
        kept=len(held.chunks) if held else 0,
    )


def _move(
    image: Image, sink: DiskSink, record: RestoreRecord | None, progress: ProgressCallback
) -> None:
    """Put every chunk that is missing, in the order of the disks; keep the record."""

    def move(chunk: int) -> int:
        stored = image.read_stored(chunk)
        try:
            sink.put(chunk, stored)
        except Untrusted as error:
            raise image.damaged(chunk, error.what) from None
        return image.index.records[chunk].length

    chunks = sink.missing()
    goal, done = sum(image.index.records[c].length for c in chunks), 0
    kept = 0.0  # when the record was: at once, so that it is there whenever we are cut off
    with closing(in_order(move, chunks, threads=waiting_threads())) as moved:
        for length in moved:
            done += length
            progress(Progress("restore", done, goal))
            if record is not None and time.monotonic() - kept > KEEP_SECONDS:
                record.save(sink.durable())
                kept = time.monotonic()
