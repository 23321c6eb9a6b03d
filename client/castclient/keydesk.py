"""Keyboards and serial consoles joined to the attendant who does what their keys ask."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable

from castclient import hotkeys
from castclient.attendant import Attendant, Errands
from castclient.keyboards import Keyboards
from castclient.program import Client
from castclient.serialmenu import SerialMenu
from castclient.settings import Settings
from castclient.world import RealWorld

_ODD = re.compile(r"[^A-Za-z0-9._-]+")


class KeyDesk:
    """Reads keys, once :meth:`open` is called; serial consoles ask it before they write."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._attendant: Attendant | None = None

    def lent(self, path: str) -> bool:
        """Whether a shell has the serial port ``path`` now."""
        return self._attendant is not None and self._attendant.terminals.lent(path)

    def open(self, client: Client, world: RealWorld) -> str:
        """Begin to read; return what the screen says of the keys."""
        settings = self._settings
        errands = Errands(
            post=client.post,
            targets=world.targets,
            logs=world.log_archive,
            stem=lambda: _stem(client),
            phase=lambda: client.model.phase,
        )
        attendant = self._attendant = Attendant(errands, shells=settings.shells)
        self._start("keyboards", Keyboards(attendant.press).run)
        if settings.serial_consoles and not settings.debug:
            paths = [f"/dev/{name}" for name in settings.serial_consoles]
            menu = hotkeys.menu(shells=settings.shells)
            reader = SerialMenu(paths, attendant.press_serial, attendant.mute, menu)
            self._start("serial menu", reader.run)
        return hotkeys.legend(shells=settings.shells)

    @staticmethod
    def _start(name: str, run: Callable[[], None]) -> None:
        def guarded() -> None:
            with contextlib.suppress(OSError):  # no udev, no port: then there are no keys
                run()

        threading.Thread(target=guarded, name=name, daemon=True).start()


def _stem(client: Client) -> str:
    """The name of this machine's archive: by its serial number, else by its id at the server."""
    machine = client.model.machine
    name = _ODD.sub("-", machine.serial if machine is not None else "").strip("-.")
    return f"fleetcast-logs-{name or client.model.client or 'machine'}"
