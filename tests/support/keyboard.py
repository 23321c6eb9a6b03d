"""Who has no mouse: reaching what is on a page by the Tab key, and seeing where one is."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

# More than any page of ours has to stop at.
MOST_STOPS = 150
HERE = "e => e === document.activeElement"
SEEN = """e => {
  const style = getComputedStyle(e);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
}"""


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until ``wanted`` has the focus; a person must see that it has."""
    expect(wanted).to_be_visible()
    expect(wanted).to_be_enabled()
    for _ in range(MOST_STOPS):
        if wanted.evaluate(HERE):
            break
        page.keyboard.press("Tab")
    assert wanted.evaluate(HERE), f"Tab does not lead to {wanted}"
    assert wanted.evaluate(SEEN), f"nothing shows that {wanted} has the focus"


def press(page: Page, wanted: Locator, key: str = "Enter") -> None:
    """Go to ``wanted`` and press it."""
    tab_to(page, wanted)
    page.keyboard.press(key)


def choose(page: Page, wanted: Locator, text: str) -> None:
    """Go to a list and choose the entry that begins with ``text``."""
    tab_to(page, wanted)
    page.keyboard.type(text)
    chosen = wanted.evaluate("e => e.selectedOptions[0].textContent.trim()")
    assert chosen.startswith(text), f"{chosen} is chosen"
