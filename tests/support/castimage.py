"""Images of random chunks in memory, and their blocks as a sender would send them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from castcore.cast.blocks import BlockTable
from castcore.cast.constants import SYMBOL_SIZE
from castcore.cast.vetting import block_digests


@dataclass
class Image:
    """Chunks with random content; a length of 0 does not travel."""

    lengths: Sequence[int]
    seed: int = 1
    symbol_size: int = SYMBOL_SIZE
    chunks: list[bytes] = field(init=False)
    table: BlockTable = field(init=False)
    blocks: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, init=False)
    told: dict[tuple[int, int], bytes] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        source = random.Random(self.seed)
        self.chunks = [source.randbytes(n) for n in self.lengths]
        self.table = BlockTable.build(self.lengths, self.symbol_size)

    def block(self, table: BlockTable, number: int) -> np.ndarray:
        if (id(table), number) not in self.blocks:
            self.blocks[id(table), number] = self._block(table, number)
        return self.blocks[id(table), number]

    def digests(self, table: BlockTable, number: int) -> bytes:
        if (id(table), number) not in self.told:
            content = self.block(table, number)
            self.told[id(table), number] = block_digests(table, number, content)
        return self.told[id(table), number]

    def _block(self, table: BlockTable, number: int) -> np.ndarray:
        data = b"".join(self.chunks[p.chunk] for p in table.pieces(number))
        rows, size = int(table.symbols[number]), self.symbol_size
        return np.frombuffer(data.ljust(rows * size, b"\0"), np.uint8).reshape(rows, size)
