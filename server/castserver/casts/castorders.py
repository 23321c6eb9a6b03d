"""Which machines are ordered into which cast, and why one cannot be ordered now.

Whoever calls holds the lock of the clients.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from castcore.control import Order, OrderKind
from castcore.errors import Refused

from castserver.casts import policy
from castserver.casts.castbook import CastBook
from castserver.casts.castmodel import Cast
from castserver.casts.policy import PartState
from castserver.machines.clients import Client, Clients


class CastOrders:
    """Orders for the machines of ``clients``, with what ``book`` knows of them."""

    def __init__(self, book: CastBook, clients: Clients) -> None:
        self._book, self._clients = book, clients

    def busy(self, client: Client) -> str:
        """The id of the cast that ``client`` takes part in now, "" when it is free."""
        return next((c.id for c in self._book.active() if _awaits(c, client.id)), "")

    def unready(self, client: Client) -> str:
        """Why it cannot be ordered into a cast now, "" when it can."""
        busy = self.busy(client)
        if busy:
            return f"{client.id} takes part in cast {busy}"
        if not client.online(self._clients.clock()):
            return f"no client is running on {client.id}"
        return "" if self._free(client) else f"{client.id} is at work"

    def open(self, cast: Cast) -> None:
        """There is a new ``cast``, and every machine that is ready for it is ordered in: all at once."""
        taken = {name for other in self._book.active() for name in other.parts if _awaits(other, name)}
        ready = [c for c in self._clients.all() if c.id not in taken and self._free(c)]
        self.order(cast, [client for client in ready if _wants(cast, client)])

    def offer(self, client: Client, *, restarted: bool = False) -> None:
        """Order ``client`` into the oldest cast that wants it, if it is free to take part.

        ``restarted``: it has just registered, so it knows nothing of its earlier orders.
        """
        if not self._free(client):
            return
        busy = self.busy(client)
        if busy and not restarted:
            return
        for cast in [self._book.get(busy)] if busy else self._book.active():
            if _wants(cast, client):
                self.order(cast, [client])
                return

    def fill(self, cast: Cast) -> None:
        """Order those whose turn it is, as others have ended or are gone."""
        queued = [name for name, part in cast.parts.items() if part.state is PartState.QUEUED]
        ready = [client for name in queued if self._free(client := self._clients.get(name))]
        turns = policy.turns(cast.rules, cast.states(), len(ready)) if cast.run is not None else 0
        if turns:
            self.order(cast, ready[:turns])

    def to_retry(self, cast: Cast, machines: Collection[str] | None) -> list[Client]:
        """Of ``machines`` (None: of all), those that can be ordered again now. Raises Refused."""
        for name in machines or ():
            if name not in cast.parts:
                raise Refused(f"machine {name[:40]!r} has no part in cast {cast.id}")
        again = [
            self._clients.get(name)
            for name, part in cast.parts.items()
            if policy.retried(part.state) and (machines is None or name in machines)
        ]
        if not again:
            raise Refused(f"no such machine of cast {cast.id} failed, was refused or is gone")
        blocked = {client.id: why for client in again if (why := self.unready(client))}
        ready = [client for client in again if client.id not in blocked]
        if not ready:
            told = "; ".join(list(blocked.values())[:3])
            raise Refused(
                f"no machine of cast {cast.id} can be ordered again now: {told}",
                hint="boot them over the network first",
            )
        return ready

    def order(self, cast: Cast, clients: Sequence[Client]) -> None:
        """Order these into ``cast``, in one step; those for whom there is no room yet wait."""
        # Who has joined is under way, whatever it was told.
        within = [client for client in clients if _joined(cast, client)]
        new = [client for client in clients if not _joined(cast, client)]
        others = [part.state for name, part in cast.parts.items() if name not in {c.id for c in new}]
        turns = policy.turns(cast.rules, others, len(new))
        order = Order(0, OrderKind.CAST, cast.id, cast.after, cast.rules.update, rules=cast.disk_rules)
        self._book.order(cast, [*within, *new[:turns]], order, new[turns:])

    def _free(self, client: Client) -> bool:
        """Whether it is here and does nothing else than, at most, a cast."""
        idle = policy.idle(client.report, stays=client.stays)
        return idle and not client.capture and client.online(self._clients.clock())


def _wants(cast: Cast, client: Client) -> bool:
    part = cast.parts.get(client.id)
    taken = part.state if part else None
    # One without a sender has ended, only that is still to be written.
    on_air = cast.run is not None
    return on_air and policy.wants(cast.state, cast.rules, client.id, taken, source=client.source)


def _joined(cast: Cast, client: Client) -> bool:
    part = cast.parts.get(client.id)
    return part is not None and part.state is PartState.JOINED


def _awaits(cast: Cast, client: str) -> bool:
    part = cast.parts.get(client)
    return part is not None and not part.state.ended
