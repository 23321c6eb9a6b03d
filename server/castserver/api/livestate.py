"""Everything live, built and spelled once for all who listen: five consoles cost what one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from castserver.api.views import StateView
from castserver.signal import Signal

# A state this young, in seconds, serves for whoever else asks; what changed since is in the next one.
FRESH = 0.4
# A state of five hundred machines takes a tenth of a second: so many times that passes before the next.
REST = 10


class LiveState:
    """The state that ``build`` tells, as JSON; ``changed`` fires when there is another one."""

    def __init__(
        self,
        build: Callable[[], StateView],
        changed: Signal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build, self._changed, self._clock = build, changed, clock
        self._lock = threading.Lock()
        self._text, self._count, self._due = "", 0, -1.0

    def latest(self) -> tuple[str, int]:
        """The JSON, and how often ``changed`` had fired before it was built: wait for more than that."""
        with self._lock:
            now = self._clock()
            if now >= self._due:
                self._count = self._changed.count
                self._text = self._build().model_dump_json(by_alias=True)
                self._due = now + max(FRESH, REST * (self._clock() - now))
            return self._text, self._count
