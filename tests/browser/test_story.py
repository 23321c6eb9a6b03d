"""An operator's day in a real browser: a real server, medium, licences, clients and disks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Playwright, expect

from tests.support.browser import log_in, shot
from tests.support.castlab import Peer
from tests.support.castroom import CastRoom, cast_room
from tests.support.figures import tell
from tests.support.images import blank
from tests.support.keyboard import choose, press, tab_to
from tests.support.licences import ISSUER
from tests.support.licensedmedium import SIZE, balance, licensed_medium
from tests.support.looks import faults_of_looks

pytestmark = pytest.mark.root

LICENCES = 10
SECONDS = 120
TRUSTED = ("--licence-issuer", ISSUER.public.hex())

# What the page showed meanwhile, without looking away.
WATCH_PROGRESS = """() => {
  window.shown = new Set();
  new MutationObserver(() => {
    for (const bar of document.querySelectorAll("progress")) window.shown.add(bar.value);
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""
WATCH_PULL = """() => {
  const seen = window.seen = {};
  new MutationObserver(() => {
    const text = document.getElementById("live").innerText;
    if (!seen.medium && text.includes("no medium")) seen.medium = Date.now();
    if (!seen.cast && text.includes("pulled out")) seen.cast = Date.now();
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
}"""


def glance(page: Page) -> Locator:
    return page.get_by_label("At a glance")


def licences(page: Page) -> Locator:
    return page.locator("section", has=page.get_by_role("heading", name="Licences"))


def casts(page: Page) -> Locator:
    return page.locator("section", has=page.get_by_role("heading", name="Casts"))


def has(words: str) -> re.Pattern[str]:
    """Those words, however they are laid out."""
    return re.compile(r"\s+".join(map(re.escape, words.split())))


def start_machines(room: CastRoom, count: int) -> tuple[list[Path], list[Peer]]:
    targets = [blank(room.folder / f"target{n}.raw", SIZE) for n in range(count)]
    return targets, [room.machine(n, target) for n, target in enumerate(targets)]


def test_from_the_first_password_to_a_proven_room(playwright: Playwright, tmp_path: Path) -> None:
    machines = 3
    there, away = tmp_path / "medium.img", tmp_path / "away.img"
    raw = licensed_medium(away, tmp_path / "source.raw", LICENCES)
    with cast_room(playwright, tmp_path, machines) as room:
        browser = room.serve("--media", there, *TRUSTED, "--rate", "3")
        page = browser.visit()
        log_in(page, "admin", browser.password)
        expect(glance(page)).to_contain_text("no medium")
        # A medium is plugged in: the open page shows it, its licences and its image.
        away.rename(there)
        expect(glance(page)).to_contain_text("medium connected")
        expect(licences(page)).to_contain_text(f"{LICENCES} left")
        targets, clients = start_machines(room, machines)
        expect(glance(page)).to_contain_text(has(f"{machines} ready"))

        expect(page.locator("table.machines tbody tr")).to_have_count(machines)
        page.get_by_role("combobox", name="Image").select_option("medium/system")
        page.get_by_role("button", name="Make the cast…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("erased")
        dialog.get_by_role("button", name="Make the cast").click()
        expect(casts(page)).to_contain_text(f"{machines} joined")
        assert [target.read_bytes() for target in targets] == [bytes(SIZE)] * machines
        page.get_by_role("button", name="Start…").click()
        expect(dialog).to_contain_text(f"disks of {machines} machines")
        page.evaluate(WATCH_PROGRESS)
        dialog.get_by_role("button", name="cast").click()
        expect(casts(page)).to_contain_text("running")
        assert not (faults := faults_of_looks(page)), "\n".join(faults)
        shot(page, "story-running")
        expect(casts(page)).to_contain_text(f"{machines} of {machines} proven")

        assert [client.result(SECONDS)["state"] for client in clients] == ["done"] * machines
        assert [target.read_bytes() for target in targets] == [raw.read_bytes()] * machines
        shown = sorted(value for value in page.evaluate("[...window.shown]") if 0 < value < 100)
        assert len(shown) >= 2, f"progress was not to be watched: {shown}"
        expect(licences(page)).to_contain_text(f"{LICENCES - machines} left")
        expect(licences(page)).to_contain_text(f"{machines} consumed of {LICENCES}")
        shot(page, "story-proven")
        page.get_by_role("link", name="History").click()
        written = page.locator("#history tbody tr").filter(has_text="system").filter(has_text="done")
        expect(written).to_have_count(machines)
        room.server.process.terminate()
        room.server.process.wait(SECONDS)
        browser.expect("ERR_CONNECTION_REFUSED")
    found = balance(there)
    assert (found.consumed, found.reserved, found.left) == (machines, 0, LICENCES - machines)


def test_a_medium_pulled_in_a_cast_that_was_made_by_keyboard(
    playwright: Playwright, tmp_path: Path
) -> None:
    machines = 2
    there, away = tmp_path / "medium.img", tmp_path / "away.img"
    licensed_medium(there, tmp_path / "source.raw", LICENCES)
    with cast_room(playwright, tmp_path, machines) as room:
        browser = room.serve("--media", there, *TRUSTED, "--rate", "0.5")
        start_machines(room, machines)
        page = browser.visit("/login")
        log_in_by_keyboard(page, browser.password)
        expect(glance(page)).to_contain_text(has(f"{machines} ready"))
        cast_by_keyboard(page, machines)
        expect(casts(page)).to_contain_text("running")
        expect(page.get_by_role("progressbar").first).to_be_visible()

        page.evaluate(WATCH_PULL)
        pulled = page.evaluate("Date.now()")
        there.rename(away)
        expect(glance(page)).to_contain_text("no medium")
        expect(casts(page)).to_contain_text("medium Room 12")
        expect(casts(page)).to_contain_text("failed")
        seen = page.evaluate("window.seen")
        took = {name: (at - pulled) / 1000 for name, at in seen.items()}
        tell(page_showed_after_seconds=took)
        assert set(took) == {"medium", "cast"}
        shot(page, "story-pulled")

        away.rename(there)
        expect(glance(page)).to_contain_text("medium connected")
        expect(licences(page)).to_contain_text(has(f"{LICENCES} left"))
        expect(licences(page)).to_contain_text(has("0 reserved"))
        press(page, page.get_by_role("link", name="History"))
        expect(page.locator("#history tbody tr").filter(has_text="failed")).to_have_count(machines)
        press(page, page.get_by_role("link", name="Live"))
        press(page, page.get_by_role("link", name="日本語"))
        expect(page.get_by_label("概況")).to_contain_text("メディア接続済み")
        shot(page, "story-japanese")
        press(page, page.get_by_role("button", name="ログアウト"))
        expect(page.locator("#password")).to_be_visible()


def log_in_by_keyboard(page: Page, password: str) -> None:
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def cast_by_keyboard(page: Page, machines: int) -> None:
    """Make a cast and start it; Escape does nothing before."""
    choose(page, page.get_by_role("combobox", name="Image"), "system")
    dialog = page.get_by_role("dialog")
    press(page, page.get_by_role("button", name="Make the cast…"))
    expect(dialog).to_be_visible()
    press(page, dialog.get_by_role("button", name="Make the cast"))
    expect(casts(page)).to_contain_text(f"{machines} joined")
    start = page.get_by_role("button", name="Start…")
    press(page, start)
    expect(dialog).to_contain_text(f"disks of {machines} machines")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(start).to_be_focused()
    tab_to(page, start)
    page.keyboard.press("Enter")
    press(page, dialog.get_by_role("button", name="cast"))
