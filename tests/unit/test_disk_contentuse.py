"""What is in use of a region by what blkid found in it, and how keys are named on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from castcore.disk import Extent, Taken
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.contents import Contents
from castcore.edge.disk.contentuse import use_inside, use_of
from castcore.edge.disk.partclonemap import said
from castcore.edge.image.capture import CaptureOptions, VolumeKey, capture
from castcore.edge.run import ProgramFailed
from castcore.errors import NotFound, Refused
from castserver.commands.capture import volume_key

REGION = Extent(4096, 65536)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(bytes(REGION.end))
    return path


@pytest.mark.parametrize(
    "fstype",
    [
        "linux_raid_member",
        "zfs_member",
        "hfsplus",
        "apfs",
        "BitLocker",
        "crypto_LUKS",
        "ReFS",
        "swsuspend",
    ],
)
def test_what_cannot_be_read_is_taken_whole_and_named(disk: Path, fstype: str) -> None:
    with BlockFile.open_source(disk) as opened:
        use = use_of(opened, REGION, Contents(fstype=fstype))
    assert (use.taken, use.in_use) == (Taken.EVERY, (REGION,))
    assert fstype in use.why


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Contents(), "unknown content"),
        (Contents(trouble="several marks"), "several marks"),
        (Contents(fstype="swap"), "swap without a header"),
        (Contents(fstype="vfat"), "boot sector cannot be read"),
        (Contents(fstype="btrfs"), "after its partition's end"),
        (Contents(fstype="f2fs"), "superblock cannot be read"),
        (Contents(fstype="LVM2_member"), "has no label"),
    ],
)
def test_damage_is_taken_whole_and_named(disk: Path, found: Contents, why: str) -> None:
    with BlockFile.open_source(disk) as opened:
        use = use_of(opened, REGION, found)
    assert (use.taken, use.in_use) == (Taken.EVERY, (REGION,))
    assert why in use.why


def test_a_swap_keeps_its_first_page(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.seek(REGION.start + 4096 - 10)
        file.write(b"SWAPSPACE2")
    with BlockFile.open_source(disk) as opened:
        use = use_of(opened, REGION, Contents(fstype="swap"))
    assert (use.taken, use.in_use) == (Taken.HEADER, (Extent(4096, 4096),))


def test_only_what_is_encrypted_is_unlocked(disk: Path, tmp_path: Path) -> None:
    with BlockFile.open_source(disk) as opened, pytest.raises(Refused, match="blkid finds ext4"):
        use_inside(opened, REGION, "ext4", tmp_path / "key")


def test_a_key_is_named_with_its_partition_and_perhaps_its_disk() -> None:
    assert volume_key("3=/root/key") == VolumeKey(0, 3, Path("/root/key"))
    assert volume_key("1:0=a=b") == VolumeKey(1, 0, Path("a=b"))
    for wrong in ("", "3", "3=", "=key", ":3=key", "x=key", "1:=key", "-1=key"):
        with pytest.raises(argparse.ArgumentTypeError):
            volume_key(wrong)


def test_a_key_for_a_disk_that_was_not_named_is_refused(disk: Path, tmp_path: Path) -> None:
    options = CaptureOptions(keys=(VolumeKey(1, 1, tmp_path / "key"),))
    with pytest.raises(NotFound, match="no disk 1"):
        capture(disk, tmp_path / "image.fcast", options=options)


def test_what_partclone_counts_is_not_what_it_says() -> None:
    printed = (
        "Partclone v0.3.23\nElapsed: 00:01, Completed: 1.00%extfsclone.c: bitmap error at 0 group.\n"
    )
    error = ProgramFailed("it failed", stderr=printed)
    assert said(error) == "extfsclone.c: bitmap error at 0 group."
