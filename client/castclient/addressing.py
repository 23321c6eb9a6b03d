"""Which cards and interfaces a machine uses, and where an address given by hand belongs. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from castcore.bootsettings import LONGEST_INTERFACE
from castcore.control import Nic

# Longer prefixes have no halves that hold machines.
_LONGEST_HALVED = 30


def chosen(cards: Iterable[Nic], nic: str) -> tuple[Nic, ...]:
    """Those of the wired ``cards`` that are to be used: the one called ``nic`` (name or MAC), or all."""
    return tuple(c for c in cards if nic in ("", c.name, c.mac.lower()))


def vlan_name(card: str, index: int, vlan: int) -> str:
    """The name of VLAN ``vlan`` on ``card``, the interface numbered ``index``."""
    name = f"{card}.{vlan}"
    return name if len(name) <= LONGEST_INTERFACE else f"vlan{vlan}.{index}"


def static_places(linked: Iterable[str], settled: str) -> frozenset[str]:
    """The interfaces that have the address given by hand.

    All with a link while no server was found; then the one it was found on. While that has lost its link
    it keeps the address, for it may be back in a moment, and the others try theirs.
    """
    names = frozenset(linked)
    if not settled:
        return names
    return frozenset({settled}) if settled in names else names | {settled}


def halves(network: ipaddress.IPv4Network) -> tuple[str, ...]:
    """The two halves of ``network``: routes that win over another card's to the whole."""
    if network.prefixlen > _LONGEST_HALVED:
        return ()
    return tuple(str(half) for half in network.subnets())
