"""Was an XFS file system cleanly unmounted? Its log then ends with an unmount record.

On-disk structures as in "XFS Algorithms & Data Structures", chapters 8 (superblock) and 15
(journaling log); everything is big-endian. Partclone's map comes from the free space trees, which a
log that must still be replayed makes stale. Pure: the reader of bytes is given.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

BASIC_BLOCK = 512
SB_MAGIC = b"XFSB"
RECORD_MAGIC = 0xFEEDBABE
UNMOUNT_FLAG = 0x20
# The longest log record (256 KiB) and its headers, in basic blocks; an unmount record is shorter.
LONGEST_RECORD = 520

Reader = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class _Log:
    read: Reader
    start: int  # bytes from the file system's start
    blocks: int  # basic blocks

    def block(self, number: int) -> bytes:
        """One basic block; numbers below 0 count from the log's end, for it is a ring."""
        return self.read(self.start + number % self.blocks * BASIC_BLOCK, BASIC_BLOCK)

    def cycle(self, number: int) -> int:
        """How often the ring had been filled when block ``number`` was written."""
        word, following = struct.unpack_from(">II", self.block(number))
        # A record's header keeps its magic in the first word and the cycle in the second.
        return int(following if word == RECORD_MAGIC else word)


def xfs_trouble(read: Reader) -> str:
    """ "" when the log is clean, else why not; ``read`` takes an offset and a length in bytes."""
    superblock = read(0, BASIC_BLOCK)
    if superblock[:4] != SB_MAGIC:
        return "its superblock cannot be read"
    block_size = struct.unpack_from(">I", superblock, 4)[0]
    (log_start,) = struct.unpack_from(">Q", superblock, 48)
    ag_blocks, _ag_count, _bitmap_blocks, log_blocks = struct.unpack_from(">IIII", superblock, 84)
    ag_shift = superblock[124]
    if log_start == 0:
        return "keeps its log on another device"
    group, block = log_start >> ag_shift, log_start & ((1 << ag_shift) - 1)
    start = (group * ag_blocks + block) * block_size
    log = _Log(read, start, log_blocks * block_size // BASIC_BLOCK)
    if log.blocks < LONGEST_RECORD:
        return "its superblock cannot be read"
    return (
        "" if _ends_with_unmount(log, _head(log)) else "was not cleanly unmounted: its log holds changes"
    )


def _head(log: _Log) -> int:
    """The block after the last one written: where the cycle number falls. By bisection."""
    low, high = 0, log.blocks - 1
    first = log.cycle(low)
    if log.cycle(high) == first:
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        if log.cycle(middle) == first:
            low = middle
        else:
            high = middle
    return high


def _ends_with_unmount(log: _Log, head: int) -> bool:
    """Whether the last record before ``head`` is an unmount record and nothing else."""
    for distance in range(2, LONGEST_RECORD):
        header = log.block(head - distance)
        if struct.unpack_from(">I", header)[0] != RECORD_MAGIC:
            continue
        operations = struct.unpack_from(">I", header, 40)[0]
        operation = log.block(head - distance + 1)
        return operations == 1 and operation[9] & UNMOUNT_FLAG != 0
    return False
