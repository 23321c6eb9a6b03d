"""What somebody put on a stick in place of a plain file: nobody waits for it, or follows it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from castclient.local.licences import _files
from castcore.edge.image.imagefile import Image
from castcore.edge.image.store import list_images, read_file
from castcore.edge.licence.licencefiles import licence_files, read_licence
from castcore.edge.medium import OpenMedium
from castcore.errors import DiskFailed

SECONDS = 3.0
TINY = Path(__file__).parents[1] / "golden/tiny-v2.fcast"


def ends(work: Callable[[], Any]) -> Any:
    """What ``work`` returns, or the error that it raises; it may not wait for ever."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except DiskFailed as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert found, "it waits for somebody to write into a FIFO"
    return found[0]


@pytest.fixture(params=["FIFO", "link to a FIFO", "link to a device", "folder"])
def odd(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A licence file that is none."""
    (tmp_path / "licences").mkdir()
    path = tmp_path / "licences/x.lic"
    match request.param:
        case "FIFO":
            os.mkfifo(path)
        case "link to a FIFO":
            os.mkfifo(tmp_path / "fifo")
            path.symlink_to(tmp_path / "fifo")
        case "link to a device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    return path


def test_licences_of_a_medium_are_plain_files(odd: Path) -> None:
    said = ends(lambda: licence_files(odd.parent))
    assert isinstance(said, DiskFailed)
    assert "x.lic cannot be read: it is" in said.what


def test_a_client_passes_over_what_is_none(odd: Path) -> None:
    (odd.parent / "y.lic").write_bytes(b"licence")
    medium = cast(OpenMedium, SimpleNamespace(licences=odd.parent))
    assert ends(lambda: list(_files(medium))) == [("y.lic", b"licence")]


def test_an_operator_may_name_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"licence")
    (tmp_path / "x.lic").symlink_to("real")
    assert read_licence(tmp_path / "x.lic") == b"licence"
    with pytest.raises(DiskFailed, match="symbolic link"):
        read_licence(tmp_path / "x.lic", links=False)


def test_small_files_of_media_and_images_are_plain(odd: Path, tmp_path: Path) -> None:
    assert isinstance(ends(lambda: read_file(odd, 4096)), DiskFailed)
    (tmp_path / "office.fcast").mkdir()
    odd.rename(tmp_path / "office.fcast/manifest.json")
    [image] = ends(lambda: list_images(tmp_path))
    assert "manifest.json cannot be read: it is" in image.problem


@pytest.mark.parametrize("name", ["pack-0001", "index"])
def test_an_images_files_are_plain_ones(tmp_path: Path, name: str) -> None:
    image = tmp_path / "tiny.fcast"
    shutil.copytree(TINY, image)
    (image / name).unlink()
    os.mkfifo(image / name)
    said = ends(lambda: Image.open(image))
    assert isinstance(said, DiskFailed)
    assert "it is no plain file" in said.what
