"""File systems that were not left clean: taken whole, unless the operator trusts their maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from castcore.disk import Taken, total
from castcore.edge import commandline
from castcore.edge.disk.survey import SurveyOptions, survey
from castcore.edge.image.imagefile import Image
from castcore.edge.run import run
from castcore.errors import ExitCode
from castserver.commands import capture

from tests.block.diskimages import MIB, SAMPLES, SECONDS, loop, make, mounted

pytestmark = pytest.mark.root

TRUSTING = SurveyOptions(trust_dirty=True)


def journal_to_replay(disk: Path) -> None:
    run(["debugfs", "-w", "-R", "feature needs_recovery", str(disk)], timeout=SECONDS)


def cut_off_while_mounted(disk: Path) -> None:
    """Make ``disk`` what it is when the power fails while it is mounted."""
    copy = disk.with_suffix(".copy")
    with mounted(disk) as point:
        (point / "late").write_bytes(b"late")
        run(["sync", "-f", str(point)], timeout=SECONDS)
        run(["cp", "--sparse=always", str(disk), str(copy)], timeout=SECONDS)
    copy.replace(disk)


def hibernated(disk: Path) -> None:
    hiberfile = disk.with_suffix(".sys")
    hiberfile.write_bytes(b"hibr".ljust(8192, b"\0"))
    run(["ntfscp", str(disk), str(hiberfile), "hiberfil.sys"], timeout=SECONDS)


@pytest.mark.parametrize(
    ("name", "spoil", "why"),
    [
        ("ext4", journal_to_replay, "its journal holds changes"),
        ("xfs", cut_off_while_mounted, "its log holds changes"),
        ("ntfs", hibernated, "holds a hibernated Windows"),
    ],
)
def test_a_dirty_file_system_is_taken_whole_unless_it_is_trusted(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], why: str
) -> None:
    disk = make(SAMPLES[name], tmp_path / "disk.img")
    spoil(disk)
    result = survey(disk)
    (whole,) = result.layout.partitions
    assert (whole.taken, total(result.in_use)) == (Taken.EVERY, disk.stat().st_size)
    assert why in whole.why
    trusted = survey(disk, TRUSTING)
    (part,) = trusted.layout.partitions
    assert part.taken is Taken.USED
    assert total(trusted.in_use) < disk.stat().st_size // 2
    assert why in part.why
    assert "trusted nonetheless" in part.why


def test_a_mounted_disk_is_captured_by_experts_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk, point = make(SAMPLES["ext4"], tmp_path / "disk.img"), tmp_path / "point"
    point.mkdir()

    def captured(image: str, *options: str) -> ExitCode:
        argv = ["capture", device, str(tmp_path / image), *options]
        return ExitCode(commandline.main("fleetcast", "", [capture], argv))

    with loop(disk) as device:
        run(["mount", device, str(point)], timeout=SECONDS)
        try:
            assert captured("no.fcast") is ExitCode.IN_USE
            assert "--force-mounted" in capsys.readouterr().err
            assert captured("yes.fcast", "--force-mounted") is ExitCode.OK
            said = capsys.readouterr()
            assert "WARNING" in said.out + said.err
            assert str(point) in said.out + said.err
        finally:
            run(["umount", device], timeout=SECONDS)
    with Image.open(tmp_path / "yes.fcast") as image:
        (part,) = image.manifest.disks[0].layout.partitions
        # Mounted, its journal may hold changes: nothing less than all of it will do.
        assert part.taken is Taken.EVERY
        assert image.manifest.used == 96 * MIB
