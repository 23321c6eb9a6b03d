"""Which chunks travel: the sender's present selection, and the one a receiver follows.

A cast whose clients hold most of the image already sends only what somebody lacks. Selection 0 is
everything; each later one has its own block table, so that scattered chunks drag no blocks along.
Beacons name the present one; its chunks are had over TLS and proven by the digest in the beacon.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from castcore.cast.actions import Select
from castcore.cast.blocks import BlockTable
from castcore.cast.chunkset import ChunkSet
from castcore.cast.messages import Beacon

# The number is one byte of every data packet; after the last selection only laps and unicast are left.
SELECTIONS_MAX = 255
# So long at most the first data waits for clients to learn what it will be.
SELECT_SECONDS = 1.0
# A selection that is less than this share of a lap over the same blocks is worth the way.
WORTH_SHARE = 0.5
# A selection that could not be had is asked for again after this.
ASK_AGAIN_SECONDS = 0.5


class Selector:
    """The sender's selections: ``number``, ``chunks`` and ``table`` are the present one's.

    ``whole`` and ``every`` are set and table of all chunks that travel.
    """

    def __init__(self, whole: BlockTable) -> None:
        self.whole = whole.chunk_set()
        self.table, self.every = whole, whole
        self.chunks = self.whole
        self.number = 0
        self.digest = bytes(len(self.whole.digest()))

    @property
    def spent(self) -> bool:
        """Whether there can be no further selection."""
        return self.number >= SELECTIONS_MAX

    def choose(self, chunks: ChunkSet) -> None:
        """Make these the next selection."""
        self.number += 1
        self.chunks, self.digest = chunks, chunks.digest()
        if chunks == self.whole:
            self.chunks, self.table = self.whole, self.every
        else:
            self.table = self.every.select(chunks)

    def of_blocks(self, blocks: NDArray[np.bool_]) -> ChunkSet:
        """The chunks of these blocks of the present table."""
        table = self.table
        mask = np.zeros(self.whole.count, np.bool_)
        mask[table.chunks[np.repeat(blocks, np.diff(table.slot_of))]] = True
        return ChunkSet.of(mask)

    def worth(self, chunks: ChunkSet, demand: NDArray[np.bool_]) -> bool:
        """Whether sending ``chunks`` alone is much less than a lap over the blocks ``demand``."""
        alone = int(self.every.stored[chunks.mask()].sum())
        return alone < WORTH_SHARE * int(self.table.sizes[demand].sum())


class Follower:
    """The selection that a receiver follows."""

    def __init__(self, whole: BlockTable) -> None:
        self._whole = whole
        self._every: bytes | None = None
        self.table, self.number = whole, 0
        self._ask_after = 0.0

    def restart(self) -> None:
        """Another session begins with everything."""
        self.table, self.number, self._ask_after = self._whole, 0, 0.0

    def adopt(self, number: int, table: BlockTable) -> None:
        """``table`` is that of selection ``number``."""
        self.table, self.number, self._ask_after = table, number, 0.0

    def follows(self, beacon: Beacon | None) -> bool:
        """Whether the sender is at our selection (also when it has not told yet)."""
        return beacon is None or beacon.selection == self.number

    def everything(self, beacon: Beacon) -> BlockTable | None:
        """The table of the beacon's selection when that is everything again."""
        if self._every is None:
            self._every = self._whole.chunk_set().digest()
        return self._whole if beacon.selection_digest == self._every else None

    def ask(self, now: float, beacon: Beacon | None) -> list[Select]:
        """What to ask the server for now."""
        if beacon is None or self.follows(beacon) or now < self._ask_after:
            return []
        self._ask_after = now + ASK_AGAIN_SECONDS
        return [Select(beacon.selection, beacon.selection_digest)]
