"""Addresses given by hand on several cards, and link-local ones, without a network."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from castclient import bringup, linkclaim
from castclient.bringup import BringUp
from castcore.bootsettings import BootSettings
from castcore.control import Nic
from castcore.edge import run
from castcore.edge.net import addresses, nics
from castcore.errors import BadPacket, FleetcastError

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
        patch.setattr(nics, "ipv4_address", lambda name: "".join(self.has[name]).partition("/")[0])
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


def test_a_link_local_address_is_not_held_on_without_a_dhcp_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Cards(monkeypatch, "eth0")
    ended, held = threading.Event(), list[bool]()
    client = SimpleNamespace(poll=lambda: 1 if held else None)

    @contextmanager
    def started(*_: Any, **_named: Any) -> Iterator[SimpleNamespace]:
        yield client

    def hold(*_: Any, linked: Any) -> None:
        held.append(linked())  # and now the client ends
        held.append(linked())
        ended.set()

    monkeypatch.setattr(addresses, "up", lambda _: None)
    monkeypatch.setattr(run, "started", started)
    monkeypatch.setattr(linkclaim, "hold", hold)
    monkeypatch.setattr(bringup, "LINK_LOCAL_AFTER", -1.0)
    monkeypatch.setattr(bringup, "_STEP", 0.0)
    keeper = bringup._Keeper("eth0", BootSettings(), lambda _: None, ended)
    keeper.thread.join(10)
    assert held == [True, False]


class Flood:
    """An ARP socket where packets never end."""

    def __init__(self, _interface: str) -> None:
        self.heard = 0
        self._ends = os.pipe()
        os.write(self._ends[1], b"x")

    def fileno(self) -> int:
        return self._ends[0]

    def receive(self) -> None:
        self.heard += 1
        assert self.heard < 10_000
        raise BadPacket("noise")

    def probe(self, _address: object) -> None:
        pass

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


def test_a_flood_of_arp_does_not_hide_that_the_link_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    Cards(monkeypatch, "eth0")
    monkeypatch.setattr(linkclaim, "ArpSocket", Flood)
    links = iter([True, True, False])
    linkclaim.hold("eth0", threading.Event(), lambda _: None, linked=lambda: next(links))
    assert next(links, None) is None
