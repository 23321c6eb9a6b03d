"""Who has which address, for networks without a DHCP server. Time is given, never read.

All times are Unix seconds: a lease outlives the server. A step of the clock is told by
:meth:`LeaseTable.shift`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Protocol

from castcore.boot.pool import LeaseRules, Pool

# An address is held this long while it is proven free; then the OFFER goes out.
PROBING_SECONDS = 5
# An OFFER is held this long for the REQUEST that should follow (spanning tree, slow firmware).
OFFER_SECONDS = 60
# An address found in use by somebody we did not lease it to is left alone this long.
ASIDE_SECONDS = 600


class LeaseState(StrEnum):
    """What an address is taken by."""

    PROBING = "probing"
    OFFERED = "offered"
    BOUND = "bound"
    ASIDE = "aside"


@dataclass(frozen=True)
class Lease:
    """One address taken by the machine ``mac`` until ``expires``.

    ASIDE: ``mac`` is who was found to use it, "" when nobody knows. ``booted``: the machine got it to
    boot from the network, so it gets an address later too.
    """

    address: IPv4Address
    mac: str
    state: LeaseState
    expires: float
    booted: bool = False

    @property
    def durable(self) -> bool:
        """Whether it is to outlive the server."""
        return self.state in (LeaseState.BOUND, LeaseState.ASIDE)


class LeaseStore(Protocol):
    """Where one interface's leases outlive the server, and where the operator's rules come from."""

    def kept(self) -> Collection[Lease]:
        """Every lease kept so far. Raises DiskFailed."""

    def keep(self, changed: Collection[Lease], gone: Collection[IPv4Address]) -> None:
        """Keep ``changed``, forget ``gone``, durably, all or nothing. Raises NoSpace, DiskFailed."""

    def rules(self) -> LeaseRules:
        """What the operator says now."""


class MemoryStore:
    """Leases that live as long as the program; for a server without a database."""

    def __init__(self, rules: LeaseRules | None = None) -> None:
        self._rules = rules or LeaseRules()
        self._leases: dict[IPv4Address, Lease] = {}

    def kept(self) -> Collection[Lease]:
        """Every lease kept so far."""
        return tuple(self._leases.values())

    def keep(self, changed: Collection[Lease], gone: Collection[IPv4Address]) -> None:
        """Keep ``changed``, forget ``gone``."""
        self._leases.update({lease.address: lease for lease in changed})
        for address in gone:
            self._leases.pop(address, None)

    def rules(self) -> LeaseRules:
        """The rules given at the start."""
        return self._rules


class LeaseTable:
    """Who has which address of a pool, and of the reservations on its network."""

    def __init__(
        self,
        pool: Pool,
        rules: Callable[[], LeaseRules] = LeaseRules,
        kept: Iterable[Lease] = (),
        now: float = 0.0,
    ) -> None:
        self.pool = pool
        self._rules = rules
        # What nobody has or had; in the pool's order, as a set has none.
        self._unused = dict.fromkeys(pool)
        self._by_address: dict[IPv4Address, Lease] = {}
        self._by_mac: dict[str, IPv4Address] = {}
        self._changed: set[IPv4Address] = set()
        for lease in sorted(kept, key=lambda lease: lease.expires):
            self._recall(lease, now)

    def leases(self, now: float) -> tuple[Lease, ...]:
        """Every lease that has not run out, by address."""
        return tuple(self._by_address[a] for a in sorted(self._by_address) if self._live(a, now))

    def take_changes(self) -> tuple[list[Lease], list[IPv4Address]]:
        """The durable leases made or changed since the last call, and the addresses that have none."""
        changed, self._changed = self._changed, set()
        leases = {a: self._by_address.get(a) for a in sorted(changed)}
        kept = [lease for lease in leases.values() if lease is not None and lease.durable]
        return kept, [a for a, lease in leases.items() if lease is None or not lease.durable]

    def serves(self, mac: str) -> bool:
        """Whether the machine gets an address though it is not booting from the network."""
        held = self._held(mac)
        booted = held is not None and held.booted
        return self._rules().everyone or booted or self.reserved(mac) is not None

    def knows(self, mac: str) -> bool:
        """Whether there is a record of the machine: a lease, even an old one, or a reservation."""
        return self._held(mac) is not None or self.reserved(mac) is not None

    def reserved(self, mac: str) -> IPv4Address | None:
        """The address of this network that is kept for the machine."""
        address = self._rules().reservations.get(mac)
        fits = address is not None and address in self.pool.network and address != self.pool.server.ip
        return address if fits else None

    def offer(self, mac: str, wanted: IPv4Address, now: float, *, booted: bool = False) -> Lease | None:
        """An address for ``mac``; None when the pool is used up.

        Its reservation first, then what it has or had, then what it asks for, then any
        (RFC 2131 section 4.3.1). PROBING: to be proven free before it is offered (``proven``).
        """
        address = self._choose(mac, wanted, now)
        if address is None:
            return None
        had = self._by_address.get(address)
        if (
            had is not None
            and had.mac == mac
            and had.expires > now
            and had.state is not LeaseState.ASIDE
        ):
            return had
        booted = booted or (had is not None and had.mac == mac and had.booted)
        lease = Lease(address, mac, LeaseState.PROBING, now + PROBING_SECONDS, booted)
        self._put(lease)
        return lease

    def proven(self, mac: str, address: IPv4Address, now: float) -> bool:
        """Nobody uses ``address``: it is offered to ``mac`` for OFFER_SECONDS. False: no longer its."""
        lease = self._by_address.get(address)
        if lease is None or lease.mac != mac or lease.state is not LeaseState.PROBING:
            return False
        self._put(replace(lease, state=LeaseState.OFFERED, expires=now + OFFER_SECONDS))
        return True

    def bind(self, mac: str, address: IPv4Address, now: float, *, booted: bool = False) -> bool:
        """Lease ``address`` to ``mac``; False when it cannot have it."""
        if not self._may_have(mac, address, now):
            return False
        held = self._held(mac)
        booted = booted or (held is not None and held.booted)
        if held is not None and held.address != address:
            self._drop(held.address)
        expires = now + self.pool.lease_seconds
        self._put(Lease(address, mac, LeaseState.BOUND, expires, booted))
        return True

    def release(self, mac: str, address: IPv4Address, now: float) -> None:
        """``mac`` no longer uses ``address``; it stays its first choice while nobody needs it."""
        lease = self._by_address.get(address)
        if lease is not None and lease.mac == mac and lease.state is not LeaseState.ASIDE:
            self._put(replace(lease, expires=min(lease.expires, now)))

    def release_offers(self, mac: str, now: float) -> None:
        """``mac`` chose another server (RFC 2131 section 4.3.2)."""
        held = self._held(mac)
        if held is not None:
            self.release(mac, held.address, now)

    def set_aside(self, mac: str, address: IPv4Address, now: float, user: str = "") -> bool:
        """What ``mac`` has or was to get is in use by ``user`` ("" unknown). False: not its."""
        lease = self._by_address.get(address)
        if lease is None or lease.mac != mac or lease.state is LeaseState.ASIDE:
            return False
        self._put(Lease(address, user, LeaseState.ASIDE, now + ASIDE_SECONDS))
        return True

    def shift(self, seconds: float) -> None:
        """The clock was set ``seconds`` ahead: every lease keeps the time that it has left."""
        for address, lease in self._by_address.items():
            self._by_address[address] = replace(lease, expires=lease.expires + seconds)
        self._changed |= set(self._by_address)

    def _choose(self, mac: str, wanted: IPv4Address, now: float) -> IPv4Address | None:
        for address in (self.reserved(mac), self._by_mac.get(mac), wanted):
            if address is not None and self._may_have(mac, address, now):
                return address
        owners = self._rules().owners
        unused = next((a for a in self._unused if a not in owners), None)
        if unused is not None:
            return unused
        # What has been out of use for longest first (RFC 2131 section 4.3.1).
        over = [lease for lease in self._by_address.values() if lease.expires <= now]
        over.sort(key=lambda lease: lease.expires)
        addresses = (lease.address for lease in over)
        return next((a for a in addresses if a in self.pool and a not in owners), None)

    def _may_have(self, mac: str, address: IPv4Address, now: float) -> bool:
        owner = self._rules().owners.get(address)
        usable = address == self.reserved(mac) if owner is not None else address in self.pool
        lease = self._by_address.get(address)
        return usable and (lease is None or lease.mac == mac or lease.expires <= now)

    def _held(self, mac: str) -> Lease | None:
        address = self._by_mac.get(mac)
        return None if address is None else self._by_address[address]

    def _live(self, address: IPv4Address, now: float) -> bool:
        lease = self._by_address.get(address)
        return lease is not None and lease.expires > now

    def _put(self, lease: Lease) -> None:
        """The one way in: a machine has one address, an address one machine."""
        before = self._by_address.get(lease.address)
        if before is not None and self._by_mac.get(before.mac) == lease.address:
            del self._by_mac[before.mac]
        if lease.state is not LeaseState.ASIDE:
            elsewhere = self._by_mac.get(lease.mac)
            if elsewhere is not None:
                self._drop(elsewhere)
            self._by_mac[lease.mac] = lease.address
        self._by_address[lease.address] = lease
        self._unused.pop(lease.address, None)
        if lease.durable or (before is not None and before.durable):
            self._changed.add(lease.address)

    def _drop(self, address: IPv4Address) -> None:
        lease = self._by_address.pop(address)
        del self._by_mac[lease.mac]
        if address in self.pool:
            self._unused[address] = None
        self._changed.add(address)

    def _recall(self, lease: Lease, now: float) -> None:
        """Take in a kept lease; one that no longer fits the network is forgotten.

        The clock may have been ahead when it was kept: nothing lasts longer than if made now.
        """
        self._changed.add(lease.address)
        if lease.address not in self.pool.network or lease.address == self.pool.server.ip:
            return
        longest = ASIDE_SECONDS if lease.state is LeaseState.ASIDE else self.pool.lease_seconds
        self._put(replace(lease, expires=min(lease.expires, now + longest)))
