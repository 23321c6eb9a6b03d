"""A sender's blocks: the datagrams hold the chunks' bytes, and memory grows only when it is missed."""

from __future__ import annotations

import random

from castcore.cast.blocks import BlockTable
from castcore.cast.data import split
from castcore.cast.outputs import SourceBurst
from castcore.edge.cast.blocks import BLOCKS_MIN, BLOCKS_STEP, Block, BlockCache


class Chunks:
    """Random chunks; ``reads`` counts them."""

    def __init__(self, lengths: list[int]) -> None:
        self.content = [random.Random(i).randbytes(n) for i, n in enumerate(lengths)]
        self.reads = 0

    def stored_lengths(self) -> list[int]:
        return [len(c) for c in self.content]

    def read_stored(self, chunk: int) -> bytes:
        self.reads += 1
        return self.content[chunk]


def test_chunks_of_odd_lengths_lie_back_to_back_in_the_datagrams() -> None:
    lengths = [1, 1423, 1424, 1425, 700, 20, 5000, 0, 4321]
    source = Chunks(lengths)
    table = BlockTable.build(lengths)
    count = int(table.symbols[0])
    # A block's memory was another block's before: what is left of that must not be seen.
    block = Block(table, 7, 0)
    block.symbols[:] = 0xFF
    block.read(source, 0)
    headers, symbols = split(block.burst(SourceBurst(0, 0, count, 0, 5)))
    assert symbols.tobytes() == b"".join(source.content).ljust(count * 1424, b"\0")
    assert headers["pseq"].tolist() == list(range(5, 5 + count))


def test_the_cache_grows_only_when_what_it_dropped_is_asked_for_again() -> None:
    source = Chunks([4_000_000] * 12)
    table = BlockTable.build(source.stored_lengths())
    cache = BlockCache(source, table, 7, 0)
    for number in range(12):
        cache.get(number)
    assert source.reads == 12
    for _ in range(2):
        for number in range(12 - BLOCKS_MIN - BLOCKS_STEP, 12):
            cache.get(number)
    cache.close()
    # The first round brings the dropped ones back and makes room, so that the second reads few or none.
    assert source.reads <= 12 + BLOCKS_MIN + BLOCKS_STEP


def test_a_block_survives_what_is_read_ahead_of_it() -> None:
    source = Chunks([4_000_000] * 12)
    table = BlockTable.build(source.stored_lengths())
    cache = BlockCache(source, table, 7, 0)
    for number in (0, 1, 2, 3, 0, 1, 2, 3, 4, 1, 9, 2, 5, 0, 11):
        held = cache.get(number, ahead=number % 2 == 0)
        assert held.symbols.tobytes()[:4_000_000] == source.content[number]
    cache.close()
