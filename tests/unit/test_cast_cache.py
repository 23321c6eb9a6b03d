"""The sender's block cache: whatever is asked for in whatever order is there, and is the image's."""

from __future__ import annotations

import random
from contextlib import closing

import numpy as np
from castcore.cast.blocks import BlockTable
from castcore.edge.castblocks import BLOCKS_MIN, BlockCache

COUNT = 3 * BLOCKS_MIN


class Chunks:
    """One chunk a block, each of its number."""

    def stored_lengths(self) -> list[int]:
        return [4_000_000] * COUNT

    def read_stored(self, chunk: int) -> bytes:
        return bytes([chunk]) * 4_000_000


def test_repairs_of_any_block_find_it_in_the_cache() -> None:
    table = BlockTable.build(Chunks().stored_lengths())
    order = random.Random(1)
    with closing(BlockCache(Chunks(), table, 7, 0)) as cache:
        for head in range(COUNT):
            for number in (head, *(max(head - order.randrange(12), 0) for _ in range(4)), head):
                block = cache.get(number)
                assert (block.symbols[[0, 100, -2]] == number).all()
                assert np.all(block.symbols[-1, : 4_000_000 % 1424] == number)
