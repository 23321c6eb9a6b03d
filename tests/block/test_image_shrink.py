"""Images made smaller: real file systems, moved partitions, and an untouched source image."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Taken, intersect
from castcore.edge import commandline
from castcore.edge.image.imagefile import Image
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, image, restore, verify

from tests.block.diskimages import SAMPLES, copy_into, cut_out, make, require_tools
from tests.block.disks import tool
from tests.support.images import blank, write_at

pytestmark = pytest.mark.root

# Where the copy of a boot sector is; below 0 from the partition's end.
COPIES = {"vfat": 6 * 512, "ntfs": -512}
COMMANDS = [capture, image, restore, verify]


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", COMMANDS, [str(a) for a in argv]))


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


def disk_of(folder: Path, names: list[str], *, label: str = "gpt") -> tuple[Path, list[dict[str, str]]]:
    """A disk with one partition for each of the samples ``names``, and the digests of their files."""
    samples = [SAMPLES[name] for name in names]
    require_tools(*samples)
    size = sum(s.size for s in samples) + 3 * MIB
    raw, table, at, digests = blank(folder / "source.raw", size), f"label: {label}\n", MIB, []
    kind = "type=linux" if label == "gpt" else "type=83"
    for sample in samples:
        table += f"start={at // 512}, size={sample.size // 512}, {kind}\n"
        at += sample.size
    tool("sfdisk", "--quiet", raw, data=table.encode())
    at = MIB
    for number, sample in enumerate(samples):
        folder_of_one = folder / str(number)
        folder_of_one.mkdir()
        part = make(sample, folder_of_one / "part.raw")
        copy_into(part, raw, at)
        if sample.fstype in COPIES:
            sectors = (at, at + COPIES[sample.fstype] % sample.size)
            for sector in sectors:  # as a system's own formatter leaves it
                write_at(raw, sector + 28, (at // 512).to_bytes(4, "little"))
        digests.append(dict(sample.digests(part)))
        at += sample.size
    return raw, digests


@pytest.mark.parametrize(
    "names", [["ntfs", "vfat", "ext4", "ntfs", "ext2"], ["ntfs", "xfs"]], ids="-".join
)
def test_a_shrunk_image_fits_and_holds_every_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    raw, digests = disk_of(tmp_path, names)
    old, new = tmp_path / "old.fcast", tmp_path / "new.fcast"
    assert fleetcast("capture", raw, old) is ExitCode.OK
    before = {p.name: p.read_bytes() for p in old.iterdir()}
    capsys.readouterr()
    assert fleetcast("image", "shrink", old, new, "--minimum", "--json") is ExitCode.OK
    told = result(capsys)
    assert {p.name: p.read_bytes() for p in old.iterdir()} == before
    size = told["size"]
    assert size < raw.stat().st_size - 20 * MIB
    assert fleetcast("verify", new) is ExitCode.OK

    target = blank(tmp_path / "target.raw", size)
    assert fleetcast("restore", old, target, "--yes") is ExitCode.DOES_NOT_FIT
    assert fleetcast("restore", new, target, "--yes", "--verify") is ExitCode.OK
    assert "No problems found" in tool("sgdisk", "-v", target)
    with Image.open(new) as opened:
        partitions = opened.manifest.disks[0].layout.partitions
    for name, partition, files in zip(names, partitions, digests, strict=True):
        folder = tmp_path / f"after-{partition.number}"
        folder.mkdir()
        part = cut_out(target, partition.extent, folder / "part.raw")
        tool(*SAMPLES[name].check, part)
        if name == "ntfs":
            tool("ntfsfix", "-d", part)  # a volume to be checked by Windows opens for no other tool
        assert SAMPLES[name].digests(part) == files
        if name in ("ntfs", "vfat"):
            data = part.read_bytes()
            for at in (28, COPIES[name] % len(data) + 28):
                assert int.from_bytes(data[at : at + 4], "little") == partition.start // 512


def test_a_given_size_is_reached_and_no_more_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, _ = disk_of(tmp_path, ["ext2", "ext4"])
    old, new, size = tmp_path / "old.fcast", tmp_path / "new.fcast", 100 * MIB
    assert fleetcast("capture", raw, old) is ExitCode.OK
    assert fleetcast("image", "shrink", old, new, "--size", "100MiB") is ExitCode.OK
    assert "partition 2: from 96.0 MiB to" in capsys.readouterr().out
    with Image.open(new) as opened:
        layout = opened.manifest.disks[0].layout
        assert layout.size == size
        assert layout.partitions[-1].extent.end > size - 3 * MIB
        # Only the roomiest partition gave.
        assert layout.partitions[0].length == SAMPLES["ext2"].size


def test_the_last_partition_of_an_mbr_gets_smaller(tmp_path: Path) -> None:
    raw, digests = disk_of(tmp_path, ["ext2", "ext4"], label="dos")
    old, new = tmp_path / "old.fcast", tmp_path / "new.fcast"
    assert fleetcast("capture", raw, old) is ExitCode.OK
    assert fleetcast("image", "shrink", old, new, "--size", "80M") is ExitCode.OK
    target = blank(tmp_path / "target.raw", 80 * MIB)
    assert fleetcast("restore", new, target, "--yes") is ExitCode.OK
    with Image.open(new) as opened:
        partition = opened.manifest.disks[0].layout.partitions[1]
    part = cut_out(target, partition.extent, tmp_path / "after.raw")
    tool("e2fsck", "-fn", part)
    assert SAMPLES["ext4"].digests(part) == digests[1]


def test_a_file_system_that_was_not_left_clean_stays_every_sector(tmp_path: Path) -> None:
    raw, _ = disk_of(tmp_path, ["ntfs", "ext2"])
    start = MIB + SAMPLES["ntfs"].size
    write_at(raw, start + 1024 + 58, bytes(2))  # the superblock's state: mounted
    old, new = tmp_path / "old.fcast", tmp_path / "new.fcast"
    assert fleetcast("capture", raw, old) is ExitCode.OK
    assert fleetcast("image", "shrink", old, new, "--minimum") is ExitCode.OK
    with Image.open(old) as before, Image.open(new) as after:
        was, now = (i.manifest.disks[0].layout.partitions for i in (before, after))
        assert was[1].taken is now[1].taken is Taken.EVERY
        assert "not cleanly unmounted" in was[1].why == now[1].why
        assert now[0].taken is Taken.USED
        assert now[1].start < was[1].start
        assert intersect(after.manifest.disks[0].in_use, [now[1].extent]) == (now[1].extent,)


def test_what_cannot_get_smaller_says_why_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, _ = disk_of(tmp_path, ["vfat", "ext2"])
    old, new = tmp_path / "old.fcast", tmp_path / "new.fcast"
    assert fleetcast("capture", raw, old) is ExitCode.OK
    cases = [
        (
            ["--size", "1MiB"],
            ExitCode.DOES_NOT_FIT,
            r"cannot get smaller than .*1.0 MiB \(1048576 bytes\)",
        ),
        (["--size", "1GiB"], ExitCode.REFUSED, "fits 1.0 GiB .* as it is"),
    ]
    for argv, code, says in cases:
        capsys.readouterr()
        assert fleetcast("image", "shrink", old, new, *argv) is code
        assert re.search(says, capsys.readouterr().err)
    assert not list(tmp_path.glob("*new*"))
    with Image.open(old) as opened:
        assert opened.manifest.disks[0].layout.partitions[1].fstype == "ext2"
