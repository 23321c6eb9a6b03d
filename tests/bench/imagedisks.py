"""The disks that images are measured with: real files on a real file system, in a raw file."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.units import GIB, MIB

FILES_FROM = Path("/usr")
# So much of a disk is files of this machine, so much bytes that no compressor shrinks (of 4 GiB).
FILES_SHARE, NOISE_SHARE = 0.41, 0.075
DISK_SIZE = 4 * GIB


def make_disk(path: Path, fstype: str, size: int = DISK_SIZE) -> Path:
    """A disk at ``path``, about half full, that is one file system over all of it."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)  # in one piece, as a disk is
    with _mounted(path, fstype) as point:
        _copy_files(point, int(size * FILES_SHARE))
        with (point / "noise").open("wb") as file:
            for _ in range(int(size * NOISE_SHARE) // MIB):
                file.write(os.urandom(MIB))
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path


def filled(path: Path, size: int) -> Path:
    """A target: a disk that is full of something else, so that its blocks are there already."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(b"\xa5" * MIB)
        file.flush()
        os.fsync(file.fileno())
    return path


@contextmanager
def _mounted(path: Path, fstype: str) -> Iterator[Path]:
    point = path.with_suffix(".mnt")
    point.mkdir()
    if fstype == "ext4":
        options = "lazy_itable_init=0,lazy_journal_init=0"
        _run("mkfs.ext4", "-q", "-F", "-E", options, str(path))
        _run("mount", "-o", "loop", str(path), str(point))
        driver = None
    else:
        _run("mkntfs", "-q", "-F", "-Q", str(path))
        # It writes on after umount(8) has returned, so we must see it end.
        driver = subprocess.Popen(["ntfs-3g", "-o", "no_detach", str(path), str(point)])
        while not point.is_mount():
            time.sleep(0.05)
    try:
        yield point
    finally:
        _run("umount", str(point))
        if driver is not None:
            driver.wait()
        point.rmdir()


def _copy_files(target: Path, goal: int) -> None:
    """Files of this machine, ``goal`` bytes of them, in the order of their names."""
    copied = 0
    for folder, below, names in os.walk(FILES_FROM):
        below.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_symlink() or not file.is_file():
                continue
            place = target / file.relative_to(FILES_FROM)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            copied += file.stat().st_size
            if copied >= goal:
                return


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
