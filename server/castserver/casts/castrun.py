"""One cast on the air: its open image and a leg for each of the server's interfaces.

A client takes part through the leg of the network it comes from (:mod:`castserver.casts.wayin`); one
whose interface is lost is no choice, so its clients come back through another, if they can.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Sequence
from contextlib import ExitStack

from castcore.cast.peers import Peers
from castcore.cast.status import CastStatus, together
from castcore.errors import Busy, InUse, NotFound

from castserver.casts import castroutes
from castserver.casts.groups import cast_group
from castserver.casts.legrun import CastOptions, Leg, LegRun, LiveSender, OpenImage
from castserver.casts.wayin import WayIn, leg_of

FIRST_PORT = 7100
# Below this, UDP ports stay clear of anything registered beside ours.
MOST_SLOTS = 200
HERE = WayIn()


def free_slot(taken: Collection[int]) -> int:
    """The smallest slot no running cast uses. Raises InUse when all are."""
    for slot in range(MOST_SLOTS):
        if slot not in taken:
            return slot
    raise InUse(
        f"{MOST_SLOTS} casts are under way, no more can be", hint="wait for one to end, or cancel one"
    )


def slot_addresses(
    slot: int, salt: int, leg: int = 0, family: socket.AddressFamily = socket.AF_INET
) -> tuple[str, int, int]:
    """Group, data port and feedback port of ``slot`` on the ``leg``-th interface.

    ``salt`` (0-255) keeps two servers apart.
    """
    port = FIRST_PORT + 2 * slot
    return cast_group(family, salt, slot, leg), port, port + 1


class CastRun:
    """The senders of one cast on all ``legs`` (at least one); all calls are safe from any thread."""

    def __init__(self, image: OpenImage, slot: int, legs: Sequence[Leg], options: CastOptions) -> None:
        self.image = image
        self.slot = slot
        self.legs = tuple(LegRun(image, slot, leg, options) for leg in legs)
        self._closed = threading.Event()

    def current_sender(self, way: WayIn = HERE) -> LiveSender:
        """The sender to follow for a client that came in by ``way``.

        Raises InUse when closed, NotFound with the reason when the cast has failed, Busy while every
        interface is lost.
        """
        if self._closed.is_set():
            raise InUse("the cast has ended", hint="ask the operator to cast again")
        failure = self.failure
        if failure:
            raise NotFound(failure, hint="ask the operator to cast again")
        return self._leg(way).current_sender()

    def join(self, client: str, held: bytes, way: WayIn = HERE) -> castroutes.Answer:
        """Let ``client`` into the current sender. Raises InUse when that has just finished, Busy."""
        return self._leg(way).join(client, held)

    def peers(self, client: str, address: str, way: WayIn = HERE) -> Peers:
        """Who serves chunks to ``client``; nobody when the sender has finished."""
        return self._leg(way).peers(client, address)

    def start(self) -> None:
        """Begin to send on every leg that somebody has joined and that has not begun."""
        for leg in self.legs:
            leg.start()

    def pause(self, *, paused: bool) -> None:
        """Send no data until it goes on; clients hear that, and wait."""
        for leg in self.legs:
            leg.pause(paused=paused)

    def look(self) -> None:
        """Once a second: end the legs whose interface is lost, allow those whose interface is back."""
        if not self._closed.is_set():
            for leg in self.legs:
                leg.look()

    def status(self) -> CastStatus | None:
        """How the legs stand, as one cast; None before the first client read the descriptor."""
        return together([now for leg in self.legs if (now := leg.now()) is not None])

    @property
    def failure(self) -> str:
        """Why it cannot go on, "" while it can: the image cannot be read, on whichever leg."""
        if self.image.failure is not None:
            return self.image.failure.what
        return next((leg.failure for leg in self.legs if leg.failure), "")

    def close(self, *, abort: bool = False) -> None:
        """Stop for good; ``abort`` tells clients that nothing more will come."""
        self._closed.set()
        with ExitStack() as closing:
            closing.callback(self.image.close)
            for leg in reversed(self.legs):
                closing.callback(leg.close, abort=abort)

    def _leg(self, way: WayIn) -> LegRun:
        legs = [leg for leg in self.legs if not leg.lost]
        if not legs:
            reasons = ", ".join(leg.lost for leg in self.legs)
            raise Busy(f"no interface can cast now: {reasons}", hint="see `ip addr` on the server")
        return legs[leg_of(way, [leg.network for leg in legs])]
