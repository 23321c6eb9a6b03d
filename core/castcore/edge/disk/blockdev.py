"""Whole disks and raw files by byte offset: reading, writing, zeroing, and getting past the cache."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from castcore.edge.disk import raid, rawio
from castcore.edge.disk.directio import UNIT, DirectFile
from castcore.edge.disk.holders import held_by
from castcore.errors import DiskFailed, InUse, NoSpace, NotFound, Refused
from castcore.units import exactly, round_down, round_up

FILE_SECTOR = 512
PAGE = 4096
# One call to the kernel zeroes at most this much, so that Ctrl-C is answered in between.
ZERO_STEP = 256 << 20
ZEROS = bytes(1 << 20)


class BlockFile:
    """An open disk or raw file. Reads and writes may come from several threads at once.

    Every failing read or write raises DiskFailed naming the path and the offset; a full file system
    below a raw file raises NoSpace.
    """

    def __init__(self, fd: int, path: str, *, sector_size: int = 0) -> None:
        self.path = path
        self._fd = fd
        self._direct: DirectFile | None = None
        self._is_array = False  # of a firmware RAID, and written to
        self._is_device = stat.S_ISBLK(os.fstat(fd).st_mode)
        try:
            self.size = rawio.device_size(fd) if self._is_device else os.fstat(fd).st_size
            own = rawio.sector_size(fd) if self._is_device else FILE_SECTOR
        except OSError as error:
            raise DiskFailed(f"{path}: its size cannot be read: {error.strerror}") from None
        self.sector_size = sector_size or own

    @classmethod
    def open_source(cls, path: str | os.PathLike[str], *, sector_size: int = 0) -> Self:
        """``path`` for reading; ``sector_size`` (bytes) overrides what the device says, 512 for files.

        Raises NotFound, DiskFailed.
        """
        return cls._opened(os.fspath(path), os.O_RDONLY, sector_size)

    @classmethod
    def open_target(cls, path: str | os.PathLike[str], *, sector_size: int = 0) -> Self:
        """``path`` for writing, held against every other user.

        The array of a firmware RAID is made writable here (:mod:`castcore.edge.disk.raid`). Raises InUse
        naming the holder, NotFound, Refused when it is write-protected, DiskFailed.
        """
        name = os.fspath(path)
        _require_free(name)
        is_device = stat.S_ISBLK(os.stat(name).st_mode)
        if is_device:  # a raw file may be called like an array
            raid.make_writable(name)
        # On a device O_EXCL fails when the kernel has given it, or a partition of it, to somebody.
        target = cls._opened(name, os.O_RDWR | (os.O_EXCL if is_device else 0), sector_size)
        try:
            target.hold()
        except BaseException:
            target.close()
            raise
        return target

    @classmethod
    def _opened(cls, path: str, flags: int, sector_size: int) -> Self:
        with _opening(path):
            fd = os.open(path, flags | os.O_CLOEXEC)
        try:
            kind = os.fstat(fd).st_mode
            if not (stat.S_ISBLK(kind) or stat.S_ISREG(kind)):
                raise NotFound(f"{path} is neither a disk nor a raw file")
            return cls(fd, path, sector_size=sector_size)
        except BaseException:
            os.close(fd)
            raise

    def hold(self) -> None:
        """Keep a second writer of ours away (devices: O_EXCL did). Raises InUse, Refused."""
        if self._is_device and rawio.is_read_only(self._fd):
            raise Refused(f"{self.path} is write-protected", hint="unlock it or choose another disk")
        if self._is_device:
            self._is_array = raid.is_volume(self.path)
            return
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{self.path} is being written by another program") from None

    def go_direct(self) -> None:
        """From now on move large runs past the page cache, where the file system can."""
        self._direct = self._direct or DirectFile.open(self._fd)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``offset``."""
        parts: list[bytes] = []
        at, left = offset, length
        while left:
            with self._doing("read", at):
                part = self._read_some(at, left)
            if not part:
                raise DiskFailed(f"{self.path} ends at byte {at}: {left} bytes missing")
            parts.append(part)
            at += len(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` from byte ``offset`` on."""
        at = 0
        while at < len(view):
            with self._doing("read", offset + at):
                done = self._read_some_into(offset + at, view[at:])
            if not done:
                raise DiskFailed(
                    f"{self.path} ends at byte {offset + at}: {len(view) - at} bytes missing"
                )
            at += done

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """All of ``data`` from byte ``offset`` on; never past the end."""
        self._require_inside(offset, len(data))
        left = memoryview(data)
        while left:
            with self._doing("write", offset):
                done = self._write_some(offset, left)
            left = left[done:]
            offset += done

    def zero(self, offset: int, length: int) -> None:
        """Make ``length`` bytes from ``offset`` on read as zeros, by the kernel where it can."""
        self._require_inside(offset, length)
        end = offset + length
        while offset < end:
            step = min(ZERO_STEP, end - offset)
            with self._doing("zero", offset):
                done = self._zero_by_kernel(offset, step)
            if not done:
                for at in range(offset, offset + step, len(ZEROS)):
                    self.write(at, ZEROS[: min(len(ZEROS), offset + step - at)])
            offset += step

    def discard(self, offset: int, length: int) -> bool:
        """Tell that nothing is kept in a range (whole sectors); False: the disk cannot be told."""
        self._require_inside(offset, length)
        with self._doing("discard", offset):
            if self._is_device:
                return rawio.discard_device(self._fd, offset, length)
            return rawio.punch(self._fd, offset, length)

    def flush(self) -> None:
        """Return when everything written is durable."""
        with self._doing("flush", 0):
            os.fsync(self._fd)

    def drop_cache(self, offset: int = 0, length: int = 0) -> None:
        """Let later reads of ``length`` bytes from ``offset`` on (0: all) come from the medium.

        Flushes first, for what is not yet written cannot be dropped. A raw file on tmpfs has no
        medium below its pages: there nothing changes.
        """
        self.flush()
        if self._is_device and (offset, length) == (0, 0):
            with self._doing("drop the cache", 0):
                if rawio.drop_device_cache(self._fd):
                    return
        # The kernel drops whole pages only.
        start = round_down(offset, PAGE)
        span = round_up(offset + length, PAGE) - start if length else 0
        with self._doing("drop the cache", offset):
            os.posix_fadvise(self._fd, start, span, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close; a second call does nothing."""
        if self._direct:
            self._direct.close()
            self._direct = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._is_array:
                raid.settle(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_some(self, offset: int, length: int) -> bytes:
        data = self._direct.read(offset, length) if self._direct else None
        return os.pread(self._fd, length, offset) if data is None else data

    def _read_some_into(self, offset: int, view: memoryview) -> int:
        if not self._direct:
            return os.preadv(self._fd, [view], offset)
        done = self._direct.read_into(offset, view)
        if done is None:
            data = self._read_some(offset, len(view))
            done = len(data)
            view[:done] = data
        return done

    def _write_some(self, offset: int, data: memoryview) -> int:
        """Write a first part of ``data``: up to a page's start, then whole pages, then the rest."""
        if not self._direct:
            return os.pwrite(self._fd, data, offset)
        before = -offset % UNIT
        if before:
            return os.pwrite(self._fd, data[:before], offset)
        return self._direct.write(offset, data) or os.pwrite(self._fd, data, offset)

    def _zero_by_kernel(self, offset: int, length: int) -> bool:
        if not self._is_device:
            return rawio.punch(self._fd, offset, length)
        aligned = offset % self.sector_size == 0 and length % self.sector_size == 0
        return aligned and rawio.zero_device(self._fd, offset, length)

    def _require_inside(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size:
            raise DiskFailed(
                f"{self.path}: {length} bytes at byte {offset} reach past its end ({exactly(self.size)})"
            )

    @contextmanager
    def _doing(self, what: str, offset: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"{self.path}: cannot {what} at byte {offset}: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and not self._is_device:
                raise NoSpace(text, hint="free some space on the file system that holds it") from None
            raise DiskFailed(text, hint="check the cable and the disk's health") from None


def _require_free(path: str) -> None:
    with _opening(path):
        holder = held_by(path)
    if holder:
        raise InUse(f"{path} is in use: {holder}", hint="unmount or release it first")


@contextmanager
def _opening(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except IsADirectoryError:
        raise NotFound(f"{path} is a directory, not a disk or raw file") from None
    except OSError as error:
        raise _cannot_open(path, error) from None


def _cannot_open(path: str, error: OSError) -> InUse | Refused | DiskFailed | NotFound:
    if error.errno == errno.EBUSY:
        return InUse(f"{path} is in use by another program", hint="release it first")
    if error.errno == errno.EROFS:
        return Refused(f"{path} is write-protected", hint="unlock it or choose another disk")
    if error.errno in (errno.EACCES, errno.EPERM):
        return DiskFailed(f"{path}: not permitted to open it", hint="run as root")
    if error.errno in (errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM):
        return NotFound(f"{path}: there is no disk behind it")
    return DiskFailed(f"{path} cannot be opened: {error.strerror}")
