"""What an image of a disk must hold: its layout, and every extent in use.

Boot-relevant bytes are always in use: the table, everything before the first partition (boot code,
GRUB's core image), extended boot records, BIOS boot and Microsoft reserved partitions. The backup
GPT is not: it is made anew at the target's real end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from castcore.disk import DiskLayout, Extent, Extents, Partition, TableType, Taken, intersect, subtract
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.contents import Contents
from castcore.edge.disk.contentuse import use_inside, use_of
from castcore.edge.disk.disklayout import WHOLE_DISK, is_extended, read_layout
from castcore.edge.disk.table import Table
from castcore.edge.disk.usedmap import Use
from castcore.errors import NotFound, Refused
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import MIB

BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
MICROSOFT_RESERVED = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
# Windows' dynamic disks (LDM) put volumes together from pieces of several disks. Their database is a
# partition of a GPT disk, on an MBR disk its last MiB.
DYNAMIC_DISK = "42"
LDM_DATABASE = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"
LDM_DATA = "af9b60a0-1431-4f62-bc68-3311714a69ad"
ALWAYS_WHOLE = {
    BIOS_BOOT: "boot code",
    MICROSOFT_RESERVED: "reserved by Windows",
    LDM_DATABASE: "database of a dynamic disk (LDM)",
    LDM_DATA: "part of a dynamic disk (LDM)",
    DYNAMIC_DISK: "part of a dynamic disk (LDM)",
}
# Boot loaders before the first partition reach at most so far (ARM boards: 16 MiB); what lies behind
# was a partition once.
BOOT_AREA = 32 * MIB


@dataclass(frozen=True, slots=True)
class Survey:
    """A disk's layout with ``taken`` and ``why`` of each partition, and all its extents in use."""

    layout: DiskLayout
    in_use: Extents


@dataclass(frozen=True, slots=True)
class SurveyOptions:
    """How to survey: ``full_sectors`` takes all of a disk but a GPT's backup; ``trust_dirty`` believes
    file systems that were not left clean; ``partitions`` are the only ones taken, () for the whole disk;
    ``sector_size`` (bytes) is what the disk has whose raw file this is (0: what the device says, 512 for
    a file); ``keys`` are partition numbers (0: a whole disk) with the files of the keys that open what
    is encrypted there.
    """

    full_sectors: bool = False
    trust_dirty: bool = False
    sector_size: int = 0
    keys: tuple[tuple[int, Path], ...] = ()
    partitions: tuple[int, ...] = ()


def survey(
    path: str | os.PathLike[str],
    options: SurveyOptions | None = None,
    *,
    progress: ProgressCallback = silent,
) -> Survey:
    """Survey the disk or raw file ``path``; it is only read.

    Raises NotFound (also a partition that is asked for), DiskFailed, MissingProgram (blkid; cryptsetup
    with keys), Refused (a key does not open anything).
    """
    options = options or SurveyOptions()
    found = _whole(path, options, progress)
    return _only(found, options.partitions) if options.partitions else found


def _whole(path: str | os.PathLike[str], options: SurveyOptions, progress: ProgressCallback) -> Survey:
    with BlockFile.open_source(path, sector_size=options.sector_size) as disk:
        layout, table = read_layout(disk)
        if layout.table is TableType.NONE and not layout.partitions:
            whole = Partition(WHOLE_DISK, 0, disk.size, why="unknown content")
            layout = replace(layout, partitions=(whole,))
        _require_partitions(layout, options.keys)
        if options.full_sectors:
            partitions = tuple(_every(p, "every sector was asked for") for p in layout.partitions)
            whole_disk = subtract([Extent(0, disk.size)], table.backup)
            return Survey(replace(layout, partitions=partitions), whole_disk)
        surveyed = [_survey_one(disk, p, options, progress) for p in layout.partitions]
    layout = replace(layout, partitions=tuple(p for p, _ in surveyed))
    taken = [extent for _, in_use in surveyed for extent in in_use]
    inside = intersect([*taken, *_own_bytes(layout, table)], [Extent(0, layout.size)])
    return Survey(layout, inside)


def _only(found: Survey, numbers: Sequence[int]) -> Survey:
    """``found`` without all partitions but ``numbers``, and without what belongs to none."""
    held = {p.number: p for p in found.layout.partitions if not is_extended(p)}
    for number in numbers:
        if number not in held:
            known = ", ".join(map(str, held)) or "none"
            raise NotFound(f"the disk has no partition {number} to capture (it has: {known})")
    partitions = tuple(
        p if p.number in numbers else replace(p, taken=Taken.NOTHING, why="not asked for")
        for p in found.layout.partitions
    )
    kept = intersect(found.in_use, [held[number].extent for number in numbers])
    return Survey(replace(found.layout, partitions=partitions), kept)


def _survey_one(
    disk: BlockFile, partition: Partition, options: SurveyOptions, progress: ProgressCallback
) -> tuple[Partition, Extents]:
    name = f"partition {partition.number}" if partition.number else "the disk"
    progress(Progress("survey", partition.start, disk.size, f"{name} {partition.fstype}".rstrip()))
    if is_extended(partition):
        return replace(partition, taken=Taken.HEADER, why="holds logical partitions"), ()
    if partition.type in ALWAYS_WHOLE:
        return _every(partition, ALWAYS_WHOLE[partition.type]), (partition.extent,)
    key = dict(options.keys).get(partition.number)
    if key is not None:
        use = _use_inside(disk, partition, key, trust_dirty=options.trust_dirty)
        return replace(partition, taken=use.taken, why=use.why), use.in_use
    found = Contents(fstype=partition.fstype, trouble=partition.why)
    use = use_of(disk, partition.extent, found, trust_dirty=options.trust_dirty)
    return replace(partition, taken=use.taken, why=use.why), use.in_use


def _use_inside(disk: BlockFile, partition: Partition, key: Path, *, trust_dirty: bool) -> Use:
    try:
        return use_inside(disk, partition.extent, partition.fstype, key, trust_dirty=trust_dirty)
    except Refused as error:
        raise Refused(f"partition {partition.number}: {error.what}", hint=error.hint) from None


def _require_partitions(layout: DiskLayout, keys: Iterable[tuple[int, Path]]) -> None:
    missing = sorted({number for number, _ in keys} - {p.number for p in layout.partitions})
    if missing:
        names = ", ".join(map(str, missing))
        raise NotFound(f"there is no partition {names} to unlock", hint="0 is a disk without a table")


def _every(partition: Partition, why: str) -> Partition:
    return replace(partition, taken=Taken.EVERY, why=why)


def _own_bytes(layout: DiskLayout, table: Table) -> Iterable[Extent]:
    """The bytes in use outside of partitions."""
    yield from table.records
    if layout.table is TableType.NONE:
        return
    starts = sorted(p.start for p in layout.partitions)
    yield Extent(0, min(starts[0] if starts else MIB, BOOT_AREA, layout.size))
    # What lies between an extended boot record and the logical partition behind it is its track.
    for record in table.records:
        following = next((s for s in starts if s > record.start), None)
        if record.start and following:
            yield Extent(record.start, following - record.start)
    if any(p.type == DYNAMIC_DISK for p in layout.partitions):
        yield Extent(max(0, layout.size - MIB), min(MIB, layout.size))
