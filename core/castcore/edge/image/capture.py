"""Capturing a disk into an image: survey, read and compress in threads, write in order, publish."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from castcore import __version__
from castcore.disk import Extent, align, firmware_raid, intersect, total
from castcore.edge.disk import probe
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.regionread import read_region
from castcore.edge.disk.rescue import PatientReader
from castcore.edge.disk.sourcefile import SourceFormat, raw_view, source_format
from castcore.edge.disk.survey import Survey, SurveyOptions, survey
from castcore.edge.image.bases import Bases, opened_bases
from castcore.edge.image.bootrecord import CapturedDisk, GivenEntry, boot_entries, boot_loaders
from castcore.edge.image.imagewriter import ImageWriter
from castcore.edge.image.newimage import new_image
from castcore.edge.image.packing import ChunkPacker, DiskChunk, PackedChunk
from castcore.edge.image.store import free_space, image_name
from castcore.edge.inorder import in_order, waiting_threads
from castcore.edge.memory import keep_freed_memory
from castcore.errors import InUse, NoSpace, NotFound, Refused
from castcore.image import (
    DEFAULT_LEVEL,
    ImageDisk,
    Manifest,
    Source,
    UsedBytes,
    chunk_regions,
    chunk_total,
    index_size,
)
from castcore.progress import Progress, ProgressCallback, silent
from castcore.trust import SigningKey
from castcore.units import human


@dataclass(frozen=True, slots=True)
class VolumeKey:
    """The file of the key to an encrypted partition of the source named ``disk``-th (from 0)."""

    disk: int
    partition: int
    file: Path


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """How to capture: zstd ``level``; ``replace`` an older image of the name once the new one is whole;
    ``survey`` says what of the disk is taken, and ``keys`` what opens encrypted partitions of it;
    ``force_mounted`` reads a disk that is in use;
    ``threads`` (0: one for each processor); ``boot_entries`` are the operator's own, tried before
    those that are known or found; ``key`` signs the image; ``rescue`` takes zeros for what the disk
    cannot read any more, and lists it in the manifest; what the images ``bases`` of the same store
    hold already is borrowed from them.
    """

    level: int = DEFAULT_LEVEL
    replace: bool = False
    survey: SurveyOptions = field(default=SurveyOptions())
    keys: tuple[VolumeKey, ...] = ()
    force_mounted: bool = False
    threads: int = 0
    boot_entries: tuple[GivenEntry, ...] = ()
    key: SigningKey | None = None
    rescue: bool = False
    bases: tuple[Path, ...] = ()


def capture(
    source: Path,
    image_path: Path,
    *,
    more: Sequence[Path] = (),
    options: CaptureOptions | None = None,
    progress: ProgressCallback = silent,
) -> Manifest:
    """Capture the disk ``source`` (device, raw or virtual disk's file) as the image at ``image_path``.

    ``more`` are further disks of the same machine. The image is there complete or not at all. Raises
    NotFound, InUse (one is mounted; others borrow from the image to be replaced), Refused (the name is
    taken, a file is empty, a disk is part of a firmware RAID, a base is in another store), BadImage (a
    base is damaged), NoSpace, DiskFailed, MissingProgram.
    """
    options = options or CaptureOptions()
    sources = (source, *more)
    _require_disks(options.keys, len(sources))
    kinds = [_checked_format(one, options) for one in sources]
    _refuse_twice(sources)
    with (
        opened_bases(options.bases, image_path) as bases,
        new_image(image_path, replace=options.replace) as directory,
        ExitStack() as views,
    ):
        raws = [
            views.enter_context(raw_view(one, kind, directory, progress))
            for one, kind in zip(sources, kinds, strict=True)
        ]
        found = [
            survey(raw, _survey_options(options, number), progress=progress)
            for number, raw in enumerate(raws)
        ]
        disks = [
            CapturedDisk(raw, one.layout, own=kind is SourceFormat.DEVICE)
            for raw, one, kind in zip(raws, found, kinds, strict=True)
        ]
        plan = Manifest(
            name=image_name(image_path),
            created=int(time.time()),
            disks=tuple(image_disk(one) for one in found),
            index_digest=b"",
            chunk_count=0,
            packs=(),
            source=Source(
                path=", ".join(map(_spelled, sources)), format=", ".join(dict.fromkeys(kinds))
            ),
            made_by=f"fleetcast {__version__}",
            boot_entries=boot_entries(disks, options.boot_entries),
            boot_loaders=boot_loaders(disks),
        )
        return write_image(raws, directory, plan, options, bases=bases, progress=progress)


def _require_disks(keys: Sequence[VolumeKey], count: int) -> None:
    beyond = next((key for key in keys if key.disk >= count), None)
    if beyond:
        raise NotFound(
            f"there is no disk {beyond.disk} to unlock: {count} given", hint="they are counted from 0"
        )


def _survey_options(options: CaptureOptions, disk: int) -> SurveyOptions:
    keys = tuple((key.partition, key.file) for key in options.keys if key.disk == disk)
    return replace(options.survey, keys=keys)


def _refuse_member(source: Path, kind: SourceFormat) -> None:
    if kind is not SourceFormat.DEVICE:
        return
    facts = probe.disk(str(source))
    if raid := firmware_raid(facts):
        array = f", of {facts.array}" if facts.array else ""
        raise Refused(
            f"{source} is a member of a firmware RAID ({raid}){array}: it holds no whole disk",
            hint="capture the array that mdadm assembles of its members, /dev/md...",
        )


def source_holder(source: Path) -> str:
    """Who uses the disk ``source`` right now ("mounted at /"), "" when nobody does."""
    if source_format(source) not in (SourceFormat.DEVICE, SourceFormat.RAW):
        return ""
    return probe.disk(str(source)).held_by


def _checked_format(source: Path, options: CaptureOptions) -> SourceFormat:
    kind = source_format(source)
    if kind is SourceFormat.RAW and not source.stat().st_size:
        raise Refused(f"{source} is an empty file, not a disk's", hint="name a disk, or the file of one")
    _refuse_member(source, kind)
    if not options.force_mounted:
        _refuse_mounted(source)
    return kind


def _refuse_twice(sources: Sequence[Path]) -> None:
    for number, source in enumerate(sources):
        if any(source.samefile(other) for other in sources[:number]):
            raise Refused(f"{source} is named twice", hint="name each disk once")


def _refuse_mounted(source: Path) -> None:
    holder = source_holder(source)
    if holder:
        raise InUse(
            f"{source} is in use: {holder}",
            hint="unmount it first: a disk that changes while it is read makes a broken image"
            " (`fleetcast capture --force-mounted` reads it)",
        )


def _spelled(path: Path) -> str:
    # A name on Linux is bytes, the manifest is UTF-8.
    return os.fsencode(path).decode(errors="replace")


def image_disk(found: Survey) -> ImageDisk:
    """What an image holds of a surveyed disk."""
    # A target is written in whole sectors; so is what we prove there.
    layout = found.layout
    return ImageDisk(layout, align(found.in_use, layout.sector_size, limit=layout.size))


def write_image(
    raws: Sequence[Path],
    directory: Path,
    plan: Manifest,
    options: CaptureOptions,
    *,
    bases: Bases | None = None,
    progress: ProgressCallback = silent,
) -> Manifest:
    """Write into ``directory`` the image of the raw disks that ``plan`` describes without packs.

    ``bases`` are those of ``options``, opened. Return the complete manifest. Raises NoSpace, DiskFailed,
    BadImage (a base is damaged).
    """
    _require_space(directory, sum(chunk_total(disk.in_use) for disk in plan.disks))
    goal, done = plan.used, 0
    regions = (
        (number, region)
        for number, disk in enumerate(plan.disks)
        for region in chunk_regions(disk.in_use, disk.layout.size)
    )
    used = [UsedBytes(disk.in_use) for disk in plan.disks]
    with ExitStack() as stack:
        devices = [stack.enter_context(BlockFile.open_source(str(raw))) for raw in raws]
        for device in devices:
            device.go_direct()
        keep_freed_memory()
        writer = stack.enter_context(ImageWriter(directory, key=options.key, bases=bases))
        readers = [PatientReader(device, rescue=options.rescue) for device in devices]
        reader = _ChunkReader(readers, used, writer, options.level)
        threads = options.threads or waiting_threads()
        with closing(in_order(reader.take, regions, threads=threads)) as chunks:
            for one in chunks:
                writer.add(one.record, one.stored, one.loan)
                record = one.record
                done += total(used[record.disk].within(record.offset, record.length))
                progress(Progress("capture", done, goal, f"{human(writer.stored)} stored"))
        disks = tuple(map(_with_lost, plan.disks, readers))
        return writer.finish(replace(plan, disks=disks))


def _with_lost(disk: ImageDisk, reader: PatientReader) -> ImageDisk:
    return replace(disk, unreadable=intersect(disk.in_use, reader.unreadable))


def _require_space(store: Path, chunks: int) -> None:
    """Refuse when not even the index can find room: how far the rest compresses only doing it tells."""
    needed, free = index_size(chunks), free_space(store)
    if free < needed:
        raise NoSpace(
            f"{store.parent} has {human(free)} free; the image's index alone needs {human(needed)}",
            hint="free some space, or choose another store",
        )


class _ChunkReader:
    """Reads, digests and compresses one chunk at a time, in whichever thread calls."""

    def __init__(
        self,
        devices: Sequence[PatientReader],
        in_use: Sequence[UsedBytes],
        writer: ImageWriter,
        level: int,
    ) -> None:
        self._devices = devices
        self._in_use = in_use
        self._packer = ChunkPacker(writer, level)

    def take(self, place: tuple[int, Extent]) -> PackedChunk:
        """What to keep of a region of a disk, given by its number."""
        disk, region = place
        content = read_region(self._devices[disk], region, self._in_use[disk])
        return self._packer.pack(DiskChunk(disk, region, content))
