"""The memory of long work on chunks: freed blocks stay with the process, up to a bound."""

from __future__ import annotations

import ctypes

from castcore.units import MIB

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Free memory that the process keeps at most, at the end of each of malloc's arenas.
KEPT = 64 * MIB
# The largest that mallopt takes: a chunk's memory then comes from what was freed before.
LARGEST = 32 * MIB


def keep_freed_memory() -> None:
    """From now on freed chunks are used again, not given back to the kernel and faulted in anew.

    Without it a tenth of a capture's processor time is page faults. Other C libraries than glibc have
    no such switch; there nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
