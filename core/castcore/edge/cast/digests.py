"""The sender's side of vetting: symbol digests of single blocks, computed when a client asks."""

from __future__ import annotations

import threading
from collections import OrderedDict

from castcore.cast.blocks import BlockTable
from castcore.cast.vetting import block_digests
from castcore.chunks import ChunkSource
from castcore.edge.cast.blocks import Block
from castcore.errors import InUse, NotFound

# What poisons one client poisons the group: all ask for the same blocks, 32 KiB each, at about the
# same time.
KEPT = 64


class SymbolDigests:
    """Digests of the blocks of a cast's ``selection``; every method may be called from any thread.

    One block is read and hashed at a time, so that asking cannot take the machine from the sender.
    """

    def __init__(self, source: ChunkSource, table: BlockTable, selection: int) -> None:
        self._source, self._table, self._selection = source, table, selection
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, selection: int, block: int) -> bytes:
        """The digests of ``block``. Raises InUse (another selection), NotFound, DiskFailed, BadImage."""
        if selection != self._selection:
            raise InUse(
                f"selection {self._selection} is cast now, not {selection}", hint="a beacon tells which"
            )
        if not 0 <= block < len(self._table):
            raise NotFound(f"this cast has no block {block}", hint="read the descriptor again")
        with self._lock:
            told = self._kept.pop(block, None) or self._compute(block)
            self._kept[block] = told
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return told

    def _compute(self, block: int) -> bytes:
        held = Block(self._table, session=0, selection=self._selection)
        held.read(self._source, block)
        return block_digests(self._table, block, held.symbols)
