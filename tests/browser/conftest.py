"""What tests of the console in a real browser share. Root, because everything lives in namespaces.

Both ways end a test as failed when a page asked anything of another host, when one of its scripts
failed, or when the browser complained in its console::

    def test_pages_of_a_server_over_fakes(desk: Desk) -> None:         # starts in 2 s
        FakeClient(desk.lab, 1).register()                             # any state a page shall show
        page = desk.browser.open("/", language="ja", width=NARROW, scheme="dark")   # logged in
        expect(page.get_by_label("概況")).to_contain_text("1")
        assert too_wide(page) == 0
        shot(page, "one-machine")                                      # build/browser/one-machine.png

    def test_the_real_thing(playwright: Playwright, tmp_path: Path) -> None:
        with cast_room(playwright, tmp_path, machines=2) as room:
            browser = room.serve("--media", tmp_path / "medium.img")   # a real `fleetcast serve`
            room.machine(0, blank(tmp_path / "disk.raw", SIZE))        # a real client
            page = browser.open()

`Browser.visit` opens a page without logging in, `Browser.expect` names a complaint that belongs to the
test (``"status of 401"``). Playwright's ``expect(...)`` waits for what shall come, so nothing sleeps.
A desk of one's own making (a ServerLab with licences): `open_desk`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, expect, sync_playwright

from tests.support.browser import PATIENCE, PROGRAM
from tests.support.desk import Desk, open_desk
from tests.support.serverlab import ServerLab


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Playwright, whose driver runs as long as a file's tests do."""
    if not Path(PROGRAM).exists() and "ID=ubuntu" in Path("/etc/os-release").read_text().split():
        pytest.skip("Ubuntu's Chromium is a snap, which runs in no namespace of ours")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as made:
        yield made


@pytest.fixture
def desk(playwright: Playwright, tmp_path: Path) -> Iterator[Desk]:
    """A browser at a server over fakes."""
    with open_desk(playwright, tmp_path, ServerLab()) as made:
        yield made
