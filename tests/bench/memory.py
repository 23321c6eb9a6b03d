"""Free memory that a timed run finds at hand, whoever runs.

A virtual machine gives memory that lies free in whole 2 MiB back to its host within seconds (free page
reporting of the virtio balloon), and touching it again costs more than casting what goes there: the same
program then takes half or twice as long by what ran before it. Memory that is free in smaller pieces
stays, so one page of every piece is held while a bench runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.edge.memory import available_memory

PIECE = 256 << 10
HELD = 4096
# The share of what is available that is got ready.
SHARE = 0.75
KEEP_SIZE, PUNCH_HOLE = 1, 2


@contextmanager
def at_hand(folder: Path, most: int) -> Iterator[None]:
    """Up to ``most`` bytes of free memory stay this machine's own; ``folder`` is on a tmpfs."""
    size = min(most, int(available_memory() * SHARE)) // PIECE * PIECE
    held = folder / "held"
    with held.open("wb", buffering=0) as file:
        try:
            for _ in range(0, size, PIECE):
                file.write(bytes(PIECE))
            for at in range(0, size, PIECE):
                _punch(file.fileno(), at + HELD, PIECE - HELD)
            yield
        finally:
            held.unlink()


def _punch(handle: int, start: int, length: int) -> None:
    # Neither os nor a library of ours has fallocate(2) with its modes.
    libc = ctypes.CDLL(None, use_errno=True)
    offset, size = ctypes.c_int64(start), ctypes.c_int64(length)
    if libc.fallocate(handle, KEEP_SIZE | PUNCH_HOLE, offset, size):
        raise OSError(ctypes.get_errno(), "no hole can be punched")
