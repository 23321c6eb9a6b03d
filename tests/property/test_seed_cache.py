"""What a seed keeps in memory: never too much, drawn by lot, and given back when memory is short."""

from __future__ import annotations

from random import Random

from castcore.cast.peerwire import Packed
from castcore.cast.seedcache import CACHE_MAX, CACHE_SHARE, FLOOR, SeedCache, capacity, drawn
from castcore.units import GIB, MIB
from hypothesis import given
from hypothesis import strategies as st

LENGTHS = st.lists(st.integers(0, 50), max_size=60)


@given(st.integers(0, 64 * GIB))
def test_a_share_of_free_memory_is_kept_and_never_more_than_the_most(free: int) -> None:
    most = capacity(free)
    assert 0 <= most <= CACHE_MAX
    assert most <= free * CACHE_SHARE
    assert most == 0 or free > FLOOR


@given(LENGTHS, st.integers(0, 2000), st.integers(0, 1000))
def test_what_is_drawn_fits_and_more_would_not(lengths: list[int], most: int, seed: int) -> None:
    chosen = drawn(lengths, most, Random(seed))
    size = sum(lengths[chunk] for chunk in chosen)
    assert size <= most
    assert all(lengths[chunk] for chunk in chosen), "a chunk of zeros never travels"
    if sum(lengths) > most:
        assert size + max(lengths) > most
    else:
        assert len(chosen) == sum(length > 0 for length in lengths)


def test_four_that_keep_a_quarter_each_keep_most_of_it_together() -> None:
    lengths = [MIB] * 1000
    kept = [drawn(lengths, 250 * MIB, Random(seed)) for seed in range(4)]
    # 1 - 0.75^4 = 68% if drawn one without regard to the other.
    assert 640 <= len(frozenset[int]().union(*kept)) <= 730


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3 * MIB)), max_size=40),
    st.integers(0, 2 * FLOOR),
)
def test_what_is_short_is_given_back(puts: list[tuple[int, int]], free: int) -> None:
    cache = SeedCache(frozenset(range(0, 20, 2)))
    for chunk, size in puts:
        cache.keep(chunk, Packed(bytes(size), zstd=False))
    before = cache.size
    held = [packed for chunk in range(21) if (packed := cache.get(chunk)) is not None]
    assert before == sum(len(packed.data) for packed in held)
    assert all(cache.get(chunk) is None for chunk in range(1, 21, 2)), "not asked to be kept"
    cache.make_room(free)
    freed = before - cache.size
    assert freed >= min(before, FLOOR - free)
    if free >= FLOOR:
        assert freed == 0
    again = cache.size
    for chunk in range(20):
        if cache.get(chunk) is None and freed:
            cache.keep(chunk, Packed(b"x", zstd=False))
    assert not freed or cache.size <= again + 10
    cache.clear()
    cache.keep(0, Packed(b"x", zstd=False))
    assert cache.size == 0
    assert cache.get(0) is None
