"""A thread that waits for sockets and calls their handlers; no packet can end it."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5


class HasFileno(Protocol):
    """Anything a selector can wait for."""

    def fileno(self) -> int:
        """The file descriptor."""


class SocketLoop:
    """Handlers of readable sockets, and one called about every ``seconds``, in a thread of their own.

    A handler that raises is logged and the loop goes on: nothing from the network may stop a service.
    """

    def __init__(
        self, name: str, tick: Callable[[], None] | None = None, seconds: float = TICK_SECONDS
    ) -> None:
        self._seconds = seconds
        self._selector = selectors.DefaultSelector()
        self._tick = tick
        self._wake, self._waker = socket.socketpair()
        self._stopping = False
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def add(self, readable: HasFileno, handler: Callable[[], None]) -> None:
        """Call ``handler`` whenever ``readable`` can be read; from the loop's thread once it runs."""
        self._selector.register(readable, selectors.EVENT_READ, handler)

    def remove(self, readable: HasFileno) -> None:
        """Forget ``readable``; before it is closed."""
        self._selector.unregister(readable)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; may be called before start and twice."""
        self._stopping = True
        if self._thread.is_alive():
            self._waker.send(b"x")
            self._thread.join()
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def _run(self) -> None:
        ticked = time.monotonic()
        while not self._stopping:
            for key, _ in self._selector.select(self._seconds):
                if key.data is not None and not self._stopping:
                    self._call(key.data)
            if self._tick is not None and time.monotonic() - ticked >= self._seconds:
                ticked = time.monotonic()
                self._call(self._tick)

    def _call(self, handler: Callable[[], None]) -> None:
        try:
            handler()
        except Exception:
            log.exception("%s: a handler failed; the service goes on", self._thread.name)
