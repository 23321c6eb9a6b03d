"""Loop devices over part of a disk or file; which file is behind one (loop(4))."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from castcore.disk import Extent
from castcore.edge.run import ProgramFailed, run
from castcore.errors import DiskFailed

SECONDS = 30.0
GONE_SECONDS = 3.0

# linux/loop.h: struct loop_info64 begins with the device and the inode of the file behind it.
LOOP_GET_STATUS64 = 0x4C05
_INFO = struct.Struct("=QQ216x")


def backing_file(device: str) -> tuple[int, int] | None:
    """The (st_dev, st_ino) of the file behind a loop ``device``; None when the kernel does not tell.

    Its path in /sys is as seen from where it was attached, which another root directory or mount
    namespace spells otherwise.
    """
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        number, inode = _INFO.unpack(fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(_INFO.size)))
    except OSError:
        return None
    finally:
        os.close(fd)
    minor = (number & 0xFF) | (number >> 12 & 0xFFF00)
    return os.makedev(number >> 8 & 0xFFF, minor), inode


@contextmanager
def read_only_loop(path: str, extent: Extent) -> Iterator[str]:
    """The path of a loop device over ``extent`` of ``path``, gone when the block is left.

    It is detached while we hold it open, which makes the kernel remove it when the last user is
    gone: even a killed process leaves none behind. Raises ProgramFailed, MissingProgram.
    """
    with _loop(path, extent, "--read-only") as device:
        yield device


@contextmanager
def writable_loop(path: str, extent: Extent, *, direct: bool = False) -> Iterator[str]:
    """As :func:`read_only_loop`, for writing; what was written is durable when the block is left.

    ``direct``: past the page cache of what lies below, where that can be done; then reading back what
    was written is reading the medium. Raises DiskFailed too, when it is not durable.
    """
    with _loop(path, extent) as device:
        if direct:
            with suppress(ProgramFailed):  # a file system that cannot (tmpfs)
                run(["losetup", "--direct-io=on", device], timeout=SECONDS)
        try:
            yield device
        except BaseException:
            with suppress(OSError):
                _flush(device)
            raise
        try:
            _flush(device)
        except OSError as error:
            raise DiskFailed(f"{path}: what was written is lost: {error.strerror}") from None


def _flush(device: str) -> None:
    fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _loop(path: str, extent: Extent, *options: str) -> Iterator[str]:
    region = ["--offset", str(extent.start), "--sizelimit", str(extent.length)]
    printed = run(["losetup", "--find", "--show", *options, *region, path], timeout=SECONDS)
    device = printed.decode().strip()
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        run(["losetup", "--detach", device], timeout=SECONDS)
    behind = _behind(device)
    try:
        yield device
    finally:
        os.close(fd)
        _wait_until_gone(device, behind)


def _wait_until_gone(device: str, behind: str) -> None:
    """Return when the kernel has let go of the file: who looks at all disks holds each for a moment.

    Until then the file counts as in use. After `GONE_SECONDS` it is left to the kernel.
    """
    end = time.monotonic() + GONE_SECONDS
    while behind and _behind(device) == behind and time.monotonic() < end:
        time.sleep(0.005)


def _behind(device: str) -> str:
    """The path of the file behind a loop device as the kernel spells it; "" when it is free."""
    try:
        return (Path("/sys/block") / Path(device).name / "loop/backing_file").read_text()
    except OSError:
        return ""
