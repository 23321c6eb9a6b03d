"""What the image commands say, ask and refuse; they probe with blkid, so they are no unit tests."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge import commandline
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, image, restore, verify

from tests.support.images import blank, make_image, noise, write_at

pytestmark = pytest.mark.root

COMMANDS = [capture, image, restore, verify]
SIZE = 3 * MIB


def fleetcast(*argv: str | Path) -> ExitCode:
    return ExitCode(commandline.main("fleetcast", "", COMMANDS, [str(a) for a in argv]))


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def store(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "disk.raw", SIZE)
    write_at(raw, MIB, noise(MIB, 1))
    (tmp_path / "store").mkdir()
    make_image(tmp_path / "store", "small", raw, (Extent(MIB, MIB),))
    return tmp_path / "store"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target.raw"
    path.write_bytes(b"\xaa" * SIZE)
    return path


def untouched(target: Path) -> bool:
    return target.read_bytes() == b"\xaa" * SIZE


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            fleetcast(command.NAME, "--help")
        assert ended.value.code == 0
        assert f"example:\n  fleetcast {command.NAME}" in capsys.readouterr().out


def test_restore_without_a_terminal_needs_yes(
    store: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert fleetcast("restore", "small", target, "--store", store) is ExitCode.REFUSED
    assert untouched(target)


@pytest.mark.parametrize("answer", ["", "y\n", "no\n", "yes please\n"])
def test_restore_goes_on_for_a_whole_yes_only(
    store: Path, target: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert fleetcast("restore", "small", target, "--store", store) is ExitCode.REFUSED
    assert untouched(target)
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    assert fleetcast("restore", "small", target, "--store", store) is ExitCode.OK
    assert target.read_bytes()[MIB : 2 * MIB] == noise(MIB, 1)


def test_dry_run_shows_the_plan_and_writes_nothing(
    store: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleetcast("restore", "small", target, "--store", store, "--dry-run") is ExitCode.OK
    said = capsys.readouterr().out
    assert "image small" in said
    assert f"target {target}" in said
    assert untouched(target)


def test_restore_tells_machines_what_it_did(
    store: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = fleetcast("restore", "small", target, "--store", store, "--yes", "--verify", "--json")
    assert code is ExitCode.OK
    told = result(capsys)
    assert (told["event"], told["written"], told["verified"]) == ("result", MIB, True)
    assert fleetcast("image", "show", "small", "--store", store, "--json") is ExitCode.OK
    assert result(capsys)["root"] == told["root"]


@pytest.mark.parametrize("position", ["before", "after"])
def test_list_for_machines(store: Path, capsys: pytest.CaptureFixture[str], position: str) -> None:
    (store / "broken.fcast").mkdir()
    words = ["--json", "list"] if position == "before" else ["list", "--json"]
    assert fleetcast("image", *words, "--store", store) is ExitCode.OK
    broken, small = result(capsys)["images"]
    assert "manifest.json" in broken["problem"]
    assert (small["image"], small["used"], small["chunks"]) == ("small", MIB, 1)


def test_list_for_people(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleetcast("image", "list", "--store", store) is ExitCode.OK
    assert "small  1      1.0 MiB  1.0 MiB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["restore", "none", "TARGET", "--yes"], ExitCode.NOT_FOUND, "no such image: STORE/none.fcast"),
        (["restore", "small", "NOWHERE", "--yes"], ExitCode.NOT_FOUND, "NOWHERE"),
        (["verify", "none"], ExitCode.NOT_FOUND, "no such image"),
        (["image", "show", "none"], ExitCode.NOT_FOUND, "no such image"),
        (["capture", "NOWHERE", "new"], ExitCode.NOT_FOUND, "no such source: NOWHERE"),
        (["capture", "STORE", "new"], ExitCode.REFUSED, "neither a block device nor a file"),
        (["capture", "EMPTY", "new"], ExitCode.REFUSED, "EMPTY is an empty file"),
        (["capture", "TARGET", "EMPTY/new"], ExitCode.NOT_FOUND, "no image store at EMPTY"),
        (["capture", "TARGET", "small"], ExitCode.REFUSED, "small.fcast exists already"),
        (["capture", "TARGET", "not a name"], ExitCode.REFUSED, "cannot be an image's name"),
        (
            ["restore", "small", "TARGET", "TARGET", "--yes"],
            ExitCode.DOES_NOT_FIT,
            "2 targets were given",
        ),
        (
            ["verify", "small", "--against", "TARGET"],
            ExitCode.UNTRUSTED,
            "bytes 1048576-2097151 differs",
        ),
        (
            ["verify", "small", "--against", "EMPTY"],
            ExitCode.UNTRUSTED,
            "EMPTY does not hold what small",
        ),
    ],
)
def test_wrong_things_give_one_clear_line(
    store: Path,
    target: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    code: ExitCode,
    says: str,
) -> None:
    names = {"STORE": store, "TARGET": target, "NOWHERE": store / "nowhere", "EMPTY": store / "empty"}
    names["EMPTY"].touch()
    for word, name in names.items():
        argv = [a.replace(word, str(name)) for a in argv]
    assert fleetcast(*argv, "--store", store) is code
    for word, name in names.items():
        says = says.replace(word, str(name))
    said = capsys.readouterr().err
    assert says in said
    assert [line.split(":")[0] for line in said.splitlines()] == ["error", "  next"]
    assert untouched(target)


def test_replace_takes_the_place_of_the_old_image(store: Path, target: Path) -> None:
    old = (store / "small.fcast/manifest.json").read_bytes()
    assert fleetcast("capture", target, "small", "--store", store, "--replace") is ExitCode.OK
    assert (store / "small.fcast/manifest.json").read_bytes() != old
    assert [p.name for p in store.iterdir()] == ["small.fcast"]


def test_a_damaged_virtual_disk_is_named(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.qcow2"
    bad.write_bytes(b"QFI\xfb" + b"\xff" * 4096)
    assert fleetcast("capture", bad, "new", "--store", store) is ExitCode.BAD_IMAGE
    assert f"{bad} cannot be read as qcow2" in capsys.readouterr().err
    assert [p.name for p in store.iterdir()] == ["small.fcast"]
