"""Addresses given by hand on several cards, and link-local ones, without a network."""

from __future__ import annotations

import pytest
from castclient.bringup import BringUp
from castcore.bootsettings import BootSettings
from castcore.control import Nic
from castcore.edge.net import addresses, nics
from castcore.errors import FleetcastError

ADDRESS, GATEWAY = "192.0.2.7/24", "192.0.2.1"
TOLD = BootSettings(address=ADDRESS, gateway=GATEWAY)


class Cards:
    """A machine's cards, by name the addresses of each; ``broken`` ones take none."""

    def __init__(self, patch: pytest.MonkeyPatch, *names: str) -> None:
        self.has: dict[str, set[str]] = {name: set() for name in names}
        self.broken: set[str] = set()
        self.routes: list[str] = []
        patch.setattr(nics, "wired", lambda: tuple(map(self.nic, self.has)))
        patch.setattr(nics, "exists", self.has.__contains__)
        patch.setattr(nics, "nic", self.nic)
        patch.setattr(addresses, "add", self.add)
        patch.setattr(addresses, "route", lambda _, name, **_named: self.routes.append(name))

    def nic(self, name: str) -> Nic:
        return Nic(name=name, mac="", driver="", speed=0, link=True, addresses=tuple(self.has[name]))

    def add(self, name: str, address: str) -> None:
        if name in self.broken:
            raise FleetcastError("it is broken")
        self.has[name].add(address)


def test_a_card_that_comes_back_gets_its_default_route_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = Cards(monkeypatch, "eth0")
    subject = BringUp(TOLD, lambda _: None)
    subject._place_static()
    subject._place_static()
    assert cards.routes == ["eth0"]
    cards.has["eth0"].clear()  # the device went and came between two looks
    subject._place_static()
    assert cards.has["eth0"] == {ADDRESS}
    assert cards.routes == ["eth0", "eth0"]


def test_a_card_that_fails_is_told_once_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    cards, said = Cards(monkeypatch, "eth0", "eth1"), list[str]()
    cards.broken = {"eth0"}
    subject = BringUp(TOLD, said.append)
    for _ in range(3):
        subject._place_static()
    assert cards.has["eth1"] == {ADDRESS}
    assert cards.routes == ["eth1"]
    assert said == ["eth0: it is broken", f"eth1: {ADDRESS}, as told"]
    cards.broken = set()
    subject._place_static()
    assert cards.has["eth0"] == {ADDRESS}
    assert sorted(cards.routes) == ["eth0", "eth1"]
