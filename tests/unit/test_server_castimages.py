from __future__ import annotations

from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.units import MIB
from castserver.api import views
from castserver.console import castimages
from castserver.console.castimages import cast_images
from castserver.images.library import Library
from castserver.media.mediastate import Medium

from tests.support.images import blank, make_image


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return blank(tmp_path / "disk.raw", MIB)


def place(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_an_image_that_comes_is_told_of_and_read_but_once(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(place(tmp_path / "images"))
    told = cast_images(library)
    assert told() == ()
    make_image(library.directory, "office", raw, (Extent(0, MIB),))
    (library.directory / "damaged.fcast").mkdir()
    [image] = told()
    assert (image.name, image.image, image.medium) == ("office", "office", "")
    monkeypatch.setattr(castimages, "image_view", lambda _: pytest.fail("read again"))
    assert told() == (image,)
    monkeypatch.setattr(castimages, "image_view", views.image_view)
    (library.directory / "office.fcast").rename(tmp_path / "gone")
    assert told() == ()
    (library.directory).rename(tmp_path / "unplugged")
    assert told() == (), "the page lives on"


def test_a_medium_comes_and_goes_and_what_both_have_says_where_it_is(tmp_path: Path, raw: Path) -> None:
    here, root = place(tmp_path / "images"), tmp_path / "medium"
    there = place(root / "images")
    medium = Medium(key="stick", where="/dev/sdx", root=str(root), name="Room 1")
    used: list[Medium] = []
    told = cast_images(Library(here, lambda: used[0] if used else None))
    for folder, name in ((here, "lab"), (here, "office"), (there, "office")):
        make_image(folder, name, raw, (Extent(0, MIB),))
    assert [image.name for image in told()] == ["lab", "office"]
    used.append(medium)
    assert [(image.name, image.medium) for image in told()] == [
        ("medium/office", "Room 1"),
        ("lab", ""),
        ("library/office", ""),
    ]
    used.clear()
    assert [image.name for image in told()] == ["lab", "office"]
