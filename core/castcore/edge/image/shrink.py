"""A derived image that fits a smaller disk: restored into sparse files, shrunk there, captured anew.

The image it comes from is only read. Everything happens in the hidden directory of the new image, and
what is published has been checked by its file systems' own tools.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from castcore import __version__
from castcore.disk import (
    DiskLayout,
    Extent,
    Move,
    Partition,
    Shrinkage,
    TableType,
    Taken,
    boot_sector_moved,
    merge,
    moved_gpt,
    moved_mbr,
    shrinkable,
    shrinkage,
    table_length,
)
from castcore.edge.disk import shrinking
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.survey import Survey, SurveyOptions, survey
from castcore.edge.image.bases import opened_bases
from castcore.edge.image.capture import CaptureOptions, image_disk, write_image
from castcore.edge.image.imagefile import Image
from castcore.edge.image.newimage import new_image
from castcore.edge.image.restore import restore
from castcore.edge.image.store import free_space, image_name, writing_to
from castcore.edge.image.usedparts import require_all_partitions
from castcore.errors import NoSpace, Refused
from castcore.image import Manifest
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import SigningKey
from castcore.units import MIB, human

WHOLE, SMALLER = "whole.raw", "smaller.raw"
# The sectors at a partition's start and end that may hold boot sectors: NTFS keeps its copy in the
# last, FAT32 in its seventh.
_HIDDEN_SECTORS = frozenset({"ntfs", "vfat", "exfat"})
_FAT32_COPY = 6


@dataclass(frozen=True, slots=True)
class ShrinkOptions:
    """``size``: the disk's bytes that the new image must fit (0: as few as can be); as for a capture:
    zstd ``level``, ``key`` to sign it, ``replace`` an older image of the name, ``bases`` to borrow from.
    """

    size: int = 0
    level: int = CaptureOptions().level
    replace: bool = False
    key: SigningKey | None = None
    bases: tuple[Path, ...] = ()


def shrink(
    image: Image, new: Path, options: ShrinkOptions, *, progress: ProgressCallback = silent
) -> tuple[Manifest, Shrinkage]:
    """Make ``new``, an image of what ``image`` holds that fits a smaller disk; how it was made smaller.

    Complete or not at all. Raises Refused or DoesNotFit (both figures) where it cannot be, InUse (others
    borrow from the image to be replaced), NoSpace, MissingProgram, BadImage, DiskFailed.
    """
    if len(image.manifest.disks) != 1:
        raise Refused(f"{image.path} holds {len(image.manifest.disks)} disks; one can be shrunk")
    disk = image.manifest.disks[0]
    require_all_partitions(image, hint="capture it with all of its partitions")
    candidates = shrinkable(disk.layout)
    shrinking.require_tools({p.fstype for p in candidates})
    with (
        opened_bases(options.bases, new) as bases,
        new_image(new, replace=options.replace) as directory,
        writing_to(directory),
    ):
        _require_space(new.parent, image.manifest)
        whole = _sparse(directory / WHOLE, disk.layout.size)
        with BlockFile.open_target(whole, sector_size=disk.layout.sector_size) as target:
            restore(image, [target], progress=progress)
        parts = {p.number: _cut_out(whole, p, directory) for p in candidates}
        minimums = {p.number: shrinking.least_size(parts[p.number], p.fstype) for p in candidates}
        shrunk = shrinkage(disk, minimums, options.size)
        smaller = _assembled(whole, disk.layout, shrunk, parts, progress)
        plan = _plan(image.manifest, smaller, disk.layout.sector_size, new)
        taken = CaptureOptions(level=options.level, key=options.key)
        manifest = write_image([smaller], directory, plan, taken, bases=bases)
        smaller.unlink()
    return manifest, shrunk


def _assembled(
    whole: Path,
    layout: DiskLayout,
    shrunk: Shrinkage,
    parts: dict[int, Path],
    progress: ProgressCallback,
) -> Path:
    """The smaller disk as a sparse file; the files it is made of are gone."""
    smaller = _sparse(whole.with_name(SMALLER), shrunk.size)
    fstypes = {p.number: p.fstype for p in layout.partitions}
    first = min(m.before.start for m in shrunk.moves)
    _copy(whole, Extent(0, first), smaller, 0)
    for done, move in enumerate(shrunk.moves):
        progress(Progress("shrink", done, len(shrunk.moves), f"partition {move.number}"))
        part = parts.get(move.number)
        if part is not None:
            if move.shrinks:
                shrinking.shrink_to(part, fstypes[move.number], move.after.length)
            _copy(part, Extent(0, move.after.length), smaller, move.after.start)
            part.unlink()
        else:
            _copy(whole, move.before, smaller, move.after.start)
    whole.unlink()
    with BlockFile.open_target(smaller, sector_size=layout.sector_size) as disk:
        for move in shrunk.moves:
            if move.after.start != move.before.start and fstypes[move.number] in _HIDDEN_SECTORS:
                _follow(disk, move, fstypes[move.number])
        _write_table(disk, layout, shrunk)
    return smaller


def _follow(disk: BlockFile, move: Move, fstype: str) -> None:
    """Tell the boot sectors of a moved partition where it starts now."""
    sector = disk.sector_size
    copy = move.after.end - sector if fstype == "ntfs" else move.after.start + _FAT32_COPY * sector
    for at in (move.after.start, copy):
        old = disk.read(at, sector)
        if old[510:512] == b"\x55\xaa":
            disk.write(at, boot_sector_moved(old, sector, move))


def _write_table(disk: BlockFile, layout: DiskLayout, shrunk: Shrinkage) -> None:
    sector = disk.sector_size
    if layout.table is TableType.MBR:
        writes = moved_mbr(disk.read(0, sector), sector, shrunk)
    else:
        primary = disk.read(0, table_length(disk.read(0, 2 * sector), sector))
        writes = moved_gpt(primary, sector, shrunk)
    for write in writes:
        disk.write(write.offset, write.data)
    disk.flush()


def _plan(old: Manifest, raw: Path, sector_size: int, new: Path) -> Manifest:
    """The manifest of the smaller disk's image, without packs."""
    # ntfsresize marks what it changed for a check by Windows; what it wrote is whole all the same.
    trusted = survey(raw, SurveyOptions(trust_dirty=True, sector_size=sector_size))
    found = _as_taken(trusted, old.disks[0].layout)
    return replace(
        old,
        name=image_name(new),
        created=int(time.time()),
        disks=(image_disk(found),),
        index_digest=b"",
        chunk_count=0,
        packs=(),
        lenders=(),
        borrowed=(),
        made_by=f"fleetcast {__version__}",
    )


def _as_taken(found: Survey, old: DiskLayout) -> Survey:
    """``found``, with every sector of what the old image holds every sector of.

    It had its reason, such as a file system that was not left clean: only what we shrank is trusted.
    """
    whole = {p.number: p.why for p in old.partitions if p.taken is Taken.EVERY}
    partitions = tuple(
        replace(p, taken=Taken.EVERY, why=whole[p.number]) if p.number in whole else p
        for p in found.layout.partitions
    )
    kept = [p.extent for p in partitions if p.number in whole]
    return Survey(replace(found.layout, partitions=partitions), merge([*found.in_use, *kept]))


def _require_space(store: Path, manifest: Manifest) -> None:
    """Refuse when what is in use has no room twice (before and after) beside the new image."""
    needed, free = 2 * manifest.used + sum(manifest.packs), free_space(store)
    if free < needed:
        raise NoSpace(
            f"{store} has {human(free)} free; shrinking takes up to {human(needed)} for a while",
            hint="free some space, or choose another store",
        )


def _sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def _cut_out(whole: Path, partition: Partition, folder: Path) -> Path:
    """The partition as a sparse file of its own; where it was, a hole is left."""
    part = _sparse(folder / f"partition-{partition.number}.raw", partition.length)
    _copy(whole, partition.extent, part, 0)
    with BlockFile.open_target(whole) as disk:
        disk.zero(partition.start, partition.length)
    return part


def _copy(source: Path, extent: Extent, target: Path, offset: int) -> None:
    """Copy ``extent`` of a sparse file to byte ``offset`` of another; holes stay holes."""
    with source.open("rb") as read, target.open("r+b") as write:
        for run in _data(read.fileno(), extent):
            at = run.start
            while at < run.end:
                data = os.pread(read.fileno(), min(MIB, run.end - at), at)
                os.pwrite(write.fileno(), data, offset + at - extent.start)
                at += len(data)


def _data(fd: int, extent: Extent) -> Iterator[Extent]:
    """The parts of ``extent`` that are no holes of the file."""
    at = extent.start
    while at < extent.end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the file's end
                return
            raise
        if start >= extent.end:
            return
        end = min(os.lseek(fd, start, os.SEEK_HOLE), extent.end)
        yield Extent(start, end - start)
        at = end
