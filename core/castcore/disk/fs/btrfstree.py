"""btrfs's structures on the disk: superblock, chunks, and the B-trees, every block proven.

https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html; numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from castcore.disk.extent import Extent
from castcore.disk.fs import Reader
from castcore.disk.fs.crc32c import crc32c
from castcore.errors import BadImage
from castcore.units import KIB

SUPERBLOCK = 4096
MAGIC = b"_BHRfS_M"
CHECKSUM = 32  # bytes kept for it, whatever the algorithm
# Flags of the superblock: written, relocated, an error was met, a seed for other devices.
FLAG_ERROR = 1 << 2
KNOWN_FLAGS = 1 << 0 | 1 << 1 | FLAG_ERROR | 1 << 32
# Mixed back references to RAID1C3/C4, and simple quotas. Not: zoned, the second extent tree, stripes.
KNOWN_INCOMPATIBLE = 0xFFF | 1 << 16
METADATA_UUID = 1 << 10
# Free space tree and its mark of validity, verity, block group tree.
KNOWN_READ_ONLY_COMPATIBLE = 0xF
# Data, system, metadata; RAID1, DUP, RAID1C3, RAID1C4: every stripe is a whole copy.
KNOWN_PROFILES = 0x7 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 10
NODE_SIZES = frozenset({4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB})
MOST_LEVELS = 8

KEY = struct.Struct("<QBQ")
CHUNK = struct.Struct("<QQQQIIIHH")
STRIPE = struct.Struct("<QQ16s")
HEADER = 101
LEAF_ITEM = np.dtype(
    [("objectid", "<u8"), ("type", "u1"), ("offset", "<u8"), ("at", "<u4"), ("size", "<u4")]
)
NODE_POINTER = struct.Struct("<QBQQQ")

# Logical address, level and generation of a tree's uppermost block.
Root = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of logical addresses and its stripes: device and the byte they start at on it."""

    logical: Extent
    stripes: tuple[tuple[int, int], ...]

    def copies(self, device: int) -> list[int]:
        """Where the chunk starts on ``device``: once, twice (DUP) or not at all."""
        return [start for owner, start in self.stripes if owner == device]


@dataclass(frozen=True, slots=True)
class Superblock:
    """What the superblock says of its file system and of the device it stands on (sizes in bytes)."""

    fsid: bytes
    checksum: Callable[[bytes], bytes]
    generation: int
    root: Root
    chunk_root: Root
    log_root: int
    node_size: int
    erroneous: bool
    device: int
    device_size: int
    system_chunks: tuple[Chunk, ...]


def parse_superblock(raw: bytes) -> Superblock:
    """The superblock ``raw``. Raises BadImage when it is damaged or names what is not known here."""
    if raw[0x40:0x48] != MAGIC:
        raise BadImage("its superblock cannot be read")
    generation, root, chunk_root, log_root = struct.unpack_from("<QQQQ", raw, 0x48)
    _sector_size, node_size = struct.unpack_from("<II", raw, 0x90)
    array_size, chunk_generation = struct.unpack_from("<IQ", raw, 0xA0)
    _compatible, read_only, incompatible, checksum_type, root_level, chunk_level = struct.unpack_from(
        "<QQQHBB", raw, 0xAC
    )
    (flags,) = struct.unpack_from("<Q", raw, 0x38)
    device, device_size = struct.unpack_from("<QQ", raw, 0xC9)
    checksum = _checksum(checksum_type)
    if checksum(raw[CHECKSUM:]) != raw[: len(checksum(b"1234"))]:
        raise BadImage("the checksum of its superblock is wrong")
    unknown = (
        flags & ~KNOWN_FLAGS,
        incompatible & ~KNOWN_INCOMPATIBLE,
        read_only & ~KNOWN_READ_ONLY_COMPATIBLE,
    )
    if any(unknown):
        raise BadImage(
            "it has features that are not known here: " + ", ".join(f"{u:#x}" for u in unknown)
        )
    if node_size not in NODE_SIZES or device == 0 or array_size > 2048:
        raise BadImage("its superblock contradicts itself")
    return Superblock(
        fsid=raw[0x23B:0x24B] if incompatible & METADATA_UUID else raw[0x20:0x30],
        checksum=checksum,
        generation=generation,
        root=(root, root_level, generation),
        chunk_root=(chunk_root, chunk_level, chunk_generation),
        log_root=log_root,
        node_size=node_size,
        erroneous=bool(flags & FLAG_ERROR),
        device=device,
        device_size=device_size,
        system_chunks=tuple(_system_chunks(raw[0x32B : 0x32B + array_size])),
    )


def parse_chunk(logical: int, raw: bytes) -> Chunk:
    """The chunk item ``raw`` of logical byte ``logical``. Raises BadImage for striped profiles."""
    if len(raw) < CHUNK.size:
        raise BadImage("has a chunk without an end")
    length, _owner, _stripe, profile, _align, _width, _sector, count, _sub = CHUNK.unpack_from(raw)
    if profile & ~KNOWN_PROFILES:
        raise BadImage(f"has chunks of a profile that is not read here ({profile:#x})")
    if not length or not count or len(raw) < CHUNK.size + count * STRIPE.size:
        raise BadImage("has a chunk without an end")
    stripes = STRIPE.iter_unpack(raw[CHUNK.size : CHUNK.size + count * STRIPE.size])
    return Chunk(Extent(logical, length), tuple((device, start) for device, start, _ in stripes))


def tree_root(raw: bytes) -> Root:
    """Where the tree of the root item ``raw`` starts."""
    if len(raw) < 239:
        raise BadImage("has a tree without a root")
    (generation,) = struct.unpack_from("<Q", raw, 160)
    (address,) = struct.unpack_from("<Q", raw, 176)
    return address, raw[238], generation


class Leaf:
    """The items of one leaf."""

    def __init__(self, raw: bytes, count: int) -> None:
        self._raw = raw
        self._items = np.frombuffer(raw, LEAF_ITEM, count, HEADER)

    def keys(self, kind: int) -> list[tuple[int, int]]:
        """Object id and offset of the keys of type ``kind``."""
        chosen = self._items[self._items["type"] == kind]
        return list(zip(chosen["objectid"].tolist(), chosen["offset"].tolist(), strict=True))

    def items(self, kind: int) -> Iterator[tuple[int, int, bytes]]:
        """Object id, offset and payload of the items of type ``kind``."""
        for item in self._items[self._items["type"] == kind]:
            start, size = HEADER + int(item["at"]), int(item["size"])
            if start + size > len(self._raw):
                raise BadImage("has an item that reaches past its leaf")
            yield int(item["objectid"]), int(item["offset"]), self._raw[start : start + size]


class Tree:
    """Reads B-trees; ``here`` says where copies of a logical range start on this device."""

    def __init__(
        self, read: Reader, superblock: Superblock, here: Callable[[int, int], tuple[int, ...]]
    ) -> None:
        self._read = read
        self._super = superblock
        self._here = here

    def leaves(self, root: Root) -> Iterator[Leaf]:
        """The leaves of the tree, in the order of their keys. Raises BadImage."""
        if root[1] >= MOST_LEVELS:
            raise BadImage(f"has a tree of {root[1]} levels")
        pending = [root]
        # Even a forged tree ends: there cannot be more blocks than the device has room for.
        room = self._super.device_size // self._super.node_size
        while pending:
            room -= 1
            if room < 0:
                raise BadImage("has a tree larger than its device")
            address, level, generation = pending.pop()
            raw = self._block(address, level, generation)
            (count,) = struct.unpack_from("<I", raw, 0x60)
            size = NODE_POINTER.size if level else LEAF_ITEM.itemsize
            if HEADER + count * size > len(raw):
                raise BadImage("has a block with more items than room")
            if level == 0:
                yield Leaf(raw, count)
                continue
            pointers = NODE_POINTER.iter_unpack(raw[HEADER : HEADER + count * size])
            # Upside down: the last one put is the first one taken.
            pending += [(child, level - 1, born) for _, _, _, child, born in pointers][::-1]

    def _block(self, logical: int, level: int, generation: int) -> bytes:
        """The tree block at ``logical``: the first copy that is whole and the one that is meant."""
        places = self._here(logical, self._super.node_size)
        if not places:
            raise BadImage("keeps its trees on another device")
        for place in places:
            raw = self._read(place, self._super.node_size)
            found = (
                struct.unpack_from("<Q", raw, 0x30)[0],
                raw[0x64],
                struct.unpack_from("<Q", raw, 0x50)[0],
            )
            digest = self._super.checksum(raw[CHECKSUM:])
            if (
                raw[: len(digest)] == digest
                and raw[0x20:0x30] == self._super.fsid
                and found == (logical, level, generation)
            ):
                return raw
        raise BadImage(f"its tree block at logical byte {logical} is damaged")


def _system_chunks(raw: bytes) -> Iterator[Chunk]:
    """The chunks that hold the chunk tree: key and item after one another."""
    at = 0
    while at < len(raw):
        if at + KEY.size + CHUNK.size > len(raw):
            raise BadImage("its superblock contradicts itself")
        _, _, logical = KEY.unpack_from(raw, at)
        chunk = parse_chunk(logical, raw[at + KEY.size :])
        yield chunk
        at += KEY.size + CHUNK.size + len(chunk.stripes) * STRIPE.size


def _checksum(kind: int) -> Callable[[bytes], bytes]:
    match kind:
        case 0:
            return lambda data: crc32c(data).to_bytes(4, "little")
        case 2:
            return lambda data: hashlib.sha256(data).digest()
        case 3:
            return lambda data: hashlib.blake2b(data, digest_size=32).digest()
        case _:
            raise BadImage(f"its checksums are of a kind that is not read here ({kind})")
