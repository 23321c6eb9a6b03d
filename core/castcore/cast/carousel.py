"""Where a sender is in its round: block, lap and packet, and which blocks have left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable
from castcore.cast.data import FLAG_LAP
from castcore.cast.outputs import ParityBurst, SourceBurst


class Carousel:
    """One stream's place in its ``table``; packets are counted without wrapping.

    ``block`` is the one to be sent next, the table's length when a lap is over. ``sent_at`` is the last
    packet of each block that is out, below 0 for the others. ``sent`` and ``repair`` count symbol bytes.
    """

    def __init__(self, table: BlockTable) -> None:
        self.table = table
        self.lap = 1
        self.pseq = self.sent = self.repair = 0
        self.turn_to(table)

    def turn_to(self, table: BlockTable) -> None:
        """Blocks are those of ``table`` from now on; none of them is out."""
        self.table = table
        self.block = self._symbol = 0
        self.sent_at = np.full(len(table), -1, np.int64)

    @property
    def begins(self) -> bool:
        """Whether the next source symbol is the first of its block."""
        return self._symbol == 0

    @property
    def over(self) -> bool:
        """Whether all blocks of this lap are out."""
        return self.block >= len(self.table)

    def again(self, block: int) -> None:
        """Begin another lap, at ``block``."""
        self.lap += 1
        self.block, self._symbol = block, 0

    def source(self, most: int) -> SourceBurst:
        """Up to ``most`` source symbols of the present block, as they leave now."""
        count = min(most, int(self.table.symbols[self.block]) - self._symbol)
        flags = FLAG_LAP if self.lap > 1 else 0
        burst = SourceBurst(self.block, self._symbol, count, flags, self.pseq)
        self._symbol += count
        self.sent_at[self.block] = self.pseq + count - 1
        return burst

    def block_ended(self) -> bool:
        """Whether every source symbol of the present block is out."""
        return self._symbol >= int(self.table.symbols[self.block])

    def step(self, demand: NDArray[np.bool_] | None) -> bool:
        """Go on to the next block, of those in ``demand`` (None: of all); whether there is one."""
        self._symbol = 0
        self.block += 1
        if demand is not None:
            ahead = np.flatnonzero(demand[self.block :])
            self.block = self.block + int(ahead[0]) if len(ahead) else len(self.table)
        return not self.over

    def count(self, burst: SourceBurst | ParityBurst) -> int:
        """``burst`` leaves: how many bytes of datagrams that are."""
        parity = isinstance(burst, ParityBurst)
        count = len(burst.rows) if isinstance(burst, ParityBurst) else burst.count
        self.sent += count * self.table.symbol_size
        self.repair += count * self.table.symbol_size if parity else 0
        self.pseq += count
        return count * self.table.datagram_size

    def expand(self, pseq: int) -> int:
        """The packet count that a client's 32-bit ``pseq`` stands for: what was sent at the most."""
        behind = (self.pseq - pseq) & 0xFFFFFFFF
        return self.pseq - (behind if behind < 1 << 31 else 0)

    def out(self, block: int, seen: int) -> bool:
        """Whether all of ``block`` left before packet ``seen``."""
        return 0 <= int(self.sent_at[block]) < seen
