"""What was seen of a host's network; gathered in ``castcore.edge.doctor.examination``."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from castcore.boot import FoundServer
from castcore.doctor.ports import Port


@dataclass(frozen=True)
class PortFact:
    """Whether a ``port`` can be had; ``taken``: by whom (for people), "" when it is free.

    ``shared``: we could have it beside the other.

    ``ours``: it is held by a Fleetcast of this machine.
    """

    port: Port
    taken: str = ""
    ours: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Caster:
    """Another cast server that answered."""

    name: str
    url: str


@dataclass(frozen=True)
class Bridge:
    """The interface is a bridge of this host."""

    snooping: bool
    querier: bool


@dataclass(frozen=True)
class Querying:
    """Whether an IGMP querier (MLD, without IPv4) was ``heard`` within ``seconds``.

    ``provoked``: a group was left meanwhile, after which a querier asks at once.
    """

    heard: bool
    seconds: float
    provoked: bool


@dataclass(frozen=True)
class InterfaceFacts:
    """One interface. ``speed`` is in Mbit/s, 0 unknown; ``duplex`` "" unknown; ``mtu`` in bytes.

    ``obstacle``: why the kernel would not send multicast through it, "" when it would. ``leased``: its
    IPv4 address is from a DHCP server. ``unprobed``: why no DHCP server was looked for; ``unheard``: why
    no querier was listened for.
    """

    name: str
    link: bool = True
    speed: int = 0
    duplex: str = ""
    mtu: int = 1500
    wireless: bool = False
    obeys_pause: bool = False
    obstacle: str = ""
    addresses: tuple[IPv4Interface, ...] = ()
    ipv6: tuple[str, ...] = ()
    leased: bool = False
    servers: tuple[FoundServer, ...] = ()
    unprobed: str = ""
    casters: tuple[Caster, ...] = ()
    querying: Querying | None = None
    unheard: str = ""
    bridge: Bridge | None = None
    ports: tuple[PortFact, ...] = ()


@dataclass(frozen=True)
class HostFacts:
    """What concerns all interfaces; the ``wanted`` ports are to be open on each.

    ``ruleset``: what `nft -j list ruleset` says; None: ``unread`` for that reason.
    """

    interfaces: tuple[InterfaceFacts, ...]
    wanted: tuple[Port, ...] = ()
    ruleset: dict[str, Any] | None = None
    unread: str = ""
