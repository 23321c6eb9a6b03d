"""Large reads and writes straight between memory and the medium, past the page cache (O_DIRECT).

A disk is read or written once, from one end to the other: copies of it in the page cache cost the
processor time, push out what others need, and put off the waiting for the medium to the final flush.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading

from castcore.units import MIB, round_down, round_up

# Every medium and file system that can do it at all takes whole pages; and a page is then never
# reached both ways, through the cache and past it.
UNIT = 4096
# Below this the page cache wins: it joins small writes, and reads on.
LEAST = 128 << 10
# What one call moves at most; each thread has a buffer of this size.
BUFFER = 2 * MIB


class DirectFile:
    """A second descriptor of an open disk or file that goes past the page cache; any thread may use it.

    :meth:`open` tells whether there can be one. Both transfers raise OSError as the calls do.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._local = threading.local()

    @classmethod
    def open(cls, fd: int) -> DirectFile | None:
        """Of the descriptor ``fd``; None where the kernel or file system cannot (tmpfs)."""
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        try:
            return cls(os.open(f"/proc/self/fd/{fd}", mode | os.O_DIRECT | os.O_CLOEXEC))
        except OSError:
            return None

    def read(self, offset: int, length: int) -> bytes | None:
        """``length`` bytes from ``offset`` on, fewer at the end; None: not past the cache."""
        start, end = round_down(offset, UNIT), round_up(offset + length, UNIT)
        if length < LEAST or end - start > BUFFER:
            return None
        view = self._buffer()[: end - start]
        try:
            got = os.preadv(self._fd, [view], start)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None
        return bytes(view[offset - start : min(got, offset - start + length)])

    def write(self, offset: int, data: memoryview) -> int:
        """Write the start of ``data`` at ``offset`` (a multiple of `UNIT`); how many bytes it took.

        0: not past the cache.
        """
        length = min(round_down(len(data), UNIT), BUFFER)
        if length < LEAST:
            return 0
        view = self._buffer()[:length]
        view[:] = data[:length]
        try:
            return os.pwrite(self._fd, view, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return 0

    def close(self) -> None:
        """Close; transfers must not be under way."""
        os.close(self._fd)

    def _buffer(self) -> memoryview:
        # Pages of our own: O_DIRECT wants aligned memory.
        view: memoryview | None = getattr(self._local, "view", None)
        if view is None:
            view = self._local.view = memoryview(mmap.mmap(-1, BUFFER))
        return view
