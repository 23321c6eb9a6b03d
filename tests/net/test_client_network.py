"""The client's network on real interfaces: link-local addresses, the way to a server, hooks that run."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from castclient import linkclaim, routes
from castclient.hooks import Hooks
from castclient.linklocal import candidates
from castcore.bootsettings import Moment
from castcore.edge import run
from castcore.edge.net import nics
from castcore.edge.net.arp import ArpSocket

from tests.net.namespaces import Cable, cable, inside, ip

pytestmark = pytest.mark.root


@pytest.fixture
def wire() -> Iterator[Cable]:
    run.require(["busybox", "ip"], hint="tools/packages.txt lists the packages of the tests")
    with cable("zero") as made:
        for space in (made.left, made.right):
            ip("-n", space, "link", "set", made.wire, "up")
        yield made


def until(holds: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


class Held:
    """A link-local address held on the cable's right end until `let_go`."""

    def __init__(self, wire: Cable) -> None:
        self.said: list[str] = []
        self.ended, self.linked = threading.Event(), True
        self._space, self._wire = wire.right, wire.wire
        self._thread = threading.Thread(target=self._hold)
        self._thread.start()

    def _hold(self) -> None:
        def hold() -> None:
            linkclaim.hold(self._wire, self.ended, self.said.append, linked=lambda: self.linked)

        inside(self._space, hold)

    def address(self) -> str:
        return str(inside(self._space, lambda: nics.ipv4_address(self._wire)))

    def let_go(self) -> None:
        self.ended.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_a_free_address_is_taken_and_left_again(wire: Cable) -> None:
    held = Held(wire)
    try:
        assert until(held.address, 15)
        assert ipaddress.ip_address(held.address()).is_link_local
    finally:
        held.let_go()
    assert held.address() == ""


def test_an_address_that_another_has_is_left_to_it(wire: Cable) -> None:
    mac = inside(wire.right, lambda: nics.nic(wire.wire).mac)
    taken = next(candidates(mac))
    ip("-n", wire.left, "addr", "add", f"{taken}/16", "dev", wire.wire)
    held = Held(wire)
    try:
        assert until(held.address, 20)
        assert held.address() not in ("", str(taken))
    finally:
        held.let_go()


def test_one_that_takes_our_address_twice_gets_it(wire: Cable) -> None:
    held = Held(wire)
    try:
        assert until(held.address, 15)
        mine = held.address()

        def steal() -> None:
            thief = ArpSocket(wire.wire)
            for _ in range(2):
                thief.announce(ipaddress.IPv4Address(mine))
                time.sleep(0.5)
            thief.close()

        inside(wire.left, steal)
        assert until(lambda: held.address() not in ("", mine), 15)
        assert any("belongs to" in line for line in held.said)
    finally:
        held.let_go()


def test_an_answer_of_dhcp_ends_the_claim(wire: Cable) -> None:
    held = Held(wire)
    try:
        assert until(held.address, 15)
        ip("-n", wire.right, "addr", "flush", "dev", wire.wire)
        ip("-n", wire.right, "addr", "add", "192.0.2.9/24", "dev", wire.wire)
        held._thread.join(5)
        assert not held._thread.is_alive()
        assert held.address() == "192.0.2.9"
    finally:
        held.let_go()


def second_card(wire: Cable, address: str) -> None:
    """Another card of the right machine, with a link and nobody behind it."""
    ip("-n", wire.right, "link", "add", "a0", "type", "veth", "peer", "name", "a1")
    for name in ("a0", "a1"):
        ip("-n", wire.right, "link", "set", name, "up")
    ip("-n", wire.right, "addr", "add", address, "dev", "a0")


def way(wire: Cable, host: str) -> str:
    return run.run(["ip", "-n", wire.right, "route", "get", host], timeout=10).decode()


def test_the_card_that_leads_to_the_server_wins_where_two_networks_look_alike(wire: Cable) -> None:
    second_card(wire, "169.254.9.1/16")
    ip("-n", wire.right, "addr", "add", "169.254.9.2/16", "dev", wire.wire)
    assert "dev a0" in way(wire, "169.254.7.7")
    url = "https://169.254.7.7:8443"
    inside(wire.right, lambda: routes.settle(wire.wire, url, ["a0", wire.wire]))
    for host in ("169.254.7.7", "169.254.200.1"):
        found = way(wire, host)
        assert f"dev {wire.wire}" in found
        assert "src 169.254.9.2" in found


def test_a_server_behind_the_second_cards_gateway_is_reached_that_way(wire: Cable) -> None:
    second_card(wire, "192.0.2.9/24")
    ip("-n", wire.right, "addr", "add", "198.51.100.9/24", "dev", wire.wire)
    ip("-n", wire.right, "route", "add", "default", "via", "192.0.2.1", "metric", "101")
    via = ("via", "198.51.100.1", "dev", wire.wire, "metric", "102")
    ip("-n", wire.right, "route", "add", "default", *via)
    url = "https://203.0.113.5:8443"
    inside(wire.right, lambda: routes.settle(wire.wire, url, ["a0", wire.wire]))
    assert f"via 198.51.100.1 dev {wire.wire}" in way(wire, "203.0.113.5")
    assert "dev a0" in way(wire, "203.0.113.6")


def test_a_hook_says_its_lines_and_a_bad_one_holds_up_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "start.d"
    folder.mkdir()
    texts = {
        "10-says": "#!/bin/sh\necho at $FLEETCAST_MOMENT\n",
        "20-fails": "#!/bin/sh\necho no >&2\nexit 3\n",
        "30-hangs": "#!/bin/sh\nexec sleep 60\n",
        "40-is-no-program": "just words\n",
        "50-last": "#!/bin/sh\necho last\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    said: list[str] = []
    began = time.monotonic()
    Hooks(said.append, tmp_path, seconds=1.0).run(Moment.START)
    assert time.monotonic() - began < 20
    assert "hook 10-says: at start" in said
    assert said[-1] == "hook 50-last: last"
    warned = [line for line in said if line.startswith("warning")]
    assert [any(name in line for line in warned) for name in texts] == [False, True, True, True, False]
