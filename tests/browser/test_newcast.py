"""The form of a new cast in a real browser: groups and tags, what is wrong where, the keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import NARROW, shot, too_wide
from tests.support.desk import Desk
from tests.support.looks import faults_of_looks
from tests.support.serverlab import FakeClient

pytestmark = pytest.mark.root


@pytest.fixture
def room(desk: Desk) -> list[FakeClient]:
    """PC1 to PC3 of ROOM1 and PC4 of ROOM2, of which PC2 and PC4 have an SSD; and the image "lab"."""
    clients = [FakeClient(desk.lab, n).register() for n in (1, 2, 3, 4)]
    for n, client in enumerate(clients, 1):
        groups, tags = ["ROOM1" if n < 4 else "ROOM2"], [] if n % 2 else ["ssd"]
        body = {"name": f"PC{n}", "groups": groups, "tags": tags}
        desk.lab.operator("PUT", f"/machines/{client.id}", body)
        client.report("ready")
    return clients


def form_of(page: Page) -> Locator:
    """The form, with an image to cast: a library of fakes lists none that is whole."""
    form = page.locator("#new-cast")
    form.locator("[name=image]").evaluate("(s) => s.append(new Option('lab', 'lab'))")
    return form


def test_a_cast_to_a_group_is_for_those_who_are_in_it(desk: Desk, room: list[FakeClient]) -> None:
    page = desk.browser.open()
    form = form_of(page)
    expect(form.get_by_label("ROOM1")).to_be_hidden()
    form.locator("[name=who]").select_option("marks")
    form.get_by_role("button", name="Make the cast…").click()
    expect(form.locator("#wrong-who")).to_have_text("Choose a group or a tag first.")
    expect(form.locator("[name=who]")).to_be_focused()
    form.get_by_label("ROOM1").check()
    expect(form.locator("#wrong-who")).to_be_empty()
    expect(form.locator("#meant")).to_have_text("Machines: 3, of which here now: 3.")
    form.locator("[name=when]").select_option("count")
    expect(form.locator("[name=start_clients]")).to_have_value("3")
    # The list is live, and what was ticked stays so.
    desk.lab.operator("PUT", f"/machines/{room[3].id}", {"groups": ["ROOM1", "new"]})
    expect(form.get_by_label("new")).to_be_visible()
    expect(form.get_by_label("ROOM1")).to_be_checked()
    form.get_by_label("ssd").check()
    expect(form.locator("#meant")).to_have_text("Machines: 2, of which here now: 2.")
    form.get_by_role("button", name="Make the cast…").click()
    expect(page.locator("#confirm")).to_contain_text("once the cast is started: 2.")
    page.locator("#confirm-yes").click()
    expect(page.locator("#cast-list article")).to_have_count(1)
    (cast,) = desk.lab.casts.all()
    assert cast.rules.targets == frozenset({room[1].id, room[3].id})
    assert cast.rules.start_clients == 2
    expect(form.locator("[name=who]")).to_have_value("all")


def test_what_is_wrong_stands_at_its_field_and_unfolds_it(desk: Desk, room: list[FakeClient]) -> None:
    desk.browser.expect("status of 422")
    page = desk.browser.open(width=NARROW)
    form, rules = form_of(page), page.locator("#new-cast [name=rules]")
    more, make = form.locator("#cast-more"), form.get_by_role("button", name="Make the cast…")
    # By the keyboard alone: unfold, write, and fold again.
    more.locator("summary").focus()
    page.keyboard.press("Enter")
    form.get_by_label("MB/s at most").focus()
    page.keyboard.type("0.01")
    rules.focus()
    page.keyboard.type("[[disk]]\ncolour = 'red'")
    more.locator("summary").focus()
    page.keyboard.press("Space")
    expect(rules).to_be_hidden()
    expect(more.locator("#cast-set")).to_have_text("2 set")
    make.focus()
    page.keyboard.press("Enter")
    expect(form.get_by_label("MB/s at most")).to_be_focused()
    form.get_by_label("MB/s at most").fill("40")
    more.locator("summary").click()
    make.click()
    expect(rules).to_be_focused()
    expect(form.locator("#wrong-rules")).to_contain_text("colour has no meaning")
    expect(rules).to_have_attribute("aria-invalid", "true")
    assert too_wide(page) == 0
    assert not (faults := faults_of_looks(page)), "\n".join(faults)
    shot(page, "newcast-wrong-phone")
    assert desk.lab.casts.all() == []
    text = b'[[disk]]\nmodel = "ACME*"\n'
    file = {"name": "rules.toml", "mimeType": "text/plain", "buffer": text}
    form.get_by_label("Rules from a file").set_input_files(file)  # type: ignore[arg-type]
    expect(rules).to_have_value(text.decode())
    make.click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#cast-list article")).to_have_count(1)
    (cast,) = desk.lab.casts.all()
    assert cast.disk_rules == text.decode().strip()
    assert cast.options.rate_cap == 40_000_000
    assert cast.rules.targets is None
    expect(rules).to_be_hidden()
    expect(rules).to_have_value("")
