"""A disk captured again on the base of its first image: little is stored, everything comes back."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from castcore.edge import commandline
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import list_images
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, image, restore, verify

from tests.block.diskimages import SAMPLES, copy_into, make, require_tools
from tests.block.disks import tool
from tests.golden.independent import read_image
from tests.support.figures import tell
from tests.support.images import blank, noise, write_at

pytestmark = pytest.mark.root

COMMANDS = [capture, image, restore, verify]
CHANGED = 0.02


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", COMMANDS, [str(a) for a in argv]))


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT disk with an ext4 full of files."""
    sample = SAMPLES["ext4"]
    require_tools(sample)
    folder = tmp_path_factory.mktemp("based")
    raw = blank(folder / "disk.raw", sample.size + 128 * MIB)
    table = f"label: gpt\nstart=2048, size={sample.size // 512}, type=linux\n"
    table += f"start={2048 + sample.size // 512}, size={120 * MIB // 512}, type=linux\n"
    tool("sfdisk", "--quiet", raw, data=table.encode())
    copy_into(make(sample, folder / "part.raw"), raw, MIB)
    write_at(raw, MIB + sample.size, noise(100 * MIB, 3))
    return raw


@pytest.fixture
def store(disk: Path, tmp_path: Path) -> Path:
    """A store with ``monday``."""
    made = tmp_path / "store"
    assert fleetcast("capture", disk, "monday", "--store", made) is ExitCode.OK
    return made


def changed(disk: Path, copy: Path, seed: int) -> Path:
    """A copy of ``disk`` with 2 % of the second partition's MiB changed."""
    tool("cp", "--sparse=always", disk, copy)
    where, end = random.Random(seed), disk.stat().st_size // MIB
    for at in where.sample(range(end - 110, end - 30), max(1, int(end * CHANGED))):
        write_at(copy, at * MIB + 512, noise(900, at + seed))
    return copy


def restored(name: str, store: Path, disk: Path, target: Path) -> None:
    """Fail unless a restore of ``name`` brings ``disk`` back."""
    with Image.open(store / f"{name}.fcast") as opened:
        in_use = opened.manifest.disks[0].in_use
    blank(target, disk.stat().st_size)
    assert fleetcast("restore", name, target, "--store", store, "--yes", "--verify") is ExitCode.OK
    with disk.open("rb") as source, target.open("rb") as copy:
        for extent in in_use:
            source.seek(extent.start)
            copy.seek(extent.start)
            assert source.read(extent.length) == copy.read(extent.length)


def test_a_disk_that_changed_a_little_is_stored_a_little(
    disk: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sum(p.stat().st_size for p in (store / "monday.fcast").iterdir())
    tuesday = changed(disk, tmp_path / "tuesday.raw", 1)
    words = ("--store", store, "--base", "monday", "--json")
    capsys.readouterr()
    assert fleetcast("capture", tuesday, "tuesday", *words) is ExitCode.OK
    told = result(capsys)
    second = sum(p.stat().st_size for p in (store / "tuesday.fcast").iterdir())
    tell(monday=first, tuesday=second)
    assert second < first * 2 * CHANGED
    (lent,) = told["borrowings"]
    assert lent["image"] == "monday"
    assert lent["bytes"] == told["borrowed"] > 0.9 * first
    assert told["stored"] < second
    restored("tuesday", store, tuesday, tmp_path / "target.raw")
    assert fleetcast("verify", "tuesday", "--store", store) is ExitCode.OK
    read_image(store / "tuesday.fcast")

    wednesday = changed(tuesday, tmp_path / "wednesday.raw", 2)
    capsys.readouterr()
    assert fleetcast("capture", wednesday, "wednesday", *words, "--base", "tuesday") is ExitCode.OK
    assert [b["image"] for b in result(capsys)["borrowings"]] == ["monday", "tuesday"]
    restored("wednesday", store, wednesday, tmp_path / "target.raw")
    assert (
        fleetcast("image", "export", "wednesday", tmp_path / "out.raw", "--store", store) is ExitCode.OK
    )
    for day in ("tuesday", "wednesday"):
        read_image(store / f"{day}.fcast")


def test_an_import_is_based_too(
    disk: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool("qemu-img", "convert", "-O", "qcow2", disk, tmp_path / "disk.qcow2")
    words = ("--store", store, "--base", "monday", "--json")
    capsys.readouterr()
    assert fleetcast("image", "import", tmp_path / "disk.qcow2", "same", *words) is ExitCode.OK
    assert result(capsys)["stored"] == 0
    restored("same", store, disk, tmp_path / "target.raw")


@pytest.fixture
def based(disk: Path, store: Path, tmp_path: Path) -> Path:
    """The store with ``tuesday`` as well."""
    tuesday = changed(disk, tmp_path / "tuesday.raw", 1)
    assert fleetcast("capture", tuesday, "tuesday", "--store", store, "--base", "monday") is ExitCode.OK
    return store


def test_what_is_borrowed_is_shown(based: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert fleetcast("image", "list", "--store", based) is ExitCode.OK
    monday, tuesday = capsys.readouterr().out.splitlines()[1:]
    assert "from monday" in tuesday
    assert "from" not in monday
    assert fleetcast("image", "show", "tuesday", "--store", based) is ExitCode.OK
    assert "chunks are borrowed from monday" in capsys.readouterr().out
    assert fleetcast("image", "list", "--store", based, "--json") is ExitCode.OK
    first, second = result(capsys)["images"]
    assert (first["borrowed"], first["lenders"]) == (0, [])
    assert second["lenders"] == ["monday"]
    assert second["stored"] < second["borrowed"]


def test_an_image_that_lends_is_not_deleted_or_replaced(
    based: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--store", based)
    for command in (
        ("image", "delete", "monday", "--yes"),
        ("capture", disk, "monday", "--replace"),
        ("image", "import", disk, "monday", "--replace"),
        ("image", "shrink", "tuesday", "monday", "--minimum", "--replace"),
        ("image", "copy", "tuesday", based / "monday.fcast", "--replace"),
    ):
        capsys.readouterr()
        assert fleetcast(*command, *words) is ExitCode.IN_USE, command
        assert "is borrowed from by tuesday" in capsys.readouterr().err
    for answer in ("", "y\n"):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert fleetcast("image", "delete", "tuesday", *words) is ExitCode.REFUSED
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert fleetcast("image", "delete", "tuesday", *words) is ExitCode.REFUSED
    assert [i.name for i in list_images(based)] == ["monday", "tuesday"]
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    assert fleetcast("image", "delete", "tuesday", *words) is ExitCode.OK
    capsys.readouterr()
    assert fleetcast("image", "delete", "monday", *words, "--yes", "--json") is ExitCode.OK
    assert result(capsys)["freed"] > MIB
    assert list(based.iterdir()) == []
    assert fleetcast("image", "delete", "monday", *words, "--yes") is ExitCode.NOT_FOUND


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """A medium with exFAT, which cannot exchange two names."""
    device = tool("losetup", "--find", "--show", blank(tmp_path / "stick.img", 600 * MIB)).strip()
    folder = tmp_path / "stick"
    folder.mkdir()
    try:
        tool("mkfs.exfat", device)
        tool("mount.exfat-fuse", device, folder)
        try:
            yield folder
        finally:
            tool("umount", folder)
    finally:
        tool("losetup", "--detach", device)


def test_a_copy_on_a_stick_is_whole(
    based: Path, stick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert fleetcast("image", "copy", "tuesday", stick, "--store", based, "--json") is ExitCode.OK
    told = result(capsys)
    assert told["borrowed"] > 0
    assert fleetcast("image", "show", "tuesday", "--store", stick, "--json") is ExitCode.OK
    shown = result(capsys)
    assert (shown["root"], shown["borrowings"]) == (told["root"], [])
    assert shown["stored"] == told["bytes"]
    assert fleetcast("image", "copy", "tuesday", stick, "--store", based) is ExitCode.REFUSED
    assert fleetcast("image", "copy", "tuesday", stick, "--store", based, "--replace") is ExitCode.OK
    assert [p.name for p in stick.iterdir()] == ["tuesday.fcast"]
    restored("tuesday", stick, tmp_path / "tuesday.raw", tmp_path / "target.raw")
    nowhere = tmp_path / "nowhere"
    assert fleetcast("image", "copy", "tuesday", nowhere, "--store", based) is ExitCode.NOT_FOUND
    assert not nowhere.exists()
    assert fleetcast("image", "delete", "tuesday", "--store", stick, "--yes") is ExitCode.OK
    assert list(stick.iterdir()) == []


PROGRAM = """
import sys
from castcore.edge import commandline
from castserver.commands import capture
sys.exit(commandline.main("fleetcast", "", [capture]))
"""


def test_nobody_deletes_what_a_capture_is_borrowing_from(
    store: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("capture", disk, "later", "--store", store, "--base", "monday", "--level", "19")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, words)])
    while not list(store.glob(".later.fcast.partial-*")):
        assert process.poll() is None
    assert fleetcast("image", "delete", "monday", "--store", store, "--yes") is ExitCode.IN_USE
    assert process.wait(120) == ExitCode.OK
    restored("later", store, disk, tmp_path / "target.raw")
