"""A sender's blocks: read from the image once, kept in a bounded cache for the repairs that follow.

Read with the source's own pread, never mapped: a medium pulled out must not kill the server.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable
from castcore.cast.constants import DATAGRAM_SIZE
from castcore.cast.data import DATA_TYPE, datagram
from castcore.cast.parity import encode
from castcore.cast.sender import ParityBurst, SourceBurst
from castcore.chunks import ChunkSource
from castcore.errors import BadImage

Symbols = NDArray[np.uint8]

# Repair trails the head by well under a second: 256 MiB is that at 10 Gbit/s, rounded down.
CACHE_BYTES = 256 << 20
BURST_ROWS = 64


class BlockCache:
    """Blocks as arrays of symbols, least recently used first out; the next one is read ahead."""

    def __init__(self, source: ChunkSource, table: BlockTable, size: int = CACHE_BYTES) -> None:
        self._source, self._table = source, table
        self._most = max(size // (table.symbol_size * 3072), 3)
        self._blocks: OrderedDict[int, Future[Symbols]] = OrderedDict()
        self._lock = threading.Lock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="cast-read")

    def get(self, block: int) -> Symbols:
        """The symbols of ``block``, (n, symbol size), read-only. Raises DiskFailed or BadImage."""
        found = self._entry(block)
        if block + 1 < len(self._table):
            self._entry(block + 1)
        return found.result()

    def close(self) -> None:
        """Stop reading ahead."""
        self._reader.shutdown(cancel_futures=True)

    def _entry(self, block: int) -> Future[Symbols]:
        with self._lock:
            found = self._blocks.get(block)
            if found is None:
                found = self._blocks[block] = self._reader.submit(self._read, block)
                while len(self._blocks) > self._most:
                    self._blocks.popitem(last=False)
            else:
                self._blocks.move_to_end(block)
            return found

    def _read(self, block: int) -> Symbols:
        table = self._table
        rows = np.zeros((int(table.symbols[block]), table.symbol_size), np.uint8)
        flat = rows.reshape(-1)
        for piece in table.pieces(block):
            stored = self._source.read_stored(piece.chunk)
            if len(stored) != piece.length:
                raise BadImage(
                    f"chunk {piece.chunk} has {len(stored)} stored bytes where {piece.length} belong"
                )
            flat[piece.start : piece.start + piece.length] = np.frombuffer(stored, np.uint8)
        rows.flags.writeable = False
        return rows


class BurstWriter:
    """Turns bursts into back-to-back DATA datagrams in one preallocated buffer."""

    def __init__(self, table: BlockTable, session: int) -> None:
        self._table = table
        self._flat = np.zeros(BURST_ROWS * DATAGRAM_SIZE, np.uint8)
        self._packets = self._flat.view(datagram(table.symbol_size))
        self._packets["header"]["vt"] = DATA_TYPE
        self._packets["header"]["session"] = session
        self._counter = np.arange(BURST_ROWS, dtype=np.int64)

    def write(self, burst: SourceBurst | ParityBurst, block: Symbols) -> memoryview:
        """The datagrams of ``burst``; valid until the next call."""
        stripes = int(self._table.stripes[burst.block])
        if isinstance(burst, SourceBurst):
            count = burst.count
            index = self._counter[:count] + burst.first
            of, rows = index % stripes, index // stripes
            self._packets["symbol"][:count] = block[burst.first : burst.first + count]
        else:
            count = len(burst.rows)
            of, rows = burst.stripes.astype(np.int64), burst.rows.astype(np.int64)
            self._parity(burst, block, stripes)
        header = self._packets["header"][:count]
        header["flags"], header["block"], header["symbols"] = burst.flags, burst.block, len(block)
        header["stripe"], header["row"] = of, rows
        header["pseq"] = (self._counter[:count] + burst.pseq) & 0xFFFFFFFF
        return self._flat.data[: count * DATAGRAM_SIZE]

    def _parity(self, burst: ParityBurst, block: Symbols, stripes: int) -> None:
        for stripe in np.unique(burst.stripes):
            mine = np.flatnonzero(burst.stripes == stripe)
            numbers = burst.rows[mine].astype(np.int64) - 192
            self._packets["symbol"][mine] = encode(block[int(stripe) :: stripes], numbers)
