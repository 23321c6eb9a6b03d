"""What an image says of one chunk: where it belongs, what it holds, and where its bytes are stored.

A *chunk* is a ``CHUNK_SIZE``-aligned region of one disk, shorter only at the disk's end. Its
*content* is the region with every byte that is not in use as zero; its *stored bytes* are what a
pack holds of it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum

from castcore.trust import DIGEST_SIZE
from castcore.units import GIB, MIB

CHUNK_SIZE = MIB
# FAT32 holds no larger file than 4 GiB - 1; many programs stop at 2 GiB.
PACK_LIMIT = 2 * GIB
# What an image may be called.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# offset, pack offset, length, stored, pack, disk, kind, codec, 4 bytes reserved (zero), digest
RECORD = struct.Struct(f"<QIIIIHBB4x{DIGEST_SIZE}s")


class ChunkKind(IntEnum):
    """What a chunk's region holds. A region with no byte in use (a hole) has no record at all."""

    DATA = 1
    ZERO = 2


class Codec(IntEnum):
    """How the stored bytes encode the content."""

    NONE = 0
    RAW = 1
    ZSTD = 2


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """One chunk: ``length`` bytes of disk number ``disk`` from byte ``offset`` on.

    ``digest`` is BLAKE3 of the content. Of a DATA chunk, ``stored`` bytes lie in pack number
    ``pack`` from byte ``pack_offset`` on; a ZERO chunk (in use, must read as zeros) stores nothing.
    """

    disk: int
    offset: int
    length: int
    kind: ChunkKind
    digest: bytes
    stored: int = 0
    codec: Codec = Codec.NONE
    pack: int = 0
    pack_offset: int = 0

    @property
    def region(self) -> str:
        """The chunk's place for a person: ``"disk 0, bytes 1048576-2097151"``."""
        return f"disk {self.disk}, bytes {self.offset}-{self.offset + self.length - 1}"


def encode_record(record: ChunkRecord) -> bytes:
    """The ``RECORD.size`` bytes of ``record`` in an index."""
    return RECORD.pack(
        record.offset,
        record.pack_offset,
        record.length,
        record.stored,
        record.pack,
        record.disk,
        record.kind,
        record.codec,
        record.digest,
    )


def decode_record(data: bytes, position: int) -> ChunkRecord:
    """The record at byte ``position`` of ``data``, which :mod:`castcore.image.index` has checked."""
    fields = RECORD.unpack_from(data, position)
    offset, pack_offset, length, stored, pack, disk, kind, codec, digest = fields
    return ChunkRecord(
        disk, offset, length, ChunkKind(kind), digest, stored, Codec(codec), pack, pack_offset
    )


def pack_name(number: int) -> str:
    """The file name of pack ``number``: ``pack-0000``."""
    return f"pack-{number:04d}"
