"""The servers of this machine's networks, for a capture that goes there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from castcore import __version__
from castcore.control import Registration, Standing
from castcore.edge import dmi
from castcore.edge.cast.discovery import FoundServer
from castcore.edge.upload.capturing import capture_to_server
from castcore.errors import NetworkFailed
from castcore.progress import Progress, ProgressCallback
from castcore.trust import SigningKey
from castcore.units import human
from castcore.words import code_words, machine_words

from castclient import cards, inventory, locate
from castclient.bringup import BringUp
from castclient.link import RETRY_SECONDS, NotAdmitted, ServerLink
from castclient.local.facts import ServerHere
from castclient.local.state import Capture
from castclient.settings import Settings

# A link may take 90 s, and DHCP its time behind that.
SEARCH_SECONDS = 120.0
# An operator walks to the console.
ENTER_SECONDS = 600.0
_PAUSE = 0.5


class Servers:
    """Brings the network up when it is first asked for (on a host it is there), and finds servers."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], seconds: float = SEARCH_SECONDS
    ) -> None:
        self._settings, self._say, self._seconds = settings, say, seconds
        self._bringup: BringUp | None = None
        self._found: tuple[FoundServer, ...] = ()
        self._key = SigningKey.generate()

    def bring_up(self) -> BringUp | None:
        """The network's keeper, begun; None on a host. Raises DiskFailed."""
        if self._bringup is None and self._settings.bring_up:
            self._bringup = BringUp(self._settings.told, self._say)
            self._bringup.start()
        return self._bringup

    def search(self) -> tuple[ServerHere, ...]:
        """The servers that answer. Raises NetworkFailed where none does for long."""
        self.bring_up()
        end = time.monotonic() + self._seconds
        while True:
            self._found = locate.look(self._settings, self._say)
            if self._found:
                return tuple(
                    ServerHere(number, server.name, server.url, code_words(server.key))
                    for number, server in enumerate(self._found)
                )
            if time.monotonic() > end:
                raise NetworkFailed(
                    f"no server was found within {self._seconds:.0f} s", hint="look at the network cable"
                )
            time.sleep(_PAUSE)

    def capture(self, task: Capture, progress: ProgressCallback) -> tuple[str, ...]:
        """Capture the disks to the server of ``task``; what was done, a line each.

        Raises NetworkFailed, Refused, NoSpace, and what a capture raises of its disks.
        """
        assert task.server is not None
        server = self._found[task.server.number]
        if self._bringup is not None:
            self._bringup.settle(server.interface, server.url)
        link = ServerLink(server, self._key)
        disks = inventory.disks(self._settings, self._say)
        about = Registration(dmi.machine(), cards.used(self._settings), disks, __version__)
        self._enter(link, about, progress)
        sources = [Path(disk.path) for disk in task.disks]
        made = capture_to_server(link.https, sources, task.name, progress=progress)
        manifest = made.manifest
        read, sizes = ", ".join(map(str, sources)), f"{human(manifest.used)} in use"
        return (
            f"{read} captured at {server.name} as {manifest.name}: {sizes}, {human(made.stored)} kept",
            f"root {manifest.index_digest.hex()}",
        )

    def _enter(self, link: ServerLink, about: Registration, progress: ProgressCallback) -> None:
        """Register, and wait until the server lets this machine in. Raises NotAdmitted after long."""
        end = time.monotonic() + ENTER_SECONDS
        while True:
            try:
                link.register(about)
                return
            except NotAdmitted as error:
                if error.standing is Standing.REFUSED or time.monotonic() > end:
                    raise
                words = machine_words(self._key.public)
                progress(Progress("wait", 0, 0, f"{error.what}; its code: {words}"))
            time.sleep(RETRY_SECONDS)
