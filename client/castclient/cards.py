"""The interfaces this run uses: the wired cards that were not left out, or their VLANs."""

from __future__ import annotations

import dataclasses

from castcore.bootsettings import BootSettings
from castcore.control import Nic
from castcore.edge.net import nics

from castclient.addressing import chosen, vlan_name
from castclient.settings import Settings


def wired(told: BootSettings) -> tuple[Nic, ...]:
    """The wired cards that may be used; wireless ones never are."""
    return chosen(nics.wired(), told.nic)


def interface_of(card: str, told: BootSettings) -> str:
    """The interface that gets addresses where ``card`` is used: itself, or its VLAN."""
    if not told.vlan:
        return card
    return vlan_name(card, nics.index(card), told.vlan)


def used(settings: Settings) -> tuple[Nic, ...]:
    """The interfaces of this run, as they are now."""
    if settings.interfaces is not None:
        return tuple(nics.nic(name) for name in settings.interfaces)
    told = settings.told
    return tuple(_as_vlan(card, interface_of(card.name, told)) for card in wired(told))


def names(settings: Settings) -> tuple[str, ...]:
    """The names of the interfaces of this run."""
    return tuple(nic.name for nic in used(settings))


def _as_vlan(card: Nic, interface: str) -> Nic:
    if interface == card.name:
        return card
    return dataclasses.replace(nics.nic(interface), driver=card.driver, speed=card.speed)
