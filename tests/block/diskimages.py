"""Real file systems with files in them, and disks made of them, for the block tests.

Made with the distribution's own tools. Every file system is filled, partly emptied, filled again and
partly emptied again, so that its blocks in use are not simply the first ones.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from castcore.disk import Extent, Extents, subtract
from castcore.edge.run import find, run

MIB = 1 << 20
SECONDS = 120.0
BLOCK = MIB


@dataclass(frozen=True)
class Sample:
    """How to make, check and read one kind of file system (each takes the path of a raw file)."""

    fstype: str
    size: int
    make: tuple[str, ...]
    check: tuple[str, ...]
    fill: Callable[[Path], None]
    digests: Callable[[Path], Mapping[str, str]]


def sample_files(folder: Path, seed: int = 7) -> dict[str, Path]:
    """Some files of uneven sizes and random contents below ``folder``, by name."""
    rng = random.Random(seed)
    folder.mkdir()
    files = {}
    for number in range(40):
        path = folder / f"file-{seed}-{number}.bin"
        path.write_bytes(rng.randbytes(rng.choice((0, 17, 700, 5000, 70_000, 400_000))))
        files[path.name] = path
    return files


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    point = image.with_suffix(".mnt")
    point.mkdir()
    run(["mount", "-o", "loop", str(image), str(point)], timeout=SECONDS)
    try:
        yield point
    finally:
        run(["umount", str(point)], timeout=SECONDS)
        point.rmdir()


def digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


def fill_mounted(image: Path) -> None:
    first = sample_files(image.with_suffix(".one"), 1)
    second = sample_files(image.with_suffix(".two"), 2)
    with mounted(image) as point:
        for name, path in first.items():
            (point / name).write_bytes(path.read_bytes())
        run(["sync", "-f", str(point)], timeout=SECONDS)
        for name in list(first)[::2]:
            (point / name).unlink()
        (point / "folder").mkdir()
        for name, path in second.items():
            (point / "folder" / name).write_bytes(path.read_bytes())
        for name in list(second)[::3]:
            (point / "folder" / name).unlink()


def digests_mounted(image: Path) -> dict[str, str]:
    with mounted(image) as point:
        return {
            str(p.relative_to(point)): digest(p.read_bytes())
            for p in sorted(point.rglob("*"))
            if p.is_file()
        }


def fill_fat(image: Path) -> None:
    first = sample_files(image.with_suffix(".one"), 1)
    second = sample_files(image.with_suffix(".two"), 2)
    run(["mcopy", "-i", str(image), *map(str, first.values()), "::"], timeout=SECONDS)
    run(["mdel", "-i", str(image), *(f"::{name}" for name in list(first)[::2])], timeout=SECONDS)
    run(["mmd", "-i", str(image), "::EFI"], timeout=SECONDS)
    run(["mcopy", "-i", str(image), *map(str, second.values()), "::EFI"], timeout=SECONDS)
    run(["mdel", "-i", str(image), *(f"::EFI/{name}" for name in list(second)[::3])], timeout=SECONDS)


def digests_fat(image: Path) -> dict[str, str]:
    out = image.with_suffix(".out")
    out.mkdir()
    run(["mcopy", "-s", "-n", "-i", str(image), "::", str(out)], timeout=SECONDS)
    found = {str(p.relative_to(out)): digest(p.read_bytes()) for p in out.rglob("*") if p.is_file()}
    run(["rm", "-r", str(out)], timeout=SECONDS)
    return found


def fill_ntfs(image: Path) -> None:
    for name, path in sample_files(image.with_suffix(".one"), 1).items():
        run(["ntfscp", str(image), str(path), name], timeout=SECONDS)


def digests_ntfs(image: Path) -> dict[str, str]:
    names = run(["ntfsls", str(image)], timeout=SECONDS).decode().split()
    return {name: digest(run(["ntfscat", str(image), name], timeout=SECONDS)) for name in names}


EXT_CHECK = ("e2fsck", "-f", "-n")
SAMPLES = {
    "ext4": Sample(
        "ext4", 96 * MIB, ("mkfs.ext4", "-q", "-F"), EXT_CHECK, fill_mounted, digests_mounted
    ),
    "ext4-1k": Sample(
        "ext4",
        40 * MIB,
        ("mkfs.ext4", "-q", "-F", "-b", "1024"),
        EXT_CHECK,
        fill_mounted,
        digests_mounted,
    ),
    "ext2": Sample(
        "ext2", 32 * MIB, ("mkfs.ext2", "-q", "-F"), EXT_CHECK, fill_mounted, digests_mounted
    ),
    "vfat": Sample(
        "vfat", 48 * MIB, ("mkfs.vfat", "-F", "32"), ("fsck.fat", "-n"), fill_fat, digests_fat
    ),
    "vfat-16": Sample(
        "vfat", 32 * MIB, ("mkfs.vfat", "-F", "16"), ("fsck.fat", "-n"), fill_fat, digests_fat
    ),
    "ntfs": Sample(
        "ntfs",
        48 * MIB,
        ("mkfs.ntfs", "-q", "-F", "-s", "512"),
        ("ntfsfix", "-n"),
        fill_ntfs,
        digests_ntfs,
    ),
    "xfs": Sample(
        "xfs", 320 * MIB, ("mkfs.xfs", "-q", "-f"), ("xfs_repair", "-n"), fill_mounted, digests_mounted
    ),
}


def require_tools(*samples: Sample) -> None:
    """Skip, saying why, when the tools of a file system are not installed."""
    programs = {p for s in samples for p in (s.make[0], s.check[0])} | {"partclone.dd", "losetup"}
    missing = sorted(p for p in programs if find(p) is None)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def make(sample: Sample, path: Path) -> Path:
    """The file system ``sample`` with files in it, as raw file ``path``."""
    require_tools(sample)
    with path.open("wb") as out:
        out.truncate(sample.size)
    run([*sample.make, str(path)], timeout=SECONDS)
    sample.fill(path)
    return path


def copy_into(source: Path, target: Path, offset: int) -> None:
    """Copy ``source`` to byte ``offset`` of ``target``, leaving holes where it is zero."""
    with source.open("rb") as read, target.open("r+b") as write:
        at = offset
        while data := read.read(BLOCK):
            if data.strip(b"\0"):
                write.seek(at)
                write.write(data)
            at += len(data)


def cut_out(source: Path, extent: Extent, target: Path) -> Path:
    """The bytes of ``extent`` of ``source`` as a sparse file."""
    with source.open("rb") as read, target.open("wb") as write:
        write.truncate(extent.length)
        for at in range(0, extent.length, BLOCK):
            read.seek(extent.start + at)
            data = read.read(min(BLOCK, extent.length - at))
            if data.strip(b"\0"):
                write.seek(at)
                write.write(data)
    return target


def with_free_bytes_spoilt(source: Path, in_use: Extents, target: Path) -> Path:
    """A copy of ``source`` in which every byte outside ``in_use`` is 0xA5: what a used disk may hold."""
    run(["cp", "--sparse=always", str(source), str(target)], timeout=SECONDS)
    size = os.path.getsize(target)
    with target.open("r+b") as write:
        for hole in subtract([Extent(0, size)], in_use):
            for at in range(hole.start, hole.end, BLOCK):
                write.seek(at)
                write.write(b"\xa5" * min(BLOCK, hole.end - at))
    return target


@contextmanager
def loop(path: Path, *, sector_size: int = 512, read_only: bool = False) -> Iterator[str]:
    """A loop device over ``path``, detached at the end."""
    options = ["--sector-size", str(sector_size), *(["--read-only"] if read_only else [])]
    printed = run(["losetup", "--find", "--show", *options, str(path)], timeout=SECONDS)
    device = printed.decode().strip()
    try:
        yield device
    finally:
        run(["losetup", "--detach", device], timeout=SECONDS)
