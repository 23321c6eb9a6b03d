"""From pieces of a disk in their order to the chunks of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from castcore.disk import Extent
from castcore.errors import BadImage

# (offset on the disk, bytes)
Piece = tuple[int, bytes]


def assembled(regions: Iterable[Extent], pieces: Iterable[Piece]) -> Iterator[tuple[Extent, bytearray]]:
    """Each of ``regions`` (rising, disjoint) with its content: ``pieces`` in place, zeros around them.

    ``pieces`` are rising and disjoint. Every one of them is taken, to its last byte. Raises BadImage
    when they are not in order, or lie outside of all regions.
    """
    waiting = _disjoint(pieces)
    piece = next(waiting, None)
    for region in regions:
        content = bytearray(region.length)
        while piece is not None and piece[0] < region.end:
            at, data = piece
            if at < region.start:
                raise BadImage(f"bytes at {at} belong to no chunk that is still to come")
            fits = min(len(data), region.end - at)
            content[at - region.start : at - region.start + fits] = memoryview(data)[:fits]
            # What reaches further belongs to the next region, if that follows at once.
            piece = (at + fits, data[fits:]) if fits < len(data) else next(waiting, None)
        yield region, content
    if piece is not None:
        raise BadImage(f"bytes at {piece[0]} belong to no chunk")


def _disjoint(pieces: Iterable[Piece]) -> Iterator[Piece]:
    reached = 0
    for at, data in pieces:
        if at < reached:
            raise BadImage(f"the bytes at {at} are there twice: partitions overlap")
        reached = at + len(data)
        yield at, data
