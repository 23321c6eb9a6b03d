"""What the two ends keep of an image in memory stays within its bounds, whatever is asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from castcore.cast.actions import Scatter
from castcore.cast.blocks import BlockTable
from castcore.edge.cast.blocks import BLOCKS_MIN, BlockCache
from castcore.edge.cast.pool import BufferPool

# One chunk makes one block.
CHUNKS, LENGTH = 24, 4_300_000


class Source:
    """Chunks that are told apart by their bytes."""

    def stored_lengths(self) -> Sequence[int]:
        return [LENGTH] * CHUNKS

    def read_stored(self, chunk: int) -> bytes:
        return bytes([chunk]) * LENGTH


def table() -> BlockTable:
    return BlockTable.build([LENGTH] * CHUNKS)


def is_block(cache: BlockCache, blocks: BlockTable, number: int) -> bool:
    """Whether the cache has it, from its first byte to its last."""
    held = cache.get(number).symbols
    ends = held[0, 0], held[-1].max(), held[len(held) // 2, 0]
    return len(held) == blocks.symbols[number] and ends == (number,) * 3


def cache_of(blocks: BlockTable, most: int) -> BlockCache:
    return BlockCache(Source(), blocks, 7, 0, most * blocks.symbol_size * blocks.symbols_max)


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_blocks_comes_from_a_bounded_cache(seed: int) -> None:
    blocks, order = table(), random.Random(seed)
    assert len(blocks) > 3 * BLOCKS_MIN
    cache, head = cache_of(blocks, BLOCKS_MIN + 4), 0
    for _ in range(100):
        # The stream goes on; repairs ask for what is a little, or far, behind it.
        head = min(head + order.randrange(2), len(blocks) - 1)
        behind = order.choice([0, 1, BLOCKS_MIN - 1, BLOCKS_MIN, BLOCKS_MIN + 3, 100])
        number = max(head - behind, 0)
        assert is_block(cache, blocks, number)
        assert len(cache._blocks) <= BLOCKS_MIN + 4
        assert len(cache._spare) <= BLOCKS_MIN + 4
    cache.close()


def test_the_oldest_block_is_still_there_when_a_repair_asks_for_it() -> None:
    blocks = table()
    cache = cache_of(blocks, BLOCKS_MIN)
    for number in range(BLOCKS_MIN):
        cache.get(number)
    for number in range(4, -1, -1):
        assert is_block(cache, blocks, number)
    cache.close()


def test_released_buffers_are_used_again() -> None:
    blocks = table()
    pool = BufferPool(blocks)
    row = np.zeros(1, np.int64)
    symbols = np.full((1, blocks.symbol_size), 7, np.uint8)
    for number in range(len(blocks)):
        pool.scatter(Scatter(number, row, row), symbols)
        if number >= 3:
            pool.release(number - 3)
        assert len(pool._used) + len(pool._free) <= 4
    assert pool._used
