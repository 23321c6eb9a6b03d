"""A real server and a real browser: the first start, logging in and out, the other language."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Playwright, expect

from tests.support.browser import NARROW, log_in, shot, too_wide
from tests.support.castroom import cast_room
from tests.support.desk import Desk
from tests.support.serverlab import FakeClient

pytestmark = pytest.mark.root


def test_the_first_password_lets_in_and_a_wrong_one_does_not(
    playwright: Playwright, tmp_path: Path
) -> None:
    with cast_room(playwright, tmp_path, machines=0) as room:
        browser = room.serve()
        page = browser.visit()
        expect(page).to_have_url(f"{browser.url}/login")
        log_in(page, "admin", "not the password")
        expect(page.get_by_role("alert")).to_have_text("That is no user's name and password.")
        browser.expect("status of 401")
        log_in(page, "admin", browser.password)
        expect(page).to_have_url(f"{browser.url}/")
        expect(page.locator("#line")).to_have_text("live")
        page.get_by_role("link", name="日本語").click()
        expect(page.get_by_role("heading", name="新しい配信")).to_be_visible()
        expect(page.locator("html")).to_have_attribute("lang", "ja")
        shot(page, "first-start-ja")
        page.get_by_role("button", name="ログアウト").click()
        expect(page).to_have_url(f"{browser.url}/login")
        page.goto(browser.url + "/account")
        expect(page).to_have_url(f"{browser.url}/login")
        # The password was shown once: a server that is started again says nothing of it.
        room.server.process.terminate()
        room.server.process.wait(20)
        room.serve()
        assert not [event for event in room.server.events if event.get("event") == "first-user"]
        page.goto(browser.url + "/login")
        log_in(page, "admin", browser.password)
        expect(page).to_have_url(f"{browser.url}/")


def test_the_first_machines_appear_on_a_phone_in_the_dark(desk: Desk) -> None:
    page = desk.browser.open(language="ja", width=NARROW, scheme="dark")
    expect(page.get_by_label("概況")).to_contain_text("0 準備完了")
    FakeClient(desk.lab, 1).register().report("ready")
    expect(page.get_by_label("概況")).to_contain_text("1 準備完了")
    rows = page.locator("table.machines tbody tr")
    expect(rows).to_have_count(1)
    FakeClient(desk.lab, 2).register().report("ready")
    expect(rows).to_have_count(2)
    assert too_wide(page) == 0
    shot(page, "phone-dark-ja")
