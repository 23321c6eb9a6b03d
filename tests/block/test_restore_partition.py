"""Capturing and restoring single partitions, with real file systems on disks that hold others."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge import commandline
from castcore.edge.image.imagefile import Image
from castcore.edge.run import ProgramFailed, started
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, image, restore, verify

from tests.block.diskimages import SAMPLES, copy_into, cut_out, make
from tests.block.disks import tool
from tests.support.castlab import ENVIRONMENT
from tests.support.images import blank, noise, write_at

pytestmark = pytest.mark.root

NTFS, EXT4 = SAMPLES["ntfs"], SAMPLES["ext4"]
SIZE = NTFS.size + EXT4.size + 4 * MIB
# The target's partitions stand elsewhere and are larger; the first 8 MiB belong to another one.
PLACES = {2: (9 * MIB, NTFS.size + 3 * MIB), 3: (9 * MIB + NTFS.size + 3 * MIB, EXT4.size)}
TARGET_SIZE = SIZE + 20 * MIB


def fleetcast(*argv: str | Path) -> ExitCode:
    commands = [capture, image, restore, verify]
    return ExitCode(commandline.main("fleetcast", "", commands, [str(a) for a in argv]))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("source")
    raw, digests, table, at = blank(folder / "source.raw", SIZE), {}, "label: gpt\n", MIB
    for number, sample in enumerate((NTFS, EXT4), 1):
        (folder / str(number)).mkdir()
        part = make(sample, folder / str(number) / "part.raw")
        digests[number] = dict(sample.digests(part))
        table += f"start={at // 512}, size={sample.size // 512}, type=linux\n"
        at += sample.size
    tool("sfdisk", "--quiet", raw, data=table.encode())
    at = MIB
    for number, sample in enumerate((NTFS, EXT4), 1):
        copy_into(folder / str(number) / "part.raw", raw, at)
        if sample is NTFS:
            for boot in (at, at + sample.size - 512):
                write_at(raw, boot + 28, (at // 512).to_bytes(4, "little"))
        at += sample.size
    return raw, digests


def target_disk(folder: Path) -> Path:
    """A disk with three partitions, all of it noise but the table."""
    target = folder / "target.raw"
    target.write_bytes(noise(TARGET_SIZE, 3))
    table = f"label: gpt\nstart=2048, size={8 * 2048}, type=linux\n"
    table += "".join(f"start={s // 512}, size={n // 512}, type=linux\n" for s, n in PLACES.values())
    tool(
        "sfdisk", "--quiet", "--wipe", "never", "--wipe-partitions", "never", target, data=table.encode()
    )
    return target


@pytest.mark.parametrize("whole", [True, False], ids=["of-a-disk-image", "of-a-partition-image"])
def test_a_partition_comes_back_and_nothing_else_is_touched(
    source: tuple[Path, dict[int, dict[str, str]]], tmp_path: Path, whole: bool
) -> None:
    raw, digests = source
    path, target = tmp_path / "one.fcast", target_disk(tmp_path)
    only = [] if whole else ["--partition", "1", "--partition", "2"]
    assert fleetcast("capture", raw, path, *only) is ExitCode.OK
    for number, sample, into in ((1, NTFS, 2), (2, EXT4, 3)):
        before = target.read_bytes()
        argv = ["--partition", number, "--into", into, "--yes", "--verify"]
        assert fleetcast("restore", path, target, *map(str, argv)) is ExitCode.OK
        start, length = PLACES[into]
        after = target.read_bytes()
        assert after[:start] == before[:start]
        assert after[start + length :] == before[start + length :]
        folder = tmp_path / str(number)
        folder.mkdir()
        part = cut_out(target, Extent(start, sample.size), folder / "part.raw")
        tool(*sample.check, part)
        assert dict(sample.digests(part)) == digests[number]
        if sample is NTFS:
            data = part.read_bytes()
            for at in (28, len(data) - 512 + 28):
                assert int.from_bytes(data[at : at + 4], "little") == start // 512


def test_an_image_of_one_partition_says_so_and_is_no_disk(
    source: tuple[Path, dict[int, dict[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = tmp_path / "one.fcast", blank(tmp_path / "target.raw", SIZE)
    assert fleetcast("capture", source[0], path, "--partition", "2") is ExitCode.OK
    with Image.open(path) as opened:
        disk = opened.manifest.disks[0]
        assert [p.taken.value for p in disk.layout.partitions] == ["nothing", "used-extents"]
        assert disk.in_use[0].start >= disk.layout.partitions[1].start
    assert fleetcast("verify", path) is ExitCode.OK
    capsys.readouterr()
    assert fleetcast("restore", path, target, "--yes") is ExitCode.DOES_NOT_FIT
    assert "captured without partition 1" in capsys.readouterr().err
    assert fleetcast("image", "shrink", path, tmp_path / "new.fcast", "--minimum") is ExitCode.REFUSED
    assert (
        fleetcast("capture", source[0], tmp_path / "no.fcast", "--partition", "9") is ExitCode.NOT_FOUND
    )
    assert "no partition 9 to capture (it has: 1, 2)" in capsys.readouterr().err
    assert not target.read_bytes().strip(b"\0")
    assert not list(tmp_path.glob("*no.fcast*"))


def test_what_does_not_go_on_a_partition_is_refused_untouched(
    source: tuple[Path, dict[int, dict[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = tmp_path / "one.fcast", target_disk(tmp_path)
    assert fleetcast("capture", source[0], path) is ExitCode.OK
    before = target.read_bytes()
    cases = (
        (["--partition", "2", "--into", "1"], ExitCode.DOES_NOT_FIT, r"too small: .*96.0 MiB.*8.0 MiB"),
        (
            ["--partition", "2", "--into", "9"],
            ExitCode.DOES_NOT_FIT,
            r"no partition 9 \(it has: 1, 2, 3\)",
        ),
        (["--partition", "1", "--into", "2"], ExitCode.REFUSED, "nobody is here to confirm"),
        (["--partition", "1", "--grow", "1"], ExitCode.REFUSED, "--grow is for whole disks"),
    )
    for argv, code, says in cases:
        capsys.readouterr()
        assert fleetcast("restore", path, target, *argv) is code
        assert re.search(says, capsys.readouterr().err)
    dry = ("--partition", "1", "--into", "2", "--dry-run")
    assert fleetcast("restore", path, target, *dry) is ExitCode.OK
    assert "holds unknown content now; nothing else is touched" in capsys.readouterr().out
    assert target.read_bytes() == before


@pytest.fixture(scope="module")
def partial(
    source: tuple[Path, dict[int, dict[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An image that holds only the second partition of its disk."""
    path = tmp_path_factory.mktemp("partial") / "one.fcast"
    assert fleetcast("capture", source[0], path, "--partition", "2") is ExitCode.OK
    return path


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_a_partition_is_exported_as_a_file_of_its_own(
    source: tuple[Path, dict[int, dict[str, str]]], partial: Path, tmp_path: Path, kind: str
) -> None:
    raw, digests = source
    whole = tmp_path / "whole.fcast"
    assert fleetcast("capture", raw, whole) is ExitCode.OK
    for number, image_path in enumerate((partial, whole)):
        file = tmp_path / f"{number}.{kind}"
        argv = ("image", "export", image_path, file, "--partition", "2", "--format", kind)
        assert fleetcast(*argv) is ExitCode.OK
        if kind == "qcow2":
            made, file = file, tmp_path / f"{number}.raw"
            tool("qemu-img", "convert", "-O", "raw", made, file)
        assert file.stat().st_size == EXT4.size
        assert dict(EXT4.digests(file)) == digests[2]


def test_an_image_of_one_partition_is_no_disk_to_export(
    partial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "disk.raw"
    assert fleetcast("image", "export", partial, file) is ExitCode.REFUSED
    said = capsys.readouterr().err
    assert "captured without partition 1 of disk 0" in said
    assert "--partition N" in said
    assert fleetcast("image", "export", partial, file, "--partition", "1") is ExitCode.NOT_FOUND
    assert "it holds: 2" in capsys.readouterr().err
    assert fleetcast("image", "export", partial, file, "--partition", "1:2") is ExitCode.NOT_FOUND
    assert fleetcast("image", "nbd", partial, "--unix", tmp_path / "socket") is ExitCode.REFUSED
    assert list(tmp_path.iterdir()) == []


def test_an_image_of_one_partition_is_shown_as_one(
    partial: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleetcast("image", "show", partial) is ExitCode.OK
    assert "NO WHOLE DISK: captured without partition 1" in capsys.readouterr().out
    assert fleetcast("image", "show", partial, "--json") is ExitCode.OK
    assert '"left_out":[1]' in capsys.readouterr().out.replace(" ", "")


def test_a_partition_is_served_by_itself(
    source: tuple[Path, dict[int, dict[str, str]]], partial: Path, tmp_path: Path
) -> None:
    digests = source[1]
    socket = tmp_path / "socket"
    command = [sys.executable, "-m", "castserver", "image", "nbd", str(partial), "--partition", "2"]
    with started([*command, "--unix", str(socket)], extra_env=ENVIRONMENT):
        for _ in range(300):
            if socket.exists():
                break
            time.sleep(0.1)
        for name in ("", "0p2"):
            file = tmp_path / f"copy-{name}.raw"
            tool("nbdcopy", f"nbd+unix:///{name}?socket={socket}", file)
            assert file.stat().st_size == EXT4.size
            assert dict(EXT4.digests(file)) == digests[2]
        with pytest.raises(ProgramFailed):  # there is no whole disk in it
            tool("nbdinfo", f"nbd+unix:///0?socket={socket}")


def test_a_partition_at_the_start_of_a_disk_is_captured_alone(tmp_path: Path) -> None:
    """What its first chunk holds is no partition table, and is not taken for one."""
    raw = blank(tmp_path / "raw", 4 * MIB)
    tool("sfdisk", "--quiet", raw, data=b"label: gpt\nfirst-lba: 40\nstart=40, size=4096\nsize=2000\n")
    write_at(raw, 40 * 512, noise(2 * MIB, 5))
    path, file = tmp_path / "one.fcast", tmp_path / "file.raw"
    assert fleetcast("capture", raw, path, "--partition", "1") is ExitCode.OK
    assert fleetcast("image", "export", path, file, "--partition", "1") is ExitCode.OK
    assert file.read_bytes() == noise(2 * MIB, 5)
    assert fleetcast("verify", path) is ExitCode.OK
    assert fleetcast("verify", path, "--against", raw) is ExitCode.OK
    write_at(raw, 50 * 512, b"changed")
    assert fleetcast("verify", path, "--against", raw) is ExitCode.UNTRUSTED
