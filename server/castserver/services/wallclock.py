"""Unix time, and how far it was set meanwhile: leases must neither end nor live on by a set clock."""

from __future__ import annotations

import time
from collections.abc import Callable

# Slewing (NTP) stays below; a step that matters for leases of an hour does not.
LEAST_STEP = 2.0


def _steady() -> float:
    # Goes on while the host sleeps, as the leases of others do.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WallClock:
    """All in seconds."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _steady
    ) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()

    def now(self) -> float:
        """Unix time, without the steps that ``stepped`` has not told yet."""
        return self._steady() + self._offset

    def stepped(self) -> float:
        """How far the clock was set ahead (negative: back) since the last call; 0.0: not at all."""
        step = self._wall() - self._steady() - self._offset
        if abs(step) < LEAST_STEP:
            return 0.0
        self._offset += step
        return step
