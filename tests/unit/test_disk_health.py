"""When a file system's own record of its free blocks may be believed."""

from __future__ import annotations

import struct

import pytest
from castcore.disk.fshealth import (
    exfat_trouble,
    ext_trouble,
    ntfs_hibernation_trouble,
    ntfs_log_trouble,
    ntfs_volume_trouble,
)
from castcore.disk.xfslog import xfs_trouble

UNCLEAN = "not cleanly unmounted"


def ext_superblock(*, state: int = 1, incompat: int = 0x2C2, magic: int = 0xEF53) -> bytes:
    block = bytearray(1024)
    struct.pack_into("<HH", block, 56, magic, state)
    struct.pack_into("<I", block, 96, incompat)
    return bytes(block)


def test_ext_is_believed_when_clean_and_without_journal_to_replay() -> None:
    assert ext_trouble(ext_superblock()) == ""
    assert "journal" in ext_trouble(ext_superblock(incompat=0x2C6))
    assert UNCLEAN in ext_trouble(ext_superblock(state=0))
    assert UNCLEAN in ext_trouble(ext_superblock(state=3))
    assert "superblock" in ext_trouble(ext_superblock(magic=0))
    assert "superblock" in ext_trouble(b"")


def test_exfat_is_believed_without_its_dirty_flag() -> None:
    sector = bytearray(512)
    sector[3:11] = b"EXFAT   "
    assert exfat_trouble(bytes(sector)) == ""
    sector[106] = 2
    assert UNCLEAN in exfat_trouble(bytes(sector))
    assert "boot sector" in exfat_trouble(bytes(512))


def restart_page(*, sequence: int, in_use: int, flags: int, major: int = 1) -> bytes:
    page = bytearray(4096)
    page[:4] = b"RSTR"
    struct.pack_into("<IIHHH", page, 16, 4096, 4096, 48, 1, major)
    struct.pack_into("<QHHHH", page, 48, sequence, 1, 0xFFFF, in_use, flags)
    return bytes(page)


CLOSED = restart_page(sequence=20, in_use=0xFFFF, flags=0)
CLEAN = restart_page(sequence=20, in_use=0, flags=2)
OPEN = restart_page(sequence=10, in_use=0, flags=0)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (b"\xff" * 8192, ""),
        (CLOSED + OPEN, ""),
        (OPEN + CLOSED, ""),
        (CLEAN, ""),
        (OPEN, UNCLEAN),
        (restart_page(sequence=5, in_use=0xFFFF, flags=0) + OPEN, UNCLEAN),
        (restart_page(sequence=5, in_use=0xFFFF, flags=2, major=2), "fast startup"),
        (b"", "cannot be read"),
        (bytes(8192), "cannot be read"),
        (b"RSTR", "cannot be read"),
        (OPEN[:40], "cannot be read"),
    ],
)
def test_an_ntfs_log_speaks_by_its_newer_restart_page(log: bytes, words: str) -> None:
    trouble = ntfs_log_trouble(log)
    assert words in trouble
    assert bool(words) == bool(trouble)


def test_an_ntfs_volume_marked_dirty_is_not_believed() -> None:
    assert ntfs_volume_trouble(bytes(8) + b"\3\1\0\0") == ""
    assert "chkdsk" in ntfs_volume_trouble(bytes(8) + b"\3\1\1\0")
    assert "cannot be read" in ntfs_volume_trouble(b"")


@pytest.mark.parametrize(("start", "asleep"), [(b"", False), (bytes(9), False), (b"wake", False)])
def test_a_windows_that_is_awake_is_believed(start: bytes, asleep: bool) -> None:
    assert bool(ntfs_hibernation_trouble(start)) is asleep


@pytest.mark.parametrize("start", [b"hibr", b"HIBR\0", b"RSTR", b"?"])
def test_a_hibernated_windows_is_not_believed(start: bytes) -> None:
    assert "hibernated" in ntfs_hibernation_trouble(start)


LOG_BLOCKS = 1024  # file system blocks of 4096 bytes
LOG_START = 64
BASIC = LOG_BLOCKS * 8


def xfs(
    *, head: int, cycle: int, flags: int, operations: int = 1, log_start: int = LOG_START
) -> bytearray:
    """A file system of which only superblock and log exist; the log's last record ends at ``head``."""
    image = bytearray((LOG_START + LOG_BLOCKS) * 4096)
    image[:4] = b"XFSB"
    struct.pack_into(">I", image, 4, 4096)
    struct.pack_into(">Q", image, 48, log_start)
    struct.pack_into(">IIII", image, 84, 8192, 1, 0, LOG_BLOCKS)
    image[124] = 13
    for block in range(BASIC):
        at = LOG_START * 4096 + block * 512
        struct.pack_into(">I", image, at, cycle if block < head else cycle - 1)
    header = LOG_START * 4096 + (head - 2) % BASIC * 512
    struct.pack_into(">II", image, header, 0xFEEDBABE, cycle)
    struct.pack_into(">I", image, header + 40, operations)
    image[LOG_START * 4096 + (head - 1) % BASIC * 512 + 9] = flags
    return image


def trouble_of(image: bytearray) -> str:
    return xfs_trouble(lambda offset, length: bytes(image[offset : offset + length]))


@pytest.mark.parametrize("head", [2, 3, 700, BASIC - 1, BASIC])
def test_an_xfs_log_that_ends_with_an_unmount_is_clean(head: int) -> None:
    assert trouble_of(xfs(head=head, cycle=5, flags=0x20)) == ""
    assert UNCLEAN in trouble_of(xfs(head=head, cycle=5, flags=0x01))
    assert UNCLEAN in trouble_of(xfs(head=head, cycle=5, flags=0x20, operations=2))


def test_an_xfs_without_a_log_of_its_own_is_not_believed() -> None:
    assert "another device" in trouble_of(xfs(head=2, cycle=1, flags=0x20, log_start=0))
    assert "superblock" in trouble_of(bytearray(4096))
