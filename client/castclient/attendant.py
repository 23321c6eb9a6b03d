"""Does what a person asks for by a key: shell, files, logs to a stick; asks the loop to shut down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from castcore.errors import FleetcastError

from castclient import hotkeys, stickcopy
from castclient.happening import Happening, Post
from castclient.hotkeys import Hotkey
from castclient.phases import Event, Phase
from castclient.terminals import SCREEN, Terminals, activate

_ASKS = {Hotkey.SHUT_DOWN: Event.ASKED_OFF, Hotkey.YES: Event.SURE_OFF, Hotkey.NO: Event.STAY_ON}


@dataclass(frozen=True)
class Errands:
    """What the attendant needs of others.

    ``targets``: the disks of the cast, which are never mounted; ``logs``: the archive; ``stem``: what
    it is called; ``phase``: where the client stands.
    """

    post: Post
    targets: Callable[[], Collection[str]]
    logs: Callable[[], bytes]
    stem: Callable[[], str]
    phase: Callable[[], Phase]


class Attendant:
    """Takes hotkeys from keyboards and serial consoles; each call returns at once."""

    def __init__(self, errands: Errands, *, shells: bool) -> None:
        self._errands, self._shells = errands, shells
        self._since = time.monotonic()
        self._copying = threading.Lock()
        self.terminals = Terminals(self._notice)

    def press(self, key: Hotkey) -> None:
        """``key`` was pressed on a keyboard."""
        if key in hotkeys.SHELL_KEYS:
            if self._allowed():
                self.terminals.open(key)
            return
        if key is Hotkey.SHUT_DOWN or key is Hotkey.LOGS:
            activate(SCREEN)  # what is asked and answered stands there
        self._ask(key)

    def press_serial(self, key: Hotkey, path: str) -> None:
        """The letter of ``key`` was typed on the serial console ``path``."""
        if key not in hotkeys.SHELL_KEYS:
            self._ask(key)
        elif self._allowed():
            self.terminals.open_serial(key, path)

    def mute(self, path: str) -> bool:
        """Whether what is typed on the serial console ``path`` is for somebody else."""
        return self.terminals.lent(path) or self._errands.phase() is Phase.CHOOSING

    def _ask(self, key: Hotkey) -> None:
        if key in _ASKS:
            self._errands.post(Happening(_ASKS[key]))
        elif key is Hotkey.LOGS:
            threading.Thread(target=self._copy, name="logs to a stick", daemon=True).start()

    def _allowed(self) -> bool:
        if not self._shells:
            self._notice("There are no shells on this machine: it was started with fleetcast.shell=off.")
        return self._shells

    def _copy(self) -> None:
        if not self._copying.acquire(blocking=False):
            return  # one key press is enough
        try:
            self._notice("Plug in a stick for the logs now (FAT, exFAT or ext4).")
            volume = stickcopy.wait_for_stick(self._since, self._errands.targets)
            self._notice(f"Writing the logs to the stick {volume.name or volume.path}: leave it in.")
            name = stickcopy.copy_to(volume, self._errands.stem(), self._errands.logs())
            self._notice(f"{name} is on {volume.name or volume.path}: it can be pulled out now.")
        except FleetcastError as error:
            self._notice(f"No logs were copied: {error.what}.")
        finally:
            self._copying.release()

    def _notice(self, text: str) -> None:
        self._errands.post(Happening(Event.NOTICE, text=text))
