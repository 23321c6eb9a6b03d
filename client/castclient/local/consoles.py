"""The consoles of the local dialogue: a screen on the first terminal, text on serial ports; keys."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import termios
import threading
import time
import tty
from collections.abc import Callable, Sequence

from castclient.console import TerminalScreen
from castclient.local.facts import WorkNow
from castclient.local.page import Page, rendered, room_of, wrapped
from castclient.local.serialpages import SerialPages

# A page on a slow line; one that nobody reads must not hold up a capture.
_WRITE_SECONDS = 3.0


class Screen:
    """The page on a whole terminal; Enter alone leafs through one that is longer."""

    def __init__(self, path: str) -> None:
        self._terminal = TerminalScreen(path)
        self._page: Page | None = None
        self._offset = 0

    def show(self, page: Page, work: WorkNow | None, typed: str) -> None:
        """Draw ``page``."""
        del work  # it is in the page
        if self._page is None or page.name != self._page.name:
            self._offset = 0
        self._page = page
        width, height = self._terminal.size()
        self._terminal.draw(rendered(page, typed, width, height, self._offset))

    def ended(self, line: str) -> None:
        """A line was typed to its end."""
        if self._page is None or line.strip():
            return
        width, height = self._terminal.size()
        body = wrapped(self._page.body, width - 2)
        self._offset += room_of(self._page, width, height)
        if self._offset >= len(body):
            self._offset = 0


class Port:
    """The page on a serial port, or on the standard output of a host."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pages = SerialPages()

    def show(self, page: Page, work: WorkNow | None, typed: str) -> None:
        """Write what is new."""
        self._write(self._pages.text(page, work, typed, time.monotonic()))

    def ended(self, line: str) -> None:
        """A line was typed to its end; the page is written again."""
        del line
        self._write(self._pages.ended())
        self._pages.again()

    def _write(self, text: str) -> None:
        data, end = text.encode(errors="replace"), time.monotonic() + _WRITE_SECONDS
        while data and time.monotonic() < end:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                select.select([], [self._fd], [], max(0.0, end - time.monotonic()))
            except OSError:  # nobody reads at the other end
                return


Console = Screen | Port


def open_consoles(screen: str, serial: Sequence[str]) -> list[Console]:
    """A console for the terminal ``screen`` and each of the ports ``serial`` that can be opened."""
    found: list[Console] = []
    with contextlib.suppress(OSError):
        found.append(Screen(screen))
    for path in serial:
        with contextlib.suppress(OSError):
            found.append(Port(os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)))
    return found


class Keys:
    """Gives what is typed on the terminals ``paths`` to ``typed``, in a thread, until closed.

    ``gone`` hears when the last of them has ended, as a host's standard input does.
    """

    def __init__(
        self,
        paths: Sequence[str],
        typed: Callable[[bytes], None],
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._typed, self._gone = typed, gone
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ)
        for path in paths:
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
                with contextlib.suppress(termios.error):  # not a terminal
                    tty.setraw(fd, termios.TCSANOW)
                self._selector.register(fd, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="local keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        os.write(self._waker, b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        os.close(self._waker)
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._wake:
                    return
                try:
                    data = os.read(key.fd, 256)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if data:
                    self._typed(data)
                    continue
                self._selector.unregister(key.fd)
                os.close(key.fd)
                if len(self._selector.get_map()) == 1:
                    self._gone()
