"""Proving what was stored or written: every chunk of an image, every byte in use of a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from castcore.disk import Extent, Extents, intersect
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.directio import BUFFER
from castcore.edge.disk.regionread import read_run
from castcore.edge.image.imagefile import Image
from castcore.edge.inorder import in_order, waiting_threads
from castcore.edge.memory import keep_freed_memory
from castcore.errors import BadImage, Untrusted
from castcore.image import ChunkRecord, Index, Manifest, PlacedHead, UsedBytes, head_chunks, place_head
from castcore.image.storeddigests import NOTHING
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import digest
from castcore.units import exactly


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proven: ``chunks`` and the ``bytes`` of their regions."""

    chunks: int
    bytes: int


@dataclass(frozen=True)
class Changed:
    """Bytes of the targets that are not the image's, by disk number; ``content`` is the image's own."""

    extents: Mapping[int, Extents]
    content: Callable[[int], bytes | memoryview]

    def within(self, record: ChunkRecord) -> Extents:
        """The changed bytes of a chunk's region."""
        region = Extent(record.offset, record.length)
        return intersect([region], self.extents.get(record.disk, ()))

    def masked(self, record: ChunkRecord, content: bytes | bytearray | memoryview) -> bytearray:
        """The ``content`` of a chunk with the changed bytes as zeros."""
        kept = bytearray(content)
        for extent in self.within(record):
            start = extent.start - record.offset
            kept[start : start + extent.length] = bytes(extent.length)
        return kept


def verify_image(
    image: Image, *, chunks: Sequence[int] | None = None, progress: ProgressCallback = silent
) -> Verified:
    """Prove the content of ``chunks`` (every one) of ``image``, and what it says of their stored bytes.

    Raises BadImage naming the first bad pack and chunk.
    """
    digests = image.stored_digests()

    def bad(chunk: int) -> list[BadImage]:
        try:
            stored = image.read_proven(chunk)
        except BadImage as error:
            return [error]
        said = digests[chunk] if digests is not None else NOTHING
        if stored and said not in (NOTHING, digest(stored)):
            return [image.damaged(chunk, "its stored bytes are not those that were written")]
        return []

    asked = range(len(image.index)) if chunks is None else chunks
    alone = ([chunk] for chunk in asked)
    raise_bad(_faults(lambda run: bad(run[0]), alone, asked, image.index, "check", progress))
    return Verified(len(image.index), image.index.content_bytes())


def raise_bad(errors: Sequence[BadImage]) -> None:
    """Return when there are no ``errors``; else raise the first, saying how many chunks are damaged."""
    if errors:
        more = f" ({len(errors)} chunks are damaged)" if len(errors) > 1 else ""
        raise BadImage(errors[0].what + more, hint=errors[0].hint)


def require_size(manifest: Manifest, targets: Sequence[BlockFile]) -> None:
    """Return when every target reaches as far as its disk's last byte in use. Raises Untrusted."""
    for disk, target in zip(manifest.disks, targets, strict=True):
        end = max((extent.end for extent in disk.in_use), default=0)
        if target.size < end:
            raise Untrusted(
                f"{target.path} does not hold what {manifest.name} says:"
                f" it has {exactly(target.size)}, the image {exactly(end)}",
                hint="name the disk that the image was restored to",
            )


def placed_heads(
    image: Image, targets: Sequence[BlockFile], *, converted: bool = False
) -> dict[int, PlacedHead]:
    """By disk number, the first chunk of each disk as it must be on its target.

    ``converted`` as for :class:`castcore.edge.disk.disksink.DiskSink`. Raises BadImage, DoesNotFit.
    """
    heads = {}
    for chunk, disk in head_chunks(image.manifest).items():
        content = bytes(image.content(chunk))
        target = targets[disk]
        sector = target.sector_size if converted else 0
        heads[disk] = place_head(image.manifest.disks[disk], content, target.size, sector)
    return heads


def verify_targets(
    manifest: Manifest,
    index: Index,
    targets: Sequence[BlockFile],
    heads: Mapping[int, PlacedHead],
    *,
    changed: Changed | None = None,
    progress: ProgressCallback = silent,
) -> Verified:
    """Prove that ``targets`` hold every byte in use, read from the disks themselves.

    ``heads`` gives, by disk number, the first chunk as placed there; ``changed`` the bytes that are not
    the image's. Raises Untrusted naming the first region that differs, DiskFailed.
    """
    in_use = [UsedBytes(disk.in_use) for disk in manifest.disks]
    for target in targets:
        target.flush()
        target.drop_cache()

    def differs(chunk: int, content: memoryview) -> bool:
        record = index.records[chunk]
        if record.offset == 0 and record.disk in heads:
            same = content == heads[record.disk].head
        elif changed is not None and changed.within(record):
            same = changed.masked(record, content) == changed.masked(record, changed.content(chunk))
        else:
            same = digest(content) == record.digest
        return not same

    def wrong_of(run: list[int]) -> list[str]:
        disk = index.records[run[0]].disk
        contents = read_run(targets[disk], index, run, in_use[disk])
        return [
            index.records[chunk].region
            for chunk, content in zip(run, contents, strict=True)
            if differs(chunk, content)
        ]

    every = range(len(index))
    wrong = _faults(wrong_of, index.runs(every, BUFFER), every, index, "verify", progress)
    for number, head in heads.items():
        for offset, data in head.elsewhere:
            if targets[number].read(offset, len(data)) != data:
                wrong.append(f"disk {number}, backup partition table at byte {offset}")
    if wrong:
        raise Untrusted(
            f"{targets[0].path} does not hold what {manifest.name} says: {wrong[0]}"
            + (f" and {len(wrong) - 1} more chunks differ" if len(wrong) > 1 else " differs"),
            hint="restore again; a disk that does it twice is failing",
        )
    return Verified(len(index), index.content_bytes())


Fault = TypeVar("Fault")


def _faults(
    judge: Callable[[list[int]], list[Fault]],
    runs: Iterable[list[int]],
    asked: Sequence[int],
    index: Index,
    step: str,
    progress: ProgressCallback,
) -> list[Fault]:
    """What ``judge`` finds wrong in ``runs``, which are of the chunks ``asked``, in their order."""
    keep_freed_memory()
    goal, done, faults = sum(index.records[c].length for c in asked), 0, []
    work = in_order(lambda run: (run, judge(run)), runs, threads=waiting_threads())
    with closing(work) as judged:
        for run, found in judged:
            faults += found
            done += sum(index.records[c].length for c in run)
            progress(Progress(step, done, goal))
    return faults
