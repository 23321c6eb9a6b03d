"""What a person sees of a page: whether it fits its window, and whether its text stands out."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.support.browser import NARROW, WIDE, too_wide

SCHEMES = ("light", "dark")
FAINT = Path(__file__).with_name("faint.js").read_text()
# The lightness of what lies behind everything, 0 to 255.
GROUND = """() => {
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
  canvas.fillRect(0, 0, 1, 1);
  return Math.max(...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3));
}"""


def faults_of_looks(page: Page) -> list[str]:
    """What is wrong with the page at 1280 and 390 pixels, light and dark; as it was afterwards."""
    before, found = page.viewport_size, list[str]()
    was_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            where = f"{page.url} at {width} px, {scheme}"
            if beyond := too_wide(page):
                found.append(f"{where}: {beyond} px too wide")
            ground = page.evaluate(GROUND)
            if (ground < 128) != (scheme == "dark"):
                found.append(f"{where}: its ground is {ground} of 255 light")
            found += [f"{where}: faint: {text}" for text in page.evaluate(FAINT)]
    assert before is not None
    page.set_viewport_size(before)
    page.emulate_media(color_scheme="dark" if was_dark else "light")
    return found
