"""By which of the server's networks a request came in, told by the two ends of its connection."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class WayIn:
    """The ends of a request's connection: the ``client``'s IP address, and ours (``server``)."""

    client: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """A network that we cast on: our interface's name, our address there, and the subnet."""

    interface: str
    address: str
    subnet: Subnet


def leg_of(way: WayIn, networks: Sequence[Network]) -> int:
    """The place in ``networks`` of the one that the client is on.

    Its address tells, or, where that is link-local and so of any network, ours: one address has one
    interface. One of none of them (behind a router) takes part through the one it asked, or the first.
    """
    client, asked = _parsed(way.client), _parsed(way.server)
    was_asked = [asked is not None and asked == _parsed(n.address) for n in networks]
    if client is not None and not client.is_link_local:
        inside = [i for i, n in enumerate(networks) if _within(client, n.subnet)]
        if inside:
            # The narrowest, for a subnet may lie within another; of equal ones the one that was asked.
            return max(inside, key=lambda i: (networks[i].subnet.prefixlen, was_asked[i]))
    return was_asked.index(True) if True in was_asked else 0


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, subnet: Subnet) -> bool:
    return address.version == subnet.version and address in subnet


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
