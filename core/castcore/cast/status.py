"""How a cast stands, as seen from outside: the one set of values that command line, console, API and
tests show, and its JSON form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from castcore.cast.states import ClientClass, SenderState

# A speed is measured over so many seconds, from marks that lie at least METER_STEP apart.
METER_SECONDS = 5.0
METER_STEP = 0.25


@dataclass
class Meter:
    """How fast a count grew lately; times are seconds of the caller's clock."""

    _marks: deque[tuple[float, int]] = field(default_factory=deque)
    _count: int = 0

    def note(self, now: float, count: int) -> None:
        """The count stands at ``count``; one that falls has begun anew."""
        if count < self._count:
            self._marks.clear()
        self._count = count
        # Standing still before the first growth is no slowness.
        if len(self._marks) == 1 and self._marks[0][1] == count:
            self._marks.clear()
        if not self._marks or now - self._marks[-1][0] >= METER_STEP:
            self._marks.append((now, count))
        while len(self._marks) > 2 and now - self._marks[1][0] > METER_SECONDS:
            self._marks.popleft()

    def rate(self, now: float) -> float:
        """Counts a second; who falls silent becomes slower and slower."""
        if not self._marks:
            return 0.0
        then, count = self._marks[0]
        return (self._count - count) / max(now - then, METER_STEP)


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """One client as the sender sees it.

    ``rate``: stored bytes a second that it gains; ``have``: the share (0..1) of the image it has;
    ``eta``: seconds until it has everything, None while that cannot be told. The losses are packets
    since it joined: lost in the network, dropped by its host; ``shed_blocks`` it ignored for want of
    a buffer.
    """

    client: str
    kind: ClientClass
    rate: int
    have: float
    eta: float | None
    have_blocks: int
    total_blocks: int
    received: int
    net_lost: int
    host_drop: int
    shed_blocks: int
    done: bool

    @property
    def over(self) -> bool:
        """Whether the cast does not wait for it any more."""
        return self.kind in (ClientClass.DONE, ClientClass.GONE)

    @property
    def net_loss(self) -> float:
        """The share (0..1) of its packets that the network lost."""
        return self._share(self.net_lost)

    @property
    def host_loss(self) -> float:
        """The share (0..1) of its packets that its own host dropped."""
        return self._share(self.host_drop)

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {
            "client": self.client,
            "class": self.kind.value,
            "rate": self.rate,
            "have": self.have,
            "eta": self.eta,
            "have_blocks": self.have_blocks,
            "total_blocks": self.total_blocks,
            "received": self.received,
            "net_lost": self.net_lost,
            "host_drop": self.host_drop,
            "shed_blocks": self.shed_blocks,
            "net_loss": self.net_loss,
            "host_loss": self.host_loss,
            "done": self.done,
        }

    def _share(self, packets: int) -> float:
        return round(packets / max(self.received + self.net_lost + self.host_drop, 1), 5)


@dataclass(frozen=True, slots=True)
class CastStatus:
    """A sender at one moment: ``rate`` in bytes a second; ``sent`` symbol bytes, ``repair`` of them
    parity; ``lap`` is 1 during the first pass; ``stored``: the image's bytes as they travel; ``eta``:
    seconds until every client has everything, None while that cannot be told. ``failure`` says why
    it ended, if badly. ``mac`` and ``encrypt``: see :mod:`castcore.cast.protection`.
    """

    state: SenderState
    rate: int
    sent: int
    repair: int
    lap: int
    head: int
    clients: tuple[ClientStatus, ...]
    failure: str = ""
    stored: int = 0
    eta: float | None = None
    mac: bool = False
    encrypt: bool = False

    @property
    def done(self) -> int:
        """How many clients have everything."""
        return sum(c.done for c in self.clients)

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {
            "state": self.state.value,
            "rate": self.rate,
            "sent": self.sent,
            "repair": self.repair,
            "lap": self.lap,
            "head": self.head,
            "stored": self.stored,
            "eta": self.eta,
            "clients": [c.to_json() for c in self.clients],
            "failure": self.failure,
            "mac": self.mac,
            "encrypt": self.encrypt,
        }


def together(legs: Sequence[CastStatus]) -> CastStatus:
    """Several senders of one image (at least one) as one cast: the least advanced tells the state."""
    behind = min(legs, key=lambda leg: (leg.state.code, leg.head))
    clients = tuple(client for leg in legs for client in leg.clients)
    return replace(
        behind,
        rate=sum(leg.rate for leg in legs),
        sent=sum(leg.sent for leg in legs),
        repair=sum(leg.repair for leg in legs),
        lap=max(leg.lap for leg in legs),
        clients=clients,
        failure=next((leg.failure for leg in legs if leg.failure), ""),
        eta=group_time_left(clients),
    )


def time_left(missing: float, rate: float) -> float | None:
    """Seconds until ``missing`` bytes have come at ``rate`` bytes a second, None when they never do."""
    if missing <= 0:
        return 0.0
    return round(missing / rate, 1) if rate > 0 else None


def group_time_left(clients: Iterable[ClientStatus]) -> float | None:
    """Seconds until the last of ``clients`` has everything, None while that cannot be told."""
    each = [c.eta for c in clients if not c.over]
    known = [eta for eta in each if eta is not None]
    return max(known, default=0.0) if len(known) == len(each) else None
