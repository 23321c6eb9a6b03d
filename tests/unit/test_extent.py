"""Extents: the set operations agree with plain sets of bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from castcore.disk import Extent, align, intersect, merge, shift, subtract, total
from hypothesis import given
from hypothesis import strategies as st

extents = st.lists(st.builds(Extent, st.integers(0, 80), st.integers(0, 20)), max_size=8)


def as_set(items: list[Extent] | tuple[Extent, ...]) -> set[int]:
    return {b for e in items for b in range(e.start, e.end)}


def is_normal(items: tuple[Extent, ...]) -> bool:
    return all(e.length > 0 for e in items) and all(a.end < b.start for a, b in pairwise(items))


@given(extents, extents)
def test_operations_are_set_operations(a: list[Extent], b: list[Extent]) -> None:
    assert as_set(intersect(a, b)) == as_set(a) & as_set(b)
    assert as_set(subtract(a, b)) == as_set(a) - as_set(b)
    assert as_set(merge([*a, *b])) == as_set(a) | as_set(b)
    assert total(merge(a)) == len(as_set(a))
    assert all(map(is_normal, (merge(a), intersect(a, b), subtract(a, b))))


@given(extents, st.integers(1, 16), st.integers(0, 100))
def test_align_covers_whole_blocks_up_to_the_limit(a: list[Extent], unit: int, limit: int) -> None:
    blocks = {b // unit for b in as_set(a)}
    got = as_set(align(a, unit, limit=limit))
    assert got == {b for b in range(limit) if b // unit in blocks} | {b for b in as_set(a) if b < limit}


def test_merge_fills_small_gaps() -> None:
    assert merge([Extent(0, 4), Extent(6, 2)], gap=2) == (Extent(0, 8),)


def test_an_extent_is_never_negative() -> None:
    with pytest.raises(ValueError, match="no extent"):
        shift([Extent(1, 1)], -2)
