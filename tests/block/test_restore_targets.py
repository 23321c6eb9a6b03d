"""How targets are named and chosen, and which disks are never one: real files and loop devices."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent, firmware_raid
from castcore.edge import commandline
from castcore.edge.disk import probe
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, restore

from tests.block.diskimages import loop
from tests.support.images import blank, make_image, noise, write_at

pytestmark = pytest.mark.root

SIZE = 3 * MIB


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", [capture, restore], [str(a) for a in argv]))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "disk.raw", SIZE)
    write_at(raw, MIB, noise(MIB, 1))
    return make_image(tmp_path, "small", raw, (Extent(MIB, MIB),))


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_dry_run_tells_machines_every_step_and_writes_nothing(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = blank(tmp_path / "target.raw", SIZE + MIB)
    argv = ("restore", image, "--map", f"0={target}", "--dry-run", "--verify", "--json")
    assert fleetcast(*argv) is ExitCode.OK
    told = events(capsys)
    plan = next(e for e in told if e["event"] == "plan")
    assert [a["kind"] for a in plan["actions"]] == ["check", "write", "table", "verify"]
    assert plan["targets"][0] | {"path": str(target), "size": SIZE + MIB} == plan["targets"][0]
    assert told[-1]["dry_run"] is True
    assert target.read_bytes() == bytes(SIZE + MIB)


def test_a_mapped_disk_is_written(image: Path, tmp_path: Path) -> None:
    target = blank(tmp_path / "target.raw", SIZE)
    assert fleetcast("restore", image, "--map", f"0={target}", "--yes", "--verify") is ExitCode.OK
    assert target.read_bytes()[MIB : 2 * MIB] == noise(MIB, 1)


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--map", "1=TARGET"], ExitCode.REFUSED, "the image's disks are 0 to 0"),
        (
            ["--map", "0=TARGET", "--map", "0=TARGET"],
            ExitCode.REFUSED,
            "names disk 0 of the image twice",
        ),
        (["--map", "TARGET"], ExitCode.REFUSED, "not N=TARGET"),
        (["TARGET", "--map", "0=TARGET"], ExitCode.REFUSED, "named twice"),
        (["by-id:wwn-none"], ExitCode.NOT_FOUND, "no disk is by-id:wwn-none"),
        (["TARGET", "--rules", "RULES"], ExitCode.REFUSED, "none can be named beside them"),
        (["--rules", "RULES"], ExitCode.REFUSED, "can be the target|no disk meets the rules"),
        (["--rules", "TARGET"], ExitCode.REFUSED, "larger than|no UTF-8|Invalid|Expected"),
        ([], ExitCode.REFUSED, "no disk is named"),
        (["--rules", "NONE"], ExitCode.NOT_FOUND, "NONE cannot be read"),
    ],
)
def test_targets_that_cannot_be_told_are_refused(
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    code: ExitCode,
    says: str,
) -> None:
    target, rules = tmp_path / "target.raw", tmp_path / "rules.toml"
    target.write_bytes(b"\xaa" * SIZE)
    rules.write_text('[[disk]]\nserial = "no such disk"\n')
    names = {"TARGET": target, "RULES": rules, "NONE": tmp_path / "none"}
    for word, name in names.items():
        argv = [a.replace(word, str(name)) for a in argv]
    says = says.replace("NONE", str(names["NONE"]))
    assert fleetcast("restore", image, *argv, "--yes") is code
    assert re.search(says, capsys.readouterr().err)
    assert target.read_bytes() == b"\xaa" * SIZE


def imsm(path: Path) -> None:
    """Intel's metadata in the last but one sector, as far as it tells members (mdadm, super-intel.c)."""
    anchor = b"Intel Raid ISM Cfg Sig. 1.3.00\0\0" + struct.pack("<IIIIII", 0, 512, 1, 1, 512, 0)
    write_at(path, path.stat().st_size - 1024, anchor.ljust(512, b"\0"))


def ddf(path: Path) -> None:
    """A DDF anchor header in the last sector, its twin where it says (SNIA Common RAID DDF 2.0, 5.3)."""
    last = path.stat().st_size // 512 - 1
    head = struct.pack(">II24s8s", 0xDE11DE11, 0, b"LSI     \x01", b"01.02.00")
    head += bytes(96 - len(head)) + struct.pack(">QQ", last - 64, last - 128)
    for sector in (last, last - 64, last - 128):
        write_at(path, sector * 512, head.ljust(512, b"\xff"))


@pytest.mark.parametrize("metadata", [imsm, ddf], ids=["imsm", "ddf"])
def test_a_member_of_a_firmware_raid_is_neither_target_nor_source(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], metadata: Any
) -> None:
    member = blank(tmp_path / "member.raw", 16 * MIB)
    metadata(member)
    before = member.read_bytes()
    with loop(member) as device:
        assert firmware_raid(probe.disk(device))
        assert fleetcast("restore", image, device, "--yes") is ExitCode.REFUSED
        assert f"{device} is a member of a firmware RAID" in capsys.readouterr().err
        assert fleetcast("capture", device, tmp_path / "no.fcast") is ExitCode.REFUSED
        assert "capture the array" in capsys.readouterr().err
    assert member.read_bytes() == before
    assert not (tmp_path / "no.fcast").exists()
