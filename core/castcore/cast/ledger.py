"""Where every chunk of a cast stands at one receiver, and by which way its bytes came."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable, Ints


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
    """The chunks that travel; counts are stored bytes."""

    def __init__(self, table: BlockTable) -> None:
        self._table = table
        self._state = np.full(len(table.chunks), ChunkState.MISSING, np.uint8)
        self._slot = {int(chunk): slot for slot, chunk in enumerate(table.chunks)}
        self._block_of = np.repeat(np.arange(len(table)), np.diff(table.slot_of))
        self._left = np.diff(table.slot_of).copy()
        self._next = 0
        self.done_blocks = np.zeros(len(table), np.bool_)
        self.multicast = self.unicast = self.repaired = 0
        self.refused = self.fetching = self.done_chunks = 0

    @property
    def complete(self) -> bool:
        """Whether every chunk was put."""
        return self.done_chunks == len(self._state)

    def settled(self, block: int) -> bool:
        """Whether the multicast symbols of ``block`` are of no further use."""
        slots = self._table.slots(block)
        states = self._state[slots.start : slots.stop]
        return bool((states >= ChunkState.SPOILED).all())

    def lacking(self) -> NDArray[np.bool_]:
        """The blocks whose multicast symbols are of use, or are just being put."""
        if not len(self._table):
            return np.zeros(0, np.bool_)
        wanted: NDArray[np.bool_] = self._state < ChunkState.SPOILED
        return np.logical_or.reduceat(wanted, self._table.slot_of[:-1])

    def deliver(self, chunk: int) -> bool:
        """A chunk's bytes are complete; True if the sink shall have them."""
        slot = self._slot[chunk]
        if self._state[slot] != ChunkState.MISSING:
            return False
        self._state[slot] = ChunkState.DELIVERED
        return True

    def put(self, chunk: int) -> None:
        """The sink took a delivered chunk."""
        slot = self._slot[chunk]
        self.multicast += int(self._table.lengths[slot])
        self._done(slot)

    def refuse(self, chunk: int, *, doubt: bool) -> None:
        """The sink refused a delivered chunk: it is fetched, unless its block is to be vetted first."""
        self.refused += 1
        self._state[self._slot[chunk]] = ChunkState.DOUBTED if doubt else ChunkState.SPOILED

    def resolve(self, block: int, *, vetted: bool) -> Ints:
        """The doubted chunks of ``block`` come again by multicast, or else are fetched.

        Returns their places in the block.
        """
        slots = self._table.slots(block)
        doubted = np.flatnonzero(self._state[slots.start : slots.stop] == ChunkState.DOUBTED)
        self._state[slots.start + doubted] = ChunkState.MISSING if vetted else ChunkState.SPOILED
        return doubted

    def block_of(self, chunk: int) -> int:
        """The block that carries ``chunk``."""
        return int(self._block_of[self._slot[chunk]])

    def putting(self, block: int) -> bool:
        """Whether the sink is just taking chunks of ``block``."""
        slots = self._table.slots(block)
        return bool((self._state[slots.start : slots.stop] == ChunkState.DELIVERED).any())

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
        return [int(c) for c in self._table.chunks[chosen]]

    def fetched(self, chunk: int, *, good: bool) -> None:
        """A fetched chunk was put, or could not be had; then it is fetched again later."""
        slot = self._slot[chunk]
        self.fetching -= 1
        if good:
            self.unicast += int(self._table.lengths[slot])
            self._done(slot)
        else:
            self._state[slot] = ChunkState.SPOILED

    def _done(self, slot: int) -> None:
        self._state[slot] = ChunkState.DONE
        self.done_chunks += 1
        block = self._block_of[slot]
        self._left[block] -= 1
        self.done_blocks[block] = self._left[block] == 0
