"""How far each machine's network boots came: a short history per MAC, for the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from castcore.boot import BootEvent, BootStage, History, continued

# A room has hundreds of machines; somebody who invents MACs pushes out the oldest, no more.
MOST_MACS = 2000
# A detail holds what the network said, so it ends somewhere.
LONGEST_DETAIL = 200

Value = TypeVar("Value")


class BootWatch:
    """Collects boot events from the services' threads."""

    def __init__(self, changed: Callable[[], None], clock: Callable[[], float] = time.time) -> None:
        self._changed, self.now = changed, clock
        self._lock = threading.Lock()
        # Both by their last use, the oldest first.
        self._histories: dict[str, History] = {}
        self._macs: dict[str, str] = {}

    def note(self, event: BootEvent) -> None:
        """Remember ``event``; one whose machine cannot be told is left out.

        Behind a router a machine that loads files is known by the address that it was heard to ask for.
        """
        with self._lock:
            mac = event.mac.lower() or self._macs.get(event.address, "")
            if not mac:
                return
            if event.address:
                _keep(self._macs, event.address, mac)
            self._continue(mac, event)
        self._changed()

    def arrived(self, macs: Iterable[str], name: str) -> None:
        """Our client runs on the machine with these ``macs``: the good end of its boot."""
        with self._lock:
            seen = [found for found in map(self._histories.get, map(str.lower, macs)) if found]
            if not seen:
                return
            latest = max(seen, key=lambda history: history.latest.when)
            detail = f"our client registered as {name}"
            self._continue(latest.mac, BootEvent(latest.mac, BootStage.CLIENT, detail))
        self._changed()

    def of(self, macs: Iterable[str]) -> list[History]:
        """What is known of ``macs``, the one heard last first."""
        with self._lock:
            seen = [found for found in map(self._histories.get, map(str.lower, macs)) if found]
        return sorted(seen, key=lambda history: history.latest.when, reverse=True)

    def others(self, macs: Iterable[str] = ()) -> list[History]:
        """What is known of machines that have none of ``macs``, the one heard last first."""
        known = {mac.lower() for mac in macs}
        with self._lock:
            return [h for h in reversed(self._histories.values()) if h.mac not in known]

    def _continue(self, mac: str, event: BootEvent) -> None:
        event = replace(event, mac=mac, detail=event.detail[:LONGEST_DETAIL])
        history = self._histories.get(mac) or History(mac)
        _keep(self._histories, mac, continued(history, event, self.now()))


def _keep(kept: dict[str, Value], key: str, value: Value) -> None:
    """Put it last, and let the oldest go beyond MOST_MACS."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > MOST_MACS:
        del kept[next(iter(kept))]
