"""The texts that disk edges read: mounts, swaps, blkid's answers, and names of disks."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.disk import holders, partclonemap
from castcore.edge.disk.contents import Contents, parse_udev
from castcore.edge.disk.holders import Mount, parse_mountinfo, parse_swaps
from castcore.edge.disk.probe import NO_DISK, _bus, medium_uuid, stable_id

MOUNTINFO = """22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 8:1 / /mnt/a\\040b rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue
40 35 0:33 /sub /data rw - btrfs /dev/disk\\134x rw
no mount at all
"""


def test_mounts_are_read_with_their_escapes() -> None:
    assert list(parse_mountinfo(MOUNTINFO)) == [
        Mount("0:21", "proc", "/proc"),
        Mount("8:1", "/dev/sda1", "/mnt/a b"),
        Mount("0:33", "/dev/disk\\x", "/data"),
    ]


def test_swaps_are_read_below_their_heading() -> None:
    text = "Filename\t\t\tType\t\tSize\nsome\\040file  file 1 0 -2\n/dev/sda3  partition 8 0 -3\n"
    assert parse_swaps(text) == ("some file", "/dev/sda3")
    assert parse_swaps("") == ()


def test_a_file_is_held_by_its_mount_its_swap_or_its_loop_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, sys, proc = tmp_path / "disk.img", tmp_path / "sys", tmp_path / "proc"
    loop = sys / "block/loop7"
    (loop / "loop").mkdir(parents=True)
    (proc / "self").mkdir(parents=True)
    disk.write_bytes(b"")
    monkeypatch.setattr(holders, "SYS", sys)
    monkeypatch.setattr(holders, "PROC", proc)
    assert holders.held_by(str(disk)) == ""
    (loop / "loop/backing_file").write_text(f"{disk}\n")
    (loop / "dev").write_text("7:7\n")
    assert holders.held_by(str(disk)) == "attached to /dev/loop7"
    (proc / "self/mountinfo").write_text("1 1 7:7 / /mnt rw - ext4 /dev/loop7 rw\n")
    assert holders.held_by(str(disk)) == "attached to /dev/loop7, mounted at /mnt"
    (proc / "swaps").write_text(f"Filename Type\n{disk} file 1 0 -2\n")
    assert holders.held_by(str(disk)) == "used as swap"
    (proc / "self/mountinfo").write_text(f"1 1 0:9 / /fuse rw - fuseblk {disk} rw\n")
    assert holders.held_by(str(disk)) == "mounted at /fuse"


def test_a_disk_is_held_by_what_its_partitions_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, proc = tmp_path / "dev/block/8:0", tmp_path / "proc"
    for folder in (disk / "sda2/holders/dm-0/dm", disk / "holders", proc / "self"):
        folder.mkdir(parents=True)
    (disk / "sda2/dev").write_text("8:2\n")
    monkeypatch.setattr(holders, "SYS", tmp_path)
    monkeypatch.setattr(holders, "PROC", proc)
    (disk / "sda2/holders/dm-0/dm/name").write_text("vg-root\n")
    assert holders._device_held_by("/dev/sda", "8:0") == "part of vg-root"
    (proc / "self/mountinfo").write_text("1 1 8:20 / /other rw - ext4 /dev/sdb4 rw\n")
    assert holders._device_held_by("/dev/sda", "8:0") == "part of vg-root"
    (proc / "self/mountinfo").write_text("1 1 8:2 / /home rw - ext4 /dev/sda2 rw\n")
    assert holders._device_held_by("/dev/sda", "8:0") == "mounted at /home"


def test_a_partition_node_is_used_only_for_exactly_its_extent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysfs = tmp_path / "class/block/sda/sda1"
    sysfs.mkdir(parents=True)
    for name, text in (("partition", "1\n"), ("start", "2048\n"), ("size", "100\n")):
        (sysfs / name).write_text(text)
    monkeypatch.setattr(partclonemap, "SYS", tmp_path)
    monkeypatch.setattr(partclonemap, "DEV", tmp_path)
    extent = Extent(2048 * 512, 100 * 512)
    assert partclonemap.partition_node("/dev/sda", extent) == ""
    (tmp_path / "sda1").touch()
    assert partclonemap.partition_node("/dev/sda", extent) == str(tmp_path / "sda1")
    assert partclonemap.partition_node("/dev/sda", Extent(2048 * 512, 99 * 512)) == ""


def test_blkid_labels_keep_their_bytes_and_never_fail() -> None:
    printed = b'ID_FS_LABEL=a_b__"c\nID_FS_LABEL_ENC=a\\x20b\\xff\\xc3\\xa4\\x22c\nID_FS_TYPE=ext4\n'
    assert parse_udev(printed + b"ID_FS_UUID_ENC=12-34\nID_FS_USAGE=filesystem\n") == Contents(
        fstype="ext4", uuid="12-34", label='a b\ufffd\xe4"c', usage="filesystem"
    )
    assert parse_udev(b"") == Contents()
    assert parse_udev(b"\xff\xfe\nnonsense") == Contents()
    assert "several" in parse_udev(b"ID_FS_AMBIVALENT=filesystem:ext4 other:swap\n").trouble


def test_what_is_no_disk_of_the_machine_is_told_by_name() -> None:
    no_disks = ("loop0", "ram1", "zram0", "dm-3", "md127", "sr0", "fd0", "mmcblk0boot1", "mmcblk0rpmb")
    assert all(NO_DISK.match(name) for name in no_disks)
    assert not any(NO_DISK.match(name) for name in ("sda", "nvme0n1", "vda", "mmcblk0", "xvda", "pmem0"))


@pytest.mark.parametrize(
    ("place", "bus"),
    [
        ("pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", "ata"),
        ("pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0/block/sdb", "usb"),
        ("pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1", "nvme"),
        ("pci0000:00/0000:00:03.0/virtio1/host2/target2:0:0/2:0:0:0/block/sdc", "virtio"),
        ("pci0000:00/0000:02:00.0/host3/target3:2:0/3:2:0:0/block/sdd", "scsi"),
        ("platform/soc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", "mmc"),
        ("vbd-768/block/xvda", ""),
    ],
)
def test_the_bus_is_told_from_the_place(place: str, bus: str) -> None:
    assert _bus(f"/sys/devices/{place}") == bus


def test_a_disk_is_named_by_what_stays_over_boots() -> None:
    path = "/sys/devices/pci0/ata1/host0/target0/0:0:0:0/block/sda"
    assert stable_id("0x5000", "S1", {}, path) == "wwn-0x5000"
    assert stable_id("", "S1", {}, path) == "serial-S1"
    assert stable_id("", "", {"ID_PATH": "pci-0-ata-1"}, path) == "path-pci-0-ata-1"
    assert stable_id("", "", {}, path) == "path-pci0/ata1/host0/target0/0:0:0:0/block"


def test_the_kernel_command_line_names_the_boot_medium() -> None:
    assert medium_uuid("quiet fleetcast.medium=1A2B-3C4D console=ttyS0") == "1a2b-3c4d"
    assert medium_uuid('fleetcast.medium="0FC6-3DAF"') == "0fc6-3daf"
    assert medium_uuid("quiet splash") == medium_uuid("fleetcast.medium=") == ""
