"""Capture, restore, verify with real file systems and real tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from castcore.edge import commandline
from castcore.edge.disk.survey import survey
from castcore.edge.image.imagefile import Image
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, image, restore, verify

from tests.block.disks import ROOT, SIZE, extract, require_clean, system_disk, tool
from tests.support.images import blank, flip

pytestmark = pytest.mark.root

COMMANDS = [capture, image, restore, verify]
GPT_HEAD = 1024  # protective MBR and primary header: they name the disk's size


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", COMMANDS, [str(a) for a in argv]))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return system_disk(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def captured(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "system.fcast"
    assert fleetcast("capture", source, path) is ExitCode.OK
    return path


def differing(source: Path, target: Path) -> list[int]:
    """The chunks of MiB in use that differ, but for the sectors that name the disk's size."""
    found = []
    with source.open("rb") as left, target.open("rb") as right:
        for extent in survey(source).in_use:
            for at in range(max(extent.start, GPT_HEAD), extent.end, MIB):
                left.seek(at)
                right.seek(at)
                length = min(MIB, extent.end - at)
                if left.read(length) != right.read(length):
                    found.append(at)
    return found


@pytest.mark.parametrize("size", [SIZE, SIZE * 3, 114 * MIB])
def test_restored_disk_equals_the_source(
    captured: Path, source: Path, tmp_path: Path, size: int
) -> None:
    target = blank(tmp_path / "target.raw", size)
    assert fleetcast("restore", captured, target, "--yes", "--verify") is ExitCode.OK
    assert differing(source, target) == []
    require_clean(target, tmp_path)
    assert fleetcast("verify", captured, "--against", target) is ExitCode.OK
    # What deleted files left in free blocks is not in the image.
    with target.open("rb") as disk:
        disk.seek(ROOT + 44 * MIB)
        assert disk.read(MIB) == bytes(MIB)


def test_an_image_holds_what_is_used_only(captured: Path) -> None:
    with Image.open(captured) as opened:
        assert opened.manifest.used < 30 * MIB
        assert opened.manifest.stored < 8 * MIB


@pytest.mark.parametrize("kind", ["qcow2", "vhdx", "vmdk", "vpc", "vdi"])
def test_virtual_disks_give_the_same_image(
    captured: Path, source: Path, tmp_path: Path, kind: str
) -> None:
    # A VHD's size is rounded to its cylinders unless it is told not to.
    options = ["-o", "force_size=on"] if kind == "vpc" else []
    tool("qemu-img", "convert", "-O", kind, *options, source, tmp_path / f"disk.{kind}")
    store = tmp_path / "store"
    assert fleetcast("capture", tmp_path / f"disk.{kind}", "other", "--store", store) is ExitCode.OK
    with Image.open(captured) as raw, Image.open(store / "other.fcast") as other:
        assert other.manifest.index_digest == raw.manifest.index_digest
        assert other.manifest.disks == raw.manifest.disks
        assert other.manifest.source.format == kind
    assert [p.name for p in store.iterdir()] == ["other.fcast"]


def test_every_sector_restores_bit_for_bit(source: Path, tmp_path: Path) -> None:
    path, target = tmp_path / "all.fcast", blank(tmp_path / "target.raw", SIZE)
    assert fleetcast("capture", source, path, "--full-sectors", "--level", "1") is ExitCode.OK
    assert fleetcast("restore", path, target, "--yes") is ExitCode.OK
    assert target.read_bytes() == source.read_bytes()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Attach files to loop devices; detached at the end."""
    devices: list[str] = []

    def attach(file: Path, *options: str) -> str:
        devices.append(tool("losetup", "--find", "--show", *options, file).strip())
        return devices[-1]

    yield attach
    for device in devices:
        tool("losetup", "--detach", device)


def test_block_devices_at_both_ends(
    source: Path, captured: Path, tmp_path: Path, loop: Callable[..., str]
) -> None:
    path = tmp_path / "device.fcast"
    assert fleetcast("capture", loop(source), path) is ExitCode.OK
    with Image.open(captured) as raw, Image.open(path) as device:
        assert device.manifest.index_digest == raw.manifest.index_digest
    target = blank(tmp_path / "target.raw", SIZE + 5 * MIB)
    assert fleetcast("restore", path, loop(target), "--yes", "--verify") is ExitCode.OK
    assert differing(source, target) == []
    require_clean(target, tmp_path)


def test_mounted_disks_are_refused(
    captured: Path, tmp_path: Path, loop: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = blank(tmp_path / "mounted.raw", SIZE)
    tool("mkfs.ext4", "-q", "-F", disk)
    device, mount = loop(disk), tmp_path / "mnt"
    mount.mkdir()
    tool("mount", device, mount)
    try:
        before = disk.read_bytes()
        for name in (device, str(disk)):
            assert fleetcast("capture", name, tmp_path / "no.fcast") is ExitCode.IN_USE
            assert fleetcast("restore", captured, name, "--yes") is ExitCode.IN_USE
            assert name in capsys.readouterr().err
        assert disk.read_bytes() == before
        assert not (tmp_path / "no.fcast").exists()
    finally:
        tool("umount", mount)


def test_a_flipped_byte_harms_no_target(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = tmp_path / "bad.fcast", tmp_path / "target.raw"
    assert fleetcast("capture", source, path) is ExitCode.OK
    with Image.open(path) as opened:
        record = opened.index.records[len(opened.index) // 2]
        chunk = len(opened.index) // 2
    flip(path / "pack-0000", record.pack_offset + record.stored // 2)
    target.write_bytes(b"\xaa" * SIZE)
    capsys.readouterr()
    assert fleetcast("verify", path) is ExitCode.BAD_IMAGE
    assert (
        f"pack-0000 is damaged at byte {record.pack_offset}: chunk {chunk} " in capsys.readouterr().err
    )
    assert fleetcast("restore", path, target, "--yes") is ExitCode.BAD_IMAGE
    assert target.read_bytes() == b"\xaa" * SIZE


def test_a_target_too_small_is_told_both_figures(
    captured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = blank(tmp_path / "small.raw", 100 * MIB)
    assert fleetcast("restore", captured, target, "--yes") is ExitCode.DOES_NOT_FIT
    said = capsys.readouterr().err
    assert f"has 100.0 MiB ({100 * MIB} bytes)" in said
    assert "the image needs 113." in said
    assert target.read_bytes() == bytes(100 * MIB)


def test_verify_against_another_disk_says_so(captured: Path, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.raw"
    other.write_bytes(source.read_bytes())
    assert fleetcast("verify", captured, "--against", other) is ExitCode.OK
    flip(other, ROOT + 1024 + 56)  # in the ext4 superblock
    assert fleetcast("verify", captured, "--against", other) is ExitCode.UNTRUSTED


def test_disks_with_4096_byte_sectors(tmp_path: Path, loop: Callable[..., str]) -> None:
    raw, path = blank(tmp_path / "native.raw", SIZE), tmp_path / "native.fcast"
    device = loop(raw, "--sector-size", "4096")
    tool("sfdisk", "--quiet", device, data=b"label: gpt\nstart=256, size=2048, type=linux\n")
    part = blank(tmp_path / "part.raw", 8 * MIB)
    tool("mkfs.ext4", "-q", "-F", "-b", "4096", part)
    with Path(device).open("r+b") as disk:
        disk.seek(MIB)
        disk.write(part.read_bytes())
    assert fleetcast("capture", device, path) is ExitCode.OK

    # The same from a file, which must be told.
    copy = tmp_path / "copy.raw"
    copy.write_bytes(raw.read_bytes())
    assert fleetcast("capture", copy, tmp_path / "file.fcast", "--sector-size", "4096") is ExitCode.OK
    with Image.open(path) as one, Image.open(tmp_path / "file.fcast") as other:
        assert one.manifest.index_digest == other.manifest.index_digest
        assert [p.fstype for p in one.manifest.disks[0].layout.partitions] == ["ext4"]
    # On a disk with other sectors the table is made anew in those.
    smaller = loop(blank(tmp_path / "other.raw", SIZE))
    assert fleetcast("restore", path, smaller, "--yes", "--verify") is ExitCode.OK
    assert "No problems found" in tool("sgdisk", "-v", smaller)

    larger = blank(tmp_path / "larger.raw", SIZE + 8 * MIB)
    target = loop(larger, "--sector-size", "4096")
    assert fleetcast("restore", path, target, "--yes", "--verify") is ExitCode.OK
    assert "No problems found" in tool("sgdisk", "-v", target)
    tool("e2fsck", "-fn", extract(larger, MIB, 8 * MIB, part))
