"""A partition grows after a restore, with its file system: real tools, both kinds of table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge import commandline
from castcore.edge.disk import probe
from castcore.edge.run import run
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, restore

from tests.block.diskimages import SAMPLES, Sample, copy_into, cut_out, loop, make, require_tools
from tests.block.disks import tool
from tests.support.images import blank

pytestmark = pytest.mark.root

START = 2 * MIB


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", [capture, restore], [str(a) for a in argv]))


def source_disk(
    folder: Path, sample: Sample, *, label: str, sector: int
) -> tuple[Path, Mapping[str, str]]:
    """A disk with an empty small partition and then ``sample``; the digests of the sample's files."""
    part = make(sample, folder / "part.raw")
    raw = blank(folder / "source.raw", sample.size + 4 * MIB)
    kinds = {"gpt": "type=linux", "dos": "type=7" if sample.fstype == "ntfs" else "type=83"}
    table = f"label: {label}\n" + "".join(
        f"start={start // sector}, size={size // sector}, {kinds[label]}\n"
        for start, size in ((MIB, MIB), (START, sample.size))
    )
    with loop(raw, sector_size=sector) as device:
        tool("sfdisk", "--quiet", "--no-reread", device, data=table.encode())
    copy_into(part, raw, START)
    return raw, sample.digests(part)


@pytest.mark.parametrize(
    ("name", "label", "sector"),
    [
        ("ext4", "gpt", 512),
        ("ext4", "dos", 512),
        ("ext4", "gpt", 4096),
        ("ntfs", "gpt", 512),
        ("ntfs", "dos", 512),
        ("xfs", "gpt", 512),
    ],
)
def test_the_last_partition_fills_a_larger_disk(
    tmp_path: Path, name: str, label: str, sector: int
) -> None:
    sample = SAMPLES[name]
    require_tools(sample)
    raw, before = source_disk(tmp_path, sample, label=label, sector=sector)
    image = tmp_path / "disk.fcast"
    assert fleetcast("capture", raw, image, "--sector-size", str(sector)) is ExitCode.OK
    raw.unlink()
    size = sample.size + 84 * MIB
    target = blank(tmp_path / "target.raw", size)
    with loop(target, sector_size=sector) as device:
        assert fleetcast("restore", image, device, "--grow", "2", "--verify", "--yes") is ExitCode.OK
        after = probe.disk(device).layout
        if label == "gpt":
            assert "No problems found" in tool("sgdisk", "-v", device)
    assert after is not None
    partition = after.partitions[1]
    room = MIB if label == "gpt" else 0  # the backup table's
    assert partition.extent == Extent(START, size - room - START)
    part = cut_out(target, partition.extent, tmp_path / "after.raw")
    tool(*sample.check, part)
    if sample.fstype == "ntfs":
        tool("ntfsfix", "-d", part)  # a volume to be checked by Windows opens for no other tool
    assert _file_system_size(part, sample.fstype) > partition.length - MIB
    assert sample.digests(part) == before


def _file_system_size(part: Path, fstype: str) -> int:
    """The bytes that the file system itself says it has."""
    if fstype == "ext4":
        said = tool("dumpe2fs", "-h", part)
        values = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        return int(values["Block count"]) * int(values["Block size"])
    if fstype == "xfs":
        said = tool("xfs_db", "-r", "-c", "sb 0", "-c", "p dblocks blocksize", part)
        count, size = (int(line.split("=")[1]) for line in said.splitlines())
        return count * size
    said = run(["ntfsinfo", "-m", str(part)], timeout=60).decode()
    values = {k.strip(): v for k, _, v in (line.partition(":") for line in said.splitlines())}
    return int(values["Volume Size in Clusters"]) * int(values["Cluster Size"])


def test_what_cannot_grow_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, _ = source_disk(tmp_path, SAMPLES["ext4"], label="gpt", sector=512)
    image = tmp_path / "disk.fcast"
    assert fleetcast("capture", raw, image) is ExitCode.OK
    target = blank(tmp_path / "target.raw", raw.stat().st_size + 8 * MIB)
    assert fleetcast("restore", image, target, "--grow", "1", "--yes") is ExitCode.DOES_NOT_FIT
    assert "partition 1 cannot grow: no tool grows its content (unknown)" in capsys.readouterr().err
    assert not target.read_bytes().strip(b"\0")
