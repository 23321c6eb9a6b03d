"""The last things the client did, kept in memory: shown on the screen, sent along and handed out."""

from __future__ import annotations

import threading
import time
from collections import deque

# All that is kept: half a megabyte at most.
MOST_LINES = 2000
MOST_LENGTH = 250
# A failure report stays a small message.
RECENT_LINES = 200


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

    def recent(self) -> tuple[str, ...]:
        """The last RECENT_LINES lines, oldest first."""
        return self.lines()[-RECENT_LINES:]

    def lines(self) -> tuple[str, ...]:
        """All remembered lines, oldest first."""
        with self._lock:
            return tuple(self._lines)
