"""Sets of chunks: their spelling, their arithmetic, and block tables of a part of an image."""

from __future__ import annotations

import zlib
from contextlib import suppress

import numpy as np
import pytest
from castcore.cast.blocks import BlockTable
from castcore.cast.chunkset import ChunkSet
from castcore.cast.ledger import Ledger
from castcore.cast.selecting import SELECTIONS_MAX, Selector
from castcore.errors import BadPacket
from hypothesis import given
from hypothesis import strategies as st

sets = st.integers(1, 300).flatmap(
    lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1)))
)


@given(sets)
def test_both_ways(case: tuple[int, set[int]]) -> None:
    count, chunks = case
    made = ChunkSet.numbered(count, chunks)
    again = ChunkSet.decode(made.encode(), count)
    assert again == made
    assert again.digest() == made.digest()
    assert set(np.flatnonzero(again.mask()).tolist()) == chunks
    assert len(made) == len(chunks)
    assert bool(made) == bool(chunks)


@given(sets, st.data())
def test_arithmetic(case: tuple[int, set[int]], data: st.DataObject) -> None:
    count, one = case
    two = data.draw(st.sets(st.integers(0, count - 1)))
    a, b = ChunkSet.numbered(count, one), ChunkSet.numbered(count, two)
    assert a | b == ChunkSet.numbered(count, one | two)
    assert a & b == ChunkSet.numbered(count, one & two)
    assert a - b == ChunkSet.numbered(count, one - two)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        zlib.compress(b"\xff"),
        zlib.compress(b"\xff\x10"),
        zlib.compress(b"\xff\x0f\0"),
        zlib.compress(b"\xff\x0f")[:-1],
        zlib.compress(b"\xff\x0f") + b"x",
        zlib.compress(bytes(1 << 24)),
    ],
)
def test_what_is_no_set_of_twelve_chunks(data: bytes) -> None:
    with pytest.raises(BadPacket):
        ChunkSet.decode(data, 12)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_hostile_bytes(data: bytes, count: int) -> None:
    with suppress(BadPacket):
        assert ChunkSet.decode(data, count).mask().shape == (count,)


def test_a_table_of_a_part_has_no_other_chunk_and_small_blocks() -> None:
    whole = BlockTable.build([1_000_000, 0] * 20)
    part = whole.select(ChunkSet.numbered(40, [0, 1, 8, 38]))
    assert part.chunks.tolist() == [0, 8, 38]
    assert part.stored_bytes == 3_000_000
    assert len(part) == 1
    assert len(whole.select(ChunkSet.none(40))) == 0
    assert whole.select(whole.chunk_set()).slot_of.tolist() == whole.slot_of.tolist()


def test_a_ledger_keeps_its_chunks_over_a_change_of_table() -> None:
    whole = BlockTable.build([1_000_000] * 12)
    ledger = Ledger(whole, ChunkSet.numbered(12, [0, 1, 2, 3]))
    assert (ledger.kept, ledger.done_chunks) == (4_000_000, 4)
    assert ledger.done_blocks.tolist() == [True, False, False]
    assert ledger.deliver(5)
    ledger.follow(whole.select(ChunkSet.numbered(12, [5, 11])))
    assert ledger.outside()
    ledger.put(5)
    assert ledger.deliver(11)
    ledger.put(11)
    assert ledger.done_blocks.tolist() == [True]
    assert ledger.held == ChunkSet.numbered(12, [0, 1, 2, 3, 5, 11])
    assert sorted(ledger.fetch(20, every=True)) == [4, 6, 7, 8, 9, 10]
    for chunk in (4, 6, 7, 8, 9, 10):
        ledger.fetched(chunk, good=True)
    assert ledger.complete
    assert ledger.kept + ledger.multicast + ledger.unicast == 12_000_000


def test_a_selection_is_worth_its_way_when_it_is_much_less_than_the_lap() -> None:
    selector = Selector(BlockTable.build([1_000_000] * 12))
    demand = np.array([True, True, False])
    assert selector.worth(ChunkSet.numbered(12, [0, 4]), demand)
    assert not selector.worth(ChunkSet.numbered(12, [0, 1, 2, 4]), demand)
    while not selector.spent:
        selector.choose(ChunkSet.numbered(12, [0, 4]))
    assert selector.number == SELECTIONS_MAX
    assert len(selector.table) == 1
    assert selector.of_blocks(np.array([True])) == ChunkSet.numbered(12, [0, 4])
