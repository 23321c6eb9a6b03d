"""What the client is doing, as one table: phase x event → phase, actions.

Nothing here acts. :mod:`castclient.program` feeds events and performs the actions; a pair that the
table does not name changes nothing (a late answer, an order while a disk is being written).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """Where the client stands."""

    STARTING = "starting"
    SEARCHING = "searching"
    CHOOSING = "choosing"
    REGISTERING = "registering"
    WAITING = "waiting"
    READY = "ready"
    CASTING = "casting"
    DONE = "done"
    FAILED = "failed"
    LEAVING = "leaving"


class Event(StrEnum):
    """What can happen to it."""

    STARTED = "started"
    FOUND = "one server found"
    FOUND_SEVERAL = "several servers found"
    CHOSEN = "server chosen"
    REGISTERED = "registered"
    KEPT_OUT = "not let in yet"
    GAVE_UP = "gave up for now"
    LOST = "server gone"
    FORGOTTEN = "server does not know us"
    ORDER_CAST = "order: cast"
    ORDER_CAPTURE = "order: capture"
    ORDER_AGAIN = "order: a cast or capture done before"
    ORDER_LEAVE = "order: reboot or power off"
    PROGRESS = "progress"
    CAST_DONE = "cast or capture done"
    CAST_FAILED = "cast or capture failed"
    TOLD = "server told of the end"
    TOLD_STAY = "server told; stay on"
    AGAIN = "time to try again"
    ASKED_OFF = "asked to shut down"
    SURE_OFF = "shut down all the same"
    STAY_ON = "do not shut down"
    NOTICE = "notice"


class Action(StrEnum):
    """What it then does; each runs beside the loop and answers with events."""

    SEARCH = "search"
    ASK = "ask"
    REGISTER = "register"
    LISTEN = "listen"
    CAST = "cast"
    CAPTURE = "capture"
    TELL = "tell"
    LEAVE = "leave"


Transition = tuple[Phase, tuple[Action, ...]]

_P, _E, _A = Phase, Event, Action

_BEFORE_READY: dict[tuple[Phase, Event], Transition] = {
    (_P.STARTING, _E.STARTED): (_P.SEARCHING, (_A.SEARCH,)),
    (_P.SEARCHING, _E.FOUND): (_P.REGISTERING, (_A.REGISTER,)),
    (_P.SEARCHING, _E.GAVE_UP): (_P.SEARCHING, (_A.SEARCH,)),
    (_P.SEARCHING, _E.FOUND_SEVERAL): (_P.CHOOSING, (_A.ASK,)),
    (_P.CHOOSING, _E.CHOSEN): (_P.REGISTERING, (_A.REGISTER,)),
    (_P.REGISTERING, _E.REGISTERED): (_P.READY, (_A.LISTEN,)),
    # It may be back under another address: look for it again.
    (_P.REGISTERING, _E.GAVE_UP): (_P.SEARCHING, (_A.SEARCH,)),
    # It asks on: the operator has still to approve it, or another is here that says it is this machine.
    (_P.REGISTERING, _E.KEPT_OUT): (_P.WAITING, ()),
    (_P.WAITING, _E.KEPT_OUT): (_P.WAITING, ()),
    (_P.WAITING, _E.REGISTERED): (_P.READY, (_A.LISTEN,)),
    (_P.WAITING, _E.GAVE_UP): (_P.SEARCHING, (_A.SEARCH,)),
    (_P.READY, _E.LOST): (_P.REGISTERING, (_A.REGISTER,)),
    (_P.READY, _E.FORGOTTEN): (_P.REGISTERING, (_A.REGISTER,)),
}

_CASTING: dict[tuple[Phase, Event], Transition] = {
    (_P.CASTING, _E.CAST_DONE): (_P.DONE, (_A.TELL,)),
    (_P.CASTING, _E.CAST_FAILED): (_P.FAILED, (_A.TELL,)),
    (_P.DONE, _E.TOLD): (_P.LEAVING, (_A.LEAVE,)),
    (_P.DONE, _E.TOLD_STAY): (_P.DONE, ()),
    (_P.FAILED, _E.TOLD_STAY): (_P.FAILED, ()),
    (_P.DONE, _E.ORDER_AGAIN): (_P.DONE, (_A.TELL,)),
}

# A cast goes on without the server (its data may still come, the link may return), and its end is
# kept until the server has heard of it: the link is renewed beside it.
_LINK_BESIDE: dict[tuple[Phase, Event], Transition] = {
    (phase, event): (phase, actions)
    for phase in (_P.CASTING, _P.DONE, _P.FAILED)
    for event, actions in (
        (_E.LOST, (_A.REGISTER,)),
        (_E.FORGOTTEN, (_A.REGISTER,)),
        (_E.GAVE_UP, (_A.REGISTER,)),
        (_E.REGISTERED, (_A.LISTEN,)),
    )
}

# No order interrupts a write: CASTING is not among these.
_ORDERS: dict[tuple[Phase, Event], Transition] = {
    (phase, event): transition
    for phase in (_P.READY, _P.DONE, _P.FAILED)
    for event, transition in (
        (_E.ORDER_CAST, (_P.CASTING, (_A.CAST,))),
        # A capture is as busy as a cast, and ends as one does.
        (_E.ORDER_CAPTURE, (_P.CASTING, (_A.CAPTURE,))),
        (_E.ORDER_LEAVE, (_P.LEAVING, (_A.LEAVE,))),
    )
}

# Only failures that trying again can mend come to this (castclient/retry.py).
_AGAIN: dict[tuple[Phase, Event], Transition] = {(_P.FAILED, _E.AGAIN): (_P.CASTING, (_A.CAST,))}

# The key to shut down: at once, but in the middle of a write the person is asked, and answers.
_OFF: dict[tuple[Phase, Event], Transition] = {
    (phase, _E.ASKED_OFF): (_P.LEAVING, (_A.LEAVE,))
    for phase in Phase
    if phase not in (_P.CASTING, _P.LEAVING)
} | {
    (_P.CASTING, _E.ASKED_OFF): (_P.CASTING, ()),
    (_P.CASTING, _E.SURE_OFF): (_P.LEAVING, (_A.LEAVE,)),
}

TABLE: Mapping[tuple[Phase, Event], Transition] = MappingProxyType(
    _BEFORE_READY | _CASTING | _LINK_BESIDE | _ORDERS | _AGAIN | _OFF
)


def step(phase: Phase, event: Event) -> Transition:
    """Where ``event`` leads from ``phase``, and what is then to be done."""
    return TABLE.get((phase, event), (phase, ()))


def as_markdown() -> str:
    """The table as it stands in ``docs/client.md``."""
    lines = ["| in | when | then | does |", "| --- | --- | --- | --- |"]
    for (phase, event), (after, actions) in TABLE.items():
        does = ", ".join(actions) or "-"
        lines.append(f"| {phase} | {event} | {after} | {does} |")
    return "\n".join(lines)
