"""Set operations on extents, held against plain sets of byte numbers."""

from __future__ import annotations

from itertools import pairwise

from castcore.disk import Extent, Extents, align, intersect, merge, shift, subtract, total
from hypothesis import given
from hypothesis import strategies as st

MOST = 200
EXTENTS = st.lists(st.builds(Extent, st.integers(0, MOST), st.integers(0, 40)), max_size=12)


def numbers(extents: list[Extent] | Extents) -> set[int]:
    return {n for e in extents for n in range(e.start, e.end)}


def is_normal(extents: Extents) -> bool:
    return all(e.length > 0 for e in extents) and all(a.end < b.start for a, b in pairwise(extents))


@given(EXTENTS)
def test_merge_keeps_every_byte_and_is_its_own_fixed_point(extents: list[Extent]) -> None:
    merged = merge(extents)
    assert numbers(merged) == numbers(extents)
    assert is_normal(merged)
    assert merge(merged) == merged
    assert total(merged) == len(numbers(extents))


@given(EXTENTS, st.integers(0, 30))
def test_merge_over_gaps_fills_only_gaps_that_small(extents: list[Extent], gap: int) -> None:
    merged, plain = merge(extents, gap=gap), merge(extents)
    assert numbers(plain) <= numbers(merged)
    assert all(hole.length <= gap for hole in subtract(merged, plain))
    assert all(b.start - a.end > gap for a, b in pairwise(merged))


@given(EXTENTS, EXTENTS)
def test_intersect_and_subtract_are_those_of_sets(left: list[Extent], right: list[Extent]) -> None:
    both, rest = intersect(left, right), subtract(left, right)
    assert numbers(both) == numbers(left) & numbers(right)
    assert numbers(rest) == numbers(left) - numbers(right)
    assert is_normal(both)
    assert is_normal(rest)
    assert merge([*both, *rest]) == merge(left)


@given(EXTENTS, st.integers(1, 64), st.integers(0, 300))
def test_align_covers_every_byte_below_the_limit(extents: list[Extent], unit: int, limit: int) -> None:
    aligned = align(extents, unit, limit=limit)
    inside = {n for n in numbers(extents) if n < limit}
    touched = {b for n in numbers(extents) for b in range(n // unit * unit, n // unit * unit + unit)}
    assert inside <= numbers(aligned) == {n for n in touched if n < limit}
    assert is_normal(aligned)


@given(EXTENTS, st.integers(0, 1000))
def test_shift_moves_and_comes_back(extents: list[Extent], by: int) -> None:
    moved = shift(merge(extents), by)
    assert numbers(moved) == {n + by for n in numbers(extents)}
    assert shift(moved, -by) == merge(extents)
