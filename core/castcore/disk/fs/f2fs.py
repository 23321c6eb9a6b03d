"""F2FS: which blocks of the main area are free, by the segment information table (SIT).

"F2FS: A New File System for Flash Storage" (FAST '15), section 2, and the on-disk structures that
f2fs-tools and Linux (Documentation/filesystems/f2fs.rst) document; numbers are little-endian, bits are
counted from a byte's highest. Of two checkpoint packs the newer counts. Its bitmap says which of the
two copies of each SIT block is current; a few newer entries stand in a journal inside the pack. Data
that was synced after the last checkpoint is in no map: a chain of such nodes is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from castcore.disk.extent import Extents, merge
from castcore.disk.fs import Reader
from castcore.disk.fs.bitruns import extents_where
from castcore.errors import BadImage

MAGIC = 0xF2F52010
BLOCK = 4096
SEGMENT_BLOCKS = 512
SUPERBLOCK_AT = 1024
SUPERBLOCK = 3072
# Everything up to compression but zoned devices (2): not read-only images, device aliases and later.
KNOWN_FEATURES = 0x3FFF & ~0x2

CP_UMOUNT, CP_COMPACT_SUMMARY, CP_ERROR, CP_FSCK, CP_FASTBOOT = 0x1, 0x4, 0x8, 0x10, 0x20
CP_LARGE_NAT_BITMAP, CP_QUOTA_FSCK, CP_DISABLED, CP_RESIZING = 0x400, 0x800, 0x1000, 0x4000
CHECKPOINT_CRC_AT = 4092
BITMAPS_AT = 192
# Numbers of the current segments that matter here.
COLD_DATA, WARM_NODE = 2, 1
DATA_SEGMENTS, ALL_SEGMENTS = 3, 6

SIT_ENTRY = np.dtype([("blocks", "<u2"), ("valid", "u1", 64), ("time", "<u8")])
SIT_PER_BLOCK = BLOCK // SIT_ENTRY.itemsize
BLOCKS_MASK = 0x3FF
SUMMARY_ENTRIES, JOURNAL = 3584, 507
JOURNAL_ENTRY = np.dtype([("segment", "<u4"), ("entry", SIT_ENTRY)])
JOURNAL_MOST = (JOURNAL - 2) // JOURNAL_ENTRY.itemsize
# A node block ends with its number, inode, flags, the checkpoint's version and the next block.
NODE_VERSION_AT = BLOCK - 12


@dataclass(frozen=True, slots=True)
class _Super:
    """Where the areas start (blocks) and how long they are (segments)."""

    block_count: int
    sit_segments: int
    main_segments: int
    checkpoint: int
    sit: int
    main: int
    payload: int


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """The newer checkpoint: ``start`` is its pack's first block, ``raw`` its first block and payload."""

    start: int
    raw: bytes

    @property
    def version(self) -> int:
        return int.from_bytes(self.raw[:8], "little")

    @property
    def valid_blocks(self) -> int:
        return int.from_bytes(self.raw[16:24], "little")

    @property
    def flags(self) -> int:
        return _u32(self.raw, 132)

    @property
    def blocks(self) -> int:
        return _u32(self.raw, 136)


def f2fs_trouble(read: Reader, _length: int) -> str:
    """ "" when the last checkpoint holds everything, else why not. Raises BadImage."""
    superblock = _superblock(read)
    checkpoint = _checkpoint(read, superblock)
    if checkpoint.flags & (CP_ERROR | CP_FSCK | CP_QUOTA_FSCK):
        return "is marked for a check (fsck.f2fs)"
    if checkpoint.flags & (CP_DISABLED | CP_RESIZING):
        return "has its checkpoints switched off, or is being resized"
    if not checkpoint.flags & CP_UMOUNT:
        return "was not cleanly unmounted"
    if _rolls_forward(read, superblock, checkpoint):
        return "was not cleanly unmounted: its log holds changes"
    return ""


def f2fs_free(read: Reader, length: int) -> Extents:
    """The free blocks of the file system in a partition of ``length`` bytes. Raises BadImage."""
    superblock = _superblock(read)
    if superblock.block_count * BLOCK > length:
        raise BadImage("is larger than its partition")
    checkpoint = _checkpoint(read, superblock)
    table = _segments(read, superblock, checkpoint)
    bits = np.unpackbits(table["valid"].copy(), axis=1)
    counted = table["blocks"].astype(np.int64) & BLOCKS_MASK
    if (bits.sum(axis=1) != counted).any() or counted.sum() != checkpoint.valid_blocks:
        raise BadImage("its counts of valid blocks contradict each other")
    return merge(extents_where(bits.reshape(-1) == 0, start=superblock.main * BLOCK, unit=BLOCK))


def _superblock(read: Reader) -> _Super:
    raw = read(SUPERBLOCK_AT, SUPERBLOCK)
    if _u32(raw, 0) != MAGIC:
        raise BadImage("its superblock cannot be read")
    block_bits, segment_bits = _u32(raw, 16), _u32(raw, 20)
    if (1 << block_bits, 1 << segment_bits) != (BLOCK, SEGMENT_BLOCKS):
        raise BadImage("has blocks or segments of a size that is not read here")
    features = _u32(raw, 2180)
    if features & ~KNOWN_FEATURES or raw[2201:2265].strip(b"\0"):
        raise BadImage(f"has features that are not known here ({features:#x}), or several devices")
    sit_segments, main_segments = _u32(raw, 56), _u32(raw, 68)
    checkpoint, sit, main, payload = _u32(raw, 76), _u32(raw, 80), _u32(raw, 92), _u32(raw, 1664)
    block_count = int.from_bytes(raw[36:44], "little")
    if (
        main + main_segments * SEGMENT_BLOCKS > block_count
        or not 2 <= checkpoint < sit < main
        or main_segments > sit_segments // 2 * SEGMENT_BLOCKS * SIT_PER_BLOCK
        or payload >= SEGMENT_BLOCKS
    ):
        raise BadImage("its superblock contradicts itself")
    return _Super(block_count, sit_segments, main_segments, checkpoint, sit, main, payload)


def _checkpoint(read: Reader, superblock: _Super) -> _Checkpoint:
    starts = (superblock.checkpoint, superblock.checkpoint + SEGMENT_BLOCKS)
    whole = [pack for start in starts if (pack := _pack(read, superblock, start)) is not None]
    if not whole:
        raise BadImage("neither of its checkpoints is whole")
    return max(whole, key=lambda pack: pack.version)


def _pack(read: Reader, superblock: _Super, start: int) -> _Checkpoint | None:
    """The checkpoint pack at block ``start``: whole when it ends as it begins."""
    pack = _Checkpoint(start, read(start * BLOCK, (1 + superblock.payload) * BLOCK))
    if not 2 < pack.blocks <= SEGMENT_BLOCKS or not _is_proven(pack.raw[:BLOCK]):
        return None
    last = read((start + pack.blocks - 1) * BLOCK, BLOCK)
    return pack if last[:8] == pack.raw[:8] and _is_proven(last) else None


def _is_proven(block: bytes) -> bool:
    at = _u32(block, 164)
    if not BITMAPS_AT <= at <= CHECKPOINT_CRC_AT:
        return False
    covered = block[:at] + (block[at + 4 :] if at < CHECKPOINT_CRC_AT else b"")
    # Linux's crc32_le from the magic on, without the final exclusive-or.
    return crc32(covered, MAGIC ^ 0xFFFFFFFF) ^ 0xFFFFFFFF == _u32(block, at)


def _rolls_forward(read: Reader, superblock: _Super, checkpoint: _Checkpoint) -> bool:
    """Whether a node that was synced after the checkpoint stands where the next one would."""
    segment = _u32(checkpoint.raw, 36 + 4 * WARM_NODE)
    block = int.from_bytes(checkpoint.raw[68 + 2 * WARM_NODE :][:2], "little")
    if segment >= superblock.main_segments or block >= SEGMENT_BLOCKS:
        return False
    at = superblock.main + segment * SEGMENT_BLOCKS + block
    version = read(at * BLOCK + NODE_VERSION_AT, 4)
    return version == checkpoint.raw[:4]


def _segments(read: Reader, superblock: _Super, checkpoint: _Checkpoint) -> NDArray[np.void]:
    """The current entry of every segment of the main area."""
    blocks = -(-superblock.main_segments // SIT_PER_BLOCK)
    second = superblock.sit_segments // 2 * SEGMENT_BLOCKS
    bitmap = _sit_bitmap(superblock, checkpoint)
    if len(bitmap) * 8 < blocks:
        raise BadImage("its bitmap of the segment table is too short")
    parts = []
    for number in range(blocks):
        newer = bitmap[number // 8] >> (7 - number % 8) & 1
        raw = read((superblock.sit + number + newer * second) * BLOCK, BLOCK)
        parts.append(np.frombuffer(raw, SIT_ENTRY, SIT_PER_BLOCK))
    table = np.concatenate(parts)[: superblock.main_segments].copy()
    for change in _journal(read, checkpoint):
        if change["segment"] >= superblock.main_segments:
            raise BadImage("its journal names a segment that does not exist")
        table[change["segment"]] = change["entry"]
    return table


def _sit_bitmap(superblock: _Super, checkpoint: _Checkpoint) -> bytes:
    sit_bytes, nat_bytes = _u32(checkpoint.raw, 156), _u32(checkpoint.raw, 160)
    if checkpoint.flags & CP_LARGE_NAT_BITMAP:
        start = BITMAPS_AT + 4 + nat_bytes
    else:
        start = BLOCK if superblock.payload else BITMAPS_AT
    return checkpoint.raw[start : start + sit_bytes]


def _journal(read: Reader, checkpoint: _Checkpoint) -> NDArray[np.void]:
    """The entries that are newer than the table's, from the summary of the cold data segment."""
    if checkpoint.flags & CP_COMPACT_SUMMARY:
        block, at = _u32(checkpoint.raw, 140), JOURNAL  # behind the journal of the node table
    else:
        with_nodes = checkpoint.flags & (CP_UMOUNT | CP_FASTBOOT)
        kept = ALL_SEGMENTS if with_nodes else DATA_SEGMENTS
        block, at = checkpoint.blocks - (kept + 1) + COLD_DATA, SUMMARY_ENTRIES
    if not 0 < block < checkpoint.blocks:
        raise BadImage("its checkpoint contradicts itself")
    raw = read((checkpoint.start + block) * BLOCK + at, JOURNAL)
    count = int.from_bytes(raw[:2], "little")
    if count > JOURNAL_MOST:
        raise BadImage("its journal has more entries than room")
    return np.frombuffer(raw, JOURNAL_ENTRY, count, 2)


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
