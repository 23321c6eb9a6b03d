from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from castcore.disk import DiskLayout, Extent, Partition, TableType, Taken
from castcore.edge.image.imagefile import Image
from castcore.errors import DiskFailed, InUse, NotFound, Refused
from castcore.image import ImageDisk
from castcore.units import GIB, MIB
from castserver.accounts.roles import Role
from castserver.casts.policy import CastState
from castserver.commands import images as command
from castserver.console.diskbars import WIDTH, disk_bar
from castserver.images import imagekeeping, shelves
from castserver.images.imagekeeping import Check, CheckState, ImageKeeper
from castserver.images.library import Library
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import flip, gpt_disk, make_image
from tests.support.serverlab import OPERATOR, FakeClient, FakeLibrary, ServerLab
from tests.support.shelvedimages import office_disk, plain_disk, shelve

SECONDS = 20.0


# -- bars -----------------------------------------------------------------------------------------


def test_a_bar_shows_each_partition_by_its_size_and_what_is_used() -> None:
    bar = disk_bar(office_disk())
    assert [p.number for p in bar.pieces] == [1, 2, 3, 4, 5]
    assert [p.tint for p in bar.pieces] == ["boot", "windows", "windows", "linux", "swap"]
    windows, linux = bar.pieces[2], bar.pieces[3]
    assert windows.percent == 45
    assert windows.used_width == pytest.approx(windows.width * 18 / 40)
    assert windows.width / linux.width == pytest.approx(40 / 17, rel=0.01)
    assert bar.pieces[1].width > 10
    # What is free at the end stays free.
    assert bar.pieces[-1].x + bar.pieces[-1].width < WIDTH * 0.96


def test_a_disk_without_partitions_is_one_piece() -> None:
    bar = disk_bar(plain_disk(8 * GIB, (Extent(0, 2 * GIB),), (Extent(0, 4096),)))
    (piece,) = bar.pieces
    assert (piece.number, piece.x, piece.width, piece.percent) == (0, 0, WIDTH, 25)
    assert bar.unreadable == 4096


def test_an_extended_partition_is_not_drawn_over_those_within_it() -> None:
    partitions = (
        Partition(1, MIB, 3 * GIB, "05", taken=Taken.EVERY),
        Partition(5, 2 * MIB, GIB, "83", fstype="ext4", taken=Taken.USED),
    )
    bar = disk_bar(ImageDisk(DiskLayout(4 * GIB, 512, TableType.MBR, partitions=partitions), ()))
    assert [p.number for p in bar.pieces] == [5]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 1000)), min_size=1, max_size=130),
    st.integers(0, 500),
)
def test_pieces_never_overlap_and_stay_within_the_bar(spans: list[tuple[int, int]], end: int) -> None:
    at, partitions = 0, []
    for number, (gap, length) in enumerate(spans):
        partitions.append(Partition(number, (at + gap) * MIB, length * MIB))
        at += gap + length
    layout = DiskLayout((at + end) * MIB, 512, TableType.GPT, partitions=tuple(partitions))
    x = 0.0
    for piece in disk_bar(ImageDisk(layout, ())).pieces:
        assert piece.x >= x - 0.02
        assert piece.width > 0
        x = piece.x + piece.width
    assert x <= WIDTH + 0.02


# -- keeping --------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path) -> ServerLab:
    """A server whose library is a real one, with an image of a small disk."""
    store = tmp_path / "images"
    store.mkdir()
    partition, in_use = gpt_disk(tmp_path / "raw", 8 * MIB)
    make_image(store, "small", tmp_path / "raw", in_use, table=TableType.GPT, partitions=(partition,))
    lab = ServerLab()
    lab.library.directory = store
    lab.library.all = Library(store).all  # type: ignore[method-assign]
    return lab


def ended(lab: ServerLab, name: str = "small") -> Check:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for check in lab.parts.images.checks():
            if check.image == name and check.state.ended:
                return check
        time.sleep(0.01)
    raise AssertionError(f"the check of {name} has not ended: {lab.parts.images.checks()}")


def test_a_whole_image_is_found_whole_and_that_outlives_a_restart(lab: ServerLab) -> None:
    asked = lab.operator("POST", "/images/small/check")
    assert asked["state"] in ("waiting", "being checked")
    check = ended(lab)
    assert (check.state, check.problem, check.root) == (CheckState.WHOLE, "", asked["root"])
    again = ImageKeeper(lab.database, lab.library, lab.casts, lambda: None)
    assert again.checks() == [Check("small", check.root, CheckState.WHOLE, check.when)]


def test_a_damaged_image_is_found_and_named(lab: ServerLab) -> None:
    pack = next((lab.library.directory / "small.fcast").glob("pack-*"))
    flip(pack, pack.stat().st_size // 2)
    lab.operator("POST", "/images/small/check")
    check = ended(lab)
    assert check.state is CheckState.DAMAGED
    assert pack.name in check.problem
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/images").text
    assert 'class="badge bad">damaged' in page
    assert pack.name in page


def test_checks_wait_for_casts_and_for_each_other_and_end_with_the_server(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagekeeping, "LOOK_SECONDS", 0.01)
    client = FakeClient(lab, 1).register()
    cast = lab.operator("POST", "/casts", {"image": "lab", "start_clients": 1})["cast"]
    client.join(cast)
    assert lab.casts.get(cast).state is CastState.RUNNING
    keeper = lab.parts.images
    first = keeper.check("small")
    assert keeper.check("small").root == first.root
    time.sleep(0.1)
    assert not any(check.state.ended for check in keeper.checks())
    with pytest.raises(InUse, match="being checked"):
        keeper.delete("small")
    stopping = threading.Thread(target=keeper.stop)
    stopping.start()
    stopping.join(SECONDS)
    assert not stopping.is_alive()
    assert ImageKeeper(lab.database, lab.library, lab.casts, lambda: None).checks() == []


def test_an_image_is_deleted_unless_it_is_cast(lab: ServerLab) -> None:
    lab.operator("POST", "/images/small/check")
    lab.library.images["small"] = ended(lab).root
    made = lab.operator("POST", "/casts", {"image": "small"})["cast"]
    answer = lab.http.post("/api/v1/images/small/delete", headers=OPERATOR)
    assert answer.status_code == 409
    assert made in answer.json()["error"]
    lab.operator("POST", f"/casts/{made}/cancel")
    assert lab.operator("POST", "/images/small/delete")["freed"] > MIB
    assert not (lab.library.directory / "small.fcast").exists()
    assert lab.parts.images.checks() == []


@pytest.mark.parametrize(("cast", "same"), [("nas/small", True), ("nas/small", False), ("small", False)])
def test_a_cast_of_another_image_of_that_name_keeps_none(lab: ServerLab, cast: str, same: bool) -> None:
    lab.operator("POST", "/images/small/check")
    lab.library.images[cast] = ended(lab).root if same else "ab" * 32
    lab.operator("POST", "/casts", {"image": cast})
    assert lab.operator("POST", "/images/small/delete")["freed"] > MIB


@pytest.mark.parametrize("cast", ["small", "library/small"])
def test_a_damaged_image_is_kept_for_every_cast_of_its_name(lab: ServerLab, cast: str) -> None:
    (lab.library.directory / "small.fcast" / "manifest.json").write_bytes(b"{}")
    lab.library.images[cast] = "ab" * 32
    lab.operator("POST", "/casts", {"image": cast})
    with pytest.raises(InUse):
        lab.parts.images.delete("small")


def test_a_library_that_hangs_fails_calls_soon(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, free = lab.library.own, threading.Event()
    monkeypatch.setattr(FakeLibrary, "own", shelf)
    monkeypatch.setattr(imagekeeping, "LIST_SECONDS", 0.05)
    monkeypatch.setattr(imagekeeping, "require_image", lambda _: free.wait(SECONDS))
    for act in (lab.parts.images.check, lab.parts.images.delete):
        with pytest.raises(DiskFailed, match="not answer"):
            act("small")
    free.set()


def test_a_check_whose_reads_hang_lets_the_server_stop(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, reading = threading.Event(), threading.Event()

    def hang(*_: object) -> bytes:
        reading.set()
        free.wait(SECONDS)
        return b""

    monkeypatch.setattr(Image, "read_stored", hang)
    monkeypatch.setattr(imagekeeping, "STOP_SECONDS", 0.05)
    lab.parts.images.check("small")
    assert reading.wait(SECONDS)
    began = time.monotonic()
    lab.parts.images.stop()
    assert time.monotonic() - began < SECONDS / 2
    free.set()


def test_a_check_on_a_mount_that_hangs_ends(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(FakeLibrary, "own", lab.library.own)
    monkeypatch.setattr(shelves, "is_local", lambda _: False)
    monkeypatch.setattr(shelves, "READ_SECONDS", 0.5)
    lab.operator("POST", "/images/small/check")
    assert ended(lab).state is CheckState.WHOLE
    monkeypatch.setattr(Image, "read_stored", lambda *_: free.wait(SECONDS))
    lab.operator("POST", "/images/small/check")
    until = time.monotonic() + SECONDS
    while not (problem := ended(lab).problem):
        assert time.monotonic() < until
    assert "not answer" in problem
    free.set()


@pytest.mark.parametrize("name", ["none", "../small", "/etc", ".", "a\nb", "small.fcast/../small"])
@pytest.mark.parametrize("act", [ImageKeeper.delete, ImageKeeper.check])
def test_a_name_from_the_network_is_no_path(lab: ServerLab, act: Any, name: str) -> None:
    with pytest.raises(NotFound):
        act(lab.parts.images, name)


def test_what_others_borrow_from_is_kept(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def borrowed(path: Path) -> int:
        raise InUse(f"{path} is borrowed from by june")

    monkeypatch.setattr(imagekeeping, "delete_image", borrowed)
    answer = lab.http.post("/api/v1/images/small/delete", headers=OPERATOR)
    assert answer.status_code == 409


# -- the page and the command ---------------------------------------------------------------------


def test_the_page_draws_every_disk_and_names_problems(tmp_path: Path) -> None:
    plain = plain_disk(8 * GIB, (Extent(0, MIB),), (Extent(0, 4096),))
    shelve(tmp_path, "two", office_disk(), plain, machine="<PC>")
    (tmp_path / "broken.fcast").mkdir()
    (tmp_path / "broken.fcast" / "manifest.json").write_bytes(b"{}")
    lab = ServerLab()
    lab.library.all = Library(tmp_path).all  # type: ignore[method-assign]
    assert lab.http.get("/images", follow_redirects=False).headers["location"] == "/login"
    lab.log_in(Role.VIEWER)
    page = lab.http.get("/images").text
    assert page.count('<svg class="bar"') == 2
    assert page.count('class="room"') == 6
    assert "4.0 KiB could not be read" in page
    assert "&lt;PC&gt;" in page
    assert "not a Fleetcast image" in page
    assert "style=" not in page  # the Content-Security-Policy lets none pass


def test_the_command_tells_checks_of_the_library_only() -> None:
    image = {"image": "office", "where": "library", "used": 1, "stored": 1, "root": "ab", "problem": ""}
    check = {"root": "ab", "state": "damaged", "when": 1_795_788_300, "problem": "pack-0001 is bad"}
    rows = command._rows([image, image | {"where": "STICK"}], [check])
    assert rows[0][4:] == ("damaged 2026-11-27 14:05", "pack-0001 is bad")
    assert rows[1][4:] == ("", "")


def test_too_many_checks_are_refused(lab: ServerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagekeeping, "MOST_WAITING", 0)
    with pytest.raises(Refused):
        lab.parts.images.check("small")
