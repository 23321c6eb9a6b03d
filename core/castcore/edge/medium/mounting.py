"""Mounting the data partition of a medium: read-only unless asked otherwise, gone when the block ends.

What a killed process left mounted is unmounted by the next one that mounts something.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from castcore.edge.run import ProgramFailed, find, run
from castcore.errors import DiskFailed
from castcore.medium import DataFileSystem

SECONDS = 120.0
FOLDER = Path("/run/fleetcast/media")
LOCK = ".lock"
SAFE = "nosuid,nodev,noexec"
# A read-only mount of ext4 would still replay the journal: noload leaves the medium as it is.
_READ_ONLY = {DataFileSystem.EXT4: "ro,noload", DataFileSystem.EXFAT: "ro"}
_WRITABLE = {DataFileSystem.EXT4: "rw,noatime,errors=remount-ro", DataFileSystem.EXFAT: "rw,noatime"}
# exFAT where the kernel has none (Debian 12's does; tests and containers may not).
FUSE_EXFAT = "mount.exfat-fuse"


@contextmanager
def mounted(device: str, filesystem: DataFileSystem, *, writable: bool) -> Iterator[Path]:
    """Where the file system of ``device`` is mounted. Raises DiskFailed, MissingProgram.

    What was written is durable when the block is left.
    """
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        _sweep()
        point, lock = _own_point()
    except OSError as error:
        raise DiskFailed(f"{FOLDER}: no medium can be mounted there: {error.strerror}") from None
    try:
        options = (_WRITABLE if writable else _READ_ONLY)[filesystem]
        _mount(device, filesystem, f"{options},{SAFE}", point)
        try:
            yield point
        finally:
            _unmount(point)
    finally:
        _forget(point)
        os.close(lock)


def _own_point() -> tuple[Path, int]:
    """A new mount point, and the descriptor that holds its lock."""
    while True:
        point = Path(tempfile.mkdtemp(dir=FOLDER))
        lock = os.open(f"{point}{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have taken it for one left behind before we held the lock.
        if point.is_dir() and Path(f"{point}{LOCK}").exists():
            return point, lock
        os.close(lock)


def _mount(device: str, filesystem: DataFileSystem, options: str, point: Path) -> None:
    try:
        run(["mount", "-t", filesystem, "-o", options, device, str(point)], timeout=SECONDS)
    except ProgramFailed as error:
        if filesystem is not DataFileSystem.EXFAT or find(FUSE_EXFAT) is None:
            raise _failed(device, error) from None
        try:
            run([FUSE_EXFAT, "-o", options, device, str(point)], timeout=SECONDS)
        except ProgramFailed as fuse:
            raise _failed(device, fuse) from None


def _failed(device: str, error: ProgramFailed) -> DiskFailed:
    last = error.stderr.splitlines()[-1] if error.stderr else error.what
    return DiskFailed(
        f"{device}: its file system cannot be mounted: {last}",
        hint="check it with e2fsck or fsck.exfat, or plug it in again",
    )


def _unmount(point: Path) -> None:
    """Unmount ``point``; a medium that was pulled out, or somebody in it, does not stop that."""
    try:
        run(["umount", str(point)], timeout=SECONDS)
    except ProgramFailed:
        run(["umount", "-l", str(point)], timeout=SECONDS, ok=(0, 1, 32))


def _sweep() -> None:
    """Unmount what killed processes left: nobody holds its lock."""
    for lock in sorted(FOLDER.glob(f"*{LOCK}")):
        with suppress(OSError):
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                point = Path(str(lock).removesuffix(LOCK))
                if os.path.ismount(point):
                    _unmount(point)
                _forget(point)
            finally:
                os.close(fd)


def _forget(point: Path) -> None:
    with suppress(OSError):
        point.rmdir()
    with suppress(OSError):
        Path(f"{point}{LOCK}").unlink()
