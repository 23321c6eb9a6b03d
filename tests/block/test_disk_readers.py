"""Our own readers on file systems that the real tools made: what is unfamiliar is taken whole."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from castcore.disk import Extent, Taken, subtract
from castcore.disk.fs.f2fs import _checkpoint, _superblock
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.survey import survey

from tests.block.contents import tool
from tests.block.diskimages import MIB, loop
from tests.support.images import blank, flip

pytestmark = pytest.mark.root


def made(path: Path, size: int, *command: str) -> Path:
    blank(path, size)
    tool(*command, path)
    return path


def why(disk: Path) -> str:
    """Why the whole of ``disk`` is taken."""
    (part,) = survey(disk).layout.partitions
    assert part.taken is Taken.EVERY
    return part.why


def first_block(disk: Path, pointer: int) -> int:
    """Where on ``disk`` (one device, profile single) the tree block lies that the superblock names."""
    with disk.open("rb") as file:
        file.seek(64 * 1024)
        raw = file.read(4096)
    logical = struct.unpack_from("<Q", raw, pointer)[0]
    for line in tool("btrfs-map-logical", "-l", str(logical), disk).splitlines():
        return int(line.split("physical ")[1].split()[0])
    raise AssertionError("no such block")


@pytest.mark.parametrize(("pointer", "name"), [(0x50, "root tree"), (0x58, "chunk tree")])
def test_a_damaged_tree_of_btrfs_is_not_believed(tmp_path: Path, pointer: int, name: str) -> None:
    disk = made(tmp_path / "disk", 120 * MIB, "mkfs.btrfs", "-q", "-m", "single")
    flip(disk, first_block(disk, pointer) + 300)
    assert "damaged" in why(disk), name


def test_the_second_copy_of_a_dup_block_is_read_when_the_first_is_damaged(tmp_path: Path) -> None:
    disk = made(tmp_path / "disk", 120 * MIB, "mkfs.btrfs", "-q", "-m", "dup")
    expected = survey(disk).in_use
    flip(disk, first_block(disk, 0x50) + 300)
    assert survey(disk).in_use == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--csum", "xxhash"], "checksums are of a kind"),
        (["--csum", "blake2"], ""),
        (["-O", "^no-holes", "-R", "^free-space-tree"], ""),
        (["-n", "4096"], ""),
    ],
)
def test_variants_of_btrfs(tmp_path: Path, options: list[str], words: str) -> None:
    disk = made(tmp_path / "disk", 120 * MIB, "mkfs.btrfs", "-q", *options)
    if words:
        assert words in why(disk)
        return
    result = survey(disk)
    assert [p.taken for p in result.layout.partitions] == [Taken.USED]
    spoilt = tmp_path / "spoilt"
    blank(spoilt, 120 * MIB)
    with disk.open("rb") as read, spoilt.open("r+b") as write:
        write.write(b"\xa5" * (120 * MIB))
        for extent in result.in_use:
            read.seek(extent.start)
            write.seek(extent.start)
            write.write(read.read(extent.length))
    tool("btrfs", "check", "--readonly", spoilt)


@pytest.mark.parametrize(
    ("profile", "words"), [("raid1", ""), ("raid0", "profile"), ("single", "another device")]
)
def test_a_btrfs_of_two_devices(tmp_path: Path, profile: str, words: str) -> None:
    """Of a mirror each device is read by itself; of anything else every sector is taken."""
    one, two = blank(tmp_path / "one", 200 * MIB), blank(tmp_path / "two", 200 * MIB)
    with loop(one) as first, loop(two) as second:
        tool("mkfs.btrfs", "-q", "-f", "-m", profile, "-d", profile, first, second)
        point = tmp_path / "point"
        point.mkdir()
        tool("mount", "-o", f"device={second}", first, point)
        (point / "file").write_bytes(bytes(range(256)) * 40_000)
        tool("umount", point)
        tool("btrfs", "device", "scan", "--forget")
    results = [survey(path) for path in (one, two)]
    reasons = [p.why for r in results for p in r.layout.partitions]
    if words:
        assert any(words in reason for reason in reasons), reasons
        return
    assert reasons == ["", ""]
    for path, result in zip((one, two), results, strict=True):
        free = subtract([Extent(0, 200 * MIB)], result.in_use)
        assert sum(e.length for e in free) > 100 * MIB
        with path.open("r+b") as file:
            for hole in free:
                file.seek(hole.start)
                file.write(b"\xa5" * hole.length)
    with loop(one) as first, loop(two) as second:
        tool("btrfs", "device", "scan", first, second)
        tool("btrfs", "check", "--readonly", "--check-data-csum", first)
        tool("btrfs", "device", "scan", "--forget")


def no_clean_unmount(disk: Path) -> None:
    """Flags of a checkpoint that was written while mounted, in every copy, with the right checksum."""
    change_checkpoints(disk, lambda flags: flags & ~1)


def marked_for_check(disk: Path) -> None:
    change_checkpoints(disk, lambda flags: flags | 0x10)


def change_checkpoints(disk: Path, change: Callable[[int], int]) -> None:
    with disk.open("r+b") as file:
        for block in range(512, 512 * 3):
            file.seek(block * 4096)
            raw = bytearray(file.read(4096))
            (stored,) = struct.unpack_from("<I", raw, 4092)
            if crc32(raw[:4092], 0xF2F52010 ^ 0xFFFFFFFF) ^ 0xFFFFFFFF != stored:
                continue
            struct.pack_into("<I", raw, 132, change(struct.unpack_from("<I", raw, 132)[0]))
            struct.pack_into("<I", raw, 4092, crc32(raw[:4092], 0xF2F52010 ^ 0xFFFFFFFF) ^ 0xFFFFFFFF)
            file.seek(block * 4096)
            file.write(raw)


def synced_after_the_checkpoint(disk: Path) -> None:
    """A node of the checkpoint's version where the next one goes: what fsync leaves behind."""
    with BlockFile.open_source(disk) as opened:
        superblock = _superblock(opened.read)
        checkpoint = _checkpoint(opened.read, superblock)
    (segment,) = struct.unpack_from("<I", checkpoint.raw, 40)
    (block,) = struct.unpack_from("<H", checkpoint.raw, 70)
    with disk.open("r+b") as file:
        file.seek((superblock.main + segment * 512 + block) * 4096 + 4096 - 12)
        file.write(checkpoint.raw[:8])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_clean_unmount, "not cleanly unmounted"),
        (marked_for_check, "marked for a check"),
        (synced_after_the_checkpoint, "its log holds changes"),
    ],
)
def test_an_unclean_f2fs_is_taken_whole(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    disk = made(tmp_path / "disk", 120 * MIB, "mkfs.f2fs", "-q")
    assert [p.taken for p in survey(disk).layout.partitions] == [Taken.USED]
    spoil(disk)
    assert words in why(disk)
