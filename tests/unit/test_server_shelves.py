"""Several folders of images: told apart, and none of them can hold up the server."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.image.imagefile import Image
from castcore.errors import BadImage, DiskFailed, NotFound, Refused
from castcore.units import MIB
from castserver.images import shelves
from castserver.images.library import Library
from castserver.images.patience import Patience
from castserver.images.shelves import Shelf, further, is_local, is_writable
from castserver.media.mediastate import Medium

from tests.support.images import make_image, noise


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A library with "office" and "lab", and a folder "nas" with another "office" and "shop"."""
    for number, place in enumerate(("library/office", "library/lab", "nas/office", "nas/shop")):
        folder, _, name = place.partition("/")
        (tmp_path / folder).mkdir(exist_ok=True)
        raw = tmp_path / f"{number}.raw"
        raw.write_bytes(noise(MIB, number))
        make_image(tmp_path / folder, name, raw, (Extent(0, MIB),))
    return tmp_path / "library", tmp_path / "nas"


def test_the_first_folder_wins_and_each_can_be_named(folders: tuple[Path, Path]) -> None:
    library = Library(folders[0], more=[folders[1]])
    assert [(one.image.name, one.where, one.cast_as) for one in library.all()] == [
        ("lab", "library", "lab"),
        ("office", "library", "office"),
        ("office", "nas", "nas/office"),
        ("shop", "nas", "nas/shop"),
    ]
    assert all(one.held is not None and one.held.stored > 0 for one in library.all())
    roots = {}
    for name in ("office", "library/office", "nas/office", "shop", "nas/shop"):
        image = library.open(name)
        assert image.name == name
        assert image.read_stored(0)
        roots[name] = image.root
        image.close()
    assert roots["office"] == roots["library/office"] != roots["nas/office"]
    # A cast that goes on has the image it was made for, whatever came in between.
    again = library.open("office", roots["nas/office"])
    assert again.root == roots["nas/office"]
    again.close()
    for name in (
        "nas/lab",
        "other/office",
        "../nas/office",
        "nas/",
        "nas/../library/lab",
        "/nas/office",
    ):
        with pytest.raises(NotFound):
            library.open(name)


@pytest.mark.parametrize("names", [["a/nas", "b/nas"], ["library"], ["medium"], ["-x"], ["a b"], ["/"]])
def test_names_that_tell_nothing_apart_are_refused(names: list[str]) -> None:
    with pytest.raises(Refused, match="folder"):
        further([Path("/mnt") / name for name in names])


def test_a_folder_that_is_gone_is_told_and_the_others_go_on(folders: tuple[Path, Path]) -> None:
    library = Library(folders[0], more=[folders[1].with_name("gone")])
    *_, gone = library.all()
    assert (gone.where, gone.image.name, gone.cast_as) == ("gone", "*", "")
    assert "no image store at" in gone.image.problem
    assert len(library.all()) == 3
    library.open("lab").close()
    with pytest.raises(NotFound):
        library.open("gone/lab")
    folders[1].rename(folders[1].with_name("gone"))
    assert library.open("gone/shop").name == "gone/shop", "it is there again"


class Stuck:
    """What a file system whose server is gone does, until it is freed."""

    def __init__(self) -> None:
        self.free, self.calls = threading.Event(), 0

    def __call__(self, *_: object) -> str:
        self.calls += 1
        self.free.wait(60)
        return "late"


def test_a_call_that_hangs_is_left_alone_and_later_ones_fail_at_once() -> None:
    patience, stuck, late = Patience("/mnt/nas"), Stuck(), list[str]()
    with pytest.raises(DiskFailed, match="did not answer for"):
        patience.do(stuck, 0.05, late.append)
    with pytest.raises(DiskFailed, match="/mnt/nas does not answer"):
        patience.do(stuck, 60)
    assert stuck.calls == 1
    stuck.free.set()
    end = time.monotonic() + 30
    while not late:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert late == ["late"], "what came late is closed by who cares for it"
    assert patience.do(lambda: 7, 30) == 7


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise NotFound("nothing there")

    for error in (NotFound, TimeoutError):
        with pytest.raises(error):
            Patience("x").do(fail if error is NotFound else _time_out, 30)


def _time_out() -> None:
    raise TimeoutError("the server's own")


def test_a_folder_that_hangs_holds_up_neither_lists_nor_other_casts(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library, stuck = Library(folders[0], more=[folders[1]]), Stuck()
    monkeypatch.setattr(shelves, "is_local", lambda folder: folder != folders[1])
    monkeypatch.setattr(shelves, "READ_SECONDS", 0.05)
    monkeypatch.setattr(shelves, "LIST_SECONDS", 0.5)
    casting, other = library.open("nas/shop"), library.open("office")
    assert casting.read_stored(0)
    monkeypatch.setattr(casting._image, "read_proven", stuck)
    with pytest.raises(DiskFailed, match="nas did not answer"):
        casting.read_stored(0)
    assert isinstance(casting.failure, DiskFailed), "who asks for single chunks asks in vain now"
    with pytest.raises(DiskFailed, match="nas does not answer"):
        casting.source.read_stored(0)
    assert stuck.calls == 1
    assert other.read_stored(0)
    *_, away = library.all()
    assert (away.where, away.image.name) == ("nas", "*")
    assert "does not answer" in away.image.problem
    library.open("lab").close()
    with pytest.raises(DiskFailed, match="nas"):
        library.open("nas/office")
    # It may have an image of that name: another's is not taken in its place.
    with pytest.raises(DiskFailed, match="nas"):
        library.open("shop")
    casting.close()
    other.close()
    stuck.free.set()


def test_a_cast_goes_on_with_its_image_though_another_folder_is_dead(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(folders[0], more=[folders[1]])
    roots = {}
    for name in ("office", "nas/office"):
        image = library.open(name)
        roots[name] = image.root
        image.close()
    has = Shelf.has
    dead = ["nas"]

    def asked(shelf: Shelf, name: str) -> bool:
        if shelf.name in dead:
            raise DiskFailed(f"{shelf.name} does not answer")
        return has(shelf, name)

    monkeypatch.setattr(Shelf, "has", asked)
    opened = watched(monkeypatch)
    library.open("office", roots["office"]).close()
    # Another's image of that name is no image of that root.
    with pytest.raises(DiskFailed, match="nas"):
        library.open("office", roots["nas/office"])
    dead[:] = ["library"]
    library.open("office", roots["nas/office"]).close()
    dead.clear()
    library.open("office", roots["nas/office"]).close()
    library.open("office", "ab" * 32).close()
    with pytest.raises(NotFound):
        library.open("none", "ab" * 32)
    assert len(opened) == 7
    assert all(opened.values()), "closed"


def test_an_image_whose_opening_fails_half_way_is_closed(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise DiskFailed("the mount does not answer")

    medium = Medium(key="stick", where="/dev/sdx", root=str(folders[0].parent), name="Room 1")
    (folders[0].parent / "images").symlink_to(folders[1])
    library = Library(folders[0], lambda: medium)
    opened = watched(monkeypatch)
    with pytest.raises(Refused, match="both the library and the medium"):
        library.open("office")
    (folders[1] / "office.fcast" / "index").unlink()
    with pytest.raises(BadImage):
        library.open("office")
    monkeypatch.setattr(shelves, "is_local", fail)
    with pytest.raises(DiskFailed):
        library.open("lab")
    assert len(opened) == 4
    assert all(opened.values()), "closed"


def watched(monkeypatch: pytest.MonkeyPatch) -> dict[Image, bool]:
    """Every image that is opened from now on, and whether it was closed."""
    seen: dict[Image, bool] = {}
    made, close = Image.__init__, Image.close

    def opened(image: Image, path: Path) -> None:
        made(image, path)
        seen[image] = False

    def closed(image: Image) -> None:
        close(image)
        seen[image] = True

    monkeypatch.setattr(Image, "__init__", opened)
    monkeypatch.setattr(Image, "close", closed)
    return seen


def test_which_folders_can_be_written_to_and_are_on_own_disks(tmp_path: Path) -> None:
    assert is_writable(tmp_path)
    assert not is_writable(tmp_path / "nosuch")
    assert is_local(tmp_path)
    assert not is_local(Path("/proc"))
