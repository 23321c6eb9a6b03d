"""Proving an image as it lies there: every stored byte by its digest, nothing expanded.

A restore does it before it erases a disk. It costs little more than reading the packs once, in long
runs, and leaves them in the page cache where there is room; the contents are proven one by one as
they are written.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from castcore.edge.image.imagefile import Image
from castcore.edge.image.verify import raise_bad, verify_image
from castcore.edge.inorder import in_order
from castcore.edge.memory import keep_freed_memory
from castcore.errors import BadImage
from castcore.image import ChunkRecord, StoredDigests
from castcore.image.storeddigests import NOTHING
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import digest
from castcore.units import MIB

# What one read takes at most; each thread has a buffer of this size. A chunk is never longer.
RUN = 2 * MIB


def check_stored(
    image: Image, *, chunks: Sequence[int] | None = None, progress: ProgressCallback = silent
) -> None:
    """Prove what ``image`` stores of ``chunks`` (every one).

    Those without a stored digest, as in older images, are proven by their contents. Raises BadImage
    naming the first bad pack and chunk, DiskFailed.
    """
    digests = image.stored_digests()
    if digests is None:
        verify_image(image, chunks=chunks, progress=progress)
        return
    keep_freed_memory()
    stored = image.index.stored_order(range(len(image.index)) if chunks is None else chunks)
    asked = [c for c in stored if digests[c] != NOTHING]
    goal, done, errors = sum(image.index.records[c].stored for c in asked), 0, []
    checker = _Checker(image, digests)
    with closing(in_order(checker.check, _runs(image, asked))) as checked:
        for size, bad in checked:
            errors += bad
            done += size
            progress(Progress("check", done, goal))
    raise_bad(errors)
    if len(asked) < len(stored):
        verify_image(image, chunks=[c for c in stored if digests[c] == NOTHING], progress=progress)


def _runs(image: Image, ordered: Sequence[int]) -> Iterator[list[tuple[int, ChunkRecord]]]:
    """Chunks whose stored bytes follow each other in one file, at most `RUN` bytes together."""
    run: list[tuple[int, ChunkRecord]] = []
    start = 0
    behind: tuple[Path, int, int, int] | None = None  # where the next one of a run lies
    for chunk in ordered:
        record = image.index.records[chunk]
        path, at = image.packs.place(record.pack, record.pack_offset)
        here = (path, at, record.pack, record.pack_offset)
        if here != behind or at + record.stored - start > RUN:
            if run:
                yield run
            run, start = [], at
        run.append((chunk, record))
        behind = (path, at + record.stored, record.pack, record.pack_offset + record.stored)
    if run:
        yield run


class _Checker:
    """Reads and digests one run at a time, in whichever thread calls."""

    def __init__(self, image: Image, digests: StoredDigests) -> None:
        self._image = image
        self._digests = digests
        self._local = threading.local()

    def check(self, run: list[tuple[int, ChunkRecord]]) -> tuple[int, list[BadImage]]:
        """The bytes of a run, and what is wrong with it."""
        first, last = run[0][1], run[-1][1]
        start, end = first.pack_offset, last.pack_offset + last.stored
        view = self._buffer()[: end - start]
        got = self._image.packs.read_into(first.pack, start, view)
        bad = []
        for chunk, record in run:
            at = record.pack_offset - start
            if at + record.stored > got:
                bad.append(self._image.damaged(chunk, "the pack ends inside it"))
            elif digest(view[at : at + record.stored]) != self._digests[chunk]:
                bad.append(
                    self._image.damaged(chunk, "its stored bytes are not those that were written")
                )
        return end - start, bad

    def _buffer(self) -> memoryview:
        view: memoryview | None = getattr(self._local, "view", None)
        if view is None:
            view = self._local.view = memoryview(bytearray(RUN))
        return view
