"""Casts and legs never share a group, nor the MAC address that a group becomes."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from castcore.cast import discovery
from castserver.casts.castrun import MOST_SLOTS, slot_addresses
from castserver.casts.groups import cast_group


def mac(group: str) -> str:
    """The last octets of the MAC that switches see (RFC 1112, 6.4; RFC 2464, 7)."""
    address = ipaddress.ip_address(group)
    bits = 23 if address.version == 4 else 32
    return f"{int(address) & (1 << bits) - 1:x}"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_every_cast_and_leg_has_a_group_of_its_own(family: socket.AddressFamily) -> None:
    groups = [cast_group(family, high, low) for high in (0, 7, 255) for low in range(256)]
    assert len(set(groups)) == len({mac(g) for g in groups}) == len(groups)
    legs = [cast_group(family, 7, 9, leg) for leg in range(6)]
    assert len(set(legs)) == 6
    assert all(ipaddress.ip_address(group).is_multicast for group in groups + legs)


def test_no_group_aliases_one_that_switches_flood_or_that_is_discoverys() -> None:
    flooded = {mac(str(address)) for address in ipaddress.ip_network("224.0.0.0/24")}
    every = {
        mac(cast_group(socket.AF_INET, high, low, leg))
        for high in range(256)
        for low in range(256)
        for leg in range(3)
    }
    assert not every & flooded
    assert mac(discovery.GROUP) not in every
    transient = ipaddress.ip_network("ff15::/16")
    assert ipaddress.ip_address(cast_group(socket.AF_INET6, 255, 255, 5)) in transient


def test_a_servers_casts_share_neither_group_nor_port() -> None:
    given = [slot_addresses(slot, 7) for slot in range(MOST_SLOTS)]
    assert len({group for group, _, _ in given}) == MOST_SLOTS
    ports = [port for _, data, feedback in given for port in (data, feedback)]
    assert len(set(ports)) == 2 * MOST_SLOTS
