"""Which chunks a receiver gets by unicast, and when."""

from __future__ import annotations

from collections.abc import Mapping

from castcore.cast.holding import Holding
from castcore.cast.ledger import Ledger
from castcore.cast.messages import Beacon
from castcore.cast.states import ReceiverState, SenderState

# Enough requests under way for a link to be full while chunks are checked and written.
FETCHES_MAX = 8
FETCH_PAUSE = 1.0
# So many beacons of a sender that has nothing to send, while no symbol of use came and nothing was
# repaired or put: what we asked for, at least twice, does not reach it, or it has given us up.
IDLE_BEACONS = 30
_IDLE = (SenderState.TAIL, SenderState.LINGER, SenderState.CLOSED)
_ALL_BY_UNICAST = (ReceiverState.UNICAST, ReceiverState.MOVED)


class Fetching:
    """Chooses chunks of ``ledger``: what multicast spoiled, at once; all that is missing when multicast
    does not reach us, when we were moved, or when a sender that is idle does not send it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._idle = self._put = 0
        self._after = 0.0
        self.paused = self.gathering = False

    def joined(self) -> None:
        """We joined, or joined anew: nothing is known of the sender."""
        self._idle, self.paused, self.gathering = 0, False, False

    def heard(self, beacon: Beacon) -> None:
        """The sender said what it does."""
        self.paused, self.gathering = not beacon.rate, beacon.state is SenderState.GATHER
        self._idle = self._idle + 1 if beacon.state in _IDLE and not self.paused else 0

    @property
    def awaited(self) -> str:
        """What keeps the sender from sending, as people read it."""
        if self.paused:
            return "paused at the server"
        return "waiting for its start" if self.gathering else ""

    def useful(self) -> None:
        """A symbol of use came by multicast."""
        self._idle = 0

    def failed(self, now: float) -> None:
        """A chunk could not be had."""
        self._after = now + FETCH_PAUSE

    def choose(self, now: float, state: ReceiverState, held: Mapping[int, Holding]) -> list[int]:
        """The chunks to fetch now."""
        put = self._ledger.multicast + self._ledger.repaired
        if put != self._put:
            # A slow machine repairs and writes what it has long after the stream has ended.
            self._put, self._idle = put, 0
        room = FETCHES_MAX - self._ledger.fetching
        if now < self._after or room <= 0 or self.paused or state is ReceiverState.PARKED:
            return []
        given_up = state is ReceiverState.FILLING and self._idle >= IDLE_BEACONS
        every = state in _ALL_BY_UNICAST or given_up
        # On a slow machine, blocks that wait for their repair are a long way behind the stream.
        coming = [b for b, holding in held.items() if not holding.need().any()] if every else ()
        return self._ledger.fetch(room, every=every, but=coming)
