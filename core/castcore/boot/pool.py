"""The addresses that may be leased on one interface, and what the operator decided about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import MappingProxyType

LEASE_SECONDS = 3600
# A larger network (169.254/16) does not need more: bounds the search and the table.
LARGEST_POOL = 2000
# RFC 3927 section 2.1: the first and last 256 link-local addresses must not be used.
LINK_LOCAL_LAST = IPv4Address("169.254.254.255")


@dataclass(frozen=True)
class Pool:
    """The addresses ``first`` to ``last``, beside our own ``server`` address on the same network."""

    server: IPv4Interface
    first: IPv4Address
    last: IPv4Address
    lease_seconds: int = LEASE_SECONDS

    @classmethod
    def of(cls, server: IPv4Interface) -> Pool:
        """The upper half of the interface's network (at most 2000 addresses).

        ValueError when the network has no room (/31, /32).
        """
        network = server.network
        if network.prefixlen > 30:
            raise ValueError(f"{network} has no address left to lease")
        first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
        if server.ip.is_link_local and network.broadcast_address > LINK_LOCAL_LAST:
            last = int(LINK_LOCAL_LAST)
        start = max((first + last + 1) // 2, last - LARGEST_POOL + 1)
        return cls(server, IPv4Address(start), IPv4Address(last))

    @property
    def network(self) -> IPv4Network:
        """The network that its machines are on."""
        return self.server.network

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, IPv4Address)
            and self.first <= address <= self.last
            and address != self.server.ip
        )

    def __iter__(self) -> Iterator[IPv4Address]:
        for number in range(int(self.first), int(self.last) + 1):
            if number != int(self.server.ip):
                yield IPv4Address(number)


@dataclass(frozen=True)
class LeaseRules:
    """What the operator decided: addresses kept for a MAC, and whether everyone gets a lease.

    Otherwise only machines that boot from the network, did so before, or have a reservation get one.
    """

    reservations: Mapping[str, IPv4Address] = field(default_factory=lambda: MappingProxyType({}))
    everyone: bool = False

    @cached_property
    def owners(self) -> Mapping[IPv4Address, str]:
        """The MAC each reserved address is kept for."""
        return {address: mac for mac, address in self.reservations.items()}
