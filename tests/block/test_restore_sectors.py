"""Images of disks with 512-byte sectors on disks with 4096-byte ones, and back, by the real tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge import commandline
from castcore.edge.disk import probe
from castcore.edge.run import find
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, restore, verify

from tests.block.diskimages import (
    SAMPLES,
    Sample,
    copy_into,
    cut_out,
    digests_mounted,
    fill_mounted,
    loop,
    make,
)
from tests.block.disks import tool
from tests.support.images import blank

pytestmark = pytest.mark.root

KINDS = {"vfat": "uefi", "ntfs": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"}
ESP = replace(SAMPLES["vfat"], size=64 * MIB, make=("mkfs.vfat", "-F", "32", "-n", "ESP"))
ESP_4K = replace(ESP, make=("mkfs.vfat", "-S", "4096", "-n", "ESP"))
NTFS_4K = replace(SAMPLES["ntfs"], make=("mkfs.ntfs", "-q", "-F", "-s", "4096", "-c", "4096"))
XFS_4K = replace(SAMPLES["xfs"], make=("mkfs.xfs", "-q", "-f", "-s", "size=4096"))
# Small ones would get blocks of 1 KiB.
EXT4 = replace(SAMPLES["ext4"], make=("mkfs.ext4", "-q", "-F", "-b", "4096"))
BTRFS = Sample(
    "btrfs",
    128 * MIB,
    ("mkfs.btrfs", "-q"),
    ("btrfs", "check"),
    fill_mounted,
    digests_mounted,
)


def fleetcast(*argv: str | Path) -> ExitCode:
    commands = [capture, restore, verify]
    return ExitCode(commandline.main("fleetcast", "", commands, [str(a) for a in argv]))


def disk_of(folder: Path, samples: list[Sample], sector: int) -> tuple[Path, list[dict[str, str]]]:
    """A GPT disk with sectors of ``sector`` bytes, a partition for each sample; their files' digests."""
    if not find("mkfs.btrfs"):
        pytest.skip("not installed: mkfs.btrfs")
    raw = blank(folder / "source.raw", sum(s.size for s in samples) + 3 * MIB)
    table, at, digests = "label: gpt\n", MIB, []
    for sample in samples:
        kind = KINDS.get(sample.fstype, "linux")
        table += f"start={at // sector}, size={sample.size // sector}, type={kind}\n"
        at += sample.size
    with loop(raw, sector_size=sector) as device:
        tool("sfdisk", "--quiet", "--no-reread", device, data=table.encode())
    at = MIB
    for number, sample in enumerate(samples):
        (folder / str(number)).mkdir()
        part = make(sample, folder / str(number) / "part.raw")
        copy_into(part, raw, at)
        digests.append(dict(sample.digests(part)))
        at += sample.size
    return raw, digests


@pytest.mark.parametrize(
    ("old", "new", "samples"),
    [
        (512, 4096, [ESP, EXT4, BTRFS, XFS_4K]),
        (4096, 512, [ESP_4K, NTFS_4K, SAMPLES["ext4"], SAMPLES["xfs"]]),
    ],
    ids=["512-4096", "4096-512"],
)
def test_a_disk_with_other_sectors_holds_the_same_files(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    old: int,
    new: int,
    samples: list[Sample],
) -> None:
    raw, digests = disk_of(tmp_path, samples, old)
    image, size = tmp_path / "disk.fcast", raw.stat().st_size + 8 * MIB
    assert fleetcast("capture", raw, image, "--sector-size", str(old)) is ExitCode.OK
    target = blank(tmp_path / "target.raw", size)
    with loop(target, sector_size=new) as device:
        capsys.readouterr()
        assert fleetcast("restore", image, device, "--yes", "--verify") is ExitCode.OK
        assert f"made anew in sectors of {new} bytes" in capsys.readouterr().out
        assert "No problems found" in tool("sgdisk", "-v", device)
        assert fleetcast("verify", image, "--against", device) is ExitCode.OK
        layout = probe.disk(device).layout
        assert layout is not None
        assert layout.sector_size == new
        assert [p.fstype for p in layout.partitions] == [s.fstype for s in samples]
    for sample, partition, files in zip(samples, layout.partitions, digests, strict=True):
        folder = tmp_path / f"after-{partition.number}"
        folder.mkdir()
        part = cut_out(target, partition.extent, folder / "part.raw")
        tool(*sample.check, part)
        assert dict(sample.digests(part)) == files
        if sample.fstype in ("vfat", "ntfs"):
            assert int.from_bytes(part.read_bytes()[11:13], "little") == new
        if sample.fstype == "vfat":
            assert partition.label == "ESP"


def test_what_is_bound_to_its_sectors_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, _ = disk_of(tmp_path, [SAMPLES["ntfs"], SAMPLES["ext4-1k"], SAMPLES["xfs"]], 512)
    image = tmp_path / "disk.fcast"
    assert fleetcast("capture", raw, image) is ExitCode.OK
    target = blank(tmp_path / "target.raw", raw.stat().st_size + MIB)
    with loop(target, sector_size=4096) as device:
        assert fleetcast("restore", image, device, "--yes") is ExitCode.DOES_NOT_FIT
    said = capsys.readouterr().err
    for number, fstype, unit in ((1, "ntfs", 1024), (2, "ext4", 1024), (3, "xfs", 512)):
        assert f"partition {number} ({fstype}) is written in units of {unit} bytes" in said
    assert not target.read_bytes().strip(b"\0")


def test_a_file_is_written_for_the_sectors_that_are_named(tmp_path: Path) -> None:
    raw, digests = disk_of(tmp_path, [EXT4], 512)
    image = tmp_path / "disk.fcast"
    assert fleetcast("capture", raw, image) is ExitCode.OK
    target = blank(tmp_path / "target.raw", raw.stat().st_size + MIB)
    argv = ("restore", image, target, "--sector-size", "4096", "--yes", "--verify")
    assert fleetcast(*argv) is ExitCode.OK
    with loop(target, sector_size=4096) as device:
        assert "No problems found" in tool("sgdisk", "-v", device)
        assert fleetcast("verify", image, "--against", device) is ExitCode.OK
    assert fleetcast("verify", image, "--against", target, "--sector-size", "4096") is ExitCode.OK
    part = cut_out(target, Extent(MIB, SAMPLES["ext4"].size), tmp_path / "part.raw")
    assert SAMPLES["ext4"].digests(part) == digests[0]
