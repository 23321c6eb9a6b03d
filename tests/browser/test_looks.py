"""Every page of the console, at two widths, light and dark, in both languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.desk import Desk
from tests.support.looks import faults_of_looks
from tests.support.serverlab import FakeClient, ServerLab

pytestmark = pytest.mark.root

# Beside what the bar at a page's head leads to.
ELSEWHERE = ("/account", "/docs")
GIB = 1 << 30


def busy_room(lab: ServerLab) -> None:
    """Nine machines, of which six are in a cast: one of each state that a page has a colour for."""
    clients = [FakeClient(lab, number).register() for number in range(1, 10)]
    cast = lab.operator("POST", "/casts", {"image": "lab", "keep_open": True})["cast"]
    for client in clients[:6]:
        client.join(cast)
    lab.operator("POST", f"/casts/{cast}/start")
    for number, client in enumerate(clients[:4]):
        client.report("receiving", cast=cast, done=number * 20 * GIB, total=64 * GIB, multicast=GIB)
    clients[4].report("done", cast=cast, root="ab" * 32)
    clients[5].report("failed", cast=cast, message="/dev/sda: input/output error at 12.4 GiB")
    for client in clients[6:]:
        client.report("ready")


def places(page: Page) -> list[str]:
    """Where the links of the bar at the head lead."""
    links = page.locator("nav.pages a").all()
    return [str(link.get_attribute("href")) for link in links]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page_fits_and_can_be_read(desk: Desk, language: str) -> None:
    busy_room(desk.lab)
    page = desk.browser.open(language=language)
    led, found = places(page), []
    assert {"/", "/users", "/audit"} <= set(led)
    for place in [*led, *ELSEWHERE]:
        page.goto(desk.browser.url + place)
        expect(page.locator("html")).to_have_attribute("lang", language)
        assert page.locator("h1").count() == 1, f"{place} has no heading, or two"
        found += faults_of_looks(page)
    assert not found, "\n".join(found)
