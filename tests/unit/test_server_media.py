"""Deploy media at a server: which one is used, what ends when it is pulled out, whose images."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import Extent
from castcore.edge.medium import FoundMedium, LedgerPlace, OpenMedium
from castcore.errors import DiskFailed, NotFound, Refused
from castcore.medium import MediumInfo
from castcore.units import MIB
from castserver.casts.policy import CastState, PartState
from castserver.images.library import Library
from castserver.media.media import RETRY_SECONDS, Media, World
from castserver.media.mediaeyes import Eyes, Seen
from castserver.media.mediastate import MediaNow, MediaState, Medium, came, went
from castserver.netboot.bootstate import DeployEnd

from tests.support.images import make_image, noise
from tests.support.serverlab import FakeClient, FakeImage, ServerLab

A, B = Medium("a", "/dev/sdb", "id-a", "Room 1"), Medium("b", "/dev/sdc", "id-b", "Room 2")
BAD = Medium("c", "/dev/sdd", problem="its data partition holds nothing that is known")


def test_the_one_connected_last_is_used() -> None:
    now = came(came(MediaNow(), A), B)
    assert (now.used, now.state, now.medium) == ("b", MediaState.CONNECTED, B)
    assert went(now, "a", casting=False).used == "b"


def test_pulled_out_leaves_no_medium_until_one_is_connected_again() -> None:
    now = went(came(came(MediaNow(), A), B), "b", casting=False)
    assert (now.used, now.state) == ("", MediaState.NONE)
    assert now.connected == (A,), "it is still there, and not used"
    assert now.why == "medium Room 2 was pulled out"
    again = came(now, B)
    assert (again.used, again.why) == ("b", "")


def test_a_medium_that_a_cast_runs_from_leaves_none_too() -> None:
    now = went(came(came(MediaNow(), A), B), "a", casting=True)
    assert (now.used, now.connected) == ("", (B,))


def test_a_medium_that_cannot_be_used_changes_nothing_but_the_list() -> None:
    now = came(came(MediaNow(), A), BAD)
    assert (now.used, now.connected) == ("a", (A, BAD))
    assert went(now, "c", casting=False).used == "a"
    assert went(now, "nosuch", casting=False) == now


class FakeEyes:
    def __init__(self) -> None:
        self.there: list[Seen] = []
        self.touched: set[str] = set()
        self.moved = threading.Event()
        self.looks = 0

    def look(self) -> tuple[Seen, ...]:
        self.looks += 1
        return tuple(self.there)

    def wait(self) -> set[str]:
        self.moved.wait(5)
        self.moved.clear()
        return self.touched

    def close(self) -> None:
        self.moved.set()


class FakeUsers:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.casting = ""
        self.slow = ""
        self.entered, self.free = threading.Event(), threading.Event()

    def uses(self, medium: str) -> bool:
        return medium == self.casting

    def connected(self, medium: Medium) -> None:
        if medium.where == self.slow:
            self.entered.set()
            assert self.free.wait(10)
        self.heard.append(("connected", medium.name))

    def gone(self, medium: Medium, why: str, *, used: bool) -> None:  # noqa: ARG002
        self.heard.append(("gone", why, used))


class Stick:
    """Media behind fakes: what is mounted where, and what fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted: list[str] = []
        self.failing: str | Exception = ""
        self.none: set[str] = set()
        self.unreadable: set[str] = set()
        self.now = 100.0
        self.eyes, self.users = FakeEyes(), FakeUsers()
        self.media = Media(self.eyes, World(self.check, self.open, lambda: self.now))

    def check(self, path: str) -> FoundMedium | None:
        if path in self.unreadable:
            raise DiskFailed(f"{path}: not permitted to open it")
        if path in self.none:
            return None
        return FoundMedium(path, f"id of {path}", "serial", 9 * MIB, 512, None)  # type: ignore[arg-type]

    @contextmanager
    def open(self, path: str) -> Iterator[OpenMedium]:
        if isinstance(self.failing, Exception):
            raise self.failing
        if self.failing:
            raise DiskFailed(self.failing)
        root = self.folder / Path(path).name
        (root / "images").mkdir(parents=True, exist_ok=True)
        self.mounted.append(path)
        found = self.check(path)
        assert found is not None
        info = MediumInfo("12345678-1234-4234-8234-123456789abc", f"of {path}")
        try:
            yield OpenMedium(root, info, LedgerPlace(path, 0, 0), "serial", found)
        finally:
            self.mounted.remove(path)

    def plug(self, path: str, key: str = "") -> None:
        self.eyes.there.append(Seen(len(self.eyes.there), key or path, path))
        self.eyes.moved.set()

    def pull(self, path: str) -> None:
        self.eyes.there = [one for one in self.eyes.there if one.path != path]
        self.eyes.moved.set()


def until(look: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not look():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Stick]:
    made = Stick(tmp_path)
    yield made
    made.media.stop()


def test_what_is_connected_at_the_start_is_there_before_anybody_asks(stick: Stick) -> None:
    stick.plug("/dev/sdb")
    stick.plug("/dev/sdc")
    stick.media.find()
    assert stick.media.now.medium is not None
    assert stick.media.now.medium.where == "/dev/sdc"
    stick.media.start(stick.users, lambda: None)
    assert stick.users.heard == [("connected", "of /dev/sdc")]


def test_media_come_and_go(stick: Stick) -> None:
    changes: list[int] = []
    stick.none.add("/dev/sda")
    stick.plug("/dev/sda")
    stick.media.find()
    stick.media.start(stick.users, lambda: changes.append(1))
    assert stick.media.now == MediaNow()
    stick.plug("/dev/sdb")
    until(lambda: stick.users.heard)
    assert stick.mounted == ["/dev/sdb"]
    stick.pull("/dev/sdb")
    until(lambda: len(stick.users.heard) == 2)
    assert stick.users.heard[1] == ("gone", "medium of /dev/sdb (/dev/sdb) was pulled out", True)
    until(lambda: not stick.mounted)
    assert stick.media.now.used == ""
    stick.plug("/dev/sdb", "another time")
    until(lambda: len(stick.users.heard) == 3)
    assert stick.media.now.used == "another time"
    assert len(changes) >= 3
    stick.media.stop()
    assert stick.mounted == []


def test_a_medium_that_cannot_be_opened_is_told_and_tried_again(stick: Stick) -> None:
    stick.failing = "/dev/sdb: its file system cannot be mounted: busy"
    stick.plug("/dev/sdb")
    stick.media.find()
    stick.media.start(stick.users, lambda: None)
    [medium] = stick.media.now.connected
    assert (medium.problem, stick.media.now.used) == (stick.failing, "")
    stick.now += RETRY_SECONDS
    stick.none.add("/dev/sdb")
    stick.eyes.moved.set()
    until(lambda: not stick.media.now.connected)
    stick.none.clear()
    stick.failing = ""
    stick.eyes.touched = {"/dev/sdb"}
    stick.eyes.moved.set()
    until(lambda: stick.users.heard)
    assert [m.problem for m in stick.media.now.connected] == [""]


def test_a_medium_that_is_busy_is_not_tried_all_the_time(stick: Stick) -> None:
    stick.failing = "/dev/sdb: its file system cannot be mounted: busy"
    stick.plug("/dev/sdb")
    stick.media.find()
    stick.media.start(stick.users, lambda: None)
    stick.failing = ""
    stick.eyes.moved.set()
    until(lambda: stick.eyes.looks > 1)
    assert stick.users.heard == []
    stick.now += RETRY_SECONDS
    stick.eyes.moved.set()
    until(lambda: stick.users.heard)
    assert [m.problem for m in stick.media.now.connected] == [""]


@pytest.mark.parametrize("then", ["another comes", "it is pulled out"])
def test_users_hear_in_the_order_in_which_it_happened(stick: Stick, then: str) -> None:
    """The one who is told of the first medium takes his time."""
    stick.media.find()
    stick.media.start(stick.users, lambda: None)
    stick.users.slow = "/dev/sdb"
    stick.plug("/dev/sdb")
    assert stick.users.entered.wait(10)
    if then == "another comes":
        stick.plug("/dev/sdc")
        until(lambda: len(stick.mounted) == 2)
        last: tuple[Any, ...] = ("connected", "of /dev/sdc")
    else:
        looks = stick.eyes.looks
        stick.pull("/dev/sdb")
        until(lambda: stick.eyes.looks > looks)
        last = ("gone", "medium of /dev/sdb (/dev/sdb) was pulled out", True)
    time.sleep(0.2)  # for him who does not wait his turn
    stick.users.free.set()
    until(lambda: len(stick.users.heard) == 2)
    assert stick.users.heard == [("connected", "of /dev/sdb"), last]


def test_whatever_happens_a_medium_is_tried_again(stick: Stick) -> None:
    stick.failing = RuntimeError("nobody thought of it")
    stick.plug("/dev/sdb")
    stick.media.find()
    stick.media.start(stick.users, lambda: None)
    assert stick.media.now == MediaNow()
    stick.failing = ""
    stick.now += RETRY_SECONDS
    stick.eyes.moved.set()
    until(lambda: stick.users.heard)
    assert stick.users.heard == [("connected", "of /dev/sdb")]


def test_a_disk_that_cannot_be_read_is_told_only_where_it_was_named(stick: Stick) -> None:
    stick.unreadable = {"/dev/sda", "/dev/sdb"}
    stick.eyes.there = [Seen(1, "a", "/dev/sda"), Seen(2, "b", "/dev/sdb", named=True)]
    stick.media.find()
    assert [one.where for one in stick.media.now.connected] == ["/dev/sdb"]


def test_a_disk_that_becomes_a_medium_is_looked_at_anew(stick: Stick) -> None:
    stick.none.add("/dev/sdb")
    stick.plug("/dev/sdb")
    stick.media.find()
    stick.media.start(stick.users, lambda: None)
    stick.none.clear()
    stick.eyes.touched = {"/dev/sdb"}
    stick.eyes.moved.set()
    until(lambda: stick.users.heard)
    assert stick.media.now.state is MediaState.CONNECTED


def test_a_named_file_is_seen_while_it_is_there(tmp_path: Path) -> None:
    eyes = Eyes([tmp_path / "medium.img"])
    named = [one for one in eyes.look() if one.path.endswith("medium.img")]
    assert named == []
    (tmp_path / "medium.img").write_bytes(b"x")
    [first] = [one for one in eyes.look() if one.path.endswith("medium.img")]
    (tmp_path / "other.img").write_bytes(b"x")
    (tmp_path / "other.img").replace(tmp_path / "medium.img")
    [second] = [one for one in eyes.look() if one.path.endswith("medium.img")]
    assert first.key != second.key, "another medium took its place"
    (tmp_path / "medium.img").unlink()
    assert [one for one in eyes.look() if one.path.endswith("medium.img")] == []


def test_casts_from_a_pulled_medium_end_and_no_others() -> None:
    lab = ServerLab()
    for number in (1, 2):
        FakeClient(lab, number).register()
    lab.library.images["stick"] = "ef" * 32
    first, second = (lab.operator("POST", "/casts", {"image": i}) for i in ("stick", "lab"))
    lab.library.opened[0].medium = "a"
    assert (lab.casts.uses("a"), lab.casts.uses("b")) == (True, False)
    lab.casts.medium_gone("a", "medium Room 1 (/dev/sdb) was pulled out")
    ended = lab.casts.get(first["cast"])
    assert (ended.state, ended.message) == (CastState.FAILED, "medium Room 1 (/dev/sdb) was pulled out")
    assert {p.state for p in ended.parts.values()} == {PartState.FAILED}
    until(lambda: lab.library.opened[0].closed)
    assert not lab.casts.uses("a")
    assert not lab.casts.get(second["cast"]).state.ended
    assert isinstance(lab.library.opened[1], FakeImage)
    assert not lab.library.opened[1].closed


def test_what_ends_pxe_deploy_knows_the_medium() -> None:
    lab = ServerLab()
    assert DeployEnd.MEDIUM_REMOVED in lab.booting.state().deploy.ends
    lab.booting.end_deploy("medium Room 1 (/dev/sdb) was pulled out")
    said = lab.operator("GET", "/booting")
    assert (said["deploy"], said["why"]) == (False, "medium Room 1 (/dev/sdb) was pulled out")


@pytest.fixture
def shelves(tmp_path: Path) -> tuple[Path, Medium]:
    """A library with "office" and "lab", and a medium with another "office" and "shop"."""
    library, medium = (
        tmp_path / "library",
        Medium("m", "/dev/sdb", name="Room 1", root=str(tmp_path / "m")),
    )
    (tmp_path / "m/images").mkdir(parents=True)
    library.mkdir()
    for number, (store, name) in enumerate(
        (
            (library, "office"),
            (library, "lab"),
            (tmp_path / "m/images", "office"),
            (tmp_path / "m/images", "shop"),
        )
    ):
        raw = tmp_path / f"{number}.raw"
        raw.write_bytes(noise(MIB, number))
        make_image(store, name, raw, (Extent(0, MIB),))
    return library, medium


def test_images_of_library_and_medium_stand_side_by_side(shelves: tuple[Path, Medium]) -> None:
    folder, medium = shelves
    there: list[Medium] = [medium]
    library = Library(folder, lambda: there[0] if there else None)
    assert [(one.image.name, one.where) for one in library.all()] == [
        ("office", "Room 1"),
        ("shop", "Room 1"),
        ("lab", "library"),
        ("office", "library"),
    ]
    for name, key in (("shop", "m"), ("lab", ""), ("medium/office", "m"), ("library/office", "")):
        image = library.open(name)
        assert (image.name, image.medium) == (name, key)
        image.close()
    with pytest.raises(Refused, match="both the library and the medium have an image office"):
        library.open("office")
    root = library.open("medium/office").root
    assert library.open("office", root).medium == "m", "of a cast that goes on, the one it was made for"
    there.clear()
    assert library.open("office").medium == ""
    for name in ("shop", "medium/office", "../office", "other/office", "", "library/", "/etc/x"):
        with pytest.raises(NotFound):
            library.open(name)
    assert [one.where for one in library.all()] == ["library", "library"]


def test_a_medium_that_was_pulled_just_now_lists_nothing(shelves: tuple[Path, Medium]) -> None:
    gone = Medium("m", "/dev/sdb", name="Room 1", root="/nonexistent")
    assert {one.where for one in Library(shelves[0], lambda: gone).all()} == {"library"}


def test_console_and_api_show_media_and_captures() -> None:
    lab = ServerLab()
    client = FakeClient(lab, 1).register()
    lab.log_in()
    assert "no medium" in lab.http.get("/live").text
    lab.media._now = came(came(MediaNow(), A), BAD)
    shown = lab.operator("GET", "/media")
    assert (shown["state"], [m["used"] for m in shown["media"]]) == ("medium connected", [True, False])
    lab.operator("POST", "/captures", {"client": client.id, "image": "office"})
    page = lab.http.get("/live").text
    for text in ("medium connected", "Room 1", BAD.problem, "office-525400000001", "cancel-capture"):
        assert text in page, text
    lab.media._now = went(lab.media.now, "a", casting=True)
    lab.clients.changed.fire()
    page = lab.http.get("/").text
    assert "medium Room 1 was pulled out" in page
    assert lab.operator("GET", "/state")["media"]["state"] == "no medium"
