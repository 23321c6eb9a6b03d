"""How far each machine's network boot came: the last event per MAC, for the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from castcore.boot import BootEvent

# A room has hundreds of machines; somebody who invents MACs pushes out the oldest, no more.
MOST_MACS = 2000


@dataclass(frozen=True)
class BootSighting:
    """The last boot event of one MAC; ``when`` is Unix seconds."""

    mac: str
    stage: str
    detail: str
    when: int


class BootWatch:
    """Collects boot events from the services' threads."""

    def __init__(self, changed: Callable[[], None], clock: Callable[[], float] = time.time) -> None:
        self._changed, self._clock = changed, clock
        self._lock = threading.Lock()
        self._last: dict[str, BootSighting] = {}

    def note(self, event: BootEvent) -> None:
        """Remember ``event``; one without a MAC belongs to no machine and is left out."""
        mac = event.mac.lower()
        if not mac:
            return
        with self._lock:
            self._last.pop(mac, None)
            self._last[mac] = BootSighting(mac, event.stage.value, event.detail, int(self._clock()))
            while len(self._last) > MOST_MACS:
                del self._last[next(iter(self._last))]
        self._changed()

    def last(self, macs: Iterable[str]) -> BootSighting | None:
        """The latest sighting of any of ``macs``."""
        with self._lock:
            seen = [self._last[m] for m in (mac.lower() for mac in macs) if m in self._last]
        return max(seen, key=lambda s: s.when, default=None)

    def others(self, macs: Iterable[str]) -> list[BootSighting]:
        """The sightings of machines that have none of ``macs``, the latest first."""
        known = {mac.lower() for mac in macs}
        with self._lock:
            return [s for s in reversed(self._last.values()) if s.mac not in known]
