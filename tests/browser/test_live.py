"""The live pages in a real browser: what is under the hand stays there while everything changes."""

from __future__ import annotations

import re

import pytest
from castcore.cast.states import ClientClass
from playwright.sync_api import Page, expect

from tests.support.browser import NARROW, shot, too_wide
from tests.support.desk import Desk
from tests.support.looks import faults_of_looks
from tests.support.serverlab import ROOT, FakeClient
from tests.support.watchedcast import casting, gathered, seen

pytestmark = pytest.mark.root


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


def test_focus_ticks_and_the_shown_phase_stay_while_the_room_changes(desk: Desk) -> None:
    cast, clients = gathered(desk.lab, 4)
    page = desk.browser.open()
    tick = page.locator(f"#tick-{clients[0].id}")
    tick.focus()
    page.keyboard.press("Space")
    FakeClient(desk.lab, 9).register()
    expect(page.locator("#machine-rows tr")).to_have_count(5)
    assert focused(page) == f"tick-{clients[0].id}"
    expect(tick).to_be_checked()
    # By keyboard alone into the room, where the cast is started.
    page.locator(f"#open-{cast}").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#tiles li")).to_have_count(5)
    page.locator(f"#start-{cast}").focus()
    page.keyboard.press("Enter")
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("The disks of 4 machines are erased and get the image lab")
    assert focused(page) == "confirm-no"
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    assert focused(page) == f"start-{cast}"
    page.keyboard.press("Enter")
    expect(question).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#room-head .badge")).to_have_text("running")
    # One phase alone is shown, and stays so.
    casting(desk.lab, cast, *(seen(one) for one in clients))
    for client in clients[:3]:
        client.report("receiving", cast=cast, done=40, total=100)
    clients[3].report("verifying", cast=cast, done=40, total=100)
    page.locator("#show-receiving").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#tiles li:visible")).to_have_count(3)
    clients[0].report("done", cast=cast, root=ROOT)
    expect(page.locator("#tiles li:visible")).to_have_count(2)
    expect(page.locator("#show-receiving")).to_have_attribute("aria-pressed", "true")
    assert focused(page) == "show-receiving"


def test_an_update_touches_only_what_changed(desk: Desk) -> None:
    cast, clients = gathered(desk.lab, 3)
    desk.lab.operator("POST", f"/casts/{cast}/start")
    casting(desk.lab, cast, *(seen(one) for one in clients))
    for client in clients:
        client.report("receiving", cast=cast, done=40, total=100)
    page = desk.browser.open(f"/casts/{cast}")
    expect(page.locator("#tiles progress")).to_have_count(3)
    page.evaluate(
        """() => { window.touched = [];
        new MutationObserver((all) => all.forEach((one) => {
          const own = (one.target.closest ? one.target : one.target.parentElement).closest("#tiles li");
          window.touched.push(own ? own.id : "else"); }))
        .observe(document.getElementById("tiles"), {subtree: true, childList: true, attributes: true,
          characterData: true}); }"""
    )
    clients[1].report("receiving", cast=cast, done=77, total=100)
    expect(page.locator(f"#tile-{clients[1].id} progress")).to_have_attribute("value", "77")
    assert set(page.evaluate("window.touched")) == {f"tile-{clients[1].id}"}


def test_more_machines_joined_while_somebody_read_so_it_is_asked_again(desk: Desk) -> None:
    cast, clients = gathered(desk.lab, 2)
    late = FakeClient(desk.lab, 3).register()
    page = desk.browser.open(f"/casts/{cast}")
    page.locator(f"#start-{cast}").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("The disks of 2 machines")
    late.join(cast)
    page.locator("#confirm-yes").click()
    expect(question).to_contain_text("The disks of 3 machines")
    assert desk.lab.operator("GET", f"/casts/{cast}")["state"] == "gathering"
    page.locator("#confirm-yes").click()
    expect(page.locator("#room-head .badge")).to_have_text("running")
    page.locator(f"#cancel-{cast}").click()
    expect(question).to_contain_text("Left with an incomplete disk that does not boot: 3")
    page.locator("#confirm-yes").click()
    expect(page.locator("#room-head .badge")).to_have_text("cancelled")
    assert len(clients) == 2


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("ja", "dark")])
def test_a_room_in_trouble_on_a_desk_and_on_a_phone(desk: Desk, language: str, scheme: str) -> None:
    cast, clients = gathered(desk.lab, 12)
    desk.lab.operator("POST", f"/casts/{cast}/start")
    desk.lab.parts.rates._clock = desk.lab.clock
    states = [seen(one) for one in clients]
    states[1] = seen(clients[1], kind=ClientClass.DISK_SLOW, rate=31_000_000, have=0.2, shed_blocks=80)
    states[2] = seen(clients[2], have=0.25, net_lost=4000, rate=60_000_000)
    for second in range(90):
        sent = int(min(second, 40 + (second - 40) / 2) * 110_000_000)
        casting(desk.lab, cast, *states, sent=sent)
        desk.lab.parts.note_rates()
        desk.lab.clock.now += 1
        for client in clients:
            desk.lab.clients.get(client.id).heard = desk.lab.clock.now
    for number, client in enumerate(clients[:9]):
        client.report("receiving", cast=cast, done=40 + number % 3, total=100, multicast=4 << 30)
    clients[9].report("verifying", cast=cast, done=30, total=100)
    clients[10].report("done", cast=cast, root=ROOT)
    clients[11].report("failed", cast=cast, message="cannot write to /dev/sda: Input/output error")
    page = desk.browser.open(f"/casts/{cast}", language=language, scheme=scheme)
    expect(page.locator("#help-list li")).to_have_count(3)
    expect(page.locator("svg.chart polygon")).to_have_count(2)
    assert faults_of_looks(page) == []
    shot(page, f"room-{language}")
    page = desk.browser.open(f"/casts/{cast}", language=language, width=NARROW, scheme=scheme)
    assert too_wide(page) == 0
    shot(page, f"room-phone-{language}")
    page.locator(f"#cancel-{cast}").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert too_wide(page) == 0
    page = desk.browser.open(language=language, width=NARROW, scheme=scheme)
    expect(page.locator("#lamp-casting")).to_have_class(re.compile("now"))
    assert too_wide(page) == 0
