"""What happens to the client, with what belongs to it, as it is posted to the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from castcore.control import Order, OrderKind, Standing
from castcore.edge.cast.discovery import FoundServer
from castcore.errors import FleetcastError

from castclient.model import CastNow
from castclient.phases import Event


@dataclass(frozen=True, slots=True)
class Happening:
    """An event and what belongs to it; ``words`` are the machine's own code."""

    event: Event
    servers: tuple[FoundServer, ...] = ()
    client: str = ""
    order: Order | None = None
    now: CastNow | None = None
    text: str = ""
    error: FleetcastError | None = None
    standing: Standing = Standing.ADMITTED
    words: str = ""


Post = Callable[[Happening], None]


def leaving_kind(order: Order) -> OrderKind | None:
    """How ``order`` ends: restart, power off, or None (stay)."""
    if order.kind not in (OrderKind.CAST, OrderKind.CAPTURE):
        return order.kind
    return None if order.after == "stay" else OrderKind(order.after)
