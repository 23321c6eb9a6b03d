"""Who hears what boot services tell, and a policy whose word a test may change."""

from __future__ import annotations

import threading
from collections.abc import Callable

from castcore.boot import BootDecision, BootEvent


class Policy:
    decision = BootDecision.CLIENT

    def decide(self, mac: str, uuid: str) -> BootDecision:
        del mac, uuid
        return self.decision


class Events:
    """What the services told, and a way to wait for it."""

    def __init__(self) -> None:
        self._told: list[BootEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: BootEvent) -> None:
        with self._changed:
            self._told.append(event)
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[BootEvent], bool]) -> BootEvent:
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(wanted, self._told)), 10), self._told
            return next(filter(wanted, self._told))
