"""Addresses that are proven free before they are offered, by ARP (RFC 5227 section 2.1.1).

Nobody waits: each address has its own probes, and its offer goes out when they have run. Times are
monotonic seconds, given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

# RFC 5227 waits for seconds; firmware that boots does not, and asks again after one or two.
PROBES = 2
PROBE_SECONDS = 0.5


@dataclass(frozen=True)
class ArpPacket:
    """What an ARP packet says of its sender, and whom it asks for (RFC 826)."""

    sender_mac: str
    sender: IPv4Address
    target: IPv4Address


@dataclass(frozen=True)
class Probing:
    """One address being proven for the machine ``mac``: probes sent, and when the next step is due."""

    address: IPv4Address
    mac: str
    sent: int
    due: float


class Probation:
    """Every address that is being proven."""

    def __init__(self) -> None:
        self._probing: dict[IPv4Address, Probing] = {}

    def begin(self, address: IPv4Address, mac: str, now: float) -> bool:
        """Start to prove ``address`` for ``mac``: send a probe now. False: that is under way."""
        under_way = self._probing.get(address)
        if under_way is not None and under_way.mac == mac:
            return False
        self._probing[address] = Probing(address, mac, 1, now + PROBE_SECONDS / PROBES)
        return True

    def heard(self, packet: ArpPacket) -> Probing | None:
        """The probing that ``packet`` ends: another machine uses its address, or is about to."""
        found = self._probing.get(packet.sender)
        if found is None and packet.sender == IPv4Address(0):
            found = self._probing.get(packet.target)
        if found is None or packet.sender_mac == found.mac:
            return None
        return self._probing.pop(found.address)

    def step(self, now: float) -> tuple[tuple[IPv4Address, ...], tuple[Probing, ...]]:
        """Whom to probe once more, and what has been proven free."""
        due = [p for p in self._probing.values() if p.due <= now]
        proven = tuple(p for p in due if p.sent >= PROBES)
        for probing in proven:
            del self._probing[probing.address]
        again = [p for p in due if p.sent < PROBES]
        for probing in again:
            later = replace(probing, sent=probing.sent + 1, due=now + PROBE_SECONDS / PROBES)
            self._probing[probing.address] = later
        return tuple(p.address for p in again), proven
