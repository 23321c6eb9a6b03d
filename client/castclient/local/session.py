"""The local dialogue on a booted machine: consoles opened, talked on, closed again."""

from __future__ import annotations

import contextlib
import threading

from castcore.edge import dmi

from castclient.bringup import BringUp
from castclient.hotkeys import SHELL_KEYS, Hotkey
from castclient.journal import Journal
from castclient.keyboards import Keyboards
from castclient.local.consoles import Keys, open_consoles
from castclient.local.desk import Desk
from castclient.local.facts import Here
from castclient.local.hands import Hands
from castclient.local.servers import Servers
from castclient.settings import Settings
from castclient.terminals import Terminals


def talk(settings: Settings, journal: Journal, terminal: str) -> BringUp | None:
    """Talk until somebody wants to take part in a cast; return the network's keeper.

    The machine restarts or goes off here when that is chosen.
    """
    ports = [] if settings.debug else [f"/dev/{name}" for name in settings.serial_consoles]
    servers = Servers(settings, journal.add)
    hands = Hands(settings, servers, journal.add)
    desk = Desk(Here(dmi.machine()), hands, open_consoles(terminal, ports))
    keys = Keys([terminal, *ports], desk.typed)
    shells = _ShellKeys(journal) if settings.shells else None
    try:
        desk.run()
    finally:
        keys.close()
        if shells is not None:
            shells.ended.set()
    return servers.bring_up()


class _ShellKeys:
    """Shell and file explorer by their hotkeys, on terminals of their own, until ``ended``."""

    def __init__(self, journal: Journal) -> None:
        self.ended = threading.Event()
        self._terminals = Terminals(journal.add)
        threading.Thread(target=self._read, name="local hotkeys", daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # no udev: then there are no keys
            Keyboards(self._press).run()

    def _press(self, key: Hotkey) -> None:
        if key in SHELL_KEYS and not self.ended.is_set():
            self._terminals.open(key)
