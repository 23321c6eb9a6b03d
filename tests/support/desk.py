"""A browser at a server over fakes whose web side is real: TLS, sessions, pages, events."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from castcore.edge.net.identity import ServerIdentity
from playwright.sync_api import Playwright

from tests.net.namespaces import cable, inside
from tests.support.browser import Browser, browsing
from tests.support.serverlab import ServerLab

PORT = 8443
SECONDS = 60.0


@dataclass
class Desk:
    """What tests ask of it: any state by ``lab``, its pages by ``browser``."""

    lab: ServerLab
    browser: Browser


@contextmanager
def open_desk(playwright: Playwright, folder: Path, lab: ServerLab) -> Iterator[Desk]:
    """A desk whose server and browser live in a namespace of their own; ``folder`` is theirs."""
    password = lab.parts.auth.users.first()
    assert password is not None
    url = f"https://127.0.0.1:{PORT}"
    with (
        cable("desk") as made,
        _serving(lab, made.left, folder),
        browsing(playwright, folder, made.left, url, password) as browser,
    ):
        yield Desk(lab, browser)


@contextmanager
def _serving(lab: ServerLab, space: str, folder: Path) -> Iterator[None]:
    identity = ServerIdentity.load_or_make(folder / "identity")
    config = uvicorn.Config(
        lab.web_app,
        host="127.0.0.1",
        port=PORT,
        ssl_certfile=identity.certificate,
        ssl_keyfile=identity.private_key,
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    inside(space, thread.start)
    try:
        end = time.monotonic() + SECONDS
        while not server.started:
            assert time.monotonic() < end, "the web server did not start"
            time.sleep(0.02)
        yield
    finally:
        server.should_exit = True
        thread.join(SECONDS)
