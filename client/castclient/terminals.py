"""A shell and a file explorer on consoles of their own; the client goes on beside them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import threading
from collections.abc import Callable
from pathlib import Path

from castcore.edge import run
from castcore.errors import FleetcastError

from castclient.hotkeys import Hotkey

SCREEN = 1
# tty2 is the shell of fleetcast.debug.
_NUMBERS = {Hotkey.SHELL: 3, Hotkey.FILES: 4}
_ACTIVE = Path("/sys/class/tty/tty0/active")
_VT_ACTIVATE, _VT_WAITACTIVE = 0x5606, 0x5607  # ioctl_vt(2)
_PROGRAMS = {Hotkey.SHELL: "sh", Hotkey.FILES: "mc"}
_COMMANDS = {Hotkey.SHELL: "sh -l", Hotkey.FILES: "mc --nosubshell / /run"}
_HELLO = {
    Hotkey.SHELL: 'A root shell on this machine; what goes on goes on. "exit": back to the screen.',
    Hotkey.FILES: "",
}


class Terminals:
    """Opens a program on a console, and leads back to the screen when it ends."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._running: set[str] = set()

    def open(self, key: Hotkey) -> None:
        """Show the console of ``key``'s program, started if need be; again: back to the screen."""
        number = _NUMBERS[key]
        if _active() == number:
            activate(SCREEN)
            return
        if self._begin(key, f"/dev/tty{number}", "linux", lambda: self._back_from(number)):
            activate(number)

    def open_serial(self, key: Hotkey, path: str) -> None:
        """Lend the serial port ``path`` to ``key``'s program until it ends."""
        self._begin(key, path, "vt102", lambda: None)

    def lent(self, path: str) -> bool:
        """Whether a program has the terminal ``path`` now."""
        with self._lock:
            return path in self._running

    def _begin(self, key: Hotkey, path: str, kind: str, after: Callable[[], None]) -> bool:
        """Whether the program of ``key`` runs on ``path``."""
        program = _PROGRAMS[key]
        if run.find(program) is None:
            self._say(f"There is no {program} in this boot image.")
            return False
        with self._lock:
            if path in self._running:
                return True
            self._running.add(path)
        threading.Thread(target=self._run, args=(key, path, kind, after), name=path, daemon=True).start()
        return True

    def _run(self, key: Hotkey, path: str, kind: str, after: Callable[[], None]) -> None:
        terminal = shlex.quote(path)
        script = f"stty sane; echo {shlex.quote(_HELLO[key])}; exec {_COMMANDS[key]}"
        inner = f"exec setsid -c sh -c {shlex.quote(script)} <{terminal} >{terminal} 2>&1"
        try:
            with run.started(["sh", "-c", inner], extra_env={"TERM": kind}) as process:
                process.wait()
        except FleetcastError as error:
            self._say(error.what)
        finally:
            with self._lock:
                self._running.discard(path)
            after()

    @staticmethod
    def _back_from(number: int) -> None:
        if _active() == number:
            activate(SCREEN)


def activate(number: int) -> None:
    """Show virtual terminal ``number``; does nothing where there are none."""
    with contextlib.suppress(OSError):
        fd = os.open(f"/dev/tty{SCREEN}", os.O_RDONLY | os.O_NOCTTY)
        try:
            fcntl.ioctl(fd, _VT_ACTIVATE, number)
            fcntl.ioctl(fd, _VT_WAITACTIVE, number)
        finally:
            os.close(fd)


def _active() -> int:
    try:
        return int(_ACTIVE.read_text().strip().removeprefix("tty"))
    except (OSError, ValueError):
        return 0
