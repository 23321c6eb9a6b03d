"""`restore --delta`, `--resume`, `--allow-unsigned` and `image sign` as an operator gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge import commandline
from castcore.edge.image.restorerecord import RECORDS_VARIABLE
from castcore.edge.net.identity import ServerIdentity
from castcore.errors import ExitCode
from castcore.units import MIB
from castserver.commands import capture, image, restore
from castserver.state.statedir import STATE_VARIABLE

from tests.support.images import blank, flip, make_image, noise, write_at

pytestmark = pytest.mark.root

SIZE = 4 * MIB


def fleetcast(*argv: str | Path) -> ExitCode:
    words = [str(a) for a in argv]
    return ExitCode(commandline.main("fleetcast", "", [capture, image, restore], words))


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORDS_VARIABLE, str(tmp_path / "records"))
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    raw = blank(tmp_path / "disk.raw", SIZE)
    write_at(raw, 0, noise(SIZE, 1))
    return raw


@pytest.fixture
def made(source: Path, tmp_path: Path) -> Path:
    return make_image(tmp_path, "small", source, (Extent(0, SIZE),))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target.raw"
    path.write_bytes(b"\xaa" * SIZE)
    return path


def test_delta_tells_what_it_saved(
    made: Path, source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ("restore", made, target, "--yes", "--delta")
    assert fleetcast(*again, "--json") is ExitCode.OK
    told = result(capsys)
    assert (told["written"], told["kept"], told["read"]) == (SIZE, 0, SIZE)
    flip(target, 2 * MIB + 5)
    assert fleetcast(*again) is ExitCode.OK
    said = capsys.readouterr().out
    assert "2 of 4 chunks were there already, proven by reading 4.0 MiB" in said
    assert "2.0 MiB were not written again" in said
    assert fleetcast(*again, "--json") is ExitCode.OK
    assert result(capsys)["written"] == 0
    assert target.read_bytes() == source.read_bytes()


def test_there_is_nothing_to_resume(
    made: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleetcast("restore", made, target, "--yes", "--resume") is ExitCode.NOT_FOUND
    assert "was cut off here" in capsys.readouterr().err
    assert target.read_bytes() == b"\xaa" * SIZE


def test_a_server_asks_for_its_signature(
    made: Path, source: Path, target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleetcast("image", "sign", made) is ExitCode.NOT_FOUND
    assert "no server key in" in capsys.readouterr().err
    key = ServerIdentity.load_or_make(tmp_path / "state").key
    assert fleetcast("restore", made, target, "--yes") is ExitCode.UNTRUSTED
    assert "small is not signed" in capsys.readouterr().err
    assert target.read_bytes() == b"\xaa" * SIZE
    assert fleetcast("restore", made, target, "--yes", "--allow-unsigned") is ExitCode.OK
    assert fleetcast("image", "sign", made, "--json") is ExitCode.OK
    assert result(capsys)["signed_by"] == key.public.hex()
    assert fleetcast("restore", made, target, "--yes") is ExitCode.OK
    own = tmp_path / "own.fcast"
    assert fleetcast("capture", source, own, "--full-sectors") is ExitCode.OK
    assert fleetcast("restore", own, target, "--yes") is ExitCode.OK
    assert target.read_bytes() == source.read_bytes()
