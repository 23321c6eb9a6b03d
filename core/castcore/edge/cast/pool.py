"""A receiver's block buffers: a bounded pool of equal arrays, reused."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from castcore.cast.actions import Deliver, Repair, Scatter
from castcore.cast.blocks import BlockTable
from castcore.cast.constants import PARITY_ROWS
from castcore.edge.memory import MEMINFO, available_memory

Symbols = NDArray[np.uint8]

MEMORY_SHARE = 0.4
MEMORY_MAX = 4 << 30
BUFFERS_MIN = 4

# Shorter runs than this are cheaper to copy by index.
RUN_MIN = 4


@dataclass(frozen=True, slots=True)
class Wound:
    """A stripe to repair: the source ``symbols`` of its whole block, of so many ``stripes``, as a view,
    and a copy of the parity rows ``given`` for it.
    """

    wanted: Repair
    symbols: Symbols
    stripes: int
    given: Symbols


class BufferPool:
    """Buffers by block; row ``i`` is source symbol ``i``, the parity rows follow (`Holding`)."""

    def __init__(self, table: BlockTable) -> None:
        self._table = table
        self._used: dict[int, Symbols] = {}
        self._free: list[Symbols] = []

    def follow(self, table: BlockTable) -> bool:
        """Blocks are those of ``table``; what is held of another one's is void. Whether it was another.

        Its arrays are left to those who still read them.
        """
        if table is self._table:
            return False
        self._table = table
        self._used.clear()
        return True

    def scatter(self, scatter: Scatter, symbols: Symbols) -> None:
        """Copy symbols of a burst to their rows."""
        buffer = self._used.get(scatter.block)
        if buffer is None:
            # Untouched pages cost nothing: parity rows of a block without loss never exist.
            fresh = (
                self._free.pop()
                if self._free
                else np.empty((_rows(self._table), self._table.symbol_size), np.uint8)
            )
            buffer = self._used[scatter.block] = fresh
        rows, picks = scatter.rows, scatter.picks
        breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(picks) != 1)) + 1
        if len(breaks) * RUN_MIN > len(rows):
            buffer[rows] = symbols[picks]
            return
        # A run is copied in one go, without the interpreter lock and without an index per symbol.
        for start, end in pairwise((0, *breaks.tolist(), len(rows))):
            row, pick, count = int(rows[start]), int(picks[start]), end - start
            buffer[row : row + count] = symbols[pick : pick + count]

    def chunk(self, deliver: Deliver) -> memoryview:
        """The bytes of a complete chunk, without copying."""
        flat = self._used[deliver.block].reshape(-1)
        return flat.data[deliver.start : deliver.start + deliver.length]

    def symbols(self, block: int) -> Symbols:
        """The buffer of ``block``, by row."""
        return self._used[block]

    def wound(self, wanted: Repair) -> Wound:
        """What to repair a stripe with; its lost rows are zeros from now on.

        Rows of a stripe under repair do not change otherwise; if its block is released meanwhile,
        `restore` throws away what was computed.
        """
        buffer = self._used[wanted.block]
        count, stripes = int(self._table.symbols[wanted.block]), int(self._table.stripes[wanted.block])
        buffer[wanted.lost * stripes + wanted.stripe] = 0
        given = buffer[count + wanted.stripe * PARITY_ROWS + wanted.parity]
        return Wound(wanted, buffer[:count], stripes, given)

    def restore(self, wanted: Repair, rows: Symbols) -> bool:
        """Put repaired rows in their place; False when the block was released meanwhile."""
        buffer = self._used.get(wanted.block)
        if buffer is None:
            return False
        stripes = int(self._table.stripes[wanted.block])
        buffer[wanted.lost * stripes + wanted.stripe] = rows
        return True

    def release(self, block: int) -> None:
        """The block's buffer may hold another block now."""
        buffer = self._used.pop(block, None)
        if buffer is not None:
            self._free.append(buffer)


def pool_size(table: BlockTable, meminfo: Path = MEMINFO) -> int:
    """How many blocks this machine's memory lets a receiver hold."""
    memory = min(int(available_memory(meminfo) * MEMORY_SHARE), MEMORY_MAX)
    return max(BUFFERS_MIN, min(memory // (_rows(table) * table.symbol_size), len(table)))


def _rows(table: BlockTable) -> int:
    """Rows of a buffer for the largest block and all its parity."""
    return table.symbols_max + table.stripes_max * PARITY_ROWS
