"""Runs of equal values in arrays of flags: how bitmaps and allocation tables become extents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.disk.extent import Extent


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The half-open index ranges in which ``flags`` are true, rising."""
    padded = np.concatenate(([False], flags, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    pairs = edges.reshape(-1, 2).tolist()
    return [(first, after) for first, after in pairs]


def extents_where(flags: NDArray[np.bool_], *, start: int, unit: int) -> list[Extent]:
    """The extents of the units of ``unit`` bytes from byte ``start`` on whose flag is true."""
    return [Extent(start + first * unit, (after - first) * unit) for first, after in runs(flags)]
