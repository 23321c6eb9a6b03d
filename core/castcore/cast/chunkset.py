"""A set of an image's chunks, a bit for each: what a client holds, what it lacks, what travels."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from castcore.errors import BadPacket
from castcore.trust import digest

DIGEST_SIZE = 16

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkSet:
    """Chunks of an image of ``count``: chunk ``i`` is bit ``i`` of ``bits``, lowest first."""

    count: int
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: Mask) -> ChunkSet:
        """The chunks where ``mask`` (by chunk) is true."""
        return cls(len(mask), np.packbits(mask, bitorder="little"))

    @classmethod
    def numbered(cls, count: int, chunks: Iterable[int]) -> ChunkSet:
        """The chunks with these numbers."""
        mask = np.zeros(count, np.bool_)
        mask[list(chunks)] = True
        return cls.of(mask)

    @classmethod
    def none(cls, count: int) -> ChunkSet:
        """No chunk of ``count``."""
        return cls.of(np.zeros(count, np.bool_))

    @classmethod
    def decode(cls, data: bytes, count: int) -> ChunkSet:
        """The set of an image of ``count`` chunks that `encode` gave. Raises BadPacket."""
        size = -(-count // 8)
        inflate = zlib.decompressobj()
        try:
            bits = inflate.decompress(data, size + 1)
        except zlib.error as error:
            raise BadPacket(f"not a set of chunks: {error}") from None
        if len(bits) != size or not inflate.eof or inflate.unused_data:
            raise BadPacket(f"not a set of {count} chunks: {len(bits)} bytes where {size} belong")
        if count % 8 and bits[-1] >> count % 8:
            raise BadPacket(f"a set of chunks beyond the image's {count}")
        return cls(count, np.frombuffer(bits, np.uint8))

    def encode(self) -> bytes:
        """The bits, deflated (RFC 1950): runs of equal chunks cost next to nothing."""
        return zlib.compress(self.bits.tobytes())

    def digest(self) -> bytes:
        """BLAKE3 over the bits, 16 bytes: what a beacon says of a set."""
        return digest(self.bits.tobytes())[:DIGEST_SIZE]

    def mask(self) -> Mask:
        """Whether each chunk is in it."""
        return np.unpackbits(self.bits, count=self.count, bitorder="little").astype(np.bool_)

    def __or__(self, other: ChunkSet) -> ChunkSet:
        return ChunkSet(self.count, self.bits | other.bits)

    def __and__(self, other: ChunkSet) -> ChunkSet:
        return ChunkSet(self.count, self.bits & other.bits)

    def __sub__(self, other: ChunkSet) -> ChunkSet:
        return ChunkSet(self.count, self.bits & ~other.bits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChunkSet) and np.array_equal(self.bits, other.bits)

    def __hash__(self) -> int:
        return hash(self.bits.tobytes())

    def __bool__(self) -> bool:
        return bool(self.bits.any())

    def __len__(self) -> int:
        return int(np.unpackbits(self.bits).sum())
