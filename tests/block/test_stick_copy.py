"""Logs on a real stick: written whole, nothing left mounted, and a clear word when it does not go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from castclient import stickcopy
from castclient.stick import Volume
from castcore.edge.run import ProgramFailed, run
from castcore.errors import NoSpace
from castcore.units import KIB, MIB

pytestmark = pytest.mark.root
SECONDS = 60.0


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """A stick of 8 MiB with ext4."""
    file = tmp_path / "stick"
    with file.open("wb") as stick:
        stick.truncate(8 * MIB)
    run(["mkfs.ext4", "-q", str(file)], timeout=SECONDS)
    device = run(["losetup", "--find", "--show", str(file)], timeout=SECONDS).decode().strip()
    try:
        yield Volume(device, device, "ext4", "MYSTICK")
    finally:
        run(["losetup", "--detach", device], timeout=SECONDS)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is mounted: a folder of the test's own."""
    folder = tmp_path / "place"
    monkeypatch.setattr(stickcopy, "_PLACE", folder)
    return folder


def on_it(volume: Volume, place: Path) -> dict[str, bytes]:
    run(["mount", "-o", "ro,noload", volume.path, str(place)], timeout=SECONDS)
    try:
        return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    finally:
        run(["umount", str(place)], timeout=SECONDS)


def test_each_copy_has_a_name_of_its_own_and_nothing_stays_mounted(volume: Volume, place: Path) -> None:
    data = os.urandom(300 * KIB)
    assert stickcopy.copy_to(volume, "logs", data) == "logs-1.tar.gz"
    assert stickcopy.copy_to(volume, "logs", b"again") == "logs-2.tar.gz"
    assert not os.path.ismount(place)
    assert on_it(volume, place) == {"logs-1.tar.gz": data, "logs-2.tar.gz": b"again"}


def test_a_full_stick_is_said_and_left_as_it_was(volume: Volume, place: Path) -> None:
    with pytest.raises(NoSpace, match="no room"):
        stickcopy.copy_to(volume, "logs", bytes(8 * MIB))
    assert not os.path.ismount(place)
    assert on_it(volume, place) == {}


def test_what_is_no_file_system_is_said(tmp_path: Path, place: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_bytes(bytes(MIB))
    with pytest.raises(ProgramFailed):
        stickcopy.copy_to(Volume(str(nothing), str(nothing), "ext4"), "logs", b"x")
    assert not os.path.ismount(place)
