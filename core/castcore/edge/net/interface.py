"""The network interface a cast goes through: found by name or address, with what a socket must know.

IPv4 and IPv6 alike; an address of the wanted family is chosen, a routable one before a link-local one.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from castcore.edge.net import nics
from castcore.errors import NotFound, Refused

# What IP and UDP put before a datagram's payload (RFC 791, RFC 8200, RFC 768).
_IP_UDP = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}
# MAC header, FCS, preamble and gap around each frame (IEEE 802.3).
_ETHERNET = 38

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface with one of its addresses; ``speed`` in Mbit/s, 0 unknown; ``mtu`` in bytes."""

    name: str
    index: int
    address: str
    speed: int
    mtu: int = 1500
    wireless: bool = False

    @property
    def family(self) -> socket.AddressFamily:
        """IPv4 or IPv6, by its address."""
        return family_of(self.address)

    @property
    def largest_datagram(self) -> int:
        """Bytes of UDP payload that a frame carries whole."""
        return self.mtu - _IP_UDP[self.family]

    @property
    def frame_overhead(self) -> int:
        """Bytes on the wire beside the payload of each datagram."""
        return _ETHERNET + _IP_UDP[self.family]

    @property
    def host(self) -> str:
        """Its address as it stands in a URL (RFC 3986, 3.2.2)."""
        return f"[{self.address}]" if self.family is socket.AF_INET6 else self.address

    @property
    def zoned(self) -> str:
        """Its address with its name, as `find_interface` takes it: no other interface can be meant."""
        return f"{self.address}%{self.name}"

    def reach(self, address: str, port: int) -> SocketAddress:
        """The socket address of ``address``, one of our own or of a machine on this interface's link."""
        if family_of(address) is socket.AF_INET:
            return address, port
        return address, port, 0, self.index if ipaddress.IPv6Address(address).is_link_local else 0


def family_of(address: str) -> socket.AddressFamily:
    """The family of a literal address. Raises NotFound when it is none."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        raise NotFound(f"{address!r} is no IP address") from None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def find_interface(name_or_address: str, family: socket.AddressFamily | None = None) -> Interface:
    """The interface called so, or with this address (``%name`` tells equal ones apart).

    Its address is the one given, if it is of the ``family``; else the first of the family (None: IPv4,
    or IPv6 where there is no IPv4). Raises NotFound.
    """
    names = [name for _, name in socket.if_nameindex()]
    address, _, zone = name_or_address.partition("%")
    with contextlib.suppress(ValueError):  # one spelling of an IPv6 address
        address = str(ipaddress.ip_address(address))
    if name_or_address in names:
        name, address = name_or_address, ""
    else:
        candidates = [n for n in names if address in _addresses(n, None) and zone in ("", n)]
        if not candidates:
            raise NotFound(
                f"no network interface {name_or_address}", hint=f"there are: {', '.join(names)}"
            )
        name = candidates[0]
    if not address or family not in (None, family_of(address)):
        address = next(iter(_addresses(name, family)), "")
    if not address:
        wanted = "" if family is None else "IPv4 " if family is socket.AF_INET else "IPv6 "
        raise NotFound(f"the interface {name} has no {wanted}address", hint="`ip addr` shows addresses")
    facts = nics.nic(name)
    return Interface(
        name, socket.if_nametoindex(name), address, facts.speed, nics.mtu(name), nics.is_wireless(name)
    )


def named_interfaces(wanted: Sequence[str]) -> tuple[Interface, ...]:
    """The interfaces ``wanted`` (names or addresses), in that order.

    Raises NotFound, and Refused when one is named twice or two have one address: it tells by which of
    them a client came.
    """
    found = tuple(find_interface(name) for name in wanted)
    if len({own.zoned for own in found}) < len(found):
        raise Refused("an interface is named twice", hint="name each interface once")
    for one, other in combinations(found, 2):
        if one.address == other.address:
            raise Refused(
                f"{one.name} and {other.name} have one address, {one.address}",
                hint="VLANs of one card share its link-local address: give them addresses of their own",
            )
    return found


def _addresses(name: str, family: socket.AddressFamily | None) -> list[str]:
    four = nics.ipv4_address(name)
    found = [four] if four and family is not socket.AF_INET6 else []
    return found + (list(nics.ipv6_addresses(name)) if family is not socket.AF_INET else [])
