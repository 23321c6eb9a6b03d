"""Where every chunk of a cast stands at one receiver, and by which way its bytes came."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable, Ints
from castcore.cast.chunkset import ChunkSet
from castcore.cast.values import ReceiveResult

# The block of a chunk that the present table has not.
OUTSIDE = -1


class ChunkState(IntEnum):
    """MISSING -> DELIVERED (to the sink) -> DONE; SPOILED -> FETCHING -> DONE.

    What the sink refused is DOUBTED until the symbols of its block were vetted, then MISSING again.
    """

    MISSING = 0
    DELIVERED = 1
    DOUBTED = 2
    SPOILED = 3
    FETCHING = 4
    DONE = 5


class Ledger:
    """The chunks of a cast, by number; counts are stored bytes, ``kept`` those that were ``held``.

    Blocks are those of the table followed last; chunks outside it keep their state.
    """

    def __init__(self, table: BlockTable, held: ChunkSet | None = None) -> None:
        self._lengths = table.stored
        self._state = np.full(len(table.stored), ChunkState.DONE, np.uint8)
        self._state[table.chunks] = ChunkState.MISSING
        self._total = len(table.chunks)
        self.multicast = self.unicast = self.peers = self.repaired = 0
        self.refused = self.fetching = self.done_chunks = self.kept = 0
        if held is not None:
            kept = np.flatnonzero(held.mask() & (self._state == ChunkState.MISSING))
            self._state[kept] = ChunkState.DONE
            self.done_chunks, self.kept = len(kept), int(self._lengths[kept].sum())
        self.follow(table)

    def follow(self, table: BlockTable) -> None:
        """Blocks are those of ``table`` from now on."""
        self._table = table
        # Their symbols are not to be had any more: they come again.
        self._state[self._state == ChunkState.DOUBTED] = ChunkState.MISSING
        self._block_of = np.full(len(self._state), OUTSIDE, np.int64)
        self._block_of[table.chunks] = np.repeat(np.arange(len(table)), np.diff(table.slot_of))
        left = self._block_of[table.chunks[self._state[table.chunks] != ChunkState.DONE]]
        self._left = np.bincount(left, minlength=len(table))
        self.done_blocks = self._left == 0

    @property
    def complete(self) -> bool:
        """Whether every chunk was put."""
        return self.done_chunks == self._total

    @property
    def held(self) -> ChunkSet:
        """The chunks that the sink has."""
        return ChunkSet.of((self._state == ChunkState.DONE) & (self._lengths > 0))

    def outside(self) -> bool:
        """Whether a chunk is missing that is in no block."""
        missing = self._state == ChunkState.MISSING
        return bool((missing & (self._block_of == OUTSIDE)).any())

    def settled(self, block: int) -> bool:
        """Whether the multicast symbols of ``block`` are of no further use."""
        return bool((self._state[self._chunks_of(block)] >= ChunkState.SPOILED).all())

    def lacking(self) -> NDArray[np.bool_]:
        """The blocks whose multicast symbols are of use, or are just being put."""
        if not len(self._table):
            return np.zeros(0, np.bool_)
        wanted: NDArray[np.bool_] = self._state[self._table.chunks] < ChunkState.SPOILED
        return np.logical_or.reduceat(wanted, self._table.slot_of[:-1])

    def result(self, seconds: float) -> ReceiveResult:
        """What came by which way, in so many ``seconds``."""
        return ReceiveResult(
            *(self.multicast, self.unicast, self.repaired, seconds),
            refused=self.refused,
            kept=self.kept,
            peers=self.peers,
        )

    def deliver(self, chunk: int) -> bool:
        """A chunk's bytes are complete; True if the sink shall have them."""
        if self._state[chunk] != ChunkState.MISSING:
            return False
        self._state[chunk] = ChunkState.DELIVERED
        return True

    def put(self, chunk: int) -> None:
        """The sink took a delivered chunk."""
        self.multicast += int(self._lengths[chunk])
        self._done(chunk)

    def refuse(self, chunk: int, *, doubt: bool) -> None:
        """The sink refused a delivered chunk: it is fetched, unless its block is to be vetted first."""
        self.refused += 1
        self._state[chunk] = ChunkState.DOUBTED if doubt else ChunkState.SPOILED

    def resolve(self, block: int, *, vetted: bool) -> Ints:
        """The doubted chunks of ``block`` come again by multicast, or else are fetched.

        Returns their places in the block.
        """
        chunks = self._chunks_of(block)
        doubted = np.flatnonzero(self._state[chunks] == ChunkState.DOUBTED)
        self._state[chunks[doubted]] = ChunkState.MISSING if vetted else ChunkState.SPOILED
        return doubted

    def block_of(self, chunk: int) -> int:
        """The block that carries ``chunk``, or OUTSIDE."""
        return int(self._block_of[chunk])

    def putting(self, block: int) -> bool:
        """Whether the sink is just taking chunks of ``block``."""
        return bool((self._state[self._chunks_of(block)] == ChunkState.DELIVERED).any())

    def fetch(self, most: int, *, every: bool, but: Iterable[int] = ()) -> list[int]:
        """Up to ``most`` chunks to fetch now: spoiled ones, then (``every``) any that is missing.

        Missing ones of the blocks ``but`` are left: what was received completes them.
        """
        chosen = np.flatnonzero(self._state == ChunkState.SPOILED)[:most]
        if every and len(chosen) < most:
            wanted = self._state == ChunkState.MISSING
            wanted &= ~np.isin(self._block_of, list(but))
            missing = np.flatnonzero(wanted)
            chosen = np.concatenate((chosen, missing[: most - len(chosen)]))
        self._state[chosen] = ChunkState.FETCHING
        self.fetching += len(chosen)
        return [int(c) for c in chosen]

    def given(self, chunk: int) -> None:
        """Another client gave a chunk that was to be fetched, and it was put."""
        self.fetching -= 1
        self.peers += int(self._lengths[chunk])
        self._done(chunk)

    def fetched(self, chunk: int, *, good: bool) -> None:
        """A fetched chunk was put, or could not be had; then it is fetched again later."""
        self.fetching -= 1
        if good:
            self.unicast += int(self._lengths[chunk])
            self._done(chunk)
        else:
            self._state[chunk] = ChunkState.SPOILED

    def _chunks_of(self, block: int) -> Ints:
        slots = self._table.slots(block)
        return self._table.chunks[slots.start : slots.stop]

    def _done(self, chunk: int) -> None:
        self._state[chunk] = ChunkState.DONE
        self.done_chunks += 1
        block = self._block_of[chunk]
        if block != OUTSIDE:
            self._left[block] -= 1
            self.done_blocks[block] = self._left[block] == 0
