"""Writes the chunks of an image to its target disks, each proven before a byte of it is written.

Before the first byte of anything is written, the heads of all disks are cleared, durably; a disk's
first chunk (boot code, partition table) is held back until :meth:`DiskSink.finish`. So a restore that
was cut off leaves no disk that looks whole, and one that ends before data came leaves it as it was.
Holes are never touched.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from castcore.cast.chunkset import ChunkSet
from castcore.disk import Extents, merge, needed_size
from castcore.edge.disk.blockdev import ZERO_STEP, BlockFile
from castcore.edge.disk.directio import own_buffer
from castcore.edge.image.verify import Verified, verify_targets
from castcore.errors import BadImage, DiskFailed, DoesNotFit, FleetcastError, Untrusted
from castcore.image import (
    ChunkDecoder,
    ChunkKind,
    ChunkRecord,
    Index,
    Manifest,
    PlacedHead,
    UsedBytes,
    head_chunks,
    place_head,
)
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import digest
from castcore.units import exactly


class DiskSink:
    """A :class:`castcore.chunks.ChunkSink`: put() every chunk, write_zeros(), finish(), then verify().

    The zeros may come before the chunks as well; put() may be called from several threads at once.
    ``targets`` are the disks, in the order of the manifest's; ``written`` counts bytes of chunks put,
    ``untouched``: nothing on the disks was changed. ``converted``: those whose sectors are not the
    image's get a table in their own; else every target is written as imaged. Raises DoesNotFit when a
    target is missing or too small.
    """

    def __init__(
        self,
        manifest: Manifest,
        index: Index,
        targets: Sequence[BlockFile],
        *,
        converted: bool = False,
    ) -> None:
        _require_room(manifest, targets, converted=converted)
        self._converted = converted
        self._manifest = manifest
        self._index = index
        self._targets = targets
        self._in_use = [UsedBytes(disk.in_use) for disk in manifest.disks]
        self._done = bytearray(len(index))
        self._lock = threading.Lock()
        self._local = threading.local()
        self._head_of = head_chunks(manifest)
        self._contents: dict[int, bytes] = {}  # by disk number: the chunks held back
        self._placed: dict[int, PlacedHead] = {}
        self._lost: DiskFailed | None = None
        self._clearing, self._cleared = threading.Lock(), False
        self.untouched = True
        self.written = 0

    def clear(self) -> None:
        """Zero each disk's first region, durably, if that was not done: from now on none of them boots.

        Whatever writes here does it before: a cut must not leave an old head on new contents. Raises
        DiskFailed.
        """
        if self._cleared:
            return
        with self._clearing:
            if not self._cleared:
                self._require_nothing_lost()
                self.untouched = False
                self._zero_heads()
                self.flush()
                self._cleared = True

    def write_zeros(self, progress: ProgressCallback = silent) -> None:
        """Zero what must read as zeros and is not adopted. Raises DiskFailed."""
        self.clear()
        zeros = [c for c in self._index.chunks_of_kind(ChunkKind.ZERO) if not self._done[c]]
        found = [(disk, extent) for disk, extents in self._zero_extents(zeros) for extent in extents]
        goal, done = sum(extent.length for _, extent in found), 0
        for disk, extent in found:
            for start in range(extent.start, extent.end, ZERO_STEP):
                length = min(ZERO_STEP, extent.end - start)
                self._targets[disk].zero(start, length)
                done += length
                progress(Progress("zero", done, goal))
        self.written += done
        for chunk in zeros:
            self._done[chunk] = 1

    def put(self, chunk: int, stored: bytes | memoryview) -> int:
        """Prove ``stored``, then write its bytes in use; return their number (0: was put before).

        Raises Untrusted with nothing written, or DiskFailed.
        """
        if self._done[chunk]:
            return 0
        record = self._index.records[chunk]
        try:
            content = self._decoder().decode(record, stored, own_buffer())
        except BadImage as error:
            raise Untrusted(
                f"chunk {chunk} ({record.region}) is not the image's: {error.what}"
            ) from None
        return self._take(chunk, content)

    def put_content(self, chunk: int, content: bytes) -> int:
        """As `put`, for the content itself. Raises Untrusted with nothing written, or DiskFailed."""
        record = self._index.records[chunk]
        if len(content) != record.length or digest(content) != record.digest:
            raise Untrusted(f"chunk {chunk} ({record.region}) is not the image's")
        return 0 if self._done[chunk] else self._take(chunk, content)

    def adopt(self, held: ChunkSet) -> None:
        """These chunks are on the targets already, proven: they count as put."""
        for chunk in np.flatnonzero(held.mask()).tolist():
            if chunk not in self._head_of:
                self._done[chunk] = 1

    def durable(self) -> ChunkSet:
        """Make what was put durable; the chunks that then survive a power cut. Raises DiskFailed."""
        done = np.array(self._done, np.bool_)
        done[list(self._head_of)] = False
        self.flush()
        return ChunkSet.of(done)

    def done(self) -> NDArray[np.bool_]:
        """By chunk, whether it was put or was there."""
        return np.array(self._done, np.bool_)

    def missing(self) -> list[int]:
        """The numbers of the chunks not put yet, rising."""
        return [chunk for chunk, done in enumerate(self._done) if not done]

    def flush(self) -> None:
        """Make every chunk put so far durable, but for those held back.

        Raises DiskFailed; from then on so does every other write: the kernel tells of a lost one once.
        """
        self._require_nothing_lost()
        try:
            for target in self._targets:
                target.flush()
        except DiskFailed as error:
            self._lost = error
            raise

    def finish(self) -> None:
        """Prove that all chunks were put; place the partition tables; make everything durable.

        Raises BadImage when a chunk is missing or a partition table is damaged, DiskFailed.
        """
        missing = self.missing()
        if missing:
            raise BadImage(
                f"{len(missing)} of {len(self._index)} chunks of {self._manifest.name} never came,"
                f" the first is chunk {missing[0]}",
                hint="the disk is incomplete: restore it again",
            )
        self.clear()
        for disk, content in self._contents.items():
            source, target = self._manifest.disks[disk], self._targets[disk]
            sector = target.sector_size if self._converted else 0
            self._placed[disk] = place_head(source, content, target.size, sector)
            for offset, data in self._placed[disk].elsewhere:
                self._targets[disk].write(offset, data)
        self.flush()
        # Only now, with all it speaks of durable, does the disk get its table.
        for chunk, disk in self._head_of.items():
            if disk in self._placed:
                self._write(self._index.records[chunk], self._placed[disk].head)
        self.flush()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """An error in it that comes before any data says that it has cost the disks nothing."""
        try:
            yield
        except FleetcastError as error:
            if self.untouched:
                error.hint = "; ".join(filter(None, ("no data came: the disk is as it was", error.hint)))
            raise

    def verify(self, progress: ProgressCallback = silent) -> Verified:
        """Re-read the finished targets past the page cache.

        Raises Untrusted or DiskFailed; the heads are cleared again then.
        """
        with self.proving():
            return verify_targets(
                self._manifest, self._index, self._targets, self._placed, progress=progress
            )

    @contextmanager
    def proving(self) -> Iterator[None]:
        """A proof that fails in it clears the heads of disks that were written, as far as they let us.

        What is not proven does not boot.
        """
        try:
            yield
        except (Untrusted, DiskFailed):
            with suppress(DiskFailed):
                if not self.untouched:
                    self._zero_heads()
                    self.flush()
            raise

    def _zero_heads(self) -> None:
        try:
            for chunk, disk in self._head_of.items():
                for extent in self._parts(self._index.records[chunk]):
                    self._targets[disk].zero(extent.start, extent.length)
        except DiskFailed as error:
            self._lost = error
            raise

    def _require_nothing_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _parts(self, record: ChunkRecord) -> Extents:
        return self._in_use[record.disk].within(record.offset, record.length)

    def _take(self, chunk: int, content: bytes | memoryview) -> int:
        """Write the proven content of a chunk, or hold it back."""
        self._require_nothing_lost()
        record = self._index.records[chunk]
        if chunk in self._head_of:
            self._contents[record.disk] = bytes(content)
            return self._count(chunk, sum(e.length for e in self._parts(record)))
        self.clear()
        return self._count(chunk, self._write(record, content))

    def _write(self, record: ChunkRecord, content: bytes | memoryview) -> int:
        view, target, taken = memoryview(content), self._targets[record.disk], 0
        for part in self._parts(record):
            start = part.start - record.offset
            target.write(part.start, view[start : start + part.length])
            taken += part.length
        return taken

    def _count(self, chunk: int, taken: int) -> int:
        with self._lock:
            if self._done[chunk]:
                return 0
            self._done[chunk] = 1
            self.written += taken
        return taken

    def _zero_extents(self, zeros: Sequence[int]) -> Iterator[tuple[int, Extents]]:
        """By disk, the bytes in use of all chunks ``zeros``, neighbours joined."""
        for disk in range(len(self._targets)):
            records = (self._index.records[chunk] for chunk in zeros)
            yield disk, merge(e for r in records if r.disk == disk for e in self._parts(r))

    def _decoder(self) -> ChunkDecoder:
        decoder: ChunkDecoder | None = getattr(self._local, "decoder", None)
        if decoder is None:
            decoder = self._local.decoder = ChunkDecoder()
        return decoder


def _require_room(manifest: Manifest, targets: Sequence[BlockFile], *, converted: bool) -> None:
    if len(targets) != len(manifest.disks):
        raise DoesNotFit(f"{manifest.name} holds {len(manifest.disks)} disks; {len(targets)} were given")
    for disk, target in zip(manifest.disks, targets, strict=True):
        sector = target.sector_size if converted else 0
        needed = needed_size(disk.layout, disk.in_use, sector)
        if target.size < needed:
            raise DoesNotFit(
                f"{target.path} is too small: {manifest.name} needs {exactly(needed)},"
                f" it has {exactly(target.size)}",
                hint="choose a larger disk",
            )
