"""One block as a receiver holds it: which symbols are there, what can be delivered or repaired."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable
from castcore.cast.constants import PARITY_ROWS, SOURCE_ROWS

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Holding:
    """The symbols of block ``number`` that have arrived; their bytes are the caller's.

    Buffer row ``i`` is source symbol ``i``; parity row ``p`` of stripe ``s`` is buffer row
    ``symbols + s * 64 + p``.
    """

    def __init__(self, table: BlockTable, number: int) -> None:
        self.number = number
        self.symbols, self.stripes = int(table.symbols[number]), int(table.stripes[number])
        slots = table.slots(number)
        starts = table.starts[slots.start : slots.stop]
        ends = starts + table.lengths[slots.start : slots.stop]
        self.delivered = np.zeros(len(slots), np.bool_)
        self.fresh = 0
        self._changed = True
        self._first = starts // table.symbol_size
        self._end = -(-ends // table.symbol_size)
        # Padded to whole rows, so that a stripe is a column.
        rows = -(-self.symbols // self.stripes)
        self._source = np.ones(rows * self.stripes, np.bool_)
        self._source[: self.symbols] = False
        self._parity = np.zeros((self.stripes, PARITY_ROWS), np.bool_)
        self._busy = np.zeros(self.stripes, np.bool_)

    def accept(self, stripes: Ints, rows: Ints) -> tuple[Mask, Ints]:
        """Which of these symbols are valid and new, and the buffer rows where those belong."""
        index = rows * self.stripes + stripes
        if rows.max() < SOURCE_ROWS and stripes.max() < self.stripes and index.max() < self.symbols:
            return self._accept_source(stripes, index)
        source = rows < SOURCE_ROWS
        good = stripes < self.stripes
        good &= ~source | (index < self.symbols)
        safe = np.where(good, stripes, 0)
        good &= ~self._busy[safe]
        parity = np.where(source, 0, rows - SOURCE_ROWS)
        known = np.where(
            source, self._source[np.where(source & good, index, 0)], self._parity[safe, parity]
        )
        good &= ~known
        place = np.where(source, index, self.symbols + stripes * PARITY_ROWS + parity)[good]
        self._source[index[good & source]] = True
        late = good & ~source
        self._parity[stripes[late], parity[late]] = True
        self.fresh += len(place)
        self._changed = True
        return good, place

    def _accept_source(self, stripes: Ints, index: Ints) -> tuple[Mask, Ints]:
        """`accept` for valid source symbols alone, which is what a cast without loss consists of."""
        good = ~self._source[index]
        if self._busy.any():
            good &= ~self._busy[stripes]
        place = index if good.all() else index[good]
        self._source[place] = True
        self.fresh += len(place)
        self._changed = True
        return good, place

    def whole(self) -> bool:
        """Whether every source symbol is there."""
        return bool(self._source.all())

    def deliverable(self) -> list[int]:
        """The block's chunks (by place in it) that just became complete; each is told once."""
        self.fresh = 0
        there = np.concatenate(([0], np.cumsum(self._source)))
        full = there[self._end] - there[self._first] == self._end - self._first
        now = np.flatnonzero(full & ~self.delivered)
        self.delivered[now] = True
        return [int(i) for i in now]

    def need(self) -> Ints:
        """Symbols still needed in each stripe, those under repair apart."""
        lost = (~self._source).reshape(-1, self.stripes).sum(axis=0)
        need: Ints = np.maximum(lost - self._parity.sum(axis=1), 0)
        need[self._busy] = 0
        return need

    def repairable(self) -> list[tuple[int, Ints, Ints]]:
        """Stripes that parity can complete: stripe, lost rows, parity rows to use; each told once."""
        if not self._changed:
            return []
        self._changed = False
        lost = ~self._source.reshape(-1, self.stripes)
        counts = lost.sum(axis=0)
        ready = (counts > 0) & (self._parity.sum(axis=1) >= counts) & ~self._busy
        found = []
        for stripe in np.flatnonzero(ready):
            rows = np.flatnonzero(lost[:, stripe])
            found.append((int(stripe), rows, np.flatnonzero(self._parity[stripe])[: len(rows)]))
        self._busy |= ready
        return found

    def repaired(self, stripe: int) -> None:
        """The lost rows of ``stripe`` are in the buffer now."""
        self._source.reshape(-1, self.stripes)[:, stripe] = True
        self._busy[stripe] = False
        self._changed = True

    @property
    def thin(self) -> bool:
        """Whether fewer than half of the source symbols are there."""
        return 2 * int(np.count_nonzero(self._source[: self.symbols])) < self.symbols

    @property
    def busy(self) -> bool:
        """Whether a stripe is under repair."""
        return bool(self._busy.any())

    def present(self) -> Ints:
        """The buffer rows of all symbols that are there."""
        parity = np.flatnonzero(self._parity.reshape(-1))
        return np.concatenate((np.flatnonzero(self._source[: self.symbols]), self.symbols + parity))

    def drop(self, rows: Ints) -> None:
        """The symbols in these buffer rows are not the image's. Only while nothing is under repair."""
        self._changed = True
        self._source[rows[rows < self.symbols]] = False
        self._parity.reshape(-1)[rows[rows >= self.symbols] - self.symbols] = False

    def again(self, places: Ints) -> None:
        """These chunks (by place in the block) are to be delivered once more."""
        self.delivered[places] = False
