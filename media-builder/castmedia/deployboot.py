"""The boot part of a deploy medium: written beside the one in use, proven, then switched to.

A medium has two places for it, and two for GRUB's core image for BIOS. What decides between them lies
in the disk's first sectors: GRUB's place in the first one, the boot part's in the table behind it. They
are changed by one write of one page, after the backup table; until then the old boot part starts.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from castcore.disk import Extent, Partition, Write, new_table
from castcore.edge.disk.blockdev import BlockFile
from castcore.errors import DoesNotFit
from castcore.medium import BIOS_SLOT, BOOT_SLOT, Layout, Role
from castcore.progress import Progress, ProgressCallback
from castcore.units import MIB, exactly

from castmedia.bootpart import LABEL, SECTOR, BootPart, fat_size, write_fat
from castmedia.stick import PAGE, prove

BOOT_CODE = 440  # bytes of the first sector that a BIOS starts
_CORE_SECTOR = struct.Struct("<Q")
_CORE_SECTOR_AT = 0x5C  # in GRUB's boot.img


def require_fits(part: BootPart) -> None:
    """Return when ``part`` has room on a deploy medium. Raises DoesNotFit."""
    for what, size, room in (
        ("the boot part", fat_size(part.files), BOOT_SLOT),
        ("GRUB for a BIOS", len(part.bios.core), BIOS_SLOT),
    ):
        if size > room:
            raise DoesNotFit(
                f"{what} needs {exactly(size)}, a deploy medium has {exactly(room)} for it",
                hint="leave drivers or extra files out",
            )


def write_new(
    disk: BlockFile, layout: Layout, part: BootPart, scratch: Path, progress: ProgressCallback
) -> bytes:
    """Write ``part`` to a new medium's first places; return the boot code for its first sector."""
    core_at = layout.bios_slots[0].start
    _write_boot(disk, layout.boot_slots[0], part, scratch, progress)
    return _write_core(disk, core_at, part)


def mend_table(disk: BlockFile, table: tuple[str, Sequence[Partition]]) -> bool:
    """Write ``table``, as it was read, where disk and backup do not say the same; whether they did not.

    A write that tore left it so, or a copy to a larger stick. Raises DiskFailed.
    """
    writes = _table(disk, table, disk.read(0, BOOT_CODE))
    if all(disk.read(write.offset, len(write.data)) == write.data for write in writes):
        return False
    switch(disk, writes)
    return True


def is_current(
    disk: BlockFile, table: tuple[str, Sequence[Partition]], part: BootPart, scratch: Path
) -> bool:
    """Whether the medium starts just ``part`` already. Raises DiskFailed.

    ``table`` is its UUID and partitions.
    """
    core_at = core_place(disk)
    core = part.bios.core_at(core_at // SECTOR)
    if core_at + len(core) > disk.size or disk.read(core_at, len(core)) != core:
        return False
    if disk.read(0, BOOT_CODE) != part.bios.boot_code(core_at // SECTOR):
        return False
    boot = next(p for p in table[1] if p.name == Role.BOOT)
    image = _boot_image(boot.extent, part, scratch)
    return all(disk.read(offset, len(data)) == data for offset, data in _pieces(image, boot.extent))


def update(
    disk: BlockFile,
    layout: Layout,
    table: tuple[str, Sequence[Partition]],
    part: BootPart,
    scratch: Path,
    progress: ProgressCallback,
) -> None:
    """Make the medium start ``part``; ``table`` is its UUID and partitions as they are.

    Pulled out at any moment, it starts the old boot part or the new one, by BIOS and UEFI. Raises
    DiskFailed.
    """
    uuid, partitions = table
    boot = next(p for p in partitions if p.extent in layout.boot_slots)
    free = next(slot for slot in layout.boot_slots if slot != boot.extent)
    _write_boot(disk, free, part, scratch, progress)
    core = next(slot for slot in layout.bios_slots if slot.start != core_place(disk))
    boot_code = _write_core(disk, core.start, part)
    moved = [replace(p, start=free.start, length=free.length) if p is boot else p for p in partitions]
    switch(disk, _table(disk, (uuid, moved), boot_code))


def switch(disk: BlockFile, writes: Sequence[Write]) -> None:
    """Put the table ``writes`` of :func:`castcore.disk.new_table` on ``disk``, its page last."""
    *backup, entries, primary, first = writes
    head = bytearray(entries.offset + len(entries.data))
    for write in (first, primary, entries):
        head[write.offset : write.offset + len(write.data)] = write.data
    for write in backup:
        disk.write(write.offset, write.data)
    prove(disk, [(w.offset, w.data) for w in backup])
    disk.write(0, bytes(head[:PAGE]))
    prove(disk, [(0, bytes(head))])


def core_place(disk: BlockFile) -> int:
    """The byte at which the first sector's boot code finds GRUB's core image."""
    (sector,) = _CORE_SECTOR.unpack_from(disk.read(0, SECTOR), _CORE_SECTOR_AT)
    return int(sector) * SECTOR


def _write_core(disk: BlockFile, at: int, part: BootPart) -> bytes:
    core = part.bios.core_at(at // SECTOR)
    disk.write(at, core)
    prove(disk, [(at, core)])
    return part.bios.boot_code(at // SECTOR)


def _write_boot(
    disk: BlockFile, slot: Extent, part: BootPart, scratch: Path, progress: ProgressCallback
) -> None:
    image = _boot_image(slot, part, scratch)
    goal = _used_end(image) - slot.start
    for offset, data in _pieces(image, slot):
        disk.write(offset, data)
        progress(Progress("boot part", offset + len(data) - slot.start, goal))
    prove(disk, _pieces(image, slot), goal, progress)


def _table(
    disk: BlockFile, table: tuple[str, Sequence[Partition]], boot_code: bytes
) -> tuple[Write, ...]:
    uuid, partitions = table
    return new_table(partitions, size=disk.size, sector_size=SECTOR, uuid=uuid, boot_code=boot_code)


def _boot_image(slot: Extent, part: BootPart, scratch: Path) -> Path:
    """A sparse file with the boot part's file system where ``slot`` lies."""
    image = scratch / f"boot-{slot.start}.fat"
    if not image.exists():
        volume = part.digest[:4].hex()
        write_fat(image, part.files, label=LABEL, size=slot.length, volume_id=volume, offset=slot.start)
    return image


def _pieces(image: Path, slot: Extent) -> Iterator[tuple[int, bytes]]:
    """What is in use of ``image`` from ``slot`` on: behind it a FAT file system is not looked at."""
    end = _used_end(image)
    with image.open("rb") as file:
        file.seek(slot.start)
        for offset in range(slot.start, end, MIB):
            yield offset, file.read(min(MIB, end - offset))


def _used_end(image: Path) -> int:
    """Behind the last byte of ``image`` that was ever written."""
    end = 0
    fd = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            end = os.lseek(fd, os.lseek(fd, end, os.SEEK_DATA), os.SEEK_HOLE)
    except OSError:  # ENXIO: no more data
        return end
    finally:
        os.close(fd)
