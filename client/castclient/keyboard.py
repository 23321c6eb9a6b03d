"""Asking a person for one digit, on every console at once."""

from __future__ import annotations

import contextlib
import os
import selectors
import termios
import tty
from collections.abc import Iterator


def number(paths: tuple[str, ...], most: int) -> int:
    """Wait until a digit from 1 to ``most`` is typed on one of the terminals ``paths``; return it."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for path in paths:
            with contextlib.suppress(OSError):
                selector.register(stack.enter_context(_keys(path)), selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                try:
                    typed = os.read(key.fd, 64)
                except OSError:  # its other end is gone: the others may do
                    typed = b""
                if not typed:
                    selector.unregister(key.fd)
                chosen = digit(typed, most)
                if chosen is not None:
                    return chosen


def digit(typed: bytes, most: int) -> int | None:
    """The first digit from 1 to ``most`` in ``typed``; None when there is none."""
    return next((c - ord("0") for c in typed if 1 <= c - ord("0") <= min(most, 9)), None)


@contextlib.contextmanager
def _keys(path: str) -> Iterator[int]:
    """The terminal ``path`` giving each key at once, as it was afterwards."""
    fd = os.open(path, os.O_RDONLY | os.O_NOCTTY)
    try:
        before = None
        with contextlib.suppress(termios.error):  # not a terminal
            before = termios.tcgetattr(fd)
            tty.setcbreak(fd)
        try:
            yield fd
        finally:
            if before is not None:
                with contextlib.suppress(termios.error):  # it has hung up since
                    termios.tcsetattr(fd, termios.TCSANOW, before)
    finally:
        os.close(fd)
