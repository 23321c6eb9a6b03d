"""Counting packets: how many a receiver got, and where those it did not get were lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A data packet further than this (1.5 GB) from where the sender said it was is not of this stream.
WINDOW = 1 << 20
# A beacon is handled after the data around it: so many packets may be ahead of what it says.
SLACK = 1 << 11
WRAP = 1 << 32


@dataclass
class Arrival:
    """The packet counter of one stream, without wrapping.

    ``next`` is the first packet not yet seen. Anybody can write a number into a data packet, so what it
    says holds only until the sender's next signed announcement; ``anchor`` is the last one, and before
    the first (``first``) nothing is counted.
    """

    first: int | None = None
    anchor: int = 0
    next: int = 0
    received: int = 0
    host_drop: int = 0
    resting: bool = False

    def plausible(self, pseq: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of these 32-bit counters can be of this stream."""
        if self.first is None:
            return np.ones(len(pseq), np.bool_)
        distance = (pseq.astype(np.int64) - self.anchor + WINDOW) % WRAP
        return distance < 2 * WINDOW

    def count(self, pseq: NDArray[np.integer]) -> None:
        """These (plausible, at least one) packets arrived."""
        if self.first is None:
            return
        ahead = (pseq.astype(np.int64) - self.anchor + WINDOW) % WRAP - WINDOW
        self.next = max(self.next, self.anchor + int(ahead.max()) + 1)
        self.received += len(pseq)

    def announced(self, pseq: int) -> None:
        """The sender says that ``pseq`` is its next packet."""
        if self.first is None:
            self.first = self.anchor = self.next = pseq
            self.received = self.host_drop = 0
            return
        before, self.anchor = self.anchor, self.anchor + (pseq - self.anchor) % WRAP
        if self.resting:
            missed = self.anchor - (self.next if self.next <= self.anchor else before)
            self.first, self.next, self.resting = self.first + missed, self.anchor, False
        if not self.anchor <= self.next <= self.anchor + SLACK:
            self.next = self.anchor

    def rest(self) -> None:
        """We are not in the group: what is sent until the sender's next announcement is not lost."""
        self.resting = self.first is not None

    @property
    def seen(self) -> int:
        """``next`` as it travels: 32 bits."""
        return self.next % WRAP

    @property
    def net_lost(self) -> int:
        """Packets that reached neither us nor our host."""
        sent = self.next - (self.first or 0)
        return max(sent - self.received - self.host_drop, 0)
