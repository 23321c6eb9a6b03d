"""Counting packets: how many a receiver got, and where those it did not get were lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A data packet further ahead than this (1.5 GB) is not of this stream; a signed beacon may be.
WINDOW = 1 << 20
WRAP = 1 << 32


@dataclass
class Arrival:
    """The packet counter of one stream; ``next`` is the first packet not yet seen, without wrapping."""

    first: int | None = None
    next: int = 0
    received: int = 0
    host_drop: int = 0

    def plausible(self, pseq: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of these 32-bit counters can be of this stream."""
        if self.first is None:
            return np.ones(len(pseq), np.bool_)
        distance = (pseq.astype(np.int64) - self.next + WINDOW) % WRAP
        return distance < 2 * WINDOW

    def count(self, pseq: NDArray[np.integer]) -> None:
        """These (plausible, at least one) packets arrived."""
        if self.first is None:
            self.first = self.next = int(pseq[0])
        ahead = (pseq.astype(np.int64) - self.next + WINDOW) % WRAP - WINDOW
        self.next += max(int(ahead.max()) + 1, 0)
        self.received += len(pseq)

    def announced(self, pseq: int) -> None:
        """The sender says that ``pseq`` is its next packet."""
        if self.first is None:
            self.first = self.next = pseq
        elif (ahead := (pseq - self.next) % WRAP) < WRAP // 2:
            self.next += ahead

    @property
    def seen(self) -> int:
        """``next`` as it travels: 32 bits."""
        return self.next % WRAP

    @property
    def net_lost(self) -> int:
        """Packets that reached neither us nor our host."""
        sent = self.next - (self.first or 0)
        return max(sent - self.received - self.host_drop, 0)
