"""How this machine gets its addresses, as it was told: which cards, which VLAN, DHCP or by hand. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from castcore.control import Nic
from castcore.errors import Refused

_MOST_VLAN = 4094  # IEEE 802.1Q
_MOST_NAME = 15  # IFNAMSIZ without its end
_MAC = re.compile(r"[0-9a-f]{2}([:-]?[0-9a-f]{2}){5}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Addressing:
    """``address`` with its prefix length ("192.0.2.7/24"; "": DHCP, else link-local), ``gateway``,
    ``vlan`` (0: none) and ``nic``, the one card to use by name or MAC ("": every wired one).
    """

    address: str = ""
    gateway: str = ""
    vlan: int = 0
    nic: str = ""

    @property
    def is_static(self) -> bool:
        """Whether the address was given by hand."""
        return bool(self.address)

    @property
    def network(self) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
        """The address given by hand. Raises ValueError when there is none."""
        return ipaddress.ip_interface(self.address)


def addressing(address: str, gateway: str, vlan: str | int, nic: str) -> Addressing:
    """What these words say. Raises Refused naming the one that is wrong."""
    if address:
        _require_address(address)
    if gateway:
        _require_gateway(gateway, address)
    try:
        number = int(vlan or 0)
    except ValueError:
        number = -1
    if not 0 <= number <= _MOST_VLAN:
        raise Refused(f"fleetcast.vlan={vlan} is no VLAN", hint=f"a VLAN is a number to {_MOST_VLAN}")
    return Addressing(address, gateway, number, nic)


def _require_address(address: str) -> None:
    try:
        given = ipaddress.ip_interface(address)
        usable = "/" in address and not (given.ip.is_multicast or given.ip.is_unspecified)
    except ValueError:
        usable = False
    if not usable:
        raise Refused(
            f"fleetcast.address={address} is no address of a machine",
            hint="give it with the length of its prefix, such as 192.0.2.7/24",
        )


def _require_gateway(gateway: str, address: str) -> None:
    try:
        inside = ipaddress.ip_address(gateway) in ipaddress.ip_interface(address).network
    except ValueError:
        inside = False
    if not inside:
        raise Refused(
            f"fleetcast.gateway={gateway} is not in the network of {address or 'no given address'}",
            hint="a gateway goes with an address of its own network",
        )


def chosen(cards: Iterable[Nic], nic: str) -> tuple[Nic, ...]:
    """Those of the wired ``cards`` that are to be used: the one called ``nic`` (name or MAC), or all."""
    if not nic:
        return tuple(cards)
    return tuple(c for c in cards if c.name == nic or (_MAC.fullmatch(nic) and _same_mac(c.mac, nic)))


def vlan_name(card: str, index: int, vlan: int) -> str:
    """The name of VLAN ``vlan`` on ``card``, the interface numbered ``index``."""
    name = f"{card}.{vlan}"
    return name if len(name) <= _MOST_NAME else f"vlan{vlan}.{index}"


def static_places(linked: Iterable[str], settled: str) -> frozenset[str]:
    """Of the interfaces with a link, those that have the address given by hand.

    All of them while no server was found; then the one it was found on, as long as that has a link.
    """
    names = frozenset(linked)
    return frozenset({settled}) if settled in names else names


def halves(own: ipaddress.IPv4Interface) -> tuple[str, ...]:
    """The two halves of the network of ``own``: routes that win over another card's to the whole."""
    if own.network.prefixlen > 30:
        return ()
    return tuple(str(half) for half in own.network.subnets())


def _same_mac(one: str, other: str) -> bool:
    return re.sub("[:-]", "", one).lower() == re.sub("[:-]", "", other).lower()
