"""What an ideal code costs: the model behind the design's table of bytes sent over bytes of the image.

Blocks of 16 interleaved stripes with a code that repairs any loss by as many symbols; after each
round every receiver says at once, and without loss, what each stripe still needs; the group is sent
the maximum. No time, no limit of rows, no lost feedback: what a protocol adds shows beside it.
"""

from __future__ import annotations

import numpy as np

from tests.support.castloss import Loss, loss_of

SYMBOLS, STRIPES = 2948, 16


def ideal_ratio(receivers: int, share: float, *, burst: int, blocks: int, seed: int = 1) -> float:
    """Symbols sent over symbols of the image, on average over ``blocks`` blocks."""
    loss = loss_of(receivers, share, burst, seed)
    return sum(_one_block(loss) for _ in range(blocks)) / (blocks * SYMBOLS)


def _one_block(loss: Loss) -> int:
    stripe_of = np.arange(SYMBOLS) % STRIPES
    need = _lost(~loss.kept(SYMBOLS), stripe_of)
    sent = SYMBOLS
    while (most := need.max(axis=0).clip(0)).any():
        turns = np.concatenate([np.arange(n) for n in most])
        stripe_of = np.repeat(np.arange(STRIPES), most)[np.argsort(turns, kind="stable")]
        need = need - most + _lost(~loss.kept(len(stripe_of)), stripe_of)
        sent += len(stripe_of)
    return sent


def _lost(lost: np.ndarray, stripe_of: np.ndarray) -> np.ndarray:
    """How many symbols of each stripe every receiver lost."""
    return np.stack([lost[:, stripe_of == s].sum(axis=1) for s in range(STRIPES)], axis=1)
