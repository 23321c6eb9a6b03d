"""Which blocks are closed at a receiver: no more of their source symbols is to come for now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.constants import REORDER_GUARD_SECONDS


class Closing:
    """Times of ``blocks`` blocks; a lap that sends one again opens it again."""

    def __init__(self, blocks: int) -> None:
        self._at = np.full(blocks, np.inf)
        self._current: int | None = None

    def restart(self, now: float, head: int) -> None:
        """We have just joined; blocks below ``head`` are out."""
        self._current = None
        self._at[:] = np.inf
        self._at[:head] = now

    def announced(self, now: float, closed: int) -> None:
        """The sender says that the lower blocks are out."""
        before = self._at[:closed]
        np.minimum(before, now, out=before)

    def heard(self, now: float, block: int) -> None:
        """A source symbol of ``block`` came: shortly afterwards the one before it is closed."""
        if block == self._current:
            return
        if self._current is not None:
            self._at[self._current] = now + REORDER_GUARD_SECONDS
        self._current = block
        self._at[block] = np.inf

    def closed(self, now: float, block: int) -> bool:
        """Whether ``block`` is closed."""
        return bool(self._at[block] <= now)

    def mask(self, now: float) -> NDArray[np.bool_]:
        """Whether each block is closed."""
        found: NDArray[np.bool_] = self._at <= now
        return found
