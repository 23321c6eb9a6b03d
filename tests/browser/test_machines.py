"""The page of machines in a real browser: search, edit, marks, a cast to the ticked, a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from castcore.disk import Extent
from castcore.edge.image.store import list_images
from castcore.units import MIB
from castserver.images.shelves import LIBRARY, shelved
from playwright.sync_api import FilePayload, Page, expect

from tests.support.browser import NARROW, shot, too_wide
from tests.support.desk import Desk
from tests.support.images import blank, make_image, noise, write_at
from tests.support.looks import faults_of_looks
from tests.support.serverlab import FakeClient

pytestmark = pytest.mark.root


@pytest.fixture
def room(desk: Desk, tmp_path: Path) -> list[FakeClient]:
    """Three machines that are ready, and the image "lab" as the console lists a whole one."""
    raw = blank(tmp_path / "source.raw", 4 * MIB)
    write_at(raw, 0, noise(MIB, 1))
    (tmp_path / "store").mkdir()
    make_image(tmp_path / "store", "lab", raw, (Extent(0, MIB),))
    found = tuple(shelved(image, LIBRARY) for image in list_images(tmp_path / "store"))
    desk.lab.library.all = lambda: found  # type: ignore[method-assign]
    clients = [FakeClient(desk.lab, n).register() for n in (1, 2, 3)]
    for client in clients:
        client.report("ready")
    return clients


def _file(data: bytes) -> FilePayload:
    return {"name": "machines.csv", "mimeType": "text/csv", "buffer": data}


def edit(page: Page, client: FakeClient, **fields: str) -> None:
    page.locator(f"#edit-{client.id}").click()
    for field, text in fields.items():
        page.locator(f"#edit-form [name={field}]").fill(text)
    page.get_by_role("button", name="Save").click()


def test_machines_are_named_marked_and_cast_to(desk: Desk, room: list[FakeClient]) -> None:
    page = desk.browser.open("/machines")
    expect(page.locator("#rows tr")).to_have_count(3)
    edit(page, room[0], name="PC01", groups="ROOM1, all", note="by the door")
    expect(page.locator("#rows")).to_contain_text("by the door")
    assert desk.lab.clients.get(room[0].id).card.groups == ("ROOM1", "all")
    page.locator(f"#tick-{room[1].id}").check()
    page.locator(f"#tick-{room[0].id}").check()
    expect(page.locator("#ticked")).to_have_text("2")
    page.locator("#mark [name=word]").fill("room1")
    page.get_by_role("button", name="Give it to them").click()
    expect(page.locator("#search [name=group] option", has_text="ROOM1 (2)")).to_have_count(1)
    page.locator("#search [name=group]").select_option("ROOM1")
    page.locator("#search").get_by_role("button", name="Search").click()
    expect(page.locator("#rows tr")).to_have_count(2)
    page.locator("#tick-all").check()
    page.get_by_role("button", name="Cast to them…").click()
    question = page.locator("#confirm-text")
    expect(question).to_contain_text("Machines that are erased, once the cast is started: 2.")
    expect(question).to_contain_text("The cast starts by itself when 2 have joined.")
    page.locator("#confirm-yes").click()
    expect(page).to_have_url(f"{desk.browser.url}/")
    (cast,) = desk.lab.casts.all()
    assert cast.rules.targets == frozenset(client.id for client in room[:2])
    assert cast.rules.start_clients == 2


def test_only_machines_that_are_seen_ticked_are_cast_to(desk: Desk, room: list[FakeClient]) -> None:
    page = desk.browser.open("/machines?q=52:54")
    page.locator("#tick-all").check()
    expect(page.locator("#ticked")).to_have_text("3")
    desk.lab.clients.get(room[2].id).heard = -1e9
    desk.lab.operator("POST", f"/machines/{room[2].id}/remove")
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator(f"#tick-{room[0].id}")).to_be_checked()
    expect(page.locator("#ticked")).to_have_text("2")
    page.get_by_role("button", name="Cast to them…").click()
    page.locator("#confirm-yes").click()
    expect(page).to_have_url(f"{desk.browser.url}/")
    (cast,) = desk.lab.casts.all()
    assert cast.rules.targets == frozenset(client.id for client in room[:2])


def test_a_machine_is_told_what_to_do_on_its_page(desk: Desk, room: list[FakeClient]) -> None:
    page = desk.browser.open()
    page.locator(f"#to-{room[0].id}").click()
    expect(page).to_have_url(f"{desk.browser.url}/machines/{room[0].id}")
    page.get_by_role("button", name="Reboot…").click()
    expect(page.locator("#confirm-text")).to_contain_text("Nothing on its disks is changed")
    with page.expect_navigation():
        page.locator("#confirm-yes").click()
    page.get_by_role("button", name="Boot its own disk…").click()
    page.locator("#confirm-yes").click()
    expect(page.get_by_role("button", name="Boot our client again…")).to_be_visible()
    assert [order["kind"] for order in room[0].orders()] == ["reboot"]
    assert not (faults := faults_of_looks(page)), "\n".join(faults)
    # It is removed meanwhile, and somebody follows an old link.
    desk.browser.expect("status of 404")
    page.goto(f"{desk.browser.url}/machines/PC99")
    expect(page.get_by_role("heading", name="There is no such machine.")).to_be_visible()
    page.get_by_role("link", name="All machines").click()
    expect(page.locator("#rows tr")).to_have_count(len(room))


def test_who_waits_is_let_in_on_the_page_of_machines(desk: Desk, room: list[FakeClient]) -> None:
    desk.lab.operator("PUT", "/approval", {"required": True})
    page = desk.browser.open("/machines?state=waiting")
    expect(page.locator("#rows tr")).to_have_count(len(room))
    page.locator("#rows").get_by_role("button", name="approve…").first.click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#rows tr")).to_have_count(len(room) - 1)
    page.locator("#tick-all").check()
    expect(page.locator("#ticked-bar")).to_contain_text(f"{len(room) - 1} ticked")
    page.get_by_role("link", name="mark them, cast to them…").click()
    expect(page.locator("#mark")).to_be_in_viewport()


def test_the_live_page_casts_to_those_alone_too(desk: Desk, room: list[FakeClient]) -> None:
    page = desk.browser.open()
    form = page.locator("#new-cast")
    form.locator("[name=who]").select_option("ticked")
    page.get_by_label("tick all that are shown").check()
    expect(page.locator("#meant")).to_have_text("Ticked in the list of machines below: 3")
    desk.lab.clients.get(room[2].id).heard = -1e9
    desk.lab.operator("POST", f"/machines/{room[2].id}/remove")
    expect(page.locator("#machine-rows tr")).to_have_count(2)
    form.get_by_role("button").click()
    expect(page.locator("#confirm-text")).to_contain_text("once the cast is started: 2.")
    page.locator("#confirm-yes").click()
    expect(page.locator("#cast-list article")).to_have_count(1)
    (cast,) = desk.lab.casts.all()
    assert cast.rules.targets == frozenset(client.id for client in room[:2])


def test_nothing_is_cast_to_no_machine(desk: Desk, room: list[FakeClient]) -> None:
    page = desk.browser.open("/machines")
    expect(page.locator("#rows tr")).to_have_count(len(room))
    page.get_by_role("button", name="Cast to them…").click()
    expect(page.locator("#confirm-text")).to_contain_text("Tick some in the list first.")
    page.goto(desk.browser.url)
    page.locator("#new-cast [name=who]").select_option("ticked")
    page.locator("#new-cast").get_by_role("button").click()
    expect(page.locator("#confirm-text")).to_contain_text("Tick some in the list first.")


def test_the_list_is_followed_again_after_a_refusal(desk: Desk, room: list[FakeClient]) -> None:
    desk.browser.expect("status of 503")
    page = desk.browser.open()
    page.route("**/api/v1/events", lambda route: route.fulfill(status=503), times=1)
    page.goto(f"{desk.browser.url}/machines")
    line = page.locator("#line")
    expect(line).to_contain_text("server gone")
    expect(line).to_have_text("live")
    FakeClient(desk.lab, 4).register()
    expect(page.locator("#rows tr")).to_have_count(len(room) + 1)


def test_a_file_is_shown_before_it_is_imported(desk: Desk, room: list[FakeClient]) -> None:
    page = desk.browser.open("/machines")
    wrong = b"name,macs\r\nPC09,nonsense\r\n"
    page.locator("#import [name=file]").set_input_files(_file(wrong))
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.locator("#plan-lines li")).to_contain_text("line 2, macs")
    expect(page.locator("#plan-do")).to_be_hidden()
    good = "id;name;macs;groups\r\n;PC09;52:54:00:00:00:09;教室\r\n".encode("cp932")
    page.locator("#import [name=file]").set_input_files(_file(good))
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.locator("#plan-text")).to_have_text(
        "1 to add, 0 to change, 0 as they are (read as cp932)"
    )
    assert len(desk.lab.clients.all()) == len(room)
    page.locator("#plan-do").click()
    expect(page.locator("#rows tr")).to_have_count(4)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    assert "教室" in Path(download.value.path()).read_text("utf-8-sig")
    name = page.get_by_role("link", name="PC09")
    name.click()
    expect(page.get_by_role("heading", name="PC09")).to_be_visible()


def test_machines_on_a_phone_in_japanese(desk: Desk, room: list[FakeClient]) -> None:
    for number, client in enumerate(room, 1):
        body = {
            "name": f"教室1-PC{number}",
            "groups": ["教室1", "全館"],
            "tags": ["ssd"],
            "note": "窓側",
        }
        desk.lab.operator("PUT", f"/machines/{client.id}", body)
    page = desk.browser.open("/machines", language="ja", width=NARROW, scheme="dark")
    expect(page.locator("#rows tr")).to_have_count(3)
    assert too_wide(page) == 0
    shot(page, "machines-phone-ja")
    page.set_viewport_size({"width": 1280, "height": 800})
    assert too_wide(page) == 0
    shot(page, "machines-ja")
    page.goto(f"{desk.browser.url}/machines/{room[0].id}")
    expect(page.get_by_role("heading", name="教室1-PC1")).to_be_visible()
    page.set_viewport_size({"width": NARROW, "height": 800})
    assert too_wide(page) == 0
    shot(page, "machine-phone-ja")
