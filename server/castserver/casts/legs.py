"""One image cast through several interfaces at once: a *leg* for each.

A leg is a cast of its own, with its sender, feedback socket, rate and listener; legs share the image,
its key, and the memory for blocks. So each client loads the interface it sees and no other, and a leg
whose clients are slow holds up no other leg. A leg that nobody has joined sends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from castcore.cast.status import CastStatus, together
from castcore.edge.cast.blocks import CACHE_BYTES
from castcore.edge.cast.sender import CastSender, SenderSettings
from castcore.edge.net.identity import ServerIdentity
from castcore.edge.net.interface import Interface
from castcore.errors import FleetcastError, NetworkFailed, PortTaken

from castserver.casts.castrun import FIRST_PORT, MOST_SLOTS
from castserver.casts.groups import cast_group
from castserver.casts.linkwatch import LinkWatch
from castserver.casts.onair import sender_of
from castserver.casts.oneshot import OneShot
from castserver.images.library import LibraryImage


@dataclass(frozen=True, slots=True)
class LegSettings:
    """How every leg sends. ``port`` 0: the first pair that is free; ``https_port`` 0: any."""

    rate_cap: int = 0
    ttl: int = 1
    port: int = 0
    https_port: int = 0
    mac: bool = False
    encrypt: bool = False
    jumbo: bool = False
    polite: bool = False
    peers: bool = True


class Legs:
    """All legs of one cast, to be started, watched and ended together.

    ``watches`` tell of each why its interface is lost ("": it is not); that ends this leg alone.
    """

    def __init__(self, shots: Sequence[OneShot], watches: Sequence[Callable[[], str]]) -> None:
        self._shots, self._watches = tuple(shots), tuple(watches)
        self._started: list[OneShot] = []
        self._begun = False

    @property
    def joined(self) -> int:
        """How many different clients have joined, and have not lost their leg."""
        return len(frozenset[str]().union(*(s.joined for s in self._shots if not s.lost)))

    @property
    def urls(self) -> list[str]:
        """Where clients join, one for each leg."""
        return [shot.url for shot in self._shots]

    @property
    def failure(self) -> FleetcastError | None:
        """What ended the cast early: the image cannot be read, or no interface is left."""
        if all(shot.lost for shot in self._shots):
            lost = ", ".join(shot.lost for shot in self._shots)
            return NetworkFailed(f"no interface can cast any more: {lost}", hint="see `ip addr`")
        return next((s.sender.failure for s in self._shots if s.sender.failure), None)

    def start(self) -> None:
        """Begin to send on every leg that somebody has joined, or on all if nobody has."""
        self._begun = True
        self._start_joined(every=not self.joined)

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for the end of every leg that has begun; whether it has come."""
        self.look()
        self._start_joined()
        end = time.monotonic() + seconds
        return all(shot.sender.wait(max(end - time.monotonic(), 0.0)) for shot in self._started)

    def look(self) -> None:
        """End the legs whose interface is lost, for good: the others go on unharmed."""
        for shot, watch in zip(self._shots, self._watches, strict=True):
            lost = "" if shot.lost or shot.sender.finished() else watch()
            if lost:
                shot.give_up(lost)

    def status(self) -> CastStatus:
        """The legs as one cast: those that send or are lost, or all before any sends."""
        shown = [s for s in self._shots if s.lost or not self._started or s in self._started]
        status = together([shot.now() for shot in shown])
        assert status is not None, "every leg has a sender"
        return status

    def end(self, why: str) -> None:
        """Stop all, and tell whoever has joined, or asks, ``why``."""
        for shot in self._shots:
            shot.end(why)
            shot.sender.stop(abort=True)

    def _start_joined(self, *, every: bool = False) -> None:
        for shot in self._shots:
            wanted = every or bool(shot.joined)
            if self._begun and shot not in self._started and wanted and not shot.lost:
                self._started.append(shot)
                shot.sender.start()


def open_legs(
    image: LibraryImage,
    identity: ServerIdentity,
    interfaces: Sequence[Interface],
    settings: LegSettings,
    stack: ExitStack,
) -> Legs:
    """Legs that clients can find and join; they close with ``stack``.

    Raises PortTaken, NetworkFailed, BadImage.
    """
    shots, watches = [], []
    for number, interface in enumerate(interfaces):
        sender = _sender(image, identity, interface, settings, number, len(interfaces))
        # This sender never comes back: whoever lacks something then must not wait for it.
        stack.callback(sender.stop, abort=True)
        shot = OneShot(image, sender, identity, interface, settings.https_port)
        shot.start()
        stack.callback(shot.stop)
        shots.append(shot)
        watches.append(LinkWatch(interface).lost)
    return Legs(shots, watches)


def _sender(
    image: LibraryImage,
    identity: ServerIdentity,
    interface: Interface,
    settings: LegSettings,
    leg: int,
    legs: int,
) -> CastSender:
    """The sender of one leg, on the wanted port or the first that no other cast has."""
    public = identity.key.public
    wanted = SenderSettings(
        interface_address=interface.zoned,
        # From the key, so that two casts on one network hardly ever share a group.
        group=cast_group(interface.family, public[0], public[1], leg),
        port=settings.port,
        feedback_port=settings.port + 1,
        rate_cap=settings.rate_cap,
        ttl=settings.ttl,
        jumbo=settings.jumbo,
        polite=settings.polite,
        peers=settings.peers,
        mac=settings.mac,
        encrypt=settings.encrypt,
        cache_bytes=CACHE_BYTES // legs,
    )
    if settings.port:
        return sender_of(image, identity.key, wanted)
    for port in range(FIRST_PORT, FIRST_PORT + 2 * MOST_SLOTS, 2):
        try:
            return sender_of(image, identity.key, replace(wanted, port=port, feedback_port=port + 1))
        except PortTaken:
            continue
    raise PortTaken(
        f"all UDP ports from {FIRST_PORT} to {FIRST_PORT + 2 * MOST_SLOTS} are taken",
        hint="name another with --port",
    )
