"""What a receiver has its workers do: put chunks into the sink, fetch them, ask what is cast now.

Each runs in a worker's thread and returns what to tell the core in the receiver's own.
"""

from __future__ import annotations

from castcore.cast.actions import Select
from castcore.cast.blocks import BlockTable
from castcore.cast.chunkset import ChunkSet
from castcore.cast.protection import unseal
from castcore.cast.receiver import ReceiverCore
from castcore.chunks import ChunkSink
from castcore.edge.cast.control import CastControl
from castcore.edge.cast.peers import PeerClient
from castcore.edge.cast.workers import Result
from castcore.errors import BadPacket, Busy, NetworkFailed, Untrusted

# A fetched chunk that is not the image's so often: the server's copy is damaged.
REFUSALS_MAX = 3


class Errands:
    """The way of chunks from the group, the server (``control``) or ``peers`` into ``sink``."""

    def __init__(
        self, control: CastControl, sink: ChunkSink, peers: PeerClient | None, core: ReceiverCore
    ) -> None:
        self._control, self._sink, self._peers, self._core = control, sink, peers, core
        self._refusals: dict[int, int] = {}

    def put(self, chunk: int, view: memoryview, seal_key: bytes) -> Result:
        """Put a received chunk, sealed when there is a ``seal_key``. Raises DiskFailed."""
        try:
            self._sink.put(chunk, unseal(seal_key, chunk, view) if seal_key else view)
        except Untrusted:
            return lambda _: self._core.on_put(chunk, good=False)
        return lambda _: self._core.on_put(chunk, good=True)

    def fetch(self, chunk: int) -> Result:
        """Get a chunk from a peer, else the server. Raises Untrusted: the server's own is damaged."""
        if self._peers is not None and self._peers.fetch(chunk):
            return lambda _: self._core.ledger.given(chunk)
        try:
            self._sink.put(chunk, self._control.chunk(chunk))
        except NetworkFailed as error:
            alive = isinstance(error, Busy)
            return lambda now: self._core.on_fetched(now, chunk, good=False, alive=alive)
        except Untrusted:
            self._refusals[chunk] = self._refusals.get(chunk, 0) + 1
            if self._refusals[chunk] >= REFUSALS_MAX:
                raise
            return lambda now: self._core.on_fetched(now, chunk, good=False)
        return lambda now: self._core.on_fetched(now, chunk, good=True)

    def select(self, wanted: Select, table: BlockTable) -> Result:
        """Learn which chunks of the image's ``table`` travel now."""
        selected = None
        try:
            data = self._control.selection(wanted.number)
            chunks = ChunkSet.decode(data, len(table.stored))
            if chunks.digest() == wanted.digest:
                selected = table.select(chunks)
        except (NetworkFailed, BadPacket):
            pass  # it is asked for again
        return lambda now: self._core.on_selected(now, wanted.number, selected)

    def flush(self) -> Result:
        """Make everything durable. Raises DiskFailed."""
        self._sink.flush()
        return lambda _: self._core.on_flushed()
