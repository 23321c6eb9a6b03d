"""What a new image need not store: which contents an older one lends, and the packs made of loans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from castcore.image.borrowing import MOST_PIECES, BorrowedPack, Lender, Piece, PieceTable
from castcore.image.index import Index
from castcore.image.manifest import Manifest
from castcore.image.record import PACK_LIMIT, ChunkKind, Codec
from castcore.image.storeddigests import NOTHING

# Loans that may be on their way when the last one is promised: each thread has a few.
_ON_THE_WAY = 4096


@dataclass(frozen=True, slots=True)
class Loan:
    """A content's stored bytes in an own pack of another image: where they are, and how encoded.

    ``digest`` is theirs.
    """

    lender: Lender
    pack: int
    offset: int
    stored: int
    codec: Codec
    digest: bytes = NOTHING


class Lending:
    """What the image called ``name`` in its store lends, found by the digest of a content.

    ``borrowed`` are those of its packs that it has not itself: what lies there is lent by its owner.
    """

    def __init__(
        self, name: str, manifest: Manifest, index: Index, borrowed: Sequence[BorrowedPack] = ()
    ) -> None:
        self._self = Lender(name, manifest.index_digest, manifest.chunk_count)
        self._lenders = manifest.lenders
        self._borrowed = {pack.number: pack for pack in borrowed}
        self._index = index
        # By the first bytes of the digest, sorted: 16 bytes for each chunk, where a dict takes 200.
        keys = index.digest_keys()
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def find(self, digest: bytes) -> int | None:
        """A chunk of this content; None: there is none."""
        key = np.uint64(int.from_bytes(digest[:8], "little"))
        at = int(np.searchsorted(self._keys, key))
        if at == len(self._keys):
            return None
        chunk = int(self._order[at])
        record = self._index.records[chunk]
        # Two digests that begin alike: the second is not found, and stored once more.
        return chunk if record.digest == digest and record.kind is ChunkKind.DATA else None

    def loan(self, chunk: int) -> Loan:
        """Where the stored bytes of ``chunk`` really are."""
        record = self._index.records[chunk]
        pack = self._borrowed.get(record.pack)
        if pack is None:
            place = (self._self, record.pack, record.pack_offset)
        else:
            piece, offset = pack.place(record.pack_offset)
            place = (self._lenders[piece.lender], piece.pack, offset)
        return Loan(*place, record.stored, record.codec)


class LoanBook:
    """Puts loans together to borrowed packs of at most ``limit`` bytes, in the order they come."""

    def __init__(self, limit: int = PACK_LIMIT) -> None:
        self._limit = limit
        self._lenders: dict[Lender, int] = {}
        self._packs: list[tuple[int, list[Piece]]] = []
        self._size = 0
        self._pieces = 0

    @property
    def full(self) -> bool:
        """Whether an image can hardly have more pieces: then contents are to be stored."""
        return self._pieces + _ON_THE_WAY >= MOST_PIECES

    @property
    def lenders(self) -> tuple[Lender, ...]:
        """Whom pieces are of, by number."""
        return tuple(self._lenders)

    @property
    def borrowed(self) -> tuple[BorrowedPack, ...]:
        """The packs so far."""
        return tuple(BorrowedPack(number, tuple(pieces)) for number, pieces in self._packs)

    def fits(self, loan: Loan) -> bool:
        """Whether ``loan`` goes into the pack that was opened last."""
        return bool(self._packs) and self._size + loan.stored <= self._limit

    def open(self, number: int) -> None:
        """Begin the pack with that number of the new image."""
        self._packs.append((number, []))
        self._size = 0

    def enter(self, loan: Loan) -> tuple[int, int]:
        """Put ``loan``, which fits, behind the last one; return its pack and the offset there."""
        number, pieces = self._packs[-1]
        lender = self._lenders.setdefault(loan.lender, len(self._lenders))
        last = pieces[-1] if pieces else None
        if last and (last.lender, last.pack, last.offset + last.length) == (
            lender,
            loan.pack,
            loan.offset,
        ):
            pieces[-1] = Piece(lender, loan.pack, last.offset, last.length + loan.stored)
        else:
            pieces.append(Piece(lender, loan.pack, loan.offset, loan.stored))
            self._pieces += 1
        self._size += loan.stored
        return number, self._size - loan.stored


@dataclass(frozen=True, slots=True)
class Borrowing:
    """What an image has from ``lender``: so many ``chunks``, stored in so many ``bytes`` there."""

    lender: str
    chunks: int
    bytes: int


def borrowings(
    manifest: Manifest, index: Index, borrowed: Sequence[BorrowedPack]
) -> tuple[Borrowing, ...]:
    """What the image has from each lender in those of its packs that are ``borrowed``."""
    table = PieceTable(borrowed)
    counts = np.bincount(table.find(index.rows_in(borrowed)), minlength=len(table.pieces))
    chunks, stored = [0] * len(manifest.lenders), [0] * len(manifest.lenders)
    for piece, count in zip(table.pieces, counts.tolist(), strict=True):
        chunks[piece.lender] += count
        stored[piece.lender] += piece.length
    return tuple(
        Borrowing(lender.name, *of_one)
        for lender, *of_one in zip(manifest.lenders, chunks, stored, strict=True)
        if of_one[1]
    )
