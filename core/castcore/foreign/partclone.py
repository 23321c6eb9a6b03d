"""Partclone images, formats 0001 and 0002: header, bitmap, then the blocks in use with their checksums.

Written from the project's IMAGE_FORMATS.md and, where that is silent or differs (the checksum modes'
numbers, what 0001's faulty checksum really is), from what its programs write. Pure: the bytes come
from a function that reads a stream. Whatever the bytes are, memory stays bounded and the only error
is BadImage.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

import numpy as np

from castcore.disk import Extent, Extents
from castcore.errors import BadImage
from castcore.foreign.xxhash import RunningSum, XxhSum
from castcore.units import MIB, exactly

MAGIC = b"partclone-image"
VERSION_1, VERSION_2 = b"0001", b"0002"
# magic, partclone's version, format, endianness; file system, device size, blocks, blocks in use by
# the super block, by the bitmap, block size; size of the features, format, processor bits, checksum
# mode and size, blocks per checksum, reseed, bitmap mode; CRC-32 of all before.
HEAD_2 = struct.Struct("<16s14s4sH16sQQQQIIHHHHIBBI")
# magic, file system, format, padding; block size, device size, blocks, blocks in use.
HEAD_1 = struct.Struct("<15s15s4s2sIQQQ")
HEAD_1_SIZE = 4160
LITTLE_ENDIAN = 0xC0DE
BITMAP_MARK = b"BiTmAgIc"
# The largest block partclone itself takes.
MOST_BLOCK = 64 * MIB
# The positions of every disk stay below this, as in our own images.
MOST_BYTES = 1 << 62
# An image's manifest holds about as many runs (its bytes are bounded).
MOST_EXTENTS = 4_000_000
STEP = MIB

Read = Callable[[int], bytes]


class Checksum(IntEnum):
    """How blocks are summed; the numbers are partclone's own (checksum.h)."""

    NONE = 0x00
    CRC32 = 0x20
    XXH64 = 0x30
    XXH128 = 0x31
    CRC32_OF_0001 = 0xFF


class BitmapMode(IntEnum):
    """How the bitmap is stored: not at all (every block is there), a bit or a byte for each block."""

    NONE = 0x00
    BIT = 0x01
    BYTE = 0x08


CHECKSUM_SIZES = {
    Checksum.NONE: 0,
    Checksum.CRC32: 4,
    Checksum.CRC32_OF_0001: 4,
    Checksum.XXH64: 8,
    Checksum.XXH128: 16,
}


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says of itself. ``size`` is the file system's device, in bytes.

    ``strip`` is the number of blocks under one checksum (0: none); a checksum covers everything since
    the last one, or with ``reseed`` false since the image's start.
    """

    version: int
    fs: str
    size: int
    block_size: int
    blocks: int
    checksum: Checksum
    strip: int
    reseed: bool
    bitmap: BitmapMode


def is_partclone(start: bytes) -> bool:
    """Whether ``start``, the first bytes of a stream, begin a partclone image."""
    return start.startswith(MAGIC)


def read_header(read: Read) -> Header:
    """The header that ``read`` delivers first. Raises BadImage."""
    start = exact(read, HEAD_2.size, "its header")
    if not is_partclone(start):
        raise BadImage("not a partclone image")
    version = start[30:34]
    if version == VERSION_2:
        return _checked(_header_2(start))
    if version == VERSION_1:
        exact(read, HEAD_1_SIZE - len(start), "its header")
        return _checked(_header_1(start))
    raise BadImage(f"a partclone image of format {version!r}, where 0001 and 0002 are known")


def read_in_use(read: Read, header: Header) -> Extents:
    """The bytes in use, from the bitmap that follows the header. Raises BadImage."""
    runs = _Runs(header.block_size)
    if header.bitmap is BitmapMode.NONE:
        return (Extent(0, header.blocks * header.block_size),) if header.blocks else ()
    per_byte = 8 if header.bitmap is BitmapMode.BIT else 1
    left, crc = header.blocks, 0
    while left:
        count = min(left, STEP * per_byte)
        data = exact(read, -(-count // per_byte), "its bitmap")
        crc = crc32(data, crc)
        packed = np.frombuffer(data, np.uint8)
        if header.bitmap is BitmapMode.BIT:
            runs.add(np.unpackbits(packed, bitorder="little")[:count])
        else:
            # Some old images hold other values; partclone takes 1 for "there" and nothing else.
            runs.add((packed == 1).astype(np.uint8))
        left -= count
    if header.bitmap is BitmapMode.BIT:
        if exact(read, 4, "its bitmap") != _stored_crc(crc):
            raise BadImage("the checksum of its bitmap is wrong")
    elif exact(read, len(BITMAP_MARK), "its bitmap") != BITMAP_MARK:
        raise BadImage("its bitmap does not end where it should")
    return runs.extents()


def read_blocks(read: Read, header: Header, in_use: Extents) -> Iterator[tuple[int, bytes]]:
    """The bytes of the extents ``in_use`` as (offset, bytes), rising, about one MiB at a time.

    What is given is proven only when the iterator has ended. Raises BadImage, also for bytes that follow
    the last block.
    """
    strips = _Strips(read, header)
    for extent in in_use:
        for at, length in _pieces(extent, header.block_size):
            yield at, strips.take(length)
    strips.finish()
    if read(1):
        raise BadImage("the image goes on after its last block")


def _pieces(extent: Extent, block_size: int) -> Iterator[tuple[int, int]]:
    # Whole blocks, about one step together; a block larger than that goes alone.
    step = max(STEP // block_size, 1) * block_size
    for at in range(extent.start, extent.end, step):
        yield at, min(step, extent.end - at)


def exact(read: Read, length: int, what: str) -> bytes:
    """Exactly ``length`` bytes from ``read``. Raises BadImage when the stream ends before."""
    data = read(length)
    if len(data) == length:
        return data
    parts, got = [data], len(data)
    while got < length and data:
        data = read(length - got)
        parts.append(data)
        got += len(data)
    if got < length:
        raise BadImage(f"the image ends inside {what}")
    return b"".join(parts)


class _Strips:
    """Takes blocks off the stream, and the checksums that stand between them."""

    def __init__(self, read: Read, header: Header) -> None:
        self._read = read
        self._block = header.block_size
        self._strip = header.strip
        self._size = CHECKSUM_SIZES[header.checksum]
        self._reseed = header.reseed
        self._sum = _running_sum(header.checksum, header.block_size)
        self._in_strip = 0  # blocks taken since the last checksum

    def take(self, length: int) -> bytes:
        """``length`` bytes of blocks, a whole number of them."""
        if not self._strip:
            return exact(self._read, length, "its blocks")
        parts = []
        while length:
            part = min(length, (self._strip - self._in_strip) * self._block)
            data = exact(self._read, part, "its blocks")
            self._sum.update(data)
            parts.append(data)
            self._in_strip += part // self._block
            length -= part
            if self._in_strip == self._strip:
                self._prove()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        """The checksum of the last, shorter strip."""
        if self._in_strip:
            self._prove()

    def _prove(self) -> None:
        if exact(self._read, self._size, "a checksum") != self._sum.digest():
            raise BadImage("the checksum of its blocks is wrong")
        self._in_strip = 0
        if self._reseed:
            self._sum.reset()


class _Crc32:
    """CRC-32 as partclone stores it: without the last inversion that zlib's has."""

    def __init__(self) -> None:
        self._crc = 0

    def reset(self) -> None:
        self._crc = 0

    def update(self, data: bytes) -> None:
        self._crc = crc32(data, self._crc)

    def digest(self) -> bytes:
        return _stored_crc(self._crc)


class _Crc32Of0001(_Crc32):
    """Format 0001's: of each block it takes the first byte, as often as the block has bytes."""

    def __init__(self, block_size: int) -> None:
        super().__init__()
        self._block = block_size

    def update(self, data: bytes) -> None:
        for at in range(0, len(data), self._block):
            super().update(data[at : at + 1] * self._block)


def _running_sum(kind: Checksum, block_size: int) -> RunningSum:
    if kind is Checksum.CRC32_OF_0001:
        return _Crc32Of0001(block_size)
    if kind in (Checksum.XXH64, Checksum.XXH128):
        return XxhSum(wide=kind is Checksum.XXH128)
    return _Crc32()


class _Runs:
    """Blocks in use, told in turn, as extents of bytes."""

    def __init__(self, block_size: int) -> None:
        self._block = block_size
        self._at = 0
        self._found: list[Extent] = []

    def add(self, used: np.ndarray) -> None:
        """The next blocks: 1 for each in use, 0 for each that is not."""
        edges = np.flatnonzero(np.diff(used, prepend=np.uint8(0), append=np.uint8(0)))
        for first, after in (edges.reshape(-1, 2) + self._at).tolist():
            start, length = first * self._block, (after - first) * self._block
            if self._found and self._found[-1].end == start:
                start, length = self._found[-1].start, self._found.pop().length + length
            self._found.append(Extent(start, length))
        if len(self._found) > MOST_EXTENTS:
            raise BadImage(f"its bitmap has more than {MOST_EXTENTS} runs of blocks in use")
        self._at += len(used)

    def extents(self) -> Extents:
        return tuple(self._found)


def _header_2(data: bytes) -> Header:
    fields = HEAD_2.unpack(data)
    _, _, _, endian, fs, size, blocks, _, _, block_size = fields[:10]
    _, version, _, mode, checksum_size, strip, reseed, bitmap, crc = fields[10:]
    if crc.to_bytes(4, "little") != _stored_crc(crc32(data[:-4])):
        raise BadImage("the checksum of its header is wrong")
    if endian != LITTLE_ENDIAN:
        raise BadImage("it was made on a big-endian machine, which is not read")
    try:
        checksum, bits = Checksum(mode), BitmapMode(bitmap)
    except ValueError as error:
        raise BadImage(f"its header: {error}") from None
    if version != 2 or checksum is Checksum.CRC32_OF_0001 or checksum_size != CHECKSUM_SIZES[checksum]:
        raise BadImage(f"its header: checksums of {checksum_size} bytes in format {version}")
    if checksum is Checksum.NONE:
        strip = 0
    elif not strip:
        raise BadImage("its header: a checksum of no block")
    return Header(2, _text(fs), size, block_size, blocks, checksum, strip, bool(reseed), bits)


def _header_1(data: bytes) -> Header:
    _, fs, _, _, block_size, _, blocks, _ = HEAD_1.unpack_from(data)
    # Its own size is not to be relied on: old versions wrote another than blocks make.
    size = block_size * blocks
    kind = Checksum.CRC32_OF_0001
    return Header(1, _text(fs), size, block_size, blocks, kind, 1, reseed=False, bitmap=BitmapMode.BYTE)


def _checked(header: Header) -> Header:
    if not 0 < header.block_size <= MOST_BLOCK:
        raise BadImage(f"its header: blocks of {header.block_size} bytes")
    needed = header.blocks * header.block_size
    if not needed <= header.size < MOST_BYTES:
        raise BadImage(f"its header: {exactly(needed)} of blocks on a device of {exactly(header.size)}")
    return header


def _stored_crc(crc: int) -> bytes:
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("ascii", errors="replace").strip()
