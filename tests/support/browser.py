"""Chromium, driven by Playwright, in a network namespace: it reaches what that namespace reaches.

Every page that is opened here is watched: `Browser.faults` has each request that left the server and
whatever the page's scripts or the browser complained of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from castcore.edge import run
from playwright.sync_api import (
    Browser as Chromium,
)
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
)

from tests.support.castlab import ROOT

PROGRAM = "/usr/bin/chromium"
SHOTS = ROOT / "build/browser"
WIDE, NARROW = 1280, 390
# A busy machine takes its time over a page; what never comes is told after this.
PATIENCE = 60_000  # milliseconds
# The tests are root, for whom Chromium has no sandbox of its own; there is no graphics card.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@dataclass
class Browser:
    """A running Chromium that visits the console at ``url``."""

    chromium: Chromium
    url: str
    password: str = ""
    faults: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    def visit(
        self,
        path: str = "/",
        *,
        language: str = "en",
        width: int = WIDE,
        height: int = 800,
        scheme: str = "light",
    ) -> Page:
        """A page of somebody new, who is not logged in.

        ``language`` is what the browser asks for ("en", "ja"), ``scheme`` "light" or "dark".
        """
        context = self.chromium.new_context(
            ignore_https_errors=True,
            locale=language,
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        self._watch(context)
        page = context.new_page()
        page.goto(self.url + path)
        return page

    def open(
        self,
        path: str = "/",
        *,
        user: str = "admin",
        password: str = "",
        language: str = "en",
        width: int = WIDE,
        height: int = 800,
        scheme: str = "light",
    ) -> Page:
        """A page of who has just logged in: the first user, unless ``user`` and ``password`` say who."""
        page = self.visit("/login", language=language, width=width, height=height, scheme=scheme)
        log_in(page, user, password or self.password)
        page.wait_for_url(self.url + "/")
        if path != "/":
            page.goto(self.url + path)
        return page

    def expect(self, words: str) -> None:
        """Take no complaint that has ``words`` in it for a fault, past or to come."""
        self._expected.append(words)
        self.faults[:] = [fault for fault in self.faults if words not in fault]

    def _watch(self, context: BrowserContext) -> None:
        context.on("request", self._requested)
        context.on("console", self._complained)
        context.on("weberror", lambda error: self._fault(f"script: {error.error}"))

    def _requested(self, request: Request) -> None:
        asked, ours = urlsplit(request.url), urlsplit(self.url)
        if asked.scheme not in {"data", "blob"} and asked[:2] != ours[:2]:
            self._fault(f"a request left the server: {request.url}")

    def _complained(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._fault(f"console: {message.text} ({message.location})")

    def _fault(self, text: str) -> None:
        if not any(words in text for words in self._expected):
            self.faults.append(text)


@contextmanager
def browsing(
    playwright: Playwright, folder: Path, space: str, url: str, password: str = ""
) -> Iterator[Browser]:
    """Chromium in the namespace ``space``; at its end nothing must have been wrong with any page.

    ``folder`` is its home.
    """
    program = folder / "chromium-inside"
    program.write_text(f'#!/bin/sh\nexec ip netns exec {space} {PROGRAM} "$@"\n')
    program.chmod(0o755)
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    chromium = playwright.chromium.launch(
        executable_path=program, args=OPTIONS, env={**run.environment(), **home}
    )
    try:
        browser = Browser(chromium, url, password)
        try:
            yield browser
        finally:
            print("\n".join(browser.faults))
        for context in chromium.contexts:
            context.close()
        assert not browser.faults, "\n".join(browser.faults)
    finally:
        chromium.close()


def log_in(page: Page, user: str, password: str) -> None:
    """Fill in the page of logging in, and send it."""
    page.fill("#name", user)
    page.fill("#password", password)
    page.click("button.primary")


def shot(page: Page, name: str) -> Path:
    """A picture of the whole page, as build/browser/NAME.png."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


def too_wide(page: Page) -> int:
    """How many pixels of the page are beyond its window's right edge (0: nothing scrolls sideways)."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
