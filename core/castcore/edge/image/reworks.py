"""Partitions that hold their disk's sector size themselves, made for another one.

They are made before anything is written, so that what cannot be made is refused in time: a FAT anew,
by mkfs.vfat, with every file of the old one (mcopy, which keeps attributes and times); of NTFS its two
boot sectors. They are written after the image's own bytes and before the disk gets its table.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from castcore.disk import Conversion, Extent, Partition, Rework, Write, fat_bits, ntfs_boot_sectors
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.imagefile import Image
from castcore.edge.image.usedparts import used_parts
from castcore.edge.image.verify import Changed
from castcore.edge.run import ProgramFailed, require, run
from castcore.errors import DoesNotFit
from castcore.units import MIB

SECONDS = 600.0
PROGRAMS = ("mkfs.vfat", "mcopy", "fsck.fat")


@dataclass(frozen=True, slots=True)
class _Made:
    """The new content of a partition: a whole file, or a few writes by their offset in it."""

    partition: Partition
    file: Path | None = None
    writes: tuple[Write, ...] = ()


class Reworks:
    """What :func:`made_for` made, by disk of the image; :meth:`write` puts it on one."""

    def __init__(self, made: Mapping[int, tuple[_Made, ...]]) -> None:
        self._made = made

    def write(self, number: int, disk: BlockFile) -> None:
        """Write what was made for disk ``number`` of the image. Raises DiskFailed."""
        for made in self._made.get(number, ()):
            start = made.partition.start
            for write in made.writes:
                disk.write(start + write.offset, write.data)
            if made.file is not None:
                _write_file(made.file, disk, start)


@contextmanager
def made_for(image: Image, conversions: Mapping[int, Conversion]) -> Iterator[Reworks]:
    """The partitions of ``image`` that ``conversions`` (by disk) say have to be made anew.

    Raises DoesNotFit when one cannot be made, BadImage, MissingProgram, NoSpace.
    """
    kinds = {rework for c in conversions.values() for _, rework in c.reworks}
    if Rework.FAT in kinds:
        require(PROGRAMS, hint="install dosfstools and mtools")
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as folder:
        made = {}
        for number, change in conversions.items():
            made[number] = tuple(
                _fat(image, number, p, change.new, Path(folder, f"{number}-{p.number}"))
                if rework is Rework.FAT
                else _ntfs(image, number, p, change)
                for p, rework in change.reworks
            )
        yield Reworks(made)


def changed_bytes(image: Image, conversions: Mapping[int, Conversion]) -> Changed | None:
    """Which bytes of the converted disks are not the image's; None when all are."""
    extents = {number: change.changed for number, change in conversions.items() if change.changed}
    return Changed(extents, image.content) if extents else None


def _ntfs(image: Image, number: int, partition: Partition, change: Conversion) -> _Made:
    boot = bytearray(max(change.old, change.new))
    for offset, data in used_parts(image, number, Extent(partition.start, len(boot))):
        boot[offset - partition.start : offset - partition.start + len(data)] = data
    return _Made(
        partition, writes=ntfs_boot_sectors(bytes(boot), partition.length, change.old, change.new)
    )


def _fat(image: Image, number: int, partition: Partition, sector: int, folder: Path) -> _Made:
    folder.mkdir()
    old, new = folder / "old.img", folder / "new.img"
    for file in (old, new):
        with file.open("wb") as out:
            out.truncate(partition.length)
    with BlockFile.open_target(old) as target:
        for offset, data in used_parts(image, number, partition.extent):
            target.write(offset - partition.start, data)
    try:
        _make_fat(old, new, partition, sector, folder)
    except ProgramFailed as error:
        raise DoesNotFit(
            f"partition {partition.number}: its FAT cannot be made for sectors of {sector} bytes:"
            f" {error.what}",
            hint="use a disk with the sectors of the imaged one",
        ) from None
    old.unlink()
    return _Made(partition, file=new)


def _make_fat(old: Path, new: Path, partition: Partition, sector: int, folder: Path) -> None:
    """The FAT of ``old`` with sectors of ``sector`` bytes, checked, as ``new``. Raises ProgramFailed."""
    identity = ["-i", partition.fs_uuid.replace("-", "") or "0"]
    identity += ["-n", partition.label] if partition.label else []
    hidden = ["-h", str(min(partition.start // sector, 0xFFFFFFFF))]
    bits = ["-F", str(fat_bits(partition.length, sector))]
    run(["mkfs.vfat", "-S", str(sector), *bits, *identity, *hidden, str(new)], timeout=SECONDS)
    drives = folder / "mtools.conf"
    lines = (f'drive {letter}: file="{path}"' for letter, path in (("x", old), ("y", new)))
    drives.write_text("\n".join([*lines, "mtools_skip_check=1", ""]))
    env = {"MTOOLSRC": str(drives)}
    # Both are drives: mcopy then keeps what a file of Linux cannot hold (hidden, system).
    if _names("x", env):
        run(["mcopy", "-s", "-p", "-m", "-n", "x:/*", "y:/"], timeout=SECONDS, extra_env=env)
    run(["fsck.fat", "-n", str(new)], timeout=SECONDS)
    old_names, new_names = _names("x", env), _names("y", env)
    if old_names != new_names:
        raise ProgramFailed(f"mcopy copied {len(new_names)} of {len(old_names)} files and folders")


def _names(drive: str, env: Mapping[str, str]) -> list[bytes]:
    """Every file and folder of an mtools drive."""
    # 1: there is none.
    said = run(["mdir", "-/", "-b", "-a", f"{drive}:/"], timeout=SECONDS, extra_env=env, ok=(0, 1))
    return sorted(line[3:] for line in said.splitlines())


def _write_file(file: Path, disk: BlockFile, start: int) -> None:
    size = file.stat().st_size
    with file.open("rb") as source:
        for at in range(0, size, MIB):
            data = os.pread(source.fileno(), min(MIB, size - at), at)
            if data.strip(b"\0"):
                disk.write(start + at, data)
            else:
                disk.zero(start + at, len(data))
