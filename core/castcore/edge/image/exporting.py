"""Exporting: an image becomes disk files that other programs read, each complete or absent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.image.imagefile import Image
from castcore.edge.image.partial import Partial, remove_stale
from castcore.edge.image.restore import restore
from castcore.edge.image.store import free_space, sync_directory, writing_to
from castcore.edge.image.usedparts import held_partition, require_all_partitions, used_parts
from castcore.edge.run import ProgramFailed, require, run
from castcore.errors import DiskFailed, FleetcastError, NoSpace, NotFound, Refused
from castcore.progress import Progress, ProgressCallback, silent
from castcore.units import human

# Converting and comparing disks of terabytes takes hours; a hanging program must still end.
SECONDS = 24 * 3600.0
BLOCK = 512  # st_blocks counts these, whatever the file system
ELSEWHERE = "another place"


class FileFormat(StrEnum):
    """What a disk's file is; the words are qemu-img's."""

    RAW = "raw"
    QCOW2 = "qcow2"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that holds one disk of ``size`` bytes, for which it takes ``allocated``."""

    path: Path
    size: int
    allocated: int


def export(
    image: Image,
    file: Path,
    kind: FileFormat = FileFormat.RAW,
    *,
    partition: tuple[int, int] | None = None,
    replace: bool = False,
    progress: ProgressCallback = silent,
) -> list[ExportedFile]:
    """Write each disk of ``image`` to a file of its own; what is not in use reads as zeros there.

    ``partition``, a disk and a number, is the only thing written instead. Every chunk is proven, and
    read back from the file; a qcow2 is compared with the raw file it is made of. The files appear when
    all are whole. Raises Refused (one is there already, or the image holds no whole disk), NotFound,
    NoSpace, BadImage, DiskFailed, MissingProgram (qemu-img).
    """
    if partition is None:
        require_all_partitions(image)
        sizes = [disk.layout.size for disk in image.manifest.disks]
    else:
        sizes = [held_partition(image, *partition).length]
    paths = file_names(file, len(sizes))
    for path in paths:
        _require_new(path, replace=replace)
    if kind is FileFormat.QCOW2:
        require(["qemu-img"], hint="apt install qemu-utils")
    with writing_to(file.parent, ELSEWHERE):
        remove_stale(file.parent)
    with Partial(file.parent, file.name) as partial:
        made = [partial.path / f"disk-{number}" for number in range(len(sizes))]
        for path, size in zip(made, sizes, strict=True):
            _make_blank(path, size)
        if partition is None:
            _write_disks(image, made, progress)
        else:
            _write_partition(image, *partition, made[0], progress)
        if kind is FileFormat.QCOW2:
            made = [_as_qcow2(path, progress) for path in made]
        _publish(made, paths, replace=replace)
    return [_exported(path, size) for path, size in zip(paths, sizes, strict=True)]


def _write_disks(image: Image, files: Sequence[Path], progress: ProgressCallback) -> None:
    with ExitStack() as stack:
        targets = [
            stack.enter_context(BlockFile.open_target(path, sector_size=disk.layout.sector_size))
            for path, disk in zip(files, image.manifest.disks, strict=True)
        ]
        restore(image, targets, verify=True, progress=progress)
        for target in targets:
            target.flush()


def _write_partition(
    image: Image, disk: int, number: int, file: Path, progress: ProgressCallback
) -> None:
    source = held_partition(image, disk, number)
    sector = image.manifest.disks[disk].layout.sector_size
    with BlockFile.open_target(file, sector_size=sector) as target:
        for at, data in used_parts(image, disk, source.extent, zeros=False):  # the file is blank
            progress(Progress("restore", at - source.start, source.length))
            target.write(at - source.start, data)
        target.drop_cache()
        for at, data in used_parts(image, disk, source.extent):
            progress(Progress("verify", at - source.start, source.length))
            if target.read(at - source.start, len(data)) != data:
                raise DiskFailed(f"{file}: byte {at - source.start} reads back otherwise than written")


def file_names(file: Path, disks: int) -> list[Path]:
    """Where each of ``disks`` disks goes: ``file``, or with several ``file-0.raw``, ``file-1.raw``..."""
    if disks == 1:
        return [file]
    return [file.with_name(f"{file.stem}-{number}{file.suffix}") for number in range(disks)]


def _require_new(path: Path, *, replace: bool) -> None:
    if not path.parent.is_dir():
        raise NotFound(f"there is no directory {path.parent}")
    if os.path.lexists(path) and not path.is_file():
        # An image restored to a device is another command's, which asks before it erases.
        raise Refused(f"{path} is no file", hint="`fleetcast restore` writes disks")
    if path.exists() and not replace:
        raise Refused(
            f"{path} exists already",
            hint="choose another name, or have it replaced: `fleetcast image export --replace`",
        )


def _make_blank(path: Path, size: int) -> None:
    with writing_to(path, ELSEWHERE), path.open("xb") as file:
        file.truncate(size)


def _as_qcow2(raw: Path, progress: ProgressCallback) -> Path:
    """The qcow2 file of a raw disk, made and compared by qemu-img; the raw one is removed."""
    made = raw.with_name(f"{raw.name}.qcow2")
    progress(Progress("convert", 0, 0, f"of a disk of {human(raw.stat().st_size)}"))
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-S", "4k", str(raw), str(made)]
    compare = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", str(raw), str(made)]
    for command in (convert, compare):
        try:
            run(command, timeout=SECONDS)
        except ProgramFailed as error:
            raise _failed(raw, error) from None
    raw.unlink()
    with writing_to(made, ELSEWHERE), made.open("rb") as file:
        os.fsync(file.fileno())
    return made


def _failed(raw: Path, error: ProgramFailed) -> FleetcastError:
    place = raw.parent.parent
    if "No space left" in error.stderr:
        return NoSpace(
            f"{place} is full: {human(free_space(place))} free; a qcow2 needs room for a raw one too",
            hint="free some space, or export it as raw",
        )
    return DiskFailed(f"{place}: {error.what}")


def _publish(made: Sequence[Path], paths: Sequence[Path], *, replace: bool) -> None:
    for path in paths:
        _require_new(path, replace=replace)
    for one, path in zip(made, paths, strict=True):
        with writing_to(path.parent, ELSEWHERE):
            one.chmod(0o644)
            one.rename(path)
            sync_directory(path.parent)


def _exported(path: Path, size: int) -> ExportedFile:
    return ExportedFile(path, size, path.stat().st_blocks * BLOCK)
