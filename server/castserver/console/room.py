"""A cast as a room of machines, one small value for each that changes only when what is shown does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from castcore.control import ClientState

from castserver.api.views import CastView, PartView, ReceptionView
from castserver.casts.lagging import Lag
from castserver.casts.policy import CastState, PartState, boot_mac
from castserver.console.show import share


class Phase(StrEnum):
    """What a machine does in its cast, in the order in which that happens."""

    WAITING = "awaited"
    PREPARING = "preparing"
    JOINED = "joined"
    RECEIVING = "receiving"
    FILLING = "filling"
    VERIFYING = "verifying"
    PROVEN = "proven"
    GONE = "gone"
    REFUSED = "refused"
    FAILED = "failed"


LOST = (Phase.FAILED, Phase.REFUSED, Phase.GONE)
AT_WORK = (Phase.RECEIVING, Phase.FILLING, Phase.VERIFYING)
_ENDED = {
    PartState.DONE: Phase.PROVEN,
    PartState.FAILED: Phase.FAILED,
    PartState.REFUSED: Phase.REFUSED,
    PartState.GONE: Phase.GONE,
    PartState.QUEUED: Phase.WAITING,
}
_REPORTED = {
    ClientState.PLANNING: Phase.PREPARING,
    ClientState.JOINING: Phase.PREPARING,
    ClientState.RECEIVING: Phase.RECEIVING,
    ClientState.FILLING: Phase.FILLING,
    ClientState.VERIFYING: Phase.VERIFYING,
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One machine: ``share`` of its phase in percent, ``left`` seconds and ``rate`` in MB/s coarsely, so
    that a tile changes seldom; None where there is nothing to tell.
    """

    client: str
    name: str
    model: str
    phase: Phase
    share: int | None = None
    left: int | None = None
    rate: int | None = None
    lag: Lag | None = None
    message: str = ""

    @property
    def troubled(self) -> bool:
        """Whether somebody should look at it."""
        return self.phase in LOST or (self.lag is not None and self.lag is not Lag.LATE)


@dataclass(frozen=True, slots=True)
class Losses:
    """Shares (0..1) of all packets since the machines joined, and where their bytes came from."""

    network: float
    host: float
    multicast: int
    unicast: int
    peers: int


def tiles(cast: CastView) -> tuple[Tile, ...]:
    """Every machine of ``cast``, in the order in which they were asked."""
    running = cast.state is CastState.RUNNING and cast.sender is not None
    senders = {c.client: c for c in cast.sender.clients} if running and cast.sender else {}
    return tuple(_tile(part, phase(part, cast.state), senders.get(part.client)) for part in cast.parts)


def _tile(part: PartView, now: Phase, sender: ReceptionView | None) -> Tile:
    name, model = names(part.label)
    receives = now in (Phase.RECEIVING, Phase.FILLING)
    moving = sender if receives and sender is not None else None
    return Tile(
        part.client,
        name,
        model,
        now,
        share(part.report) if now in AT_WORK else None,
        coarse(moving.eta) if moving else None,
        megabytes(moving.rate) if moving else None,
        part.lag if receives else None,
        part.message,
    )


def phase(part: PartView, cast: CastState) -> Phase:
    """What the machine of ``part`` does, in a cast in the state ``cast``."""
    if part.state in _ENDED:
        return _ENDED[part.state]
    reported = _REPORTED.get(part.report.state) if part.report is not None else None
    if part.state is PartState.JOINED and reported in (None, Phase.PREPARING, Phase.RECEIVING):
        # A client that has joined says that it receives, also before anything is sent.
        return Phase.JOINED if cast is CastState.GATHERING else reported or Phase.JOINED
    return reported or Phase.WAITING


def counts(found: Iterable[Tile]) -> list[tuple[Phase, int]]:
    """How many machines are in each phase that has any, in order."""
    counted = Counter(tile.phase for tile in found)
    return [(one, counted[one]) for one in Phase if counted[one]]


def troubled(found: Sequence[Tile]) -> list[Tile]:
    """The machines that somebody should look at, the worst first."""
    worst = list(reversed(Phase))
    return sorted((t for t in found if t.troubled), key=lambda t: worst.index(t.phase))


def average(found: Sequence[Tile]) -> int:
    """How much of the image the machines that go on have, in percent."""
    shares = [_received(tile) for tile in found if tile.phase not in LOST]
    return sum(shares) // len(shares) if shares else 0


def losses(cast: CastView) -> Losses:
    """What was lost on the way to all machines of ``cast``, and how it was made good."""
    clients = cast.sender.clients if cast.sender else []
    net, host = sum(c.net_lost for c in clients), sum(c.host_drop for c in clients)
    every = max(sum(c.received for c in clients) + net + host, 1)
    reports = [part.report for part in cast.parts if part.report is not None]
    return Losses(
        network=net / every,
        host=host / every,
        multicast=sum(r.multicast for r in reports),
        unicast=sum(r.unicast for r in reports),
        peers=sum(r.peers for r in reports),
    )


def names(label: str) -> tuple[str, str]:
    """A machine's label as its short name, and the model beside it."""
    model, _, name = label.rpartition(" · ")
    return (name, model) if boot_mac(name) else (label, "")


def coarse(seconds: float | None) -> int | None:
    """``seconds`` rounded up so that it changes seldom: to tens, from a minute on to minutes."""
    if seconds is None:
        return None
    step = 10 if seconds <= 60 else 60
    return -int(-seconds // step) * step


def megabytes(rate: int) -> int:
    """A rate in MB/s with two figures that count."""
    whole = round(rate / 1e6)
    return whole if whole < 100 else round(whole, 1 - len(str(whole)) + 1)


def _received(tile: Tile) -> int:
    if tile.phase in (Phase.VERIFYING, Phase.PROVEN):
        return 100
    return tile.share or 0 if tile.phase in (Phase.RECEIVING, Phase.FILLING) else 0
