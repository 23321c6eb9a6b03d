"""How a cast stands, as seen from outside: the one set of values that command line, console, API and
tests show, and its JSON form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
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
    a buffer. ``interface``: the sender's, which it is served through.
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
    interface: str = ""

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
            "interface": self.interface,
        }

    def _share(self, packets: int) -> float:
        return round(packets / max(self.received + self.net_lost + self.host_drop, 1), 5)


@dataclass(frozen=True, slots=True)
class LegStatus:
    """A cast on one of the sender's interfaces, with figures as in `CastStatus`.

    ``state`` is None before anybody asked there; ``lost`` says why the interface carries nothing now.
    """

    interface: str
    state: SenderState | None
    rate: int
    sent: int
    repair: int
    clients: int
    lost: str = ""

    def to_json(self) -> dict[str, Any]:
        """This as JSON values."""
        return {
            "interface": self.interface,
            "state": self.state.value if self.state is not None else None,
            "rate": self.rate,
            "sent": self.sent,
            "repair": self.repair,
            "clients": self.clients,
            "lost": self.lost,
        }


@dataclass(frozen=True, slots=True)
class CastStatus:
    """A sender at one moment: ``rate`` in bytes a second; ``sent`` symbol bytes, ``repair`` of them
    parity; ``lap`` is 1 during the first pass; ``stored``: the image's bytes as they travel; ``eta``:
    seconds until every client has everything, None while that cannot be told. ``failure`` says why
    it ended, if badly. ``mac`` and ``encrypt``: see :mod:`castcore.cast.protection`. ``legs``: the parts
    of a cast through several interfaces. ``heard``: datagrams of
    clients that told how it goes.
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
    legs: tuple[LegStatus, ...] = ()
    heard: int = 0

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
            "legs": [leg.to_json() for leg in self.legs],
            "heard": self.heard,
        }


@dataclass(frozen=True, slots=True)
class LegNow:
    """The sender on one ``interface``, or the last there was (not ``live``); ``lost``: why there can be
    none now. ``joins``: when each client joined there last, by a clock that all legs share.
    """

    interface: str
    status: CastStatus | None
    lost: str = ""
    live: bool = True
    joins: Mapping[str, float] = field(default_factory=dict)

    @property
    def decides(self) -> bool:
        """Whether the cast's state depends on it: it can send, and has or had somebody to send to."""
        status = self.status
        if status is None or self.lost or not self.live:
            return False
        return bool(status.clients) or status.state is not SenderState.GATHER


def together(legs: Sequence[LegNow]) -> CastStatus | None:
    """Several senders of one image as one cast; None where there is none.

    The least advanced of those that go on tells the state; a client counts where it joined last.
    """
    known = [leg.status for leg in legs if leg.status is not None]
    if not known:
        return None
    going = [leg.status for leg in legs if leg.status is not None and leg.decides] or known
    clients = _each_once(legs)
    return replace(
        min(going, key=lambda status: (status.state.code, status.head)),
        rate=sum(status.rate for status in known),
        sent=sum(status.sent for status in known),
        repair=sum(status.repair for status in known),
        lap=max(status.lap for status in known),
        clients=clients,
        failure=next((status.failure for status in known if status.failure), ""),
        eta=group_time_left(clients),
        legs=tuple(_leg_status(leg) for leg in legs),
        heard=sum(status.heard for status in known),
    )


def _leg_status(leg: LegNow) -> LegStatus:
    status = leg.status
    if status is None:
        return LegStatus(leg.interface, None, 0, 0, 0, 0, leg.lost)
    clients = sum(client.kind is not ClientClass.GONE for client in status.clients)
    return LegStatus(
        leg.interface, status.state, status.rate, status.sent, status.repair, clients, leg.lost
    )


def _each_once(legs: Sequence[LegNow]) -> tuple[ClientStatus, ...]:
    """All clients with the interface that serves them: where each joined last, or is not gone."""
    found: dict[str, tuple[tuple[float, bool], ClientStatus]] = {}
    for leg in legs:
        for client in leg.status.clients if leg.status is not None else ():
            name = client.client
            weight = leg.joins.get(name, 0.0), client.kind is not ClientClass.GONE
            if name not in found or weight > found[name][0]:
                found[name] = weight, replace(client, interface=leg.interface)
    return tuple(client for _, client in found.values())


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
