"""A receiver's repairs, many stripes a job: handing over a job costs as much as repairing a stripe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.actions import Repair
from castcore.cast.parity import repair
from castcore.cast.receiver import ReceiverCore
from castcore.edge.cast.pool import BufferPool
from castcore.edge.cast.workers import Result, Workers

Symbols = NDArray[np.uint8]

# What is repaired is of use only when its whole job is done: this many stripes are two blocks, some
# milliseconds of work.
STRIPES_MAX = 32


class Mender:
    """Collects what the core wants repaired, and has it done by a worker."""

    def __init__(self, core: ReceiverCore, pool: BufferPool, workers: Workers) -> None:
        self._core, self._pool, self._workers = core, pool, workers
        self._waiting: list[tuple[Repair, Symbols, Symbols]] = []

    def add(self, wanted: Repair) -> None:
        """This stripe, with the next job."""
        self._waiting.append((wanted, *self._pool.stripe(wanted)))
        if len(self._waiting) >= STRIPES_MAX:
            self.hand_over()

    def hand_over(self) -> None:
        """Have done what was collected."""
        if self._waiting:
            wanted, self._waiting = self._waiting, []
            table = self._core.table
            self._workers.repair(lambda: self._mend(wanted, table))

    def _mend(self, wanted: list[tuple[Repair, Symbols, Symbols]], table: object) -> Result:
        restored = [repair(rows, w.lost, w.parity, given) for w, rows, given in wanted]

        def done(_: float) -> None:
            if self._core.table is not table:
                return
            for (stripe, _rows, _given), symbols in zip(wanted, restored, strict=True):
                if self._pool.restore(stripe, symbols):
                    self._core.on_repaired(stripe.block, stripe.stripe, len(stripe.lost))

        return done
