"""The interfaces this run uses: the wired cards that were not left out, or their VLANs."""

from __future__ import annotations

import contextlib
import dataclasses
import socket

from castcore.control import Nic
from castcore.edge.net import nics

from castclient.addressing import Addressing, chosen, vlan_name
from castclient.settings import Settings


def wired(addressing: Addressing) -> tuple[Nic, ...]:
    """The wired cards that may be used; wireless ones never are."""
    return chosen(nics.wired(), addressing.nic)


def interface_of(card: str, addressing: Addressing) -> str:
    """The interface that gets addresses where ``card`` is used: itself, or its VLAN."""
    if not addressing.vlan:
        return card
    index = 0
    with contextlib.suppress(OSError):  # just gone
        index = socket.if_nametoindex(card)
    return vlan_name(card, index, addressing.vlan)


def used(settings: Settings) -> tuple[Nic, ...]:
    """The interfaces of this run, as they are now."""
    if settings.interfaces is not None:
        return tuple(nics.nic(name) for name in settings.interfaces)
    told = settings.addressing
    return tuple(_as_vlan(card, interface_of(card.name, told)) for card in wired(told))


def names(settings: Settings) -> tuple[str, ...]:
    """The names of the interfaces of this run."""
    return tuple(nic.name for nic in used(settings))


def _as_vlan(card: Nic, interface: str) -> Nic:
    if interface == card.name:
        return card
    return dataclasses.replace(nics.nic(interface), driver=card.driver, speed=card.speed)
