"""Which blocks a receiver begins to hold: those the sender, by its signed word, can be sending now.

A data packet names any block it likes, and each new one takes a buffer. What a beacon does not lead
to expect (a lap that leaps between two beacons, or somebody who wants our memory) gets a small part of
the pool at most, so that the stream always finds room.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from castcore.cast.blocks import BlockTable
from castcore.cast.holding import Holding
from castcore.cast.messages import Beacon

# The share of the pool for blocks nobody announced.
STRANGE_SHARE = 0.25
# The rate of slow start doubles between two beacons at most.
GROWTH = 2


class Admission:
    """Decides for a pool of ``buffers``; the time is in seconds."""

    def __init__(self, table: BlockTable, buffers: int) -> None:
        self._ends = np.cumsum(table.sizes)
        self._most = max(1, int(buffers * STRANGE_SHARE))
        self._beacon: Beacon | None = None
        self._heard_at = 0.0
        self._strange: set[int] = set()

    def heard(self, now: float, beacon: Beacon | None) -> None:
        """The sender said where it is; None: it has yet to say so."""
        self._beacon, self._heard_at = beacon, now

    def allows(self, now: float, block: int, held: Mapping[int, Holding]) -> bool:
        """Whether ``block``, which is not ``held``, gets a buffer."""
        if self._announced(now, block):
            return True
        # Half a block costs as much to forge as it costs to keep: it may stay.
        self._strange = {b for b in self._strange if b in held and held[b].thin}
        if len(self._strange) >= self._most:
            return False
        self._strange.add(block)
        return True

    def _announced(self, now: float, block: int) -> bool:
        """Whether the sender can be at ``block`` by now, or was there just before its last beacon."""
        beacon = self._beacon
        if beacon is None or block < beacon.head - 1:
            return False
        if block <= beacon.head + 1:
            return True
        end = float(self._ends[beacon.head]) + GROWTH * beacon.rate * (now - self._heard_at)
        return block <= 1 + int(np.searchsorted(self._ends, end))
