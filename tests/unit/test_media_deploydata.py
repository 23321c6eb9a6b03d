"""Filling a medium that somebody else had: nothing of this host is written through its links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest
from castcore.bootsettings import BootSettings
from castcore.disk import Extent
from castcore.edge.image.imagefile import Image
from castcore.edge.image.verify import verify_image
from castcore.errors import BadImage, Refused
from castcore.licence import ID_SIZE, issue_licence
from castcore.medium import MediumInfo
from castcore.progress import silent
from castcore.units import MIB
from castmedia import deploydata
from castmedia.deploydata import Contents
from castmedia.settingsoptions import Choices
from castmedia.stages import Stages

from tests.support.builtmedia import made_up_stages
from tests.support.images import flip, make_image, noise
from tests.support.licences import ISSUER

INFO = MediumInfo("12345678-1234-4234-8234-123456789abc", "Room 12")


def fill(root: Path, contents: Contents | None = None) -> tuple[str, ...]:
    folder = root.with_name("stages")
    folder.mkdir(exist_ok=True)
    with made_up_stages(folder) as made:
        choices = Choices(BootSettings())
        stages = cast(Stages, made)
        return deploydata.fill(root, INFO, contents or Contents(), stages, choices, silent)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "medium").mkdir()
    return tmp_path / "medium"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of this host, with a file in it."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/shadow").write_text("secret")
    return tmp_path / "host"


def unchanged(host: Path) -> bool:
    return [p.name for p in host.iterdir()] == ["shadow"] and (host / "shadow").read_text() == "secret"


@pytest.mark.parametrize("name", ["images", "licences", "pxe"])
def test_a_folder_that_is_a_link_is_refused(root: Path, host: Path, name: str) -> None:
    (root / name).symlink_to(host)
    with pytest.raises(Refused, match=f"{name} is neither"):
        fill(root)
    assert unchanged(host)


@pytest.mark.parametrize(
    "name",
    ["medium.json", "pxe/vmlinuz.partial", "pxe/tree.json", "images/office.fcast", "licences/a.lic"],
)
def test_a_link_in_the_place_of_what_is_written_is_refused(root: Path, host: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(host / "shadow")
    with pytest.raises(Refused, match=f"{name} is neither"):
        fill(root)
    assert unchanged(host)


def test_a_fifo_is_not_waited_for(root: Path) -> None:
    (root / "licences").mkdir()
    os.mkfifo(root / "licences/a.lic")
    with pytest.raises(Refused, match=r"a\.lic is neither"):
        fill(root)


def test_a_link_beside_what_is_written_is_not_followed(root: Path, host: Path, tmp_path: Path) -> None:
    (root / "medium.json.partial").symlink_to(host / "shadow")
    (tmp_path / "a.lic").write_bytes(issue_licence(ISSUER, bytes(ID_SIZE), "*", 5))
    fill(root, Contents((), (tmp_path / "a.lic",)))
    assert unchanged(host)
    assert (root / "medium.json").read_bytes() == INFO.encode()
    assert not (root / "medium.json").is_symlink()
    assert (root / "licences/a.lic").read_bytes() == (tmp_path / "a.lic").read_bytes()
    fill(root, Contents((), (tmp_path / "a.lic",)))


@pytest.mark.parametrize("damage", ["manifest.json", "index", "pack-0000", "pack-0000 is missing"])
def test_a_damaged_image_is_repaired_by_replacing_it(root: Path, tmp_path: Path, damage: str) -> None:
    (tmp_path / "raw").write_bytes(noise(MIB, 1))
    (tmp_path / "store").mkdir()
    image = make_image(tmp_path / "store", "office", tmp_path / "raw", (Extent(0, MIB),))
    assert fill(root, Contents((image,))) == ("office",)
    assert fill(root, Contents((image,), replace=True)) == (), "it is whole"
    copy = root / "images/office.fcast"
    name, *missing = damage.split(" ", 1)
    if missing:
        (copy / name).unlink()
    else:
        flip(copy / name, 100)
    if damage != "pack-0000":  # its bytes are read only to replace it
        with pytest.raises(BadImage) as found:
            fill(root, Contents((image,)))
        assert "--replace" in found.value.hint
    assert fill(root, Contents((image,), replace=True)) == ("office",)
    with Image.open(copy) as whole:
        verify_image(whole)
    assert [p.name for p in (root / "images").iterdir()] == ["office.fcast"]
