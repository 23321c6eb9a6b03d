"""The sender's side of vetting: symbol digests of single blocks, computed when a client asks."""

from __future__ import annotations

import threading
from collections import OrderedDict

from castcore.cast.blocks import BlockTable
from castcore.cast.vetting import block_digests
from castcore.chunks import ChunkSource
from castcore.edge.castblocks import Block
from castcore.errors import NotFound

# What poisons one client poisons the group: all ask for the same blocks, 32 KiB each, at about the
# same time.
KEPT = 64


class SymbolDigests:
    """Digests of the blocks of a cast; every method may be called from any thread.

    One block is read and hashed at a time, so that asking cannot take the machine from the sender.
    """

    def __init__(self, source: ChunkSource, table: BlockTable) -> None:
        self._source, self._table = source, table
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, block: int) -> bytes:
        """The digests of ``block``. Raises NotFound, DiskFailed, BadImage."""
        if not 0 <= block < len(self._table):
            raise NotFound(f"this cast has no block {block}", hint="read the descriptor again")
        with self._lock:
            told = self._kept.pop(block, None) or self._compute(block)
            self._kept[block] = told
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return told

    def _compute(self, block: int) -> bytes:
        held = Block(self._table, session=0)
        held.read(self._source, block)
        return block_digests(self._table, block, held.symbols)
