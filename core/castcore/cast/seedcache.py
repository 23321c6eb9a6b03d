"""A finished client's chunks that are still in memory, for others to have: which are kept, and how long.

Each client keeps other chunks, drawn by lot at its start, as many as it has memory for: together the
seeds of a cast hold most of an image of which each holds a part, and nothing kept is ever replaced.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from castcore.cast.lots import Lots
from castcore.cast.peerwire import Packed
from castcore.units import GIB, MIB

# Of the memory that is free at the start; the buffers for blocks take 40% of it at most.
CACHE_SHARE = 0.25
CACHE_MAX = 2 * GIB
# Less than this left for others on the whole machine: what is kept here makes way.
FLOOR = 256 * MIB


def capacity(free: int) -> int:
    """Bytes of chunks to keep on a machine with so many bytes of free memory."""
    return min(int(max(free - FLOOR, 0) * CACHE_SHARE), CACHE_MAX)


def drawn(lengths: Sequence[int], most: int, lots: Lots) -> frozenset[int]:
    """Chunks drawn by lot, of the stored ``lengths``, that hold at most ``most`` bytes together."""
    order: list[int] = np.flatnonzero(np.asarray(lengths)).tolist()
    lots.shuffle(order)
    ends = np.cumsum(np.asarray(lengths, np.int64)[order])
    return frozenset(order[: np.searchsorted(ends, most, side="right")])


class SeedCache:
    """Keeps the chunks ``wanted``; one thread at a time may change it. ``size``: their bytes now."""

    def __init__(self, wanted: frozenset[int]) -> None:
        self._wanted = wanted
        self._kept: dict[int, Packed] = {}
        self.size = 0

    def wants(self, chunk: int) -> bool:
        """Whether ``chunk`` is one to keep that is not kept yet."""
        return chunk in self._wanted and chunk not in self._kept

    def keep(self, chunk: int, packed: Packed) -> None:
        """Keep a proven chunk; nothing for one that is not wanted, or is kept."""
        if self.wants(chunk):
            self._kept[chunk] = packed
            self.size += len(packed.data)

    def get(self, chunk: int) -> Packed | None:
        """The chunk, if it is kept."""
        return self._kept.get(chunk)

    def make_room(self, free: int) -> None:
        """So many bytes of the machine's memory are free: below `FLOOR`, drop at least as much as lacks.

        What is dropped is not kept again: memory that was short once will be again.
        """
        lacking = FLOOR - free
        if lacking <= 0:
            return
        dropped = set[int]()
        while self._kept and lacking > 0:
            chunk, packed = self._kept.popitem()
            dropped.add(chunk)
            self.size -= len(packed.data)
            lacking -= len(packed.data)
        self._wanted = self._wanted - dropped if lacking <= 0 else frozenset()

    def clear(self) -> None:
        """Keep nothing, now and later."""
        self._wanted, self.size = frozenset(), 0
        self._kept.clear()
