"""What goes wrong in a cast over time, and what must hold all the while: the sender goes on, and
nothing that either end keeps grows past its bounds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from castcore.cast.constants import ADVERTS_SIZE_MAX, PARITY_ROWS, STRIPES_MAX
from castcore.cast.ratecontrol import RATE_FLOOR
from castcore.cast.repairs import HABIT_BLOCKS
from castcore.cast.states import SenderState
from castcore.cast.status import METER_SECONDS, METER_STEP

from tests.support.castsim import Link, Sim, SimClient

# What one datagram of control holds on Ethernet: MTU less IPv4 and UDP headers.
DATAGRAM_MAX = 1472
WATCH_SECONDS = 0.25
BUSY = (SenderState.PASS, SenderState.LAP)


@dataclass
class Watch:
    """Looks at a simulated cast four times a second; ``checks`` counts how often it could judge."""

    sim: Sim
    checks: int = 0
    idle: list[float] = field(default_factory=list)
    _sent: int = 0
    _state: SenderState = SenderState.GATHER
    _lead: float = 0.0
    _lap: int = 0

    def __post_init__(self) -> None:
        self.sim.at(0.0, self._look)

    def _look(self, now: float) -> None:
        sim, sender = self.sim, self.sim.sender
        status = sender.status()
        leaped = sim.lead != self._lead
        # Between two laps it rests, until it has heard what is still wanted.
        busy = status.state in BUSY and self._state in BUSY and status.lap == self._lap
        if busy and not leaped:
            self.checks += 1
            if status.sent - self._sent < 0.5 * RATE_FLOOR * WATCH_SECONDS:
                self.idle.append(now)
        self._sent, self._state, self._lead = status.sent, status.state, sim.lead
        self._lap = status.lap
        sender_is_bounded(sim)
        for client in sim.clients:
            client_is_bounded(client)
        sim.at(now + WATCH_SECONDS, self._look)


def sender_is_bounded(sim: Sim) -> None:
    """What a sender keeps depends on blocks and clients, never on how long the cast has lasted."""
    sender, clients = sim.sender, len(sim.clients)
    repairs = sender._repairs
    assert len(repairs._plain) <= 2 * HABIT_BLOCKS
    assert len(repairs._accounts) <= len(sim.image.table)
    for account in repairs._accounts.values():
        assert (account.queued + account.issued).max(initial=0) <= PARITY_ROWS
        assert len(account.batches) <= PARITY_ROWS * STRIPES_MAX
    assert sum(5 + len(a.counts) for a in repairs.adverts()) <= ADVERTS_SIZE_MAX
    assert len(sender._roster) <= clients
    for client in sender._roster:
        assert len(client.gain._marks) <= METER_SECONDS / METER_STEP + 2


def client_is_bounded(client: SimClient) -> None:
    """A receiver never holds more blocks than it has buffers."""
    assert len(client.core._held) <= client.capacity
    assert len(client.buffers) <= client.capacity
    assert client.largest <= DATAGRAM_MAX


def leap(sim: Sim, who: SimClient | None, at: float, seconds: float) -> None:
    """At ``at`` the clock of a client (None: of the sender) jumps ahead."""

    def jump(_: float) -> None:
        if who is None:
            sim.lead += seconds
        else:
            who.lead += seconds

    sim.at(at, jump)


def trouble(sim: Sim, client: SimClient, at: float, seconds: float, link: Link) -> None:
    """From ``at`` on the client's network is ``link``, for so many seconds."""
    usual = client.link

    def change(_: float) -> None:
        client.link = link

    def mend(_: float) -> None:
        client.link = usual

    sim.at(at, change)
    sim.at(at + seconds, mend)


def storm(sim: Sim, source: random.Random, until: float, incidents: int) -> None:
    """So many seeded incidents before ``until``: leaping clocks, cut feedback, cut and torn networks."""
    for _ in range(incidents):
        client = source.choice(sim.clients)
        at, length = source.uniform(0.05, until), source.choice([0.1, 0.5, 2.0, 7.0])
        link = client.link
        match source.randrange(6):
            case 0:
                leap(sim, client, at, source.choice([0.3, 2.0, 6.0, 40.0]))
            case 1:
                leap(sim, None, at, source.choice([0.3, 2.0, 6.0, 40.0]))
            case 2:
                trouble(sim, client, at, length, replace(link, feedback_loss=1.0))
            case 3:
                trouble(sim, client, at, length, replace(link, loss=1.0, feedback_loss=1.0))
            case 4:
                trouble(sim, client, at, length, replace(link, duplicate=0.5, jitter=0.05))
            case _:
                trouble(sim, client, at, length, replace(link, jitter=0.6))
