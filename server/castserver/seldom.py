"""Says the same of the same subject once in a while only: who calls again and again fills no log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST_SUBJECTS = 1000


class Seldom:
    """At most one word in ``seconds`` about each subject; the oldest subjects are forgotten first."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def due(self, subject: str) -> bool:
        """Whether it is time to speak of ``subject``; if so, it counts as spoken of."""
        now = self._clock()
        with self._lock:
            if now - self._said.get(subject, float("-inf")) < self._seconds:
                return False
            self._said.pop(subject, None)
            self._said[subject] = now
            while len(self._said) > MOST_SUBJECTS:
                del self._said[next(iter(self._said))]
            return True
