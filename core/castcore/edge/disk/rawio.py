"""The kernel's block device calls that Python has no function for, each by its number.

Numbers as in linux/fs.h and linux/falloc.h. Every function raises OSError as the call does, except
where it says that False means "the kernel or file system cannot".
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

BLKROGET = 0x125E
BLKFLSBUF = 0x1261
BLKSSZGET = 0x1268
BLKDISCARD = 0x1277
BLKZEROOUT = 0x127F
BLKGETSIZE64 = 0x80081272
FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
SYNC_FILE_RANGE_WRITE = 2
CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS})

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong, ctypes.c_uint)


def device_size(fd: int) -> int:
    """A block device's size in bytes."""
    return int(struct.unpack("Q", fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))[0])


def sector_size(fd: int) -> int:
    """A block device's logical sector size in bytes."""
    return int(struct.unpack("i", fcntl.ioctl(fd, BLKSSZGET, bytes(4)))[0])


def is_read_only(fd: int) -> bool:
    """Whether a block device is write-protected."""
    return bool(struct.unpack("i", fcntl.ioctl(fd, BLKROGET, bytes(4)))[0])


def zero_device(fd: int, offset: int, length: int) -> bool:
    """Zero a range (whole sectors) of a block device; False: it cannot."""
    try:
        fcntl.ioctl(fd, BLKZEROOUT, struct.pack("QQ", offset, length))
    except OSError as error:
        if error.errno in CANNOT:
            return False
        raise
    return True


def discard_device(fd: int, offset: int, length: int) -> bool:
    """Tell a block device that a range (whole sectors) is free; False: it cannot."""
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
    except OSError as error:
        if error.errno in CANNOT:
            return False
        raise
    return True


def punch(fd: int, offset: int, length: int) -> bool:
    """Make a range of a file a hole, which reads as zeros; False: the file system cannot."""
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    if _libc.fallocate(fd, mode, offset, length) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number))


def begin_writeback(fd: int, offset: int, length: int) -> None:
    """Let the kernel begin to write a range of a file to its medium, and do not wait for it.

    A hint: what fails now fails again in the fsync(2) that must follow.
    """
    _libc.sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE)


def drop_device_cache(fd: int) -> bool:
    """Forget a block device's cached pages; False: not permitted (it takes root)."""
    try:
        fcntl.ioctl(fd, BLKFLSBUF, 0)
    except PermissionError:
        return False
    return True
