"""Borrowed packs: stored bytes that lie in packs of other images of the same store.

An image that was captured on the base of others has them. A borrowed pack is put together of pieces
of the lenders' own packs; records name it like any other, so that a copy with the bytes of their own
is the same image. See ``FORMAT.md``, "Borrowed packs".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from castcore.image.fields import hex_digest, listed, text, whole
from castcore.image.record import NAME, PACK_LIMIT

# Bounds what a reader holds in memory, and with the extents in use the manifest's size.
MOST_PIECES = 1 << 20
# Positions over all borrowed packs: the pack's number, then the offset in it.
_PACK_BITS = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Lender:
    """An image of the same store, by its directory's name; its index tells it from any other."""

    name: str
    index_digest: bytes
    chunk_count: int


@dataclass(frozen=True, slots=True)
class Piece:
    """``length`` bytes from byte ``offset`` on of the own pack ``pack`` of lender number ``lender``."""

    lender: int
    pack: int
    offset: int
    length: int


@dataclass(frozen=True)
class BorrowedPack:
    """Pack ``number`` of an image: ``pieces`` of other images' packs, one behind the other."""

    number: int
    pieces: tuple[Piece, ...]

    @cached_property
    def ends(self) -> list[int]:
        """Where each piece ends in this pack."""
        return list(accumulate(p.length for p in self.pieces))

    @property
    def size(self) -> int:
        """Bytes of all pieces together."""
        return self.ends[-1]

    def place(self, offset: int) -> tuple[Piece, int]:
        """The piece that byte ``offset`` of this pack is in, and where that byte is in its lender's."""
        at = bisect_right(self.ends, offset)
        piece = self.pieces[at]
        return piece, piece.offset + offset - (self.ends[at] - piece.length)


class PieceTable:
    """The pieces of all ``borrowed`` packs in one row, to look many places up at once."""

    def __init__(self, borrowed: Iterable[BorrowedPack]) -> None:
        packs = sorted(borrowed, key=lambda pack: pack.number)
        self.pieces: list[Piece] = [piece for pack in packs for piece in pack.pieces]
        ends = [_position(pack.number, end) for pack in packs for end in pack.ends]
        self._ends = np.array(ends, dtype=np.uint64)

    def find(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The number of the piece that each of ``rows`` (index records in borrowed packs) starts in."""
        return np.searchsorted(self._ends, _starts(rows), side="right")

    def crossing(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Which of ``rows``, that end inside their packs, do not end in the piece they start in."""
        wrong: NDArray[Any] = _starts(rows) + rows["stored"] > self._ends[self.find(rows)]
        return wrong


def _position(pack: int, offset: int) -> int:
    return (pack << int(_PACK_BITS)) + offset


def _starts(rows: NDArray[Any]) -> NDArray[Any]:
    starts: NDArray[Any] = (rows["pack"].astype(np.uint64) << _PACK_BITS) + rows["pack_offset"]
    return starts


def lenders_to_json(lenders: Sequence[Lender]) -> list[dict[str, Any]]:
    """``lenders`` as the manifest has them."""
    return [
        {"name": one.name, "index": {"digest": one.index_digest.hex(), "records": one.chunk_count}}
        for one in lenders
    ]


def lenders_from_json(value: Any) -> tuple[Lender, ...]:
    """The lenders that ``value`` spells. Raises TypeError, ValueError or KeyError."""
    lenders = tuple(_lender(one) for one in listed(value))
    if len({one.name for one in lenders}) < len(lenders):
        raise ValueError("a lender that is named twice")
    return lenders


def pieces_to_json(pack: BorrowedPack) -> list[list[int]]:
    """The pieces of ``pack`` as the manifest has them."""
    return [[p.lender, p.pack, p.offset, p.length] for p in pack.pieces]


def borrowed_from_json(packs: Any, sizes: Sequence[int], lenders: int) -> tuple[BorrowedPack, ...]:
    """The borrowed ones of a manifest's ``packs``, which have ``sizes``, from so many ``lenders``.

    Raises TypeError, ValueError or KeyError.
    """
    spelled = [(number, listed(p["pieces"])) for number, p in enumerate(packs) if "pieces" in p]
    if sum(len(pieces) for _, pieces in spelled) > MOST_PIECES:
        raise ValueError(f"borrowed packs of more than {MOST_PIECES} pieces")
    borrowed = tuple(BorrowedPack(n, tuple(map(_piece, pieces))) for n, pieces in spelled)
    for pack in borrowed:
        if not pack.pieces or pack.size != sizes[pack.number]:
            raise ValueError(f"pieces that do not make the {sizes[pack.number]} bytes of their pack")
    if {p.lender for pack in borrowed for p in pack.pieces} != set(range(lenders)) or not lenders:
        raise ValueError("borrowed packs that are not of all lenders, and of them alone")
    return borrowed


def _lender(value: Any) -> Lender:
    name = text(value["name"])
    if not NAME.fullmatch(name):
        raise ValueError(f"a lender named {name[:120]!r}")
    index = value["index"]
    return Lender(name, hex_digest(index["digest"]), whole(index["records"]))


def _piece(value: Any) -> Piece:
    lender, pack, offset, length = map(whole, listed(value))
    if not 0 < length <= PACK_LIMIT - offset:
        raise ValueError(f"a piece of {length} bytes at byte {offset} of a pack")
    return Piece(lender, pack, offset, length)
