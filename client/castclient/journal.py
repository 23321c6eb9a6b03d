"""The last things the client did, kept in memory: shown on the screen, sent along with a failure."""

from __future__ import annotations

import threading
import time
from collections import deque

# A failure report stays a small message: about 200 lines of at most 200 characters.
MOST_LINES = 200
MOST_LENGTH = 200


class Journal:
    """A ring of lines, each stamped with the seconds since the machine started; any thread may add."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Remember ``text``; line breaks in it become spaces."""
        line = f"{time.monotonic():9.2f} {' '.join(text.split())}"[:MOST_LENGTH]
        with self._lock:
            self._lines.append(line)

    def lines(self) -> tuple[str, ...]:
        """All remembered lines, oldest first."""
        with self._lock:
            return tuple(self._lines)
