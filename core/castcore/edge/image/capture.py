"""Capturing disks into an image of a store: survey, take in, publish."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from castcore import __version__
from castcore.disk import align, firmware_raid
from castcore.edge.disk import probe
from castcore.edge.disk.sourcefile import SourceFormat, raw_view, source_format
from castcore.edge.disk.survey import Survey, SurveyOptions, survey
from castcore.edge.image.bases import Bases, opened_bases
from castcore.edge.image.bootrecord import CapturedDisk, GivenEntry, boot_entries, boot_loaders
from castcore.edge.image.imagewriter import ImageWriter
from castcore.edge.image.newimage import new_image
from castcore.edge.image.store import free_space, image_name
from castcore.edge.image.takein import take_in
from castcore.errors import InUse, NoSpace, NotFound, Refused
from castcore.image import (
    DEFAULT_LEVEL,
    ImageDisk,
    Manifest,
    Source,
    chunk_total,
    index_size,
)
from castcore.progress import ProgressCallback, silent
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
    sources = checked((source, *more), options)
    with (
        opened_bases(options.bases, image_path) as bases,
        new_image(image_path, replace=options.replace) as directory,
        planned(sources, image_name(image_path), directory, options, progress) as (raws, plan),
    ):
        return write_image(raws, directory, plan, options, bases=bases, progress=progress)


def checked(sources: Sequence[Path], options: CaptureOptions) -> tuple[tuple[Path, SourceFormat], ...]:
    """The ``sources`` and what each is, once all can be captured.

    Raises NotFound, InUse (one is mounted), Refused (an empty file, part of a firmware RAID, named
    twice), DiskFailed.
    """
    _require_disks(options.keys, len(sources))
    kinds = [_checked_format(one, options) for one in sources]
    _refuse_twice(sources)
    return tuple(zip(sources, kinds, strict=True))


@contextmanager
def planned(
    sources: Sequence[tuple[Path, SourceFormat]],
    name: str,
    scratch: Path,
    options: CaptureOptions,
    progress: ProgressCallback = silent,
) -> Iterator[tuple[list[Path], Manifest]]:
    """What to read of `checked` ``sources`` for the image ``name``: raw disks, a manifest without packs.

    Virtual disks become raw ones in the directory ``scratch``, within the block. Raises NoSpace, InUse,
    BadImage, MissingProgram, DiskFailed.
    """
    kinds = [kind for _, kind in sources]
    with ExitStack() as views:
        raws = [views.enter_context(raw_view(one, kind, scratch, progress)) for one, kind in sources]
        found = [
            survey(raw, _survey_options(options, number), progress=progress)
            for number, raw in enumerate(raws)
        ]
        disks = [
            CapturedDisk(raw, one.layout, own=kind is SourceFormat.DEVICE)
            for raw, one, kind in zip(raws, found, kinds, strict=True)
        ]
        plan = Manifest(
            name=name,
            created=int(time.time()),
            disks=tuple(image_disk(one) for one in found),
            index_digest=b"",
            chunk_count=0,
            packs=(),
            source=Source(
                path=", ".join(_spelled(one) for one, _ in sources),
                format=", ".join(dict.fromkeys(kinds)),
            ),
            made_by=f"fleetcast {__version__}",
            boot_entries=boot_entries(disks, options.boot_entries),
            boot_loaders=boot_loaders(disks),
        )
        yield raws, plan


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
    require_index_space(directory.parent, sum(chunk_total(disk.in_use) for disk in plan.disks))
    with ImageWriter(directory, key=options.key, bases=bases) as writer:
        return take_in(
            raws,
            writer,
            plan,
            level=options.level,
            threads=options.threads,
            rescue=options.rescue,
            progress=progress,
        )


def require_index_space(store: Path, chunks: int) -> None:
    """Refuse when not even the index can find room: how far the rest compresses only doing it tells."""
    needed, free = index_size(chunks), free_space(store)
    if free < needed:
        raise NoSpace(
            f"{store} has {human(free)} free; the image's index alone needs {human(needed)}",
            hint="free some space, or choose another store",
        )
