"""A room as its operator has it: a real server, real machines, and a browser, on a switch of our own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from castcore.control import API
from castcore.edge.net.pinned import PinnedHttps
from castserver.accounts.operatortoken import TOKEN_FILE
from playwright.sync_api import Playwright

from tests.net.namespaces import inside
from tests.support.browser import Browser, browsing
from tests.support.castlab import WIRE, CastLab, Peer, cast_lab

URL = "https://10.9.0.1:8443"
SERVER = (sys.executable, "-m", "castserver")
CLIENT = (sys.executable, "-m", "castclient", "run", "--json", "--interface", WIRE)
SECONDS = 120.0


class CastRoom:
    """The server's namespace is ``lab.space("s")``, machine N's ``lab.space("rN")``.

    The server's images are in ``folder/images``, its state in ``folder/state``.
    """

    def __init__(self, lab: CastLab, folder: Path, stack: ExitStack, playwright: Playwright) -> None:
        self.lab, self.folder = lab, folder
        self._stack, self._playwright = stack, playwright
        self.server: Peer
        self.browser: Browser
        self._password = ""

    def serve(self, *more: str | Path) -> Browser:
        """Start `fleetcast serve` (again), with ``more`` arguments; the browser at its console."""
        (self.folder / "images").mkdir(exist_ok=True)
        where = ("--state", self.folder / "state", "--images", self.folder / "images")
        first = not (self.folder / "state").exists()
        words = ("serve", "--json", "--interface", WIRE, *where, *more)
        self.server = self.lab.start("s", *SERVER, *map(str, words))
        said = self.server.until(lambda e: e.get("event") == "serving", SECONDS)
        if first:
            user = self.server.until(lambda e: e.get("event") == "first-user", SECONDS)
            self._password = user["password"]
        self._digest = bytes.fromhex(said["certificate_digest"])
        if not hasattr(self, "browser"):
            made = browsing(self._playwright, self.folder, self.lab.space("s"), URL, self._password)
            self.browser = self._stack.enter_context(made)
        return self.browser

    def machine(self, number: int, target: Path, *more: str) -> Peer:
        """Start the client on machine ``number``, which writes to the file or disk ``target``."""
        return self.lab.start(f"r{number}", *CLIENT, "--target", str(target), *more)

    def get(self, path: str) -> Any:
        """The operator's view of something, by the API."""
        token = (self.folder / "state" / TOKEN_FILE).read_text().strip()
        https = PinnedHttps(URL, self._digest, token)
        return inside(self.lab.space("s"), lambda: https.get_json(f"{API}/{path}"))

    def command(self, *words: str) -> Any:
        """What an operator's command on the server's machine says."""
        line = [*SERVER, *words, "--json", "--state", str(self.folder / "state")]
        peer = self.lab.start("s", *line)
        return peer.result(SECONDS)


@contextmanager
def cast_room(playwright: Playwright, folder: Path, machines: int) -> Iterator[CastRoom]:
    """A room with so many machines, all of them off; gone at the end with all that was started."""
    with cast_lab("room", machines) as lab, ExitStack() as stack:
        yield CastRoom(lab, folder, stack, playwright)
