"""A receiver's repairs, many stripes a job: handing over a job costs as much as repairing a stripe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.actions import Repair
from castcore.cast.parity import TOGETHER_MIN, encode_block, repair, solve
from castcore.cast.receiver import ReceiverCore
from castcore.edge.cast.pool import BufferPool, Wound
from castcore.edge.cast.workers import Result, Workers

Symbols = NDArray[np.uint8]

# What is repaired is of use only when its whole job is done: this many stripes are two blocks, some
# milliseconds of work.
JOB_STRIPES = 32


class Mender:
    """Collects what the core wants repaired, and has it done by a worker."""

    def __init__(self, core: ReceiverCore, pool: BufferPool, workers: Workers) -> None:
        self._core, self._pool, self._workers = core, pool, workers
        self._waiting: list[Wound] = []

    def add(self, wanted: Repair) -> None:
        """This stripe, with the next job."""
        self._waiting.append(self._pool.wound(wanted))
        if len(self._waiting) >= JOB_STRIPES:
            self.hand_over()

    def hand_over(self) -> None:
        """Have done what was collected."""
        if self._waiting:
            wounds, self._waiting = self._waiting, []
            table = self._core.table
            self._workers.repair(lambda: self._mend(wounds, table))

    def _mend(self, wounds: list[Wound], table: object) -> Result:
        blocks: dict[int, list[Wound]] = {}
        for wound in wounds:
            blocks.setdefault(wound.wanted.block, []).append(wound)
        restored = [pair for block in blocks.values() for pair in _restored(block)]

        def done(_: float) -> None:
            if self._core.table is not table:
                return
            for stripe, symbols in restored:
                if self._pool.restore(stripe, symbols):
                    self._core.on_repaired(stripe.block, stripe.stripe, len(stripe.lost))

        return done


def _restored(wounds: list[Wound]) -> list[tuple[Repair, Symbols]]:
    """The lost symbols of these stripes of one block."""
    if len(wounds) < TOGETHER_MIN:
        return [(w.wanted, _alone(w)) for w in wounds]
    parity = np.unique(np.concatenate([w.wanted.parity for w in wounds]))
    there = encode_block(wounds[0].symbols, wounds[0].stripes, parity)
    restored = []
    for wound in wounds:
        wanted = wound.wanted
        syndromes = there[np.searchsorted(parity, wanted.parity), wanted.stripe] ^ wound.given
        restored.append((wanted, solve(wanted.lost, wanted.parity, syndromes)))
    return restored


def _alone(wound: Wound) -> Symbols:
    wanted = wound.wanted
    rows = wound.symbols[wanted.stripe :: wound.stripes]
    return repair(rows, wanted.lost, wanted.parity, wound.given)
