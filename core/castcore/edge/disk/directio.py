"""Large reads and writes straight between memory and the medium, past the page cache (O_DIRECT).

A disk is read or written once, from one end to the other: copies of it in the page cache cost the
processor time, push out what others need, and put off the waiting for the medium to the final flush.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import threading
from contextlib import suppress

from castcore.units import MIB, round_down, round_up

# Every medium and file system that can do it at all takes whole pages; and a page is then never
# reached both ways, through the cache and past it.
UNIT = 4096
# Below this the page cache wins: it joins small writes, and reads on.
LEAST = 128 << 10
# What one call moves at most; each thread has two buffers of this size.
BUFFER = 2 * MIB
HUGE = 2 * MIB


_thread = threading.local()


def huge_pages(size: int) -> memoryview:
    """Zeroed memory in huge pages, where there are any (MADV_HUGEPAGE, madvise(2)).

    A disk then gets a transfer in a few long pieces. In pages of 4 KiB a megabyte has 256 of them,
    which a virtual disk moves at half the speed.
    """
    memory = mmap.mmap(-1, size + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % HUGE
    return memoryview(memory)[start : start + size]


def own_buffer() -> memoryview:
    """This thread's buffer of `BUFFER` bytes in whole pages, the same one each time.

    What lies in it is moved past the cache as it is, without a copy.
    """
    view: memoryview | None = getattr(_thread, "view", None)
    if view is None:
        view = _thread.view = huge_pages(BUFFER)
    return view


def _bounce_buffer() -> memoryview:
    """Another one, for what lies or starts elsewhere."""
    view: memoryview | None = getattr(_thread, "bounce", None)
    if view is None:
        view = _thread.bounce = huge_pages(BUFFER)
    return view


def _aligned(view: memoryview) -> bool:
    if view.readonly or not len(view):
        return False
    return ctypes.addressof(ctypes.c_char.from_buffer(view)) % UNIT == 0


class DirectFile:
    """A second descriptor of an open disk or file that goes past the page cache; any thread may use it.

    :meth:`open` tells whether there can be one. Both transfers raise OSError as the calls do.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

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
        view = _bounce_buffer()[: end - start]
        try:
            got = os.preadv(self._fd, [view], start)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None
        return bytes(view[offset - start : min(got, offset - start + length)])

    def read_into(self, offset: int, view: memoryview) -> int | None:
        """Whole pages from ``offset`` on straight into the start of ``view``; how many bytes there were.

        None: not past the cache, or not without a copy.
        """
        length = round_down(len(view), UNIT)
        if length < LEAST or offset % UNIT or not _aligned(view):
            return None
        try:
            return os.preadv(self._fd, [view[:length]], offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None

    def write(self, offset: int, data: memoryview) -> int:
        """Write the start of ``data`` at ``offset`` (a multiple of `UNIT`); how many bytes it took.

        0: not past the cache.
        """
        length = min(round_down(len(data), UNIT), BUFFER)
        if length < LEAST:
            return 0
        view = data[:length]
        if not _aligned(view):
            view = _bounce_buffer()[:length]
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
