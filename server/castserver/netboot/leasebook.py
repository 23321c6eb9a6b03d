"""What outlives the server of its own DHCP: each interface's leases, and the operator's rules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from castcore.boot import Lease, LeaseRules, LeaseState, LeaseStore
from castcore.boot.message import mac_bytes, mac_text
from castcore.errors import NotFound, Refused

from castserver.database.database import Database
from castserver.database.tables import LeaseRow, LeaseRuleRow, ReservationRow

MOST_RESERVATIONS = 10_000
_THE_RULE = 1
_HINT = "`fleetcast leases reservations` shows all"


@dataclass(frozen=True)
class KeptLease:
    """A lease, and the interface it was given out on."""

    interface: str
    lease: Lease


class LeaseBook:
    """Every method may be called from any thread. Raises NoSpace, DiskFailed.

    ``networks``: our own addresses with their networks, as they are when asked.
    """

    def __init__(self, database: Database, networks: Callable[[], Sequence[IPv4Interface]]) -> None:
        self._database, self._networks = database, networks
        self._lock = threading.Lock()
        kept = {row.mac: IPv4Address(row.address) for row in database.all(ReservationRow)}
        everyone = any(row.everyone for row in database.all(LeaseRuleRow))
        self._rules = LeaseRules(kept, everyone)

    def on(self, interface: str) -> LeaseStore:
        """The store of the leases given out on ``interface``."""
        return _InterfaceLeases(self, self._database, interface)

    def leases(self) -> list[KeptLease]:
        """Every lease, those that have run out too, by interface and address."""
        found = [KeptLease(row.interface, _from_row(row)) for row in self._database.all(LeaseRow)]
        return sorted(found, key=lambda kept: (kept.interface, kept.lease.address))

    def rules(self) -> LeaseRules:
        """What the operator says now."""
        return self._rules

    def set_everyone(self, everyone: bool) -> None:  # noqa: FBT001 - the rule itself
        """Whether machines that do not boot from the network get a lease too."""
        with self._lock:
            self._database.save(LeaseRuleRow(id=_THE_RULE, everyone=everyone))
            self._rules = LeaseRules(self._rules.reservations, everyone)

    def reserve(self, mac: str, address: IPv4Address) -> tuple[str, IPv4Address]:
        """Keep ``address`` for the machine ``mac``, in place of what was kept for it; as it is kept.

        Raises Refused: no machine's MAC, not on a network of ours, ours, or kept for another.
        """
        with self._lock:
            known = machine_mac(mac)
            require_fit(known, address, self._rules, self._networks())
            kept = self._rules.reservations
            if known not in kept and len(kept) >= MOST_RESERVATIONS:
                raise Refused(f"there are {MOST_RESERVATIONS} reservations, no more are kept")
            self._database.save(ReservationRow(mac=known, address=str(address)))
            self._rules = LeaseRules({**kept, known: address}, self._rules.everyone)
        return known, address

    def unreserve(self, mac: str) -> None:
        """The machine gets any address again. Raises Refused (no MAC), NotFound."""
        with self._lock:
            known = machine_mac(mac)
            kept = dict(self._rules.reservations)
            address = kept.pop(known, None)
            if address is None:
                raise NotFound(f"no address is reserved for {known}", hint=_HINT)
            self._database.save(gone=[ReservationRow(mac=known, address=str(address))])
            self._rules = LeaseRules(kept, self._rules.everyone)


def machine_mac(text: str) -> str:
    """The MAC as packets give it: lower case, colons. Raises Refused when it is not one machine's."""
    try:
        raw = mac_bytes(text.replace("-", ":"))
    except ValueError:
        raw = bytes(6)
    if raw == bytes(6) or raw[0] & 1:
        raise Refused(f"{text[:40]!r} is no machine's MAC address", hint="write it as 52:54:00:aa:bb:cc")
    return mac_text(raw)


def require_fit(
    mac: str, address: IPv4Address, rules: LeaseRules, networks: Sequence[IPv4Interface]
) -> None:
    """Return if ``address`` can be kept for ``mac``. Raises Refused."""
    on = [own for own in networks if address in own.network]
    if not on:
        known = ", ".join(str(own.network) for own in networks) or "none has an IPv4 address"
        raise Refused(f"{address} is on no network that we serve", hint=f"these are served: {known}")
    if any(address == own.ip for own in networks):
        raise Refused(f"{address} is the server's own address", hint="choose another")
    if any(address in (own.network.network_address, own.network.broadcast_address) for own in on):
        raise Refused(f"{address} is no machine's address in {on[0].network}", hint="choose another")
    owner = rules.owners.get(address, mac)
    if owner != mac:
        raise Refused(f"{address} is reserved for {owner}", hint=_HINT)


class _InterfaceLeases:
    """The leases of one interface; implements ``castcore.boot.LeaseStore``."""

    def __init__(self, book: LeaseBook, database: Database, interface: str) -> None:
        self._book, self._database, self._interface = book, database, interface

    def kept(self) -> Collection[Lease]:
        """Every lease kept so far."""
        return [kept.lease for kept in self._book.leases() if kept.interface == self._interface]

    def keep(self, changed: Collection[Lease], gone: Collection[IPv4Address]) -> None:
        """Keep ``changed``, forget ``gone``."""
        self._database.save(
            *(self._row(lease) for lease in changed),
            gone=[self._row(Lease(address, "", LeaseState.ASIDE, 0)) for address in gone],
        )

    def rules(self) -> LeaseRules:
        """What the operator says now."""
        return self._book.rules()

    def _row(self, lease: Lease) -> LeaseRow:
        return LeaseRow(
            interface=self._interface,
            address=str(lease.address),
            mac=lease.mac,
            state=lease.state.value,
            expires=int(lease.expires),
            booted=lease.booted,
        )


def _from_row(row: LeaseRow) -> Lease:
    state = LeaseState(row.state)
    return Lease(IPv4Address(row.address), row.mac, state, row.expires, row.booted)
