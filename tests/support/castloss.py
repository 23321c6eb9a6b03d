"""What many receivers lose of one stream, drawn for all of them at once, with a fixed seed."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Loss(Protocol):
    """The packets of one stream, in order, as each receiver gets them."""

    def kept(self, packets: int) -> Mask:
        """Which of the next ``packets`` packets reach each receiver: one row for each."""


class Independent:
    """Every packet is lost with probability ``share``, whatever became of others."""

    def __init__(self, receivers: int, share: float, seed: int) -> None:
        self._receivers, self._share = receivers, share
        self._random = np.random.default_rng(seed)

    def kept(self, packets: int) -> Mask:
        return self._random.random((self._receivers, packets), dtype=np.float32) >= self._share


class Bursts:
    """Each receiver loses ``share`` of the stream in runs of its own, ``burst`` long on average.

    Lengths of runs and of the gaps between them are geometric (Gilbert's model).
    """

    def __init__(self, receivers: int, share: float, burst: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._burst, self._gap = 1 / burst, min(share / (burst * (1 - share)), 1.0)
        self._start = self._random.geometric(self._gap, receivers) - 1
        self._end = self._start + self._random.geometric(self._burst, receivers)

    def kept(self, packets: int) -> Mask:
        place = np.arange(packets)
        kept = np.ones((len(self._start), packets), np.bool_)
        hit = np.flatnonzero(self._start < packets)
        while len(hit):
            lost = (place >= self._start[hit, None]) & (place < self._end[hit, None])
            kept[hit] &= ~lost
            over = hit[self._end[hit] < packets]
            self._start[over] = self._end[over] + self._random.geometric(self._gap, len(over))
            self._end[over] = self._start[over] + self._random.geometric(self._burst, len(over))
            hit = over[self._start[over] < packets]
        self._start -= packets
        self._end -= packets
        return kept


def loss_of(receivers: int, share: float, burst: int, seed: int) -> Loss:
    """Independent loss for a ``burst`` of 1, else runs of that mean length."""
    return Independent(receivers, share, seed) if burst == 1 else Bursts(receivers, share, burst, seed)
