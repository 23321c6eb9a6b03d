"""What a cast's server sends by unicast, beside the stream to the group: paced, in order, fair to all.

The stream keeps at least 80% of the link while the group is being sent to. Sizes are bytes, speeds bytes
a second, times seconds of the caller's clock.
"""

from __future__ import annotations

import math
from collections import deque

from castcore.errors import Busy

# What the group leaves to unicast at least, and the share of the link that both fill together.
UNICAST_SHARE, LINK_SHARE = 0.2, 0.95
# A client may have so many requests waiting: as many as one receiver has under way.
WAITING_MAX = 8
# A request that would wait longer is refused: it would hold a connection for nothing.
WAIT_MAX = 10.0
# So much may leave at once after a pause.
DEPTH_SECONDS = 0.1


def unicast_speed(capacity: float, rate: float, *, busy: bool) -> float:
    """What unicast may take of a link of ``capacity`` while the group is sent to at ``rate``."""
    return max(UNICAST_SHARE * capacity, LINK_SHARE * capacity - rate) if busy else capacity


class UnicastBudget:
    """Says when a chunk may leave. Every request takes its turn; a client's own wait for each other."""

    def __init__(self) -> None:
        self._free = -math.inf
        self._turns: dict[str, deque[float]] = {}

    def turn(self, now: float, client: str, size: int, speed: float) -> float:
        """Seconds until ``size`` bytes may leave to ``client``, when all together get ``speed``.

        Raises Busy when the client has enough requests waiting, or the wait would be too long.
        """
        waiting = self._turns.get(client, deque())
        while waiting and waiting[0] <= now:
            waiting.popleft()
        at = max(self._free, now - DEPTH_SECONDS)
        if at <= now:
            self._turns.clear()  # nobody waits any more
            waiting.clear()
        if len(waiting) >= WAITING_MAX or at - now > WAIT_MAX:
            raise Busy("too much is being fetched of this cast just now")
        self._free = at + size / speed
        if at > now:
            waiting.append(at)
            self._turns[client] = waiting
        return max(at - now, 0.0)
