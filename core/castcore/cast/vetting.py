"""Symbol digests: which symbols of a block are the image's, known from the server over TLS.

Eight bytes of BLAKE3 for every symbol of the block, source and parity, in the order of a receiver's
buffer (:class:`castcore.cast.holding.Holding`). Nobody can make another symbol with the same digest in
less than 2^64 tries; should one match by chance, the chunk's own hash still keeps it off the disk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable
from castcore.cast.constants import PARITY_ROWS, SOURCE_ROWS
from castcore.cast.data import Headers, Symbols
from castcore.cast.parity import encode
from castcore.errors import BadPacket
from castcore.trust import short_digest

DIGEST_SIZE = 8

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Digests = NDArray[np.void]

_DIGEST = np.dtype(f"V{DIGEST_SIZE}")


def digests_size(table: BlockTable, block: int) -> int:
    """Bytes of all symbol digests of ``block``."""
    rows = int(table.symbols[block]) + int(table.stripes[block]) * PARITY_ROWS
    return rows * DIGEST_SIZE


def block_digests(table: BlockTable, block: int, symbols: Symbols) -> bytes:
    """The digests of a block with these source ``symbols``, and of all parity they can give."""
    stripes = int(table.stripes[block])
    parity = np.arange(PARITY_ROWS)
    told = [_digests(symbols)]
    told += [_digests(encode(symbols[stripe::stripes], parity)) for stripe in range(stripes)]
    return b"".join(told)


class Vetting:
    """The digests of the blocks under suspicion; a symbol of theirs that differs is not let in."""

    def __init__(self, table: BlockTable) -> None:
        self._table = table
        self._digests: dict[int, Digests] = {}

    def __bool__(self) -> bool:
        return bool(self._digests)

    def learn(self, block: int, told: bytes) -> None:
        """The server told the digests of ``block``. Raises BadPacket when they are not as many."""
        size = digests_size(self._table, block)
        if len(told) != size:
            raise BadPacket(f"{len(told)} bytes of symbol digests of block {block}, not {size}")
        self._digests[block] = np.frombuffer(told, _DIGEST)

    def forget(self, block: int) -> None:
        """``block`` is no longer held."""
        self._digests.pop(block, None)

    def wrong(self, block: int, rows: Ints, buffer: Symbols) -> Ints:
        """Those of the ``rows`` of a block's buffer whose symbols are not the image's."""
        found = np.frombuffer(_digests(buffer[rows]), _DIGEST)
        wrong: Ints = rows[found != self._digests[block][rows]]
        return wrong

    def good(self, headers: Headers, symbols: Symbols) -> Mask:
        """Which packets of a burst may be let in, as far as blocks under suspicion go."""
        good = np.ones(len(headers), np.bool_)
        for block in np.unique(headers["block"]).tolist():
            digests = self._digests.get(block)
            if digests is not None:
                mine = np.flatnonzero(headers["block"] == block)
                place = self._places(block, headers[mine])
                mine, place = mine[place >= 0], place[place >= 0]
                found = np.frombuffer(_digests(symbols[mine]), _DIGEST)
                good[mine] = found == digests[place]
        return good

    def _places(self, block: int, headers: Headers) -> Ints:
        """The buffer rows where these packets of ``block`` belong; -1 for what has no place there."""
        count, stripes = int(self._table.symbols[block]), int(self._table.stripes[block])
        stripe, row = headers["stripe"].astype(np.int64), headers["row"].astype(np.int64)
        source = row < SOURCE_ROWS
        index = row * stripes + stripe
        parity = count + stripe * PARITY_ROWS + row - SOURCE_ROWS
        there = (stripe < stripes) & (~source | (index < count))
        return np.where(there, np.where(source, index, parity), -1)


def _digests(symbols: Symbols) -> bytes:
    return b"".join(short_digest(symbol.data, DIGEST_SIZE) for symbol in symbols)
