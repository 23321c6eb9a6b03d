"""The pages beside the live one, used as a person does: filters, a file to keep, settings, an image."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest
from castcore.boot import InterfaceMode, WantedMode
from castserver.images.library import Library
from castserver.netboot.booting import CLOSED_SECONDS
from castserver.netboot.bootstate import Choice, DeployEnd, Kept
from playwright.sync_api import Page, expect

from tests.support.browser import NARROW, shot, too_wide
from tests.support.desk import Desk
from tests.support.looks import faults_of_looks
from tests.support.serverlab import ROOT, FakeClient, ServerLab
from tests.support.shelvedimages import office_disk, shelve

pytestmark = pytest.mark.root


def two_ends(lab: ServerLab) -> None:
    """A cast that one machine proved and that failed on another."""
    one, two = (FakeClient(lab, number).register() for number in (1, 2))
    cast = lab.operator("POST", "/casts", {"image": "lab", "start_clients": 2})["cast"]
    for client in (one, two):
        client.join(cast)
    one.report("done", cast=cast, root=ROOT)
    two.report("failed", cast=cast, message="=the disk is broken")


def rows(page: Page, table: str) -> Any:
    """The rows of a page's table."""
    return page.locator(f"#{table} tbody tr")


def test_the_history_is_filtered_and_taken_home(desk: Desk) -> None:
    two_ends(desk.lab)
    page = desk.browser.open("/history")
    expect(rows(page, "history")).to_have_count(2)
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show").click()
    expect(rows(page, "history")).to_have_count(1)
    expect(rows(page, "history").first).to_contain_text("=the disk is broken")
    with page.expect_download() as begun:
        page.get_by_role("link", name="CSV file").click()
    assert begun.value.suggested_filename == "fleetcast-history.csv"
    data = Path(begun.value.path()).read_bytes().decode("utf-8-sig")
    heading, *found = csv.reader(io.StringIO(data, newline=""))
    assert len(found) == 1
    assert found[0][heading.index("message")] == "'=the disk is broken"
    # By the keyboard alone: the text's Enter asks.
    page.get_by_role("link", name="Show all").click()
    page.get_by_label("Text").focus()
    page.keyboard.type("00:00:01")
    page.keyboard.press("Enter")
    expect(rows(page, "history")).to_have_count(1)
    expect(rows(page, "history").first).to_contain_text(ROOT[:16])
    shot(page, "history")


class KeptInterface:
    """An interface that remembers what is chosen for it."""

    kept = Kept("eth1", "10.0.1.1/24", Choice(), InterfaceMode.PROXY, "a DHCP server answers")

    def choose(self, choice: Choice) -> None:
        self.kept = Kept("eth1", "10.0.1.1/24", choice, InterfaceMode.SILENT, "so it was chosen")


def test_settings_are_changed(desk: Desk) -> None:
    keeper: Any = KeptInterface()
    desk.lab.booting._keepers = {"eth1": keeper}
    page = desk.browser.open("/settings", language="ja", width=NARROW, scheme="dark")
    assert too_wide(page) == 0
    page.locator("form.interface select").select_option("off")
    page.locator("form.interface").get_by_role("button", name="保存").click()
    expect(page.get_by_text("so it was chosen")).to_be_visible()
    assert desk.lab.booting.chosen("eth1") == Choice(WantedMode.OFF)
    page.locator("input[value=console-closed]").check()
    page.locator("input[name=deploy]").uncheck()
    page.locator("#deploy").get_by_role("button", name="保存").click()
    with page.expect_response(lambda answer: answer.request.method == "PUT"):
        page.locator("#confirm-yes").click()
    expect(page.locator("input[name=deploy]")).not_to_be_checked()
    expect(page.locator("input[value=console-closed]")).to_be_checked()
    state = desk.lab.booting.state().deploy
    assert not state.on
    assert {str(end) for end in state.ends} == {"cast-end", "console-closed", "medium-removed"}


@pytest.mark.parametrize("path", ["/history", "/settings", "/"])
def test_an_open_page_keeps_pxe_deploy_on_and_a_closed_one_does_not(desk: Desk, path: str) -> None:
    lab, keeper = desk.lab, KeptInterface()
    booting: Any = lab.booting
    booting._keepers = {"eth1": keeper}
    booting.set_deploy(on=True, ends=frozenset({DeployEnd.CONSOLE_CLOSED}))
    page = desk.browser.open(path)
    page.clock.install()
    page.reload()
    for _ in range(3):
        with page.expect_response(lambda answer: answer.url.endswith("/live/here")):
            page.clock.run_for(15_000)
        lab.clock.now += CLOSED_SECONDS - 1
        booting.tick()
        assert booting.setting().deploy
    # Out of the console, as closing it is; its stream hears of that.
    with page.expect_response(lambda answer: answer.url.endswith("/live/here")):
        page.clock.run_for(15_000)
    page.goto("about:blank")
    end = time.monotonic() + 30
    while booting.setting().deploy and time.monotonic() < end:
        lab.clock.now += CLOSED_SECONDS
        booting.tick()
        time.sleep(0.1)
    assert booting.state().deploy.why == "the console was closed"


def test_who_is_let_in_and_which_addresses_are_kept(desk: Desk) -> None:
    keeper: Any = KeptInterface()
    desk.lab.booting._keepers = {"eth1": keeper}
    page = desk.browser.open("/settings")
    card = page.locator("#approval")
    expect(card).to_contain_text("let in")
    card.get_by_role("button", name="Approve by hand…").click()
    page.locator("#confirm-yes").click()
    expect(card).to_contain_text("approved by hand")
    assert desk.lab.parts.approvals.required
    page.get_by_label("also to machines that do not boot from the network").check()
    with page.expect_navigation():
        page.locator("#lease-rule").get_by_role("button", name="Save").click()
    expect(page.locator("#lease-rule input")).to_be_checked()
    assert desk.lab.parts.leases.rules().everyone
    assert not (faults := faults_of_looks(page)), "\n".join(faults)


def test_an_image_is_drawn_and_deleted_after_a_question(desk: Desk, tmp_path: Path) -> None:
    store = tmp_path / "images"
    store.mkdir()
    shelve(store, "office", office_disk(), machine="ACME Desk 3")
    desk.lab.library.directory = store
    desk.lab.library.all = Library(store).all  # type: ignore[method-assign]
    page = desk.browser.open("/images")
    expect(page.locator("svg.bar rect.room")).to_have_count(5)
    assert not faults_of_looks(page)
    shot(page, "images")
    page.get_by_role("button", name="Delete…").click()
    expect(page.locator("#confirm")).to_contain_text("Delete image office?")
    page.get_by_role("button", name="Do nothing").click()
    assert (store / "office.fcast").exists()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("No image yet")).to_be_visible()
    assert not (store / "office.fcast").exists()
