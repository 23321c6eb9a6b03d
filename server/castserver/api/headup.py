"""The one word of the head-up display: how far the server is on the way to a cast's result. Pure."""

from __future__ import annotations

from enum import StrEnum

from castcore.boot import InterfaceMode

from castserver.api.views import CastView, StateView
from castserver.casts.policy import CastState
from castserver.media.mediastate import MediaState

# For so long a result is news, in seconds.
RESULT_SECONDS = 3600


class HeadUp(StrEnum):
    """From nothing to a cast's result, in the order in which an operator meets them."""

    NO_MEDIUM = "no medium"
    MEDIUM = "medium connected"
    PXE = "PXE ready"
    CLIENTS = "clients connected"
    CASTING = "casting"
    RESULT = "result"


def headup(state: StateView, now: int) -> HeadUp:
    """The furthest that the server has come; ``now`` in Unix seconds."""
    if any(cast.state in (CastState.RUNNING, CastState.PAUSED) for cast in state.casts):
        return HeadUp.CASTING
    waits = any(not cast.state.ended for cast in state.casts)
    last = latest_result(state)
    if last is not None and not waits and now - (last.ended or 0) < RESULT_SECONDS:
        return HeadUp.RESULT
    if any(client.online for client in state.clients):
        return HeadUp.CLIENTS
    if pxe_ready(state):
        return HeadUp.PXE
    return HeadUp.MEDIUM if state.media.state is MediaState.CONNECTED else HeadUp.NO_MEDIUM


def pxe_ready(state: StateView) -> bool:
    """Whether machines that boot from some network get our client."""
    serving = (InterfaceMode.PROXY, InterfaceMode.DHCP)
    return state.pxe.deploy and any(own.mode in serving for own in state.pxe.interfaces)


def latest_result(state: StateView) -> CastView | None:
    """The cast that ended last."""
    return max((c for c in state.casts if c.state.ended), key=lambda c: c.ended or 0, default=None)
