"""Reading a disk with bad sectors: reads are tried again, what stays unreadable is told or zeroed."""

from __future__ import annotations

import threading
from itertools import pairwise

from castcore.disk import Extent, Extents, merge
from castcore.edge.disk.blockdev import BlockFile
from castcore.errors import DiskFailed
from castcore.units import round_down

# A disk retries by itself, for seconds; more than this seldom helps.
TRIES = 3
# What is given up at once: the kernel reads whole pages, and a bad sector fails all of its page.
PIECE = 4096


class PatientReader:
    """Reads ``disk``, again where that fails; any thread may use it.

    With ``rescue`` it gives up page by page what stays unreadable: that reads as zeros and is listed in
    `unreadable`. Without, it raises DiskFailed naming the byte.
    """

    def __init__(self, disk: BlockFile, *, rescue: bool = False) -> None:
        self._disk = disk
        self._rescue = rescue
        self._lost: list[Extent] = []
        self._lock = threading.Lock()

    @property
    def unreadable(self) -> Extents:
        """What was given up so far."""
        with self._lock:
            return merge(self._lost)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Raises DiskFailed unless it rescues."""
        try:
            return self._disk.read(offset, length)
        except DiskFailed:
            return b"".join(self._piece(at, end) for at, end in _pieces(offset, offset + length))

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` from byte ``offset`` on. Raises DiskFailed unless it rescues."""
        try:
            self._disk.read_into(offset, view)
        except DiskFailed:
            for at, end in _pieces(offset, offset + len(view)):
                view[at - offset : end - offset] = self._piece(at, end)

    def _piece(self, offset: int, end: int) -> bytes:
        for _ in range(TRIES - 1):
            try:
                return self._disk.read(offset, end - offset)
            except DiskFailed:
                pass
        try:
            return self._disk.read(offset, end - offset)
        except DiskFailed as error:
            if not self._rescue:
                raise DiskFailed(
                    error.what,
                    hint="check the cable; `fleetcast capture --rescue` takes what can still be read",
                ) from None
        with self._lock:
            self._lost.append(Extent(offset, end - offset))
        return bytes(end - offset)


def _pieces(start: int, end: int) -> list[tuple[int, int]]:
    """The ranges, each inside one page of the disk, that make ``start`` to ``end``."""
    marks = [start, *range(round_down(start, PIECE) + PIECE, end, PIECE), end]
    return list(pairwise(marks))
