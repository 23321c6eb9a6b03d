"""One leg of a running cast: the sender on one of the server's interfaces, replaced as needed.

A sender ends when everybody it knows has everything. Whoever comes later gets a fresh one over the
same image. An interface that is lost ends its sender; when it is back there is a fresh one, too.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from castcore.cast.peers import Peers
from castcore.cast.states import ClientClass, Transport
from castcore.cast.status import CastStatus, LegNow
from castcore.chunks import ChunkSource
from castcore.errors import Busy, FleetcastError, InUse

from castserver.casts import castroutes
from castserver.casts.rateshares import Wish
from castserver.casts.wayin import Network


class LiveSender(castroutes.Sender, Protocol):
    """What a cast needs of ``castcore.edge.cast.sender.CastSender``."""

    def start(self) -> None:
        """Begin to send."""
        ...

    def pause(self, *, paused: bool) -> None:
        """Send no data until it goes on; clients hear that, and wait."""
        ...

    def limit(self, cap: float) -> None:
        """Send at most ``cap`` bytes a second from now on."""
        ...

    def wish(self) -> float:
        """Bytes a second that it could use now; inf: all there are."""
        ...

    def stop(self, *, abort: bool = False) -> None:
        """Stop sending and free sockets and threads; ``abort`` tells clients to give up."""
        ...

    def finished(self) -> bool:
        """Whether it has closed: nobody can join any more."""
        ...

    def fault(self) -> str:
        """What ended it early, "" while nothing has."""
        ...

    def status(self) -> CastStatus:
        """How it stands."""
        ...


class OpenImage(castroutes.CastImage, Protocol):
    """An open image (``castserver.images.library.LibraryImage``)."""

    @property
    def source(self) -> ChunkSource:
        """Its chunks, for a sender."""
        ...

    @property
    def name(self) -> str:
        """Its name in the library."""
        ...

    @property
    def medium(self) -> str:
        """The key of the deploy medium that it lies on; "": of none."""
        ...

    @property
    def root(self) -> str:
        """The hex digest that proves it whole."""
        ...

    @property
    def failure(self) -> FleetcastError | None:
        """What reading a single chunk of it has failed of, None while all is well."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


@dataclass(frozen=True)
class CastOptions:
    """How a cast travels. ``peers``: finished clients serve chunks to the others; ``mac``, ``encrypt``:
    see :mod:`castcore.cast.protection`. ``rate_cap``: bytes a second at most, on each interface (0: no
    cap of its own). ``transport``: see :class:`castcore.cast.states.Transport`.
    """

    peers: bool = True
    mac: bool = False
    encrypt: bool = False
    rate_cap: int = 0
    transport: Transport = Transport.AUTO


# No sender is held to less, in bytes a second: what has no share yet shall still be able to begin.
LEAST_SHARE = 100_000.0
# Makes a sender for the image, in the numbered slot (its group and its two ports).
SenderFactory = Callable[[OpenImage, int, CastOptions], LiveSender]


@dataclass(frozen=True)
class Leg:
    """A network of the server: how senders are made for it, why it is ``lost`` ("": it is not), and its
    ``capacity``: what all casts together may send there, in bytes a second.
    """

    network: Network
    make: SenderFactory
    lost: Callable[[], str] = lambda: ""
    capacity: Callable[[], float] = lambda: math.inf


class LegRun:
    """The sender of a cast on ``leg``; all calls are safe from any thread."""

    def __init__(self, image: OpenImage, slot: int, leg: Leg, options: CastOptions) -> None:
        self._image, self._slot, self._leg, self._options = image, slot, leg, options
        self.network = leg.network
        self._lock = threading.Lock()
        self._sender: LiveSender | None = None
        self._started = self._closed = self._joined = self._paused = False
        self._cap = LEAST_SHARE
        self._last: CastStatus | None = None
        self._joins: dict[str, float] = {}
        self.lost = ""

    def current_sender(self) -> LiveSender:
        """The sender to follow now, fresh when the last has finished. Raises InUse when closed, Busy
        while the interface is lost.
        """
        with self._lock:
            if self._closed:
                raise InUse("the cast has ended", hint="ask the operator to cast again")
            if self.lost:
                raise Busy(f"no cast by this interface now: {self.lost}", hint="ask again")
            if self._sender is None or self._sender.finished():
                _stop(self._take())
                self._sender, self._last = self._leg.make(self._image, self._slot, self._options), None
                self._sender.limit(self._cap)
                if self._paused:
                    self._sender.pause(paused=True)
            return self._sender

    def join(self, client: str, held: bytes) -> castroutes.Answer:
        """Let ``client`` into the current sender. Raises InUse when that has just finished."""
        with self._lock:
            if self._sender is None or self._sender.finished():
                raise InUse("this sender has closed", hint="read the descriptor again, then join")
            answer = self._sender.join(client, held)
            self._joined = True
            self._joins[client] = time.monotonic()
            return answer

    def peers(self, client: str, address: str) -> Peers:
        """Who serves chunks to ``client``; nobody when the sender has finished."""
        with self._lock:
            sender = self._sender
        return sender.peers(client, address) if sender is not None else Peers()

    def start(self) -> None:
        """Begin to send if anybody has joined, unless it has begun."""
        with self._lock:
            if self._sender is not None and self._joined and not self._started:
                self._sender.start()
                self._started = True

    def pause(self, *, paused: bool) -> None:
        """Send no data until it goes on, by this sender or another."""
        with self._lock:
            self._paused = paused
            if self._sender is not None:
                self._sender.pause(paused=paused)

    def wish(self) -> Wish:
        """What it could use of the interface's rate now."""
        with self._lock:
            uses = self._sender.wish() if self._sender is not None else 0.0
        return Wish(uses, self._options.rate_cap or math.inf)

    @property
    def cap(self) -> float:
        """The most that it may send now, in bytes a second."""
        return self._cap

    def limit(self, cap: float) -> None:
        """Send at most ``cap`` bytes a second from now on."""
        with self._lock:
            self._cap = max(cap, LEAST_SHARE)
            if self._sender is not None:
                self._sender.limit(self._cap)

    def look(self) -> None:
        """See whether the interface is lost; then the sender ends, and its clients join again."""
        lost, ended = self._leg.lost(), None
        with self._lock:
            if lost and self._sender is not None:
                self._last = left(self._sender.status())
                ended = self._take()
            self.lost = lost
        _stop(ended)

    def now(self) -> LegNow | None:
        """How it stands; None before the first client read the descriptor, if it is not lost."""
        with self._lock:
            live, joins = self._sender is not None, dict(self._joins)
            status = self._sender.status() if self._sender is not None else self._last
        if status is None and not self.lost:
            return None
        return LegNow(self.network.interface, status, self.lost, live, joins)

    @property
    def failure(self) -> str:
        """Why its sender could not go on, "" while it can."""
        with self._lock:
            return self._sender.fault() if self._sender is not None else ""

    def close(self, *, abort: bool = False) -> None:
        """Stop for good; ``abort`` tells clients that nothing more will come."""
        with self._lock:
            self._closed = True
            ended = self._take()
        _stop(ended, abort=abort)

    def _take(self) -> LiveSender | None:
        """The sender, ours no more: to be stopped, best without the lock, as that takes a moment."""
        taken = self._sender
        self._sender, self._started, self._joined = None, False, False
        return taken


def _stop(sender: LiveSender | None, *, abort: bool = False) -> None:
    if sender is not None:
        sender.stop(abort=abort)


def left(status: CastStatus) -> CastStatus:
    """``status`` of a sender that is no more: whoever has not everything is gone from it."""
    gone = ClientClass.GONE
    clients = tuple(c if c.done else replace(c, kind=gone, rate=0, eta=None) for c in status.clients)
    return replace(status, rate=0, clients=clients)
