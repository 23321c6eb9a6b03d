"""How often clients are to report: the more there are, the less often each."""

from __future__ import annotations

import math

from castserver.casts.policy import pace
from castserver.machines.clients import Clients

# The clients are counted so often, in seconds.
COUNT_SECONDS = 1.0


class ReportPace:
    """What ``clients`` are told with every report."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._seconds, self._due = 0.0, -math.inf

    def seconds(self) -> float:
        """Until the next report of a client, while only its figures change."""
        now = self._clients.clock()
        if now >= self._due:
            self._seconds = pace(sum(client.online(now) for client in self._clients.all()))
            self._due = now + COUNT_SECONDS
        return self._seconds
