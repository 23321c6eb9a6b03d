"""A machine's own page and that of the boot images in a real browser: what an operator does there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from castcore.boot import BootDecision
from playwright.sync_api import Page, Playwright, expect

from tests.support.bootorders import DISK
from tests.support.browser import NARROW, shot, too_wide
from tests.support.desk import Desk, open_desk
from tests.support.looks import faults_of_looks
from tests.support.serverlab import FakeClient, ServerLab

pytestmark = pytest.mark.root


@pytest.fixture
def desk(playwright: Playwright, tmp_path: Path) -> Iterator[Desk]:
    """A server with two boot images, to which images can be captured."""
    for folder in ("boot", "store"):
        (tmp_path / folder).mkdir()
    for name in ("bios.img", "rescue.img"):
        (tmp_path / "boot" / name).write_bytes(DISK)
    lab = ServerLab(boot_images=tmp_path / "boot", store=tmp_path / "store")
    with open_desk(playwright, tmp_path, lab) as made:
        yield made


def agree(page: Page, words: str) -> None:
    """Say yes to the question that has ``words`` in it; the page comes anew."""
    expect(page.locator("#confirm")).to_contain_text(words)
    with page.expect_navigation():
        page.locator("#confirm-yes").click()


def test_a_machine_is_restarted_and_powered_off(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    client.report("ready")
    page = desk.browser.open(f"/machines/{client.id}")
    page.get_by_role("button", name="Reboot…").click()
    expect(page.locator("#confirm-text")).to_contain_text("our client")
    page.get_by_role("button", name="Do nothing").click()
    assert client.orders() == []
    page.get_by_role("button", name="Reboot…").focus()  # by the keyboard alone
    page.keyboard.press("Enter")
    expect(page.locator("#confirm-no")).to_be_focused()
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert [order["kind"] for order in client.orders()] == ["reboot"]
    page.get_by_role("button", name="Power off…").click()
    agree(page, "somebody has to switch it on")
    assert [order["kind"] for order in client.orders()] == ["power-off"]


def test_a_machine_at_work_is_left_at_it(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    client.join(cast := desk.lab.operator("POST", "/casts", {"image": "lab"})["cast"])
    client.report("receiving", cast=cast, done=30, total=120)
    client.orders()
    page = desk.browser.open(f"/machines/{client.id}")
    page.get_by_role("button", name="Power off…").click()
    expect(page.locator("#confirm-text")).to_contain_text("It takes part in the cast of lab")
    shot(page, "machine-leave-busy")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#confirm")).to_be_hidden()
    assert client.orders() == []


def test_what_it_boots_next_is_chosen(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    page = desk.browser.open(f"/machines/{client.id}")
    page.get_by_role("button", name="Boot its own disk…").click()
    agree(page, "goes on to its own disk")
    expect(page.locator("#facts")).to_contain_text("its own disk")
    assert desk.lab.clients.get(client.id).boots is BootDecision.LOCAL
    page.locator("#boot-once select").select_option("rescue.img")
    page.get_by_role("button", name="Boot it once…").click()
    agree(page, "Boot rescue.img once?")
    expect(page.locator("#facts")).to_contain_text("rescue.img, this once; then its own disk")
    page.get_by_role("button", name="Cancel that…").click()
    agree(page, "boots what it had before")
    expect(page.locator("#once-now")).to_be_empty()
    page.get_by_role("button", name="Boot our client again…").click()
    agree(page, "starts our client")
    assert desk.lab.clients.get(client.id).boots is BootDecision.CLIENT


def test_it_is_captured_as_was_chosen(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    client.report("ready")
    page = desk.browser.open(f"/machines/{client.id}")
    page.get_by_label("Name of the image").fill("room")
    page.locator("#capture-more summary").click()
    page.get_by_label("/dev/sda").check()
    page.get_by_label("Only these partitions").fill("1, 3")
    page.get_by_label("every sector").check()
    page.get_by_label("replace this machine's older image").check()
    assert not faults_of_looks(page)
    shot(page, "machine-actions")
    page.get_by_role("button", name="Capture it…").click()
    agree(page, "older image of that name is gone once the new one is whole")
    expect(page).to_have_url(f"{desk.browser.url}/")
    (capture,) = desk.lab.parts.captures.all()
    assert capture.image.startswith("room-")
    assert (capture.disks, capture.partitions) == (("wwn-1",), (1, 3))
    assert (capture.full_sectors, capture.rescue, capture.replace) == (True, False, True)


def test_an_entry_is_claimed_for_it(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    entry = desk.lab.operator("POST", "/machines", {"name": "PC07", "macs": ["52:54:00:00:00:77"]})
    page = desk.browser.open(f"/machines/{client.id}")
    page.get_by_label("Entry").select_option(entry["client"])
    page.get_by_role("button", name="It is this machine…").click()
    agree(page, "That cannot be undone.")
    expect(page.locator("h1")).to_contain_text("PC07")
    assert page.locator("#claiming").count() == 0


def test_what_a_machine_does_is_shown_as_it_goes(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    client.report("ready")
    page = desk.browser.open(f"/machines/{client.id}")
    page.get_by_label("Name of the image").fill("typed")
    expect(page.locator("#line")).to_have_text("live")
    client.report("failed", message="the disk is broken")
    expect(page.locator("#stands")).to_have_text("failed")
    expect(page.get_by_label("Name of the image")).to_have_value("typed")


def test_boot_images_are_ordered_taken_back_and_deleted(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    desk.lab.operator("PUT", f"/machines/{client.id}", {"name": "PC01"})
    page = desk.browser.open("/boot-images", language="ja", width=NARROW, scheme="dark")
    assert too_wide(page) == 0
    shot(page, "boot-images-phone-ja")
    page = desk.browser.open("/boot-images")
    page.locator("#boot-once select").select_option("bios.img")
    page.get_by_label("Machines: names").fill("PC01\n52:54:00:00:00:99")
    page.get_by_role("button", name="Boot it once…").click()
    agree(page, "in place of what they boot otherwise: 2.")
    row = page.locator("#boot-images tbody tr", has_text="bios.img")
    expect(row).to_contain_text("52:54:00:00:00:99")
    assert not faults_of_looks(page)
    shot(page, "boot-images")
    page.get_by_role("button", name="Delete bios.img…").click()
    page.locator("#confirm-yes").click()
    desk.browser.expect("status of 409")
    expect(page.locator("#confirm-text")).to_contain_text("is ordered for")
    page.get_by_role("button", name="Close").click()
    for label in ("PC01", "52:54:00:00:00:99"):
        page.get_by_role("button", name=f"take back the order of {label}").click()
        agree(page, "boots what it had before")
    page.get_by_role("button", name="Delete bios.img…").click()
    agree(page, "It is gone for good")
    expect(page.locator("#boot-images tbody tr")).to_have_count(1)
    assert not (desk.lab.boot_images / "bios.img").exists()


def test_who_may_only_look_is_shown_no_way_to_act(desk: Desk) -> None:
    client = FakeClient(desk.lab, 1).register()
    desk.lab.operator(
        "POST", "/users", {"name": "guest", "password": "correct horse 7", "role": "viewer"}
    )
    page = desk.browser.open(f"/machines/{client.id}", user="guest", password="correct horse 7")
    expect(page.locator("#facts")).to_contain_text("our client")
    assert page.locator("main form, main button").count() == 0
    page.goto(f"{desk.browser.url}/boot-images")
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    assert page.locator("main form").count() == 0
