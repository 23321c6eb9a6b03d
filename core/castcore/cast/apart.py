"""A receiver apart from the group: when it leaves and comes back, and whether leaving helped."""

from __future__ import annotations

import math

from castcore.cast.actions import Action, LookForLeak, Membership
from castcore.cast.constants import LEAK_SECONDS
from castcore.cast.messages import Move
from castcore.cast.states import Place, ReceiverEvent, ReceiverState

APART = (ReceiverState.MOVED, ReceiverState.PARKED)
_LISTENING = (
    ReceiverState.RECEIVING,
    ReceiverState.SHEDDING,
    ReceiverState.FILLING,
    ReceiverState.UNICAST,
    ReceiverState.SILENT,
)
_EVENTS = {
    Place.GROUP: ReceiverEvent.CALL_BACK,
    Place.UNICAST: ReceiverEvent.MOVE,
    Place.PARKED: ReceiverEvent.PARK,
}


class Apart:
    """What one receiver was told of its place. ``leaks``: the group's traffic reaches its host although
    it left, so the switch does not snoop.
    """

    def __init__(self) -> None:
        self.leaks = False
        self._in_group = True
        self._number = -1
        self._look_at = math.inf

    def joined(self) -> None:
        """We joined, or joined anew: the sender has yet to judge us."""
        self._number = -1
        self.leaks = False

    def told(self, move: Move) -> ReceiverEvent | None:
        """What the sender's word means; None when it is an old one."""
        if move.number <= self._number:
            return None
        self._number = move.number
        return _EVENTS[move.place]

    def actions(self, now: float, state: ReceiverState) -> list[Action]:
        """Leave or enter the group, as ``state`` asks; then look whether leaving helped."""
        if self._in_group and state in APART:
            self._in_group, self._look_at = False, now + LEAK_SECONDS
            return [Membership(joined=False)]
        if not self._in_group and state in _LISTENING:
            self._in_group, self._look_at, self.leaks = True, math.inf, False
            return [Membership(joined=True)]
        if now >= self._look_at and state in APART:
            self._look_at = now + LEAK_SECONDS
            return [LookForLeak()]
        return []
