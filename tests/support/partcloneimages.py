"""Partclone images in other spellings than the installed partclone writes, from those that it does.

Format 0001 and sums by xxHash are written here from the format's description; that partclone.restore
reads the first shows that the description was understood.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

from castcore.edge.run import run

HEAD_2 = 110
# Where format 0002's header has the file system, and the mode of its sums.
FS_INFO = struct.Struct("<16sQQQQI")
FS_AT, MODE_AT = 36, 96


def image_of(
    device: bytes, used: list[bool], block: int, *, strip: int = 0, fs: bytes = b"EXTFS"
) -> bytes:
    """A format 0002 image of ``device`` with CRC-32 over ``strip`` blocks (0: no sums)."""
    count = len(used)
    mode, size = (0x20, 4) if strip else (0, 0)
    head = struct.pack("<16s14s4sH", b"partclone-image", b"0.3.23", b"0002", 0xC0DE)
    head += FS_INFO.pack(fs, len(device), count, sum(used), sum(used), block)
    head += struct.pack("<IHHHHIBB", 18, 2, 64, mode, size, strip, 1, 1)
    bits = bytearray(-(-count // 8))
    for number, there in enumerate(used):
        bits[number // 8] |= there << number % 8
    out = head + _crc(head) + bytes(bits) + _crc(bytes(bits))
    blocks = [device[n * block : (n + 1) * block] for n in range(count) if used[n]]
    if not strip:
        return out + b"".join(blocks)
    for at in range(0, len(blocks), strip):
        part = b"".join(blocks[at : at + strip])
        out += part + _crc(part)
    return out


def as_format_1(image: bytes) -> bytes:
    """A format 0002 image without sums as one of format 0001."""
    fs, size, count, _, used, block = FS_INFO.unpack_from(image, FS_AT)
    head = struct.pack("<15s15s4s2s", b"partclone-image", fs[:15], b"0001", b"")
    head += struct.pack("<IQQQ", block, size, count, used)
    bits, blocks = _parts(image, count)
    flags = bytes(bits[n // 8] >> n % 8 & 1 for n in range(count))
    out = [head.ljust(4160, b"\0"), flags, b"BiTmAgIc"]
    crc = 0
    for data in _cut(blocks, block):
        # Of each block its first byte, once for each of its bytes, and never begun anew.
        crc = crc32(data[:1] * block, crc)
        out += [data, (crc ^ 0xFFFFFFFF).to_bytes(4, "little")]
    return b"".join(out)


def with_xxhash(image: bytes, *, wide: bool, strip: int) -> bytes:
    """A format 0002 image without sums as one with those of `xxhsum`: XXH64, or ``wide`` XXH3-128."""
    _, _, count, _, _, block = FS_INFO.unpack_from(image, FS_AT)
    head = bytearray(image[: HEAD_2 - 4])
    struct.pack_into("<HHI", head, MODE_AT, 0x31 if wide else 0x30, 16 if wide else 8, strip)
    bits, blocks = _parts(image, count)
    out = [bytes(head), _crc(bytes(head)), bits, _crc(bits)]
    for part in _cut(blocks, block * strip):
        said = run(["xxhsum", "-H2" if wide else "-H1", "-"], timeout=30, data=part)
        # xxhsum prints the canonical form, which is big-endian; partclone stores the number itself.
        out += [part, bytes.fromhex(said.split()[0].decode())[::-1]]
    return b"".join(out)


def _crc(data: bytes) -> bytes:
    return (crc32(data) ^ 0xFFFFFFFF).to_bytes(4, "little")


def _parts(image: bytes, count: int) -> tuple[bytes, bytes]:
    end = HEAD_2 + -(-count // 8)
    return image[HEAD_2:end], image[end + 4 :]


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
