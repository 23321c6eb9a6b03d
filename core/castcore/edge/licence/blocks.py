"""The piece of a disk or file that a ledger lives in: read and written in place, past every cache."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from castcore.errors import DiskFailed, InUse, NotFound
from castcore.licence import SIZE

# What is read at once where a read fails: the sectors that can still be read count.
_BLOCK = 4096
_UNREADABLE = b"\xff"


class Blocks(Protocol):
    """Where a ledger lies: `SIZE` bytes, offsets from its start."""

    def read(self) -> bytes:
        """All of it, as it is on the disk; what cannot be read is 0xff. Raises DiskFailed."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Write whole blocks; on return they are on the disk. Raises DiskFailed."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class DirectBlocks:
    """`Blocks` in the file or block device ``path``, from byte ``offset`` on (a multiple of 4096).

    O_DIRECT and O_SYNC: a write has reached the medium when it returns, and a read comes from there.
    Where the file system refuses O_DIRECT (tmpfs), O_SYNC alone. One program at a time holds it.
    """

    def __init__(self, path: Path, offset: int, *, writable: bool = True) -> None:
        self._path, self._offset = path, offset
        flags = (os.O_RDWR | os.O_SYNC if writable else os.O_RDONLY) | os.O_CLOEXEC
        try:
            self._fd = _open(path, flags)
        except FileNotFoundError:
            raise NotFound(f"there is no {path}", hint="is the medium still connected?") from None
        except OSError as error:
            raise DiskFailed(f"{path}: {error.strerror}") from None
        try:
            _lock(self._fd, offset, fcntl.F_WRLCK if writable else fcntl.F_RDLCK)
        except OSError:
            os.close(self._fd)
            raise InUse(
                f"the licence ledger on {path} is in use by another program", hint="wait, or end it"
            ) from None

    def read(self) -> bytes:
        """All of it, as it is on the disk; what cannot be read is 0xff. Raises DiskFailed."""
        with mmap.mmap(-1, SIZE) as memory, memoryview(memory) as view:
            try:
                got = os.preadv(self._fd, [view], self._offset)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise self._failed("read", error) from None
                got = self._read_pieces(view)
            if got != SIZE:
                raise DiskFailed(f"{self._path} ends in the middle of its licence ledger")
            return bytes(view)

    def write(self, offset: int, data: bytes) -> None:
        """Write whole blocks; on return they are on the disk. Raises DiskFailed."""
        # An anonymous mapping starts on a page, as O_DIRECT wants it.
        with mmap.mmap(-1, len(data)) as memory:
            memory.write(data)
            with memoryview(memory) as view:
                try:
                    done = os.pwrite(self._fd, view, self._offset + offset)
                except OSError as error:
                    raise self._failed("written", error) from None
        if done != len(data):
            raise DiskFailed(f"the licence ledger on {self._path} took only {done} of {len(data)} bytes")

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def _read_pieces(self, view: memoryview) -> int:
        got = 0
        for at in range(0, SIZE, _BLOCK):
            piece = view[at : at + _BLOCK]
            try:
                got += os.preadv(self._fd, [piece], self._offset + at)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise self._failed("read", error) from None
                piece[:] = _UNREADABLE * _BLOCK
                got += _BLOCK
        return got

    def _failed(self, done: str, error: OSError) -> DiskFailed:
        return DiskFailed(f"the licence ledger on {self._path} cannot be {done}: {error.strerror}")


# Opens the blocks of a ledger: path, offset, whether to write.
OpenBlocks = Callable[[Path, int, bool], Blocks]


def open_direct(path: Path, offset: int, writable: bool) -> Blocks:  # noqa: FBT001
    """The blocks on a real medium; raises as `DirectBlocks`."""
    return DirectBlocks(path, offset, writable=writable)


def _lock(fd: int, offset: int, kind: int) -> None:
    """Lock the ledger's bytes (fcntl(2), open file description locks), until the file is closed.

    Not flock(2): udev takes that on a whole disk as a wish to leave the disk alone.
    """
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, SIZE, 0))


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, flags)
