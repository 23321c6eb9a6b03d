"""Reading disks into an image: read, digested and compressed in threads, handed to its sink in order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from castcore.disk import Extent, intersect, total
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.regionread import read_region
from castcore.edge.disk.rescue import PatientReader
from castcore.edge.image.imagesink import ImageSink
from castcore.edge.image.packing import ChunkPacker, DiskChunk, PackedChunk
from castcore.edge.inorder import in_order, waiting_threads
from castcore.edge.memory import keep_freed_memory
from castcore.image import DEFAULT_LEVEL, ImageDisk, Manifest, UsedBytes, chunk_regions
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import human


def take_in(
    raws: Sequence[Path],
    sink: ImageSink,
    plan: Manifest,
    *,
    level: int = DEFAULT_LEVEL,
    threads: int = 0,
    rescue: bool = False,
    progress: ProgressCallback = silent,
) -> Manifest:
    """Read the raw disks that ``plan`` describes without packs into ``sink``; what that made of it.

    zstd ``level``; ``threads`` 0: as many as fit; ``rescue`` takes zeros for what cannot be read. Raises
    DiskFailed, BadImage (a base is damaged), and what ``sink`` raises.
    """
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
        readers = [PatientReader(device, rescue=rescue) for device in devices]
        reader = _ChunkReader(readers, used, sink, level)
        with closing(in_order(reader.take, regions, threads=threads or waiting_threads())) as chunks:
            for one in chunks:
                sink.add(one.record, one.stored, one.loan)
                record = one.record
                done += total(used[record.disk].within(record.offset, record.length))
                progress(Progress("capture", done, goal, f"{human(sink.stored)} stored"))
        disks = tuple(map(_with_lost, plan.disks, readers))
        return sink.finish(replace(plan, disks=disks))


def _with_lost(disk: ImageDisk, reader: PatientReader) -> ImageDisk:
    return replace(disk, unreadable=intersect(disk.in_use, reader.unreadable))


class _ChunkReader:
    """Reads, digests and compresses one chunk at a time, in whichever thread calls."""

    def __init__(
        self,
        devices: Sequence[PatientReader],
        in_use: Sequence[UsedBytes],
        sink: ImageSink,
        level: int,
    ) -> None:
        self._devices = devices
        self._in_use = in_use
        self._packer = ChunkPacker(sink, level)

    def take(self, place: tuple[int, Extent]) -> PackedChunk:
        """What to keep of a region of a disk, given by its number."""
        disk, region = place
        content = read_region(self._devices[disk], region, self._in_use[disk])
        return self._packer.pack(DiskChunk(disk, region, content))
