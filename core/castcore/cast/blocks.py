"""The block table: how stored chunks become blocks, stripes and symbols. Both ends compute it alike.

Chunks are packed in order into blocks of at most ``BLOCK_MAX`` bytes; a chunk never crosses a block.
Symbol ``i`` of a block belongs to stripe ``i % S`` and is its row ``i // S`` (PROTOCOL.md, "Blocks").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castcore.cast.chunkset import ChunkSet
from castcore.cast.constants import BLOCK_MAX, HEADER_SIZE, SOURCE_ROWS, SYMBOL_SIZE
from castcore.errors import BadImage
from castcore.trust import digest

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk's place in its block: bytes ``start`` to ``start + length``."""

    chunk: int
    start: int
    length: int


@dataclass(frozen=True)
class BlockTable:
    """Every block of a cast. The travelling chunks are numbered by their *slot*, 0 and up.

    ``stored`` is every chunk's stored length, whether it travels or not, by chunk.
    ``chunks``, ``starts``, ``lengths`` are by slot; ``slot_of`` has len(table) + 1 entries: the slots
    of block ``b`` are ``slot_of[b]`` to ``slot_of[b + 1]``. ``sizes``, ``symbols`` and ``stripes``
    are by block.
    """

    symbol_size: int
    stored: Ints
    chunks: Ints
    starts: Ints
    lengths: Ints
    slot_of: Ints
    sizes: Ints
    symbols: Ints
    stripes: Ints

    @classmethod
    def build(cls, stored_lengths: Sequence[int], symbol_size: int = SYMBOL_SIZE) -> BlockTable:
        """The table of chunks with these stored lengths (0: does not travel).

        Raises BadImage when a chunk is larger than a block.
        """
        every = np.asarray(stored_lengths, np.int64)
        return cls._of(every, np.flatnonzero(every), symbol_size)

    @classmethod
    def _of(cls, every: Ints, chunks: Ints, symbol_size: int) -> BlockTable:
        lengths = every[chunks]
        if lengths.size and int(lengths.max()) > BLOCK_MAX:
            raise BadImage(f"a stored chunk of {lengths.max()} bytes is larger than a cast block")
        ends = np.concatenate(([0], np.cumsum(lengths)))
        slot_of = [0]
        while slot_of[-1] < len(chunks):
            limit = int(ends[slot_of[-1]]) + BLOCK_MAX
            slot_of.append(int(np.searchsorted(ends, limit, "right")) - 1)
        bounds = np.asarray(slot_of, np.int64)
        sizes = np.diff(ends[bounds])
        starts = ends[:-1] - np.repeat(ends[bounds[:-1]], np.diff(bounds))
        symbols = -(-sizes // symbol_size)
        stripes = -(-symbols // SOURCE_ROWS)
        return cls(symbol_size, every, chunks, starts, lengths, bounds, sizes, symbols, stripes)

    def select(self, chunks: ChunkSet) -> BlockTable:
        """The table of a cast of these chunks alone (those without stored bytes do not travel)."""
        chosen = chunks.mask() & (self.stored > 0)
        return self._of(self.stored, np.flatnonzero(chosen), self.symbol_size)

    def chunk_set(self) -> ChunkSet:
        """The chunks that travel."""
        mask = np.zeros(len(self.stored), np.bool_)
        mask[self.chunks] = True
        return ChunkSet.of(mask)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def datagram_size(self) -> int:
        """Bytes of a DATA datagram: UDP payload."""
        return HEADER_SIZE + self.symbol_size

    @property
    def symbols_max(self) -> int:
        """Symbols of the largest possible block."""
        return -(-BLOCK_MAX // self.symbol_size)

    @property
    def stripes_max(self) -> int:
        """Stripes of the largest possible block."""
        return -(-self.symbols_max // SOURCE_ROWS)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all chunks that travel."""
        return int(self.lengths.sum())

    def slots(self, block: int) -> range:
        """The slots of ``block``'s chunks."""
        return range(int(self.slot_of[block]), int(self.slot_of[block + 1]))

    def pieces(self, block: int) -> list[Piece]:
        """The chunks of ``block``, in order."""
        return [
            Piece(int(self.chunks[s]), int(self.starts[s]), int(self.lengths[s]))
            for s in self.slots(block)
        ]

    def rows(self, block: int, stripe: int) -> int:
        """Source rows of one stripe (the ``k`` of its code)."""
        symbols, stripes = int(self.symbols[block]), int(self.stripes[block])
        return -(-(symbols - stripe) // stripes)


def lengths_digest(stored_lengths: Sequence[int]) -> bytes:
    """BLAKE3 over the stored lengths as big-endian u32: both ends hold the same table if it matches."""
    return digest(np.asarray(stored_lengths, ">u4").tobytes())
