"""Address leases in memory, for networks without a DHCP server. Time is given, never read.

All times are seconds on a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface
from types import MappingProxyType

LEASE_SECONDS = 3600
# An OFFER is held this long for the REQUEST that should follow (spanning tree, slow firmware).
OFFER_SECONDS = 60
# An address a client found in use (DECLINE) is left alone this long.
DECLINE_SECONDS = 600
# A larger network (169.254/16) does not need more: bounds the search and the table.
LARGEST_POOL = 2000


class LeaseState(Enum):
    """What an address of the pool is taken by."""

    OFFERED = "offered"
    BOUND = "bound"
    DECLINED = "declined"


@dataclass(frozen=True)
class Lease:
    """One address taken by one machine ("" for a declined one) until ``expires``."""

    address: IPv4Address
    mac: str
    state: LeaseState
    expires: float


@dataclass(frozen=True)
class Pool:
    """The addresses we may lease beside our own ``server`` address, and those kept for a MAC."""

    server: IPv4Interface
    first: IPv4Address
    last: IPv4Address
    reservations: Mapping[str, IPv4Address] = field(default_factory=lambda: MappingProxyType({}))
    lease_seconds: int = LEASE_SECONDS
    # Machines that neither boot from the network nor ever did here get an address only if asked for.
    serve_any: bool = False

    @classmethod
    def of(cls, server: IPv4Interface) -> Pool:
        """The upper half of the interface's network (at most 2000 addresses).

        ValueError when the network has no room (/31, /32).
        """
        network = server.network
        if network.prefixlen > 30:
            raise ValueError(f"{network} has no address left to lease")
        first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
        start = max((first + last + 1) // 2, last - LARGEST_POOL + 1)
        return cls(server, IPv4Address(start), IPv4Address(last))

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, IPv4Address)
            and self.first <= address <= self.last
            and address != self.server.ip
        )

    def free_for_all(self) -> Iterator[IPv4Address]:
        """Every address of the pool that no reservation keeps, lowest first."""
        kept = set(self.reservations.values())
        for number in range(int(self.first), int(self.last) + 1):
            address = IPv4Address(number)
            if address != self.server.ip and address not in kept:
                yield address


class LeaseTable:
    """Who has which address of a pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._by_address: dict[IPv4Address, Lease] = {}

    def leases(self, now: float) -> tuple[Lease, ...]:
        """Every lease that has not run out, by address."""
        return tuple(self._by_address[a] for a in sorted(self._by_address) if self._live(a, now))

    def known(self, mac: str) -> bool:
        """Whether the machine holds a lease, ever held one that is not given away, or has its own."""
        return mac in self.pool.reservations or self._held(mac) is not None

    def offer(self, mac: str, wanted: IPv4Address, now: float) -> IPv4Address | None:
        """An address for ``mac``, kept for OFFER_SECONDS; None when the pool is used up.

        Its reservation first, then what it has or had, then what it asks for, then any
        (RFC 2131 section 4.3.1).
        """
        address = self._choose(mac, wanted, now)
        if address is None:
            return None
        had = self._by_address.get(address)
        if had is None or had.state is not LeaseState.BOUND or had.expires <= now:
            self._by_address[address] = Lease(address, mac, LeaseState.OFFERED, now + OFFER_SECONDS)
        return address

    def bind(self, mac: str, address: IPv4Address, now: float) -> bool:
        """Lease ``address`` to ``mac``; False when it cannot have it."""
        reserved = self.pool.reservations.get(mac)
        if address != reserved if reserved else not self._may_have(mac, address, now):
            return False
        expires = now + self.pool.lease_seconds
        held = self._held(mac)
        if held is not None and held.address != address:
            del self._by_address[held.address]
        self._by_address[address] = Lease(address, mac, LeaseState.BOUND, expires)
        return True

    def release(self, mac: str, address: IPv4Address, now: float) -> None:
        """``mac`` no longer uses ``address``; it stays its first choice while nobody needs it."""
        lease = self._by_address.get(address)
        if lease is not None and lease.mac == mac:
            self._by_address[address] = replace(lease, state=LeaseState.OFFERED, expires=now)

    def decline(self, mac: str, address: IPv4Address, now: float) -> None:
        """``mac`` found ``address`` in use by somebody we do not know."""
        lease = self._by_address.get(address)
        if lease is not None and lease.mac == mac:
            self._by_address[address] = Lease(address, "", LeaseState.DECLINED, now + DECLINE_SECONDS)

    def _choose(self, mac: str, wanted: IPv4Address, now: float) -> IPv4Address | None:
        reserved = self.pool.reservations.get(mac)
        if reserved is not None:
            return reserved
        held = self._held(mac)
        if held is not None:
            return held.address
        if wanted in self.pool and self._may_have(mac, wanted, now):
            return wanted
        never = (a for a in self.pool.free_for_all() if a not in self._by_address)
        over = (a for a in self.pool.free_for_all() if not self._live(a, now))
        return next(never, None) or next(over, None)

    def _may_have(self, mac: str, address: IPv4Address, now: float) -> bool:
        if address not in self.pool or address in self.pool.reservations.values():
            return False
        lease = self._by_address.get(address)
        return lease is None or lease.mac == mac or lease.expires <= now

    def _held(self, mac: str) -> Lease | None:
        return next((lease for lease in self._by_address.values() if lease.mac == mac), None)

    def _live(self, address: IPv4Address, now: float) -> bool:
        lease = self._by_address.get(address)
        return lease is not None and lease.expires > now
