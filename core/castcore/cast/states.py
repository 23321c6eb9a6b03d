"""The states of both ends, and every event that moves one: two tables, nothing else decides.

An event that a state's row does not name leaves the state as it is; what must not happen is not
in the table, so a table can be read as the protocol's documentation.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import Self

from castcore.errors import BadPacket


class Coded(Enum):
    """A state that travels as its place in its class; its value is the word people read."""

    @property
    def code(self) -> int:
        """Its number in a packet."""
        return list(type(self)).index(self)

    @classmethod
    def from_code(cls, code: int) -> Self:
        """The member with this number. Raises BadPacket."""
        try:
            return list(cls)[code]
        except IndexError:
            raise BadPacket(f"no {cls.__name__} has the number {code}") from None


class SenderState(Coded):
    """What a sender is doing. The value is the word people read."""

    GATHER = "gather"
    SELECT = "select"
    PASS = "pass"
    LAP = "lap"
    TAIL = "tail"
    LINGER = "linger"
    CLOSED = "closed"


class SenderEvent(Enum):
    """What happens to a sender."""

    START = auto()
    SELECTED = auto()
    SENT_ALL = auto()
    DEMAND = auto()
    ALL_DONE = auto()
    JOINED = auto()
    LINGERED = auto()
    ABORT = auto()


SENDER: dict[SenderState, dict[SenderEvent, SenderState]] = {
    SenderState.GATHER: {
        SenderEvent.START: SenderState.PASS,
        SenderEvent.SELECTED: SenderState.SELECT,
        SenderEvent.ABORT: SenderState.CLOSED,
    },
    SenderState.SELECT: {
        SenderEvent.START: SenderState.PASS,
        SenderEvent.ABORT: SenderState.CLOSED,
    },
    SenderState.PASS: {
        SenderEvent.SENT_ALL: SenderState.TAIL,
        SenderEvent.ABORT: SenderState.CLOSED,
    },
    SenderState.LAP: {
        SenderEvent.SENT_ALL: SenderState.TAIL,
        SenderEvent.ABORT: SenderState.CLOSED,
    },
    SenderState.TAIL: {
        SenderEvent.DEMAND: SenderState.LAP,
        SenderEvent.SELECTED: SenderState.SELECT,
        SenderEvent.ALL_DONE: SenderState.LINGER,
        SenderEvent.ABORT: SenderState.CLOSED,
    },
    SenderState.LINGER: {
        SenderEvent.JOINED: SenderState.TAIL,
        SenderEvent.LINGERED: SenderState.CLOSED,
        SenderEvent.ABORT: SenderState.CLOSED,
    },
    SenderState.CLOSED: {},
}


class ReceiverState(Enum):
    """What a receiver is doing. The value is the word people read."""

    RECEIVING = "receiving"
    SHEDDING = "shedding"
    FILLING = "filling"
    UNICAST = "unicast"
    MOVED = "moved"
    PARKED = "parked"
    SILENT = "server gone, waiting"
    FLUSHING = "flushing"
    FINISHING = "finishing"
    DONE = "done"
    ABORTED = "aborted"


class ReceiverEvent(Enum):
    """What happens to a receiver."""

    POOL_FULL = auto()
    POOL_FREE = auto()
    ONLY_HOLES = auto()
    SILENCE = auto()
    HEARD = auto()
    REJOINED = auto()
    DEAF = auto()
    MOVE = auto()
    PARK = auto()
    CALL_BACK = auto()
    COMPLETE = auto()
    FLUSHED = auto()
    ACKED = auto()
    ABORT = auto()


_ENDS = {
    ReceiverEvent.COMPLETE: ReceiverState.FLUSHING,
    ReceiverEvent.ABORT: ReceiverState.ABORTED,
}
_APART = {
    ReceiverEvent.MOVE: ReceiverState.MOVED,
    ReceiverEvent.PARK: ReceiverState.PARKED,
}
RECEIVER: dict[ReceiverState, dict[ReceiverEvent, ReceiverState]] = {
    ReceiverState.RECEIVING: _ENDS
    | _APART
    | {
        ReceiverEvent.POOL_FULL: ReceiverState.SHEDDING,
        ReceiverEvent.ONLY_HOLES: ReceiverState.FILLING,
        ReceiverEvent.SILENCE: ReceiverState.SILENT,
        ReceiverEvent.DEAF: ReceiverState.UNICAST,
    },
    ReceiverState.SHEDDING: _ENDS
    | _APART
    | {
        ReceiverEvent.POOL_FREE: ReceiverState.RECEIVING,
        ReceiverEvent.SILENCE: ReceiverState.SILENT,
    },
    ReceiverState.FILLING: _ENDS
    | _APART
    | {
        ReceiverEvent.POOL_FULL: ReceiverState.SHEDDING,
        ReceiverEvent.SILENCE: ReceiverState.SILENT,
        ReceiverEvent.DEAF: ReceiverState.UNICAST,
    },
    ReceiverState.SILENT: _ENDS
    | {
        ReceiverEvent.HEARD: ReceiverState.RECEIVING,
        ReceiverEvent.REJOINED: ReceiverState.RECEIVING,
    },
    ReceiverState.UNICAST: _ENDS
    | {
        ReceiverEvent.HEARD: ReceiverState.RECEIVING,
        ReceiverEvent.SILENCE: ReceiverState.SILENT,
    },
    ReceiverState.MOVED: _ENDS
    | {
        ReceiverEvent.PARK: ReceiverState.PARKED,
        ReceiverEvent.CALL_BACK: ReceiverState.RECEIVING,
        ReceiverEvent.SILENCE: ReceiverState.SILENT,
    },
    ReceiverState.PARKED: _ENDS
    | {
        ReceiverEvent.MOVE: ReceiverState.MOVED,
        ReceiverEvent.CALL_BACK: ReceiverState.RECEIVING,
        ReceiverEvent.SILENCE: ReceiverState.SILENT,
    },
    ReceiverState.FLUSHING: {ReceiverEvent.FLUSHED: ReceiverState.FINISHING},
    ReceiverState.FINISHING: {ReceiverEvent.ACKED: ReceiverState.DONE},
    ReceiverState.DONE: {},
    ReceiverState.ABORTED: {},
}


class Place(Coded):
    """Where a client shall get its chunks; parked: nowhere, until the group is idle."""

    GROUP = "group"
    UNICAST = "unicast"
    PARKED = "parked"


class Transport(StrEnum):
    """How a cast's data travels: AUTO moves clients behind slow links to unicast, MULTICAST never does;
    UNICAST sends nothing but beacons to the group, and every client gets all by unicast.
    """

    AUTO = "auto"
    MULTICAST = "multicast"
    UNICAST = "unicast"


class ClientClass(Coded):
    """How a client keeps up, by its own word and by the sender's judgement."""

    OK = "ok"
    DISK_SLOW = "disk-slow"
    NET_SLOW = "net-slow"
    UNICAST = "unicast"
    DONE = "done"
    GONE = "gone"
