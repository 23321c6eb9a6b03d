"""What disks hold of an image already: chunks read back from them and proven against the index.

Whatever anybody remembers of a disk is a hint. What counts is what the disk itself gives back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from random import Random

import numpy as np

from castcore.cast.chunkset import ChunkSet
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.directio import BUFFER
from castcore.edge.disk.regionread import read_run
from castcore.edge.inorder import in_order, waiting_threads
from castcore.errors import DiskFailed
from castcore.image import ChunkKind, Index, Manifest, UsedBytes, head_chunks
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import digest

# So much of a claim is read back before it is believed, and its last chunks: a machine that lost
# power loses what it wrote last.
SAMPLE_SHARE = 0.01
SAMPLE_LAST = 64


def held_chunks(
    manifest: Manifest,
    index: Index,
    targets: Sequence[BlockFile],
    *,
    progress: ProgressCallback = silent,
) -> ChunkSet:
    """The chunks that ``targets`` hold, every one read: what a cast of an update need not send.

    A disk's first chunk is not among them: it is always written anew, as the last.
    """
    return _proven(manifest, index, targets, _eligible(manifest, index), progress)


def equal_chunks(
    manifest: Manifest,
    index: Index,
    targets: Sequence[BlockFile],
    *,
    claimed: ChunkSet | None = None,
    progress: ProgressCallback = silent,
) -> ChunkSet:
    """The chunks that ``targets`` hold, those of zeros too: what a restore need not write.

    Every one is read, or every one of the ``claimed``. A disk's first chunk is not among them.
    """
    heads = head_chunks(manifest)
    asked = range(len(index)) if claimed is None else np.flatnonzero(claimed.mask()).tolist()
    return _proven(manifest, index, targets, [c for c in asked if c not in heads], progress)


def believed_chunks(
    manifest: Manifest,
    index: Index,
    targets: Sequence[BlockFile],
    claimed: ChunkSet,
    random: Random,
    *,
    progress: ProgressCallback = silent,
) -> ChunkSet:
    """Those of the ``claimed`` chunks that count as held.

    A random part and the last ones are read. If all of those are right, so is the claim; if not, every
    chunk of it is read.
    """
    chunks = [c for c in _eligible(manifest, index) if claimed.mask()[c]]
    last = chunks[-SAMPLE_LAST:]
    before = chunks[: -len(last)] if last else []
    some = sorted(random.sample(before, round(len(before) * SAMPLE_SHARE)))
    sample = _proven(manifest, index, targets, [*some, *last], silent)
    if len(sample) < len(some) + len(last):
        return _proven(manifest, index, targets, chunks, progress)
    return ChunkSet.numbered(len(index), chunks)


def _eligible(manifest: Manifest, index: Index) -> list[int]:
    heads = head_chunks(manifest)
    return [c for c in index.chunks_of_kind(ChunkKind.DATA) if c not in heads]


def _proven(
    manifest: Manifest,
    index: Index,
    targets: Sequence[BlockFile],
    chunks: Sequence[int],
    progress: ProgressCallback,
) -> ChunkSet:
    for target in targets:
        target.drop_cache()
    mask, goal, done = np.zeros(len(index), np.bool_), 0, 0
    goal = sum(index.records[c].length for c in chunks)
    judge = _judge(manifest, index, targets)
    runs = index.runs(chunks, BUFFER)
    with closing(in_order(judge, runs, threads=waiting_threads())) as judged:
        for run, right in judged:
            mask[run] = right
            done += sum(index.records[c].length for c in run)
            progress(Progress("compare", done, goal))
    return ChunkSet.of(mask)


def _judge(
    manifest: Manifest, index: Index, targets: Sequence[BlockFile]
) -> Callable[[list[int]], tuple[list[int], list[bool]]]:
    """Tells which chunks of a run are right."""
    in_use = [UsedBytes(disk.in_use) for disk in manifest.disks]

    def right(run: list[int]) -> list[bool]:
        disk = index.records[run[0]].disk
        try:
            contents = read_run(targets[disk], index, run, in_use[disk])
        except DiskFailed:  # what cannot be read is not held; writing it may mend it
            return [False] if len(run) == 1 else [right([chunk])[0] for chunk in run]
        names = (index.records[chunk].digest for chunk in run)
        return [digest(content) == name for content, name in zip(contents, names, strict=True)]

    return lambda run: (run, right(run))
