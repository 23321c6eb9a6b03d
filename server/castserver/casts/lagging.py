"""Which machines of a running cast fall behind the others, and why: told by what its sender reports."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import median_high

from castcore.cast.states import ClientClass
from castcore.cast.status import ClientStatus

# This much less of the image than the middle one of all has, a machine is behind.
BEHIND = 0.05
# So many of its packets lost explain why a machine is behind, ...
LOSS_TELLS = 0.01
# ... and so many are told of even while it keeps up.
LOSS_MATTERS = 0.05
# Who was there for less than this share of the packets joined after the others.
LATE_SHARE = 0.8
# Fewer packets than this say little about loss and about who came when.
PACKETS_MIN = 400


class Lag(StrEnum):
    """Why a machine falls behind."""

    LATE = "joined late"
    DISK = "slow disk"
    NETWORK = "network loss"
    HOST = "host drops packets"
    UNICAST = "no multicast"
    SILENT = "silent"
    UNKNOWN = "slow"


def laggards(clients: Sequence[ClientStatus]) -> dict[str, Lag]:
    """The reason of each of ``clients`` (all of one cast) that falls behind, by its name."""
    known = [c for c in clients if c.kind is not ClientClass.GONE]
    lead = median_high([c.have for c in known]) if known else 0.0
    most = {leg: max(_packets(c) for c in clients if c.interface == leg) for leg in _legs(clients)}
    found = {c.client: _lag(c, lead, most[c.interface]) for c in clients}
    return {name: lag for name, lag in found.items() if lag is not None}


def _lag(client: ClientStatus, lead: float, most: int) -> Lag | None:
    match client.kind:
        case ClientClass.DONE:
            return None
        case ClientClass.GONE:
            return Lag.SILENT
        case ClientClass.NET_SLOW:
            return Lag.NETWORK
        case ClientClass.DISK_SLOW:
            return Lag.DISK
        case ClientClass.UNICAST:
            return Lag.UNICAST
        case _:
            return _by_figures(client, most, behind=client.have < lead - BEHIND)


def _by_figures(client: ClientStatus, most: int, *, behind: bool) -> Lag | None:
    """The reason of one that says of itself that all is well."""
    told = LOSS_TELLS if behind else LOSS_MATTERS
    enough = _packets(client) >= PACKETS_MIN
    if enough and max(client.net_loss, client.host_loss) >= told:
        return Lag.NETWORK if client.net_loss >= client.host_loss else Lag.HOST
    if not behind:
        return None
    if client.shed_blocks:
        return Lag.DISK
    if most >= PACKETS_MIN and _packets(client) < LATE_SHARE * most:
        return Lag.LATE
    return Lag.UNKNOWN


def _packets(client: ClientStatus) -> int:
    """How many packets of the group's were sent while ``client`` took part, as far as it said."""
    return client.received + client.net_lost + client.host_drop


def _legs(clients: Sequence[ClientStatus]) -> set[str]:
    return {client.interface for client in clients}
