"""Memory: how much the machine has left, and freed blocks that stay with the process, up to a bound."""

from __future__ import annotations

import ctypes
from pathlib import Path

from castcore.units import MIB

MEMINFO = Path("/proc/meminfo")
# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Free memory that the process keeps at most, at the end of each of malloc's arenas.
KEPT = 64 * MIB
# The largest that mallopt takes: a chunk's memory then comes from what was freed before.
LARGEST = 32 * MIB


def available_memory(meminfo: Path = MEMINFO) -> int:
    """Bytes that programs can still have without swapping (proc(5), MemAvailable)."""
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def keep_freed_memory() -> None:
    """From now on freed chunks are used again, not given back to the kernel and faulted in anew.

    Without it a tenth of a capture's processor time is page faults. Other C libraries than glibc have
    no such switch; there nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
