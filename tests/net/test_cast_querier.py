"""Queriers over a cable: one is heard, one is missed, and one of our own keeps a switch's memory."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from castcore.cast import membership
from castcore.cast.membership import Querier
from castcore.edge import run
from castcore.edge.cast import querier
from castcore.edge.cast.querier import QuerierListener
from castcore.edge.net.interface import find_interface

from tests.net.namespaces import Cable, cable, give_addresses, inside, ip

pytestmark = pytest.mark.root

FAMILIES = [socket.AF_INET, socket.AF_INET6]


@pytest.fixture
def wire() -> Iterator[Cable]:
    with cable("query") as made:
        give_addresses(made, "10.5.0", "fe80::")
        yield made


def listener(
    space: str, family: socket.AddressFamily, warn: Callable[[str], None], *, ask: bool = False
) -> QuerierListener:
    made = inside(space, lambda: QuerierListener(find_interface("wire0", family), warn, ask=ask))
    assert isinstance(made, QuerierListener)
    return made


def until(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


@pytest.mark.parametrize("family", FAMILIES)
def test_one_asks_and_the_other_hears_it_and_keeps_silent(
    wire: Cable, family: socket.AddressFamily
) -> None:
    said: list[str] = []
    hears = listener(wire.left, family, said.append, ask=False)
    asks = listener(wire.right, family, said.append, ask=True)
    try:
        assert until(lambda: hears.verdict() is Querier.SEEN, 5)
        assert asks.verdict() is Querier.WATCHING, "it took its own question for another's"
        assert said == []
    finally:
        hears.close()
        asks.close()


def test_a_missing_querier_is_told_once(wire: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "WATCH_SECONDS", 0.5)
    monkeypatch.setattr(querier, "WATCH_SECONDS", 0.5)
    said: list[str] = []
    watcher = listener(wire.left, socket.AF_INET, said.append)
    try:
        assert until(lambda: bool(said), 5)
        time.sleep(1.5)
        assert len(said) == 1
        assert "wire0" in said[0]
        assert watcher.verdict() is Querier.NONE
    finally:
        watcher.close()


def test_a_switch_takes_our_question_for_a_queriers(wire: Cable) -> None:
    """The kernel's own snooping bridge remembers the port behind which it heard one."""
    hub = f"fct-query-{os.getpid()}-hub"
    ip("netns", "add", hub)
    try:
        ip("-n", wire.left, "link", "set", wire.wire, "netns", hub)
        ip("-n", hub, "link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
        ip("-n", hub, "link", "set", "br0", "up")
        ip("-n", hub, "link", "set", wire.wire, "master", "br0", "up")
        assert _querier_ports(hub) == []
        asks = listener(wire.right, socket.AF_INET, lambda _: None, ask=True)
        try:
            assert until(lambda: _querier_ports(hub) == [wire.wire], 10)
        finally:
            asks.close()
    finally:
        with suppress(run.ProgramFailed):
            ip("netns", "delete", hub)


def _querier_ports(hub: str) -> list[str]:
    """The ports behind which the bridge knows a querier: it counts them as ways to a router."""
    words = ["ip", "netns", "exec", hub, "bridge", "-j", "-d", "mdb", "show"]
    (known,) = json.loads(run.run(words, timeout=10))
    return [port["port"] for ports in known["router"].values() for port in ports]
