"""The blocks a receiver holds, one buffer each: which may come in, and when there is room again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from castcore.cast.actions import Scatter
from castcore.cast.admission import Admission
from castcore.cast.blocks import BlockTable
from castcore.cast.data import Headers
from castcore.cast.holding import Holding
from castcore.cast.messages import Beacon

# The share of the pool that must be free again before shedding ends.
SHED_UNTIL = 0.4


class Holdings(Mapping[int, Holding]):
    """At most ``buffers`` blocks of ``table``, by number."""

    def __init__(self, table: BlockTable, buffers: int) -> None:
        self._table, self._buffers = table, buffers
        self._held: dict[int, Holding] = {}
        self._admission = Admission(table, buffers)

    def __getitem__(self, block: int) -> Holding:
        return self._held[block]

    def __iter__(self) -> Iterator[int]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def free(self) -> int:
        """Buffers that hold nothing."""
        return self._buffers - len(self._held)

    @property
    def roomy(self) -> bool:
        """Whether so much is free that shedding may end."""
        return len(self._held) <= (1 - SHED_UNTIL) * self._buffers

    def follow(self, table: BlockTable) -> None:
        """Blocks are those of ``table``: what was held of another is void."""
        self._table = table
        self._held.clear()
        self._admission = Admission(table, self._buffers)

    def heard(self, now: float, beacon: Beacon | None) -> None:
        """The sender said where it is; None: it has yet to say so."""
        self._admission.heard(now, beacon)

    def allows(self, now: float, block: int) -> bool:
        """Whether ``block``, which is not held, may get a buffer if there is one."""
        return self._admission.allows(now, block, self._held)

    def open(self, block: int) -> Holding:
        """Begin to hold ``block``."""
        held = self._held[block] = Holding(self._table, block)
        return held

    def close(self, block: int) -> None:
        """Hold ``block`` no longer."""
        del self._held[block]

    def place(self, block: int, headers: Headers, picks: NDArray[np.int64]) -> Scatter | None:
        """Where the symbols ``picks`` of a block that is held belong, as far as they are new."""
        stripes, rows = (headers[name][picks].astype(np.int64) for name in ("stripe", "row"))
        good, place = self._held[block].accept(stripes, rows)
        return Scatter(block, picks[good], place) if len(place) else None
