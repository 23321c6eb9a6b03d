"""The keys on serial consoles: letters, and a line that tells them."""

from __future__ import annotations

import contextlib
import os
import selectors
import termios
import time
import tty
from collections.abc import Callable, Iterable

from castclient.hotkeys import Hotkey, letter

_PAUSE = 0.3


class SerialMenu:
    """Gives each letter typed on one of ``paths`` to ``press``, unless the port is another's (``mute``).

    Anything else that is typed has ``menu`` written.
    """

    def __init__(
        self,
        paths: Iterable[str],
        press: Callable[[Hotkey, str], None],
        mute: Callable[[str], bool],
        menu: str,
    ) -> None:
        self._paths, self._press, self._mute, self._menu = tuple(paths), press, mute, menu

    def run(self) -> None:
        """Read for ever, or until no port is left."""
        selector = selectors.DefaultSelector()
        for path in self._paths:
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
                _one_by_one(fd)
                selector.register(fd, selectors.EVENT_READ, path)
        lent: set[str] = set()
        while selector.get_map():
            ready = {key.data for key, _ in selector.select(_PAUSE)}
            for key in list(selector.get_map().values()):
                if self._mute(key.data):
                    lent.add(key.data)
                    continue
                if key.data in lent:  # whoever had it left it as a shell wants it
                    lent.discard(key.data)
                    _one_by_one(key.fd)
                if key.data in ready:
                    self._read(selector, key.fd, key.data)
            if lent & ready:
                time.sleep(_PAUSE)  # what is typed there is for another reader

    def _read(self, selector: selectors.BaseSelector, fd: int, path: str) -> None:
        try:
            typed = os.read(fd, 64)
        except BlockingIOError:
            return
        except OSError:
            typed = b""
        if not typed:
            selector.unregister(fd)
            os.close(fd)
            return
        hotkey = letter(typed)
        if hotkey is not None:
            self._press(hotkey, path)
        else:
            with contextlib.suppress(OSError):
                os.write(fd, f"\r\nfleetcast: {self._menu}\r\n".encode())


def _one_by_one(fd: int) -> None:
    with contextlib.suppress(termios.error):  # not a terminal
        tty.setraw(fd, termios.TCSANOW)
