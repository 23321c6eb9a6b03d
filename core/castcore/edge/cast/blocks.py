"""A sender's blocks: read from the image once, kept in a bounded cache for the repairs that follow.

Read with the source's own pread, never mapped: a medium pulled out must not kill the server.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from castcore.cast.blocks import BlockTable
from castcore.cast.constants import SOURCE_ROWS
from castcore.cast.data import DATA_TYPE, datagram
from castcore.cast.outputs import ParityBurst, SourceBurst
from castcore.cast.parity import PARITY_STEP, encode_block
from castcore.cast.protection import tag_burst
from castcore.chunks import ChunkSource
from castcore.errors import BadImage

Symbols = NDArray[np.uint8]

# Repair trails the head by well under a second: 256 MiB is that at 10 Gbit/s, rounded down. Memory that
# is used again stays in the processor's reach and costs no page faults, so it grows when it is missed.
CACHE_BYTES = 256 << 20
BLOCKS_MIN = 6
BLOCKS_STEP = 4
AHEAD = 2
BURST_ROWS = 64


class Block:
    """One block as the datagrams that carry it; flags and packet counter are filled in on sending."""

    def __init__(self, table: BlockTable, session: int, selection: int) -> None:
        rows = table.symbols_max
        self._table = table
        self._flat = np.zeros(rows * table.datagram_size, np.uint8)
        self._packets = self._flat.view(datagram(table.symbol_size))
        self._header = self._packets["header"]
        self._header["vt"] = DATA_TYPE
        self._header["session"], self._header["selection"] = session, selection
        self._index = np.arange(rows)
        self._stripes = 1
        self._parity: dict[int, Symbols] = {}
        self.symbols = self._packets["symbol"]

    def read(self, source: ChunkSource, number: int) -> None:
        """Become block ``number``. Raises DiskFailed or BadImage."""
        self._begin(number)
        for piece in self._table.pieces(number):
            stored = source.read_stored(piece.chunk)
            if len(stored) != piece.length:
                raise BadImage(
                    f"chunk {piece.chunk} has {len(stored)} stored bytes where {piece.length} belong"
                )
            self._put(piece.start, np.frombuffer(stored, np.uint8))

    def _begin(self, number: int) -> None:
        count, stripes = int(self._table.symbols[number]), int(self._table.stripes[number])
        self.symbols = self._packets["symbol"][:count]
        self._stripes = stripes
        self._parity.clear()
        # The last symbol's padding; all else is overwritten.
        self.symbols[-1] = 0
        header, index = self._header[:count], self._index[:count]
        header["block"], header["symbols"] = number, count
        header["stripe"], header["row"] = index % stripes, index // stripes

    def _put(self, start: int, data: Symbols) -> None:
        """Bytes ``start`` and up of the block: the end of a symbol, whole symbols, the begin of one."""
        size = self._table.symbol_size
        row, at = divmod(start, size)
        if at:
            first = data[: size - at]
            self.symbols[row, at : at + len(first)] = first
            data, row = data[len(first) :], row + 1
        whole = len(data) // size
        self.symbols[row : row + whole] = data[: whole * size].reshape(whole, size)
        if rest := len(data) % size:
            self.symbols[row + whole, :rest] = data[-rest:]

    def parity(self, stripes: Symbols, rows: Symbols) -> Symbols:
        """The symbols of these parity rows (0..63), each of the stripe at its place in ``stripes``.

        Computed for all stripes at once, a few rows at a time, and kept for whoever needs more of it.
        """
        out = np.empty((len(rows), self._table.symbol_size), np.uint8)
        groups = rows // PARITY_STEP
        for group in np.unique(groups).tolist():
            mine = np.flatnonzero(groups == group)
            computed = self._parity.get(group)
            if computed is None:
                numbers = np.arange(PARITY_STEP) + group * PARITY_STEP
                computed = self._parity[group] = encode_block(self.symbols, self._stripes, numbers)
            out[mine] = computed[rows[mine] % PARITY_STEP, stripes[mine]]
        return out

    def burst(self, burst: SourceBurst) -> memoryview:
        """The datagrams of ``burst``, where they lie."""
        end = burst.first + burst.count
        header = self._header[burst.first : end]
        header["flags"] = burst.flags
        header["pseq"] = (self._index[: burst.count] + burst.pseq) & 0xFFFFFFFF
        size = self._table.datagram_size
        return self._flat.data[burst.first * size : end * size]


class BlockCache:
    """Blocks of one selection, least recently used first out; the next ones are read ahead.

    For one sending thread: a block it got is valid until it asks for others.
    """

    def __init__(
        self,
        source: ChunkSource,
        table: BlockTable,
        session: int,
        selection: int,
        size: int = CACHE_BYTES,
    ) -> None:
        self._source, self._table = source, table
        self._session, self._selection = session, selection
        self._limit = max(size // (table.symbol_size * table.symbols_max), BLOCKS_MIN)
        self._most = BLOCKS_MIN
        self._dropped: set[int] = set()
        self._blocks: OrderedDict[int, Future[Block]] = OrderedDict()
        self._spare: list[Block] = []
        self._number = -1
        self._current: Block | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="cast-read")

    def get(self, number: int, *, ahead: bool = True) -> Block:
        """Block ``number``, read if need be; ``ahead``: those after it are wanted soon.

        Raises DiskFailed or BadImage.
        """
        if self._current is not None and number == self._number:
            return self._current
        found = self._entry(number)
        # Before others come in: an old block that a repair asks for must not be the one to go.
        self._blocks.move_to_end(number)
        if ahead:
            for following in range(number + 1, min(number + 1 + AHEAD, len(self._table))):
                self._entry(following)
        self._number, self._current = number, found.result()
        return self._current

    def close(self) -> None:
        """Stop reading ahead."""
        self._reader.shutdown(cancel_futures=True)

    def _entry(self, number: int) -> Future[Block]:
        found = self._blocks.get(number)
        if found is None:
            if number in self._dropped:
                self._dropped.discard(number)
                self._most = min(self._most + BLOCKS_STEP, self._limit)
            found = self._blocks[number] = self._reader.submit(self._read, number)
            while len(self._blocks) > self._most:
                gone, old = self._blocks.popitem(last=False)
                self._dropped.add(gone)
                if old.done() and not old.cancelled() and old.exception() is None:
                    self._spare.append(old.result())
        return found

    def _read(self, number: int) -> Block:
        block = self._spare.pop() if self._spare else Block(self._table, self._session, self._selection)
        block.read(self._source, number)
        return block


class BurstWriter:
    """Turns bursts into back-to-back DATA datagrams: source where it lies, parity on the spot.

    With a ``tag_key`` each gets its tag.
    """

    def __init__(self, table: BlockTable, session: int, selection: int, tag_key: bytes = b"") -> None:
        self._table, self._tag_key = table, tag_key
        self._flat = np.zeros(BURST_ROWS * table.datagram_size, np.uint8)
        self._packets = self._flat.view(datagram(table.symbol_size))
        self._packets["header"]["vt"] = DATA_TYPE
        self._packets["header"]["session"] = session
        self._packets["header"]["selection"] = selection
        self._counter = np.arange(BURST_ROWS, dtype=np.int64)

    def write(self, burst: SourceBurst | ParityBurst, block: Block) -> memoryview:
        """The datagrams of ``burst``; valid until the next call."""
        packets = block.burst(burst) if isinstance(burst, SourceBurst) else self._repairs(burst, block)
        if self._tag_key:
            tag_burst(packets, self._table.symbol_size, self._tag_key)
        return packets

    def _repairs(self, burst: ParityBurst, block: Block) -> memoryview:
        count = len(burst.rows)
        parity = (burst.rows - SOURCE_ROWS).astype(np.uint8)
        self._packets["symbol"][:count] = block.parity(burst.stripes, parity)
        header = self._packets["header"][:count]
        header["flags"], header["block"], header["symbols"] = (
            burst.flags,
            burst.block,
            len(block.symbols),
        )
        header["stripe"], header["row"] = burst.stripes, burst.rows
        header["pseq"] = (self._counter[:count] + burst.pseq) & 0xFFFFFFFF
        return self._flat.data[: count * self._table.datagram_size]
