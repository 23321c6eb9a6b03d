"""Extents: half-open byte ranges of a disk, and set operations on sorted, disjoint lists of them.

Every function takes any iterable of extents and returns the one normal form: sorted, disjoint,
non-adjacent, no empty extent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from castcore.units import round_down, round_up


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """``length`` bytes from byte ``start`` on. Raises ValueError when either is negative."""

    start: int
    length: int

    def __post_init__(self) -> None:
        if self.start < 0 or self.length < 0:
            raise ValueError(f"no extent of {self.length} bytes at {self.start}")

    @property
    def end(self) -> int:
        """The first byte after the extent."""
        return self.start + self.length


Extents = tuple[Extent, ...]


def merge(extents: Iterable[Extent], *, gap: int = 0) -> Extents:
    """The normal form of ``extents``; holes of at most ``gap`` bytes between two are filled."""
    out: list[Extent] = []
    for extent in sorted(extents):
        if extent.length == 0:
            continue
        if out and extent.start <= out[-1].end + gap:
            last = out[-1]
            out[-1] = Extent(last.start, max(last.end, extent.end) - last.start)
        else:
            out.append(extent)
    return tuple(out)


def align(extents: Iterable[Extent], unit: int, *, limit: int) -> Extents:
    """Every ``unit``-aligned block that ``extents`` touch, cut at ``limit`` bytes."""
    grown = []
    for extent in merge(extents):
        start = round_down(extent.start, unit)
        end = min(round_up(extent.end, unit), limit)
        if end > start:
            grown.append(Extent(start, end - start))
    return merge(grown)


def intersect(left: Iterable[Extent], right: Iterable[Extent]) -> Extents:
    """The bytes that are in both."""
    a, b = merge(left), merge(right)
    out: list[Extent] = []
    i = j = 0
    while i < len(a) and j < len(b):
        start, end = max(a[i].start, b[j].start), min(a[i].end, b[j].end)
        if start < end:
            out.append(Extent(start, end - start))
        if a[i].end <= b[j].end:
            i += 1
        else:
            j += 1
    return merge(out)


def subtract(left: Iterable[Extent], right: Iterable[Extent]) -> Extents:
    """The bytes of ``left`` that are not in ``right``."""
    holes = merge(right)
    out: list[Extent] = []
    i = 0
    for extent in merge(left):
        start = extent.start
        while i < len(holes) and holes[i].end <= start:
            i += 1
        k = i
        while k < len(holes) and holes[k].start < extent.end:
            if holes[k].start > start:
                out.append(Extent(start, holes[k].start - start))
            start = max(start, holes[k].end)
            k += 1
        if start < extent.end:
            out.append(Extent(start, extent.end - start))
    return tuple(out)


def shift(extents: Iterable[Extent], by: int) -> Extents:
    """``extents`` moved by ``by`` bytes. Raises ValueError when one would start below 0."""
    return tuple(Extent(e.start + by, e.length) for e in extents)


def total(extents: Iterable[Extent]) -> int:
    """The bytes that ``extents`` (in normal form) hold."""
    return sum(e.length for e in extents)
