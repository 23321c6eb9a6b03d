"""Repairs of many stripes at once give what repairs of each alone give: the symbols that were lost."""

from __future__ import annotations

import numpy as np
import pytest
from castcore.cast.actions import Repair
from castcore.cast.parity import encode
from castcore.edge.cast.mending import _restored
from castcore.edge.cast.pool import Wound

STRIPES, COUNT, SIZE = 16, 16 * 40 + 5, 64


@pytest.mark.parametrize("hurt", [1, 3, 4, 16])
def test_lost_symbols_come_back_however_many_stripes_lack_some(hurt: int) -> None:
    dice = np.random.default_rng(hurt)
    whole = dice.integers(0, 256, (COUNT, SIZE), dtype=np.uint8)
    damaged, wounds = whole.copy(), []
    for stripe in dice.permutation(STRIPES)[:hurt].tolist():
        rows = whole[stripe::STRIPES]
        lost = np.sort(dice.permutation(len(rows))[: dice.integers(1, 6)])
        parity = np.sort(dice.permutation(8)[: len(lost)])
        damaged[lost * STRIPES + stripe] = 0
        wounds.append(Wound(Repair(7, stripe, lost, parity), damaged, STRIPES, encode(rows, parity)))
    # A stripe that is not to be repaired may hold anything.
    rest = next((s for s in range(STRIPES) if all(w.wanted.stripe != s for w in wounds)), None)
    if rest is not None:
        damaged[rest] = 0xAA
    for wanted, symbols in _restored(wounds):
        assert (symbols == whole[wanted.lost * STRIPES + wanted.stripe]).all()
