"""Importing: a disk's file, a partclone image or a Clonezilla folder becomes an image of a store."""

from __future__ import annotations

import heapq
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from operator import itemgetter
from pathlib import Path

from castcore import __version__
from castcore.disk import DiskLayout, Extents, Partition, TableType, Taken, align, merge
from castcore.edge.disk.contents import probe_region
from castcore.edge.disk.disklayout import WHOLE_DISK, is_extended, read_layout
from castcore.edge.disk.sourcefile import SourceFormat, source_format
from castcore.edge.foreign.clonezillafolder import NOT_KEPT, SECTOR, opened_folder
from castcore.edge.foreign.pieces import ForeignDisk, Held, partclone_files
from castcore.edge.foreign.scratch import scratch_disk
from castcore.edge.foreign.unpacked import is_compressed, unpacked
from castcore.edge.image.bases import opened_bases
from castcore.edge.image.capture import CaptureOptions, capture
from castcore.edge.image.imagewriter import ImageWriter
from castcore.edge.image.newimage import new_image, write_contents
from castcore.edge.image.packing import DiskChunk
from castcore.edge.image.store import image_name
from castcore.errors import BadImage, Refused
from castcore.foreign.assembly import Piece, assembled
from castcore.foreign.clonezilla import DISKS_FILE, PARTS_FILE, split_in_order
from castcore.foreign.partclone import MAGIC, is_partclone
from castcore.image import CHUNK_SIZE, ImageDisk, Manifest, Source, chunk_regions, chunk_total
from castcore.progress import ProgressCallback, silent
from castcore.units import round_up

SPLIT = re.compile(r"a{2,5}")


class ForeignFormat(StrEnum):
    """What an import reads itself; everything else it leaves to a capture."""

    PARTCLONE = "partclone"
    CLONEZILLA = "clonezilla"


def import_image(
    source: Path,
    image_path: Path,
    *,
    options: CaptureOptions | None = None,
    progress: ProgressCallback = silent,
) -> Manifest:
    """Make the image at ``image_path`` of ``source``: a disk's file, partclone image, Clonezilla folder.

    The image is there complete or not at all. Of a partclone image and a folder only ``level``,
    ``replace``, ``key`` and ``bases`` of ``options`` count. Raises NotFound, BadImage, Refused, NoSpace,
    DiskFailed, InUse, MissingProgram.
    """
    options = options or CaptureOptions()
    kind = foreign_format(source)
    if kind is None:
        if source_format(source) is SourceFormat.DEVICE:
            raise Refused(f"{source} is a disk, not a file", hint="capture it: `fleetcast capture`")
        return capture(source, image_path, options=options, progress=progress)
    opened = opened_folder if kind is ForeignFormat.CLONEZILLA else _opened_file
    with (
        opened_bases(options.bases, image_path) as bases,
        new_image(image_path, replace=options.replace) as directory,
        opened(source, directory) as disks,
        ImageWriter(directory, key=options.key, bases=bases) as writer,
    ):
        in_use = [_in_use(disk) for disk in disks]
        goal = sum(chunk_total(extents) for extents in in_use) * CHUNK_SIZE
        chunks = _chunks(disks, in_use)
        write_contents(writer, chunks, goal, level=options.level, progress=progress)
        layouts = [_layout(disk) for disk in disks]
        return writer.finish(
            Manifest(
                name=image_name(image_path),
                created=int(time.time()),
                disks=tuple(map(ImageDisk, layouts, in_use)),
                index_digest=b"",
                chunk_count=0,
                packs=(),
                source=Source(path=os.fsencode(source).decode(errors="replace"), format=kind),
                made_by=f"fleetcast {__version__}",
            )
        )


def foreign_format(source: Path) -> ForeignFormat | None:
    """What ``source`` is; None: a disk or a disk's file. Raises as :func:`import_image` does."""
    if source.is_dir():
        if (source / PARTS_FILE).is_file() or (source / DISKS_FILE).is_file():
            return ForeignFormat.CLONEZILLA
        raise Refused(
            f"{source} is a directory, but no Clonezilla image (it has no file named {PARTS_FILE!r})",
            hint="name an image folder itself, not the one that holds them",
        )
    if not source.is_file():
        return None
    files = split_files(source)
    with unpacked(files) as stream:
        if is_partclone(stream.read(len(MAGIC))):
            return ForeignFormat.PARTCLONE
    if is_compressed(source) or len(files) > 1:
        raise Refused(
            f"{source} is compressed or split, and is no partclone image",
            hint="make one raw file of it first, and import that",
        )
    return None


def split_files(first: Path) -> list[Path]:
    """``first`` and the files that split(1) wrote after it (``.aa``, ``.ab`` ...). Raises BadImage."""
    if not SPLIT.fullmatch(first.suffix[1:]):
        return [first]
    width = len(first.suffix) - 1
    stem = first.name.removesuffix(first.suffix)
    shape = re.compile(rf"{re.escape(stem)}\.[a-z]{{{width}}}")
    found = [p.suffix[1:] for p in first.parent.iterdir() if shape.fullmatch(p.name)]
    return [first.parent / name for name in split_in_order(stem, found)]


@contextmanager
def _opened_file(source: Path, directory: Path) -> Iterator[list[ForeignDisk]]:
    """A partclone image: one partition, which becomes a disk without a table."""
    with partclone_files(split_files(source), 0) as held:
        size = round_up(held.size, SECTOR)
        with scratch_disk(directory / "disk-0.raw", size, SECTOR) as scratch:
            whole = Partition(WHOLE_DISK, 0, size)
            yield [ForeignDisk(scratch, (whole,), {WHOLE_DISK: held}, Held((), tuple))]


def _in_use(disk: ForeignDisk) -> Extents:
    # A target is written in whole sectors; so is what we prove there.
    all_held = [disk.outside, *(held for held in disk.held.values() if held)]
    extents = merge(extent for held in all_held for extent in held.extents)
    return align(extents, disk.scratch.sector_size, limit=disk.scratch.size)


def _chunks(disks: Sequence[ForeignDisk], in_use: Sequence[Extents]) -> Iterator[DiskChunk]:
    for number, disk in enumerate(disks):
        streams = [disk.outside.pieces(), *(held.pieces() for held in disk.held.values() if held)]
        merged: Iterator[Piece] = heapq.merge(*streams, key=itemgetter(0))
        shown = disk.scratch.showing(merged, [p.extent for p in disk.partitions])
        regions = chunk_regions(in_use[number], disk.scratch.size)
        for region, content in assembled(regions, shown):
            yield DiskChunk(number, region, content)


def _layout(disk: ForeignDisk) -> DiskLayout:
    """The disk's layout, as its scratch file reads now, with what is held of each partition."""
    with disk.scratch.opened() as opened:
        if [p.number for p in disk.partitions] == [WHOLE_DISK]:
            (whole,) = disk.partitions
            found = probe_region(opened.path, whole.extent)
            whole = replace(whole, fstype=found.fstype, fs_uuid=found.uuid, label=found.label)
            layout = DiskLayout(opened.size, opened.sector_size, TableType.NONE, partitions=(whole,))
        else:
            layout, _ = read_layout(opened)
    if [p.extent for p in layout.partitions] != [p.extent for p in disk.partitions]:
        raise BadImage("what its partitions hold reads as another partition table")
    partitions = tuple(_taken(p, disk.held[p.number]) for p in layout.partitions)
    return replace(layout, partitions=partitions)


def _taken(partition: Partition, held: Held | None) -> Partition:
    if is_extended(partition):
        return replace(partition, taken=Taken.HEADER, why="holds logical partitions")
    if held is None:
        return replace(partition, taken=Taken.USED, why=NOT_KEPT)
    fstype = partition.fstype or held.fstype
    return replace(partition, fstype=fstype, taken=held.taken, why=held.why)
